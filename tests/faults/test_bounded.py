"""A call that does not end, or asks for more memory than there is, is stopped."""

import signal
import sys
import threading
import time

import numpy as np
import pytest

from gradlab.faults import run_bounded

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs the interval timer of POSIX")


def loop_for_ever():
    while True:
        pass


def test_a_call_that_returns():
    outcome = run_bounded(lambda: 7, 10)
    assert (outcome.ended, outcome.value, outcome.returned, outcome.note) == ("returned", 7, True, "")


def test_a_call_that_raises():
    outcome = run_bounded(lambda: 1 / 0, 10)
    assert (outcome.ended, outcome.returned) == ("raised", False)
    assert outcome.note == "raised ZeroDivisionError: division by zero"


def test_a_call_that_would_end_the_process():
    assert run_bounded(lambda: sys.exit(3), 10).ended == "raised"


def test_an_interrupt_is_passed_on():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bounded(interrupted, 10)


@posix
def test_an_endless_loop():
    outcome = run_bounded(loop_for_ever, 0.05)
    assert (outcome.ended, outcome.note) == ("timed out", "did not end within 0.05 s")


@posix
def test_an_endless_loop_that_guards_against_exceptions():
    def guarded():
        while True:
            try:
                loop_for_ever()
            except Exception:
                continue

    assert run_bounded(guarded, 0.05).ended == "timed out"


@posix
def test_the_timer_is_stopped_and_the_handler_put_back():
    before = signal.getsignal(signal.SIGALRM)
    run_bounded(lambda: None, 0.05)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before
    time.sleep(0.1)  # nothing rings


def test_more_memory_than_there_is():
    assert run_bounded(lambda: np.zeros(10**17), 10).ended == "out of memory"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's address-space limit")
def test_more_memory_than_allowed():
    def greedy():
        return [bytes(10**6) for _ in range(300)]

    assert run_bounded(lambda: len(greedy()), 60).value == 300
    assert run_bounded(greedy, 60, memory=100 * 10**6).ended == "out of memory"
    assert run_bounded(lambda: len(greedy()), 60).value == 300


def test_in_another_thread_it_runs_unbounded():
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(run_bounded(lambda: time.sleep(0.1), 0.01)))
    thread.start()
    thread.join()
    assert outcomes[0].returned
