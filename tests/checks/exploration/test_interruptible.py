"""A call that takes more than its share is interrupted, wherever it runs, and the world is left as it was."""

import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from gradlab.checks.trial import interruptible
from gradlab.checks.trial.budget import Budget, OutOfBudget
from gradlab.checks.trial.interruptible import within

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs the interval timer of POSIX")


def loop_for_ever():
    while True:
        pass


def in_a_thread(function):
    """Return what a function returns in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(30)
    return found[0]


def in_this_thread(function):
    return function()


@pytest.fixture(params=[in_this_thread, in_a_thread])
def here(request):
    return request.param


def test_what_returns_in_time(here):
    assert here(lambda: within(Budget(30), lambda: 7, None)) == 7
    assert here(lambda: within(None, lambda: 7, None)) == 7


def test_what_does_not(here):
    start = time.monotonic()
    assert here(lambda: within(Budget(0.1), loop_for_ever, "cut off")) == "cut off"
    assert time.monotonic() - start < 10


def test_a_share_is_not_the_whole():
    budget = Budget(8)
    assert within(budget, loop_for_ever, None, 0.05) is None
    assert budget.left_s > 4
    assert 1 < budget.share_s < 2.1
    assert Budget(2).share_s == pytest.approx(1, abs=0.1)
    assert Budget(0.5).share_s <= 0.5


def test_what_catches_exceptions_does_not_catch_this_one(here):
    def guarded():
        while True:
            try:
                loop_for_ever()
            except Exception:
                continue

    assert here(lambda: within(Budget(0.1), guarded, None)) is None


def test_one_that_is_swallowed_comes_again(here):
    def swallowing():
        try:
            loop_for_ever()
        except BaseException:
            loop_for_ever()

    assert here(lambda: within(Budget(), swallowing, None, 0.05)) is None


def test_an_exception_is_passed_on(here):
    def caught():
        with pytest.raises(ZeroDivisionError):
            within(Budget(30), lambda: 1 / 0, None)
        with pytest.raises(KeyboardInterrupt):
            within(Budget(30), interrupt, None)
        return True

    def interrupt():
        raise KeyboardInterrupt

    assert here(caught)


def test_what_was_set_for_a_while_is_put_back(here):
    def look():
        return np.geterr(), list(warnings.filters)

    def loop():
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop_for_ever()

    def compare():
        before = look()
        assert within(Budget(0.05), loop, None) is None
        return before == look()

    assert here(compare)


def test_nothing_comes_later(here):
    def work():
        for _ in range(20):
            within(Budget(), lambda: time.sleep(0.001), None, 0.0012)  # on the brink
        return sum(range(10**6))

    assert here(work) == sum(range(10**6))


def test_an_inner_call_gives_way_to_an_outer_one(here):
    def outer():
        budget = Budget(60)
        after = []

        def inner():
            after.append(within(budget, loop_for_ever, "inner", 30))

        found = within(budget, inner, "outer", 0.1)
        return found, after

    assert here(outer) == ("outer", [])


def test_an_outer_call_goes_on_after_an_inner_one(here):
    budget = Budget(60)
    assert here(lambda: within(budget, lambda: within(budget, loop_for_ever, 1, 0.1), 2, 30)) == 1


UNDER_A_TRACER = """
import sys
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within

def for_ever():
    while True:
        pass

def inner():
    return within(Budget(30), lambda: 1, None), within(Budget(0.1), for_ever, 2)

sys.settrace(lambda *event: None)
print(within(Budget(60), inner, None), within(Budget(60), inner, None))
"""


def test_it_goes_on_under_a_tracer():
    """As under coverage, in a process of its own: one that did not would take no test's end for an answer."""
    done = subprocess.run([sys.executable, "-c", UNDER_A_TRACER], capture_output=True, text=True, timeout=100)
    assert done.stdout == "(1, 2) (1, 2)\n", done.stderr


def test_an_exception_is_let_come_only_where_one_was_sent(monkeypatch):
    let_come, real = [], interruptible._let_come

    def counted(thread):
        let_come.append(thread)
        real(thread)

    monkeypatch.setattr(interruptible, "_let_come", counted)
    assert in_a_thread(lambda: within(Budget(30), lambda: 7, None)) == 7
    assert let_come == []
    assert in_a_thread(lambda: within(Budget(0.05), loop_for_ever, 8)) == 8
    assert len(let_come) == 1


@posix
def test_the_handler_and_the_timer_are_put_back():
    def mine(number, frame):
        raise AssertionError("the timer rang")

    before = signal.signal(signal.SIGALRM, mine)
    try:
        for function in (loop_for_ever, lambda: None):
            within(Budget(0.05), function, None)
            assert signal.getsignal(signal.SIGALRM) is mine
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


@posix
def test_a_timer_that_runs_already_is_left_alone():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert within(Budget(0.6), loop_for_ever, None) is None
        assert rung == [signal.SIGALRM]
        signal.setitimer(signal.ITIMER_REAL, 100)
        assert within(Budget(0.05), loop_for_ever, None) is None
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 90
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_evaluations_are_counted_and_end_a_guarded_call():
    budget = Budget(max_evaluations=5)
    f = budget.counted(lambda x: x)
    assert [f(i) for i in range(7)] == list(range(7))
    assert (budget.evaluations, budget.is_spent) == (7, True)
    assert within(budget, lambda: f(1), "none left") == "none left"
    assert budget.used_up == "max_evaluations=5 was used up, raise it"
    with pytest.raises(OutOfBudget):
        within(Budget(), lambda: within(budget, lambda: f(1), None) or raises(), None)


def raises():
    raise OutOfBudget


def test_a_part_is_kept_back_for_a_while():
    budget = Budget(100)
    with budget.keeping(0.5):
        assert budget.left_s < 51
        with budget.keeping(0.5):
            assert budget.left_s < 26
    assert budget.left_s > 90
    none = Budget()
    with none.keeping(0.5):
        assert none.left_s == np.inf
