"""A call that is interrupted is not interrupted where its exception would be printed and lost."""

import gc
import sys
import time
import weakref

import pytest

from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within
from gradlab.faults import run_bounded
from gradlab.workers.lost_exceptions import silent_where_lost
from tests.checks.exploration.test_interruptible import (  # noqa: F401
    here,
    in_a_thread,
    loop_for_ever,
    posix,
)


@pytest.fixture
def lost(monkeypatch):
    """Return what was raised where nobody can catch it."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: found.append(str(unraisable)))
    return found


def spin(seconds, ended):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    ended.append(seconds)


def in_a_destructor(ended):
    class Slow:
        def __del__(self):
            spin(0.7, ended)

    Slow()


def collect_with(callback):
    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


def in_a_callback_of_the_collector(ended):
    def slow(phase, info):
        spin(0.5, ended)

    collect_with(slow)


def in_a_callback_that_is_an_object(ended):
    class Slow:
        def __call__(self, phase, info):
            spin(0.5, ended)

    collect_with(Slow())


def in_a_callback_after_a_long_collection(ended):
    def slow(phase, info):
        spin(0.5, ended)
        sum(range(50_000_000))  # one call of compiled code
        spin(0.5, ended)

    collect_with(slow)


def in_a_callback_of_a_weak_reference(ended):
    class Kept:
        pass

    kept = Kept()
    weakref.finalize(kept, spin, 0.7, ended)
    del kept


def in_the_callback_of_a_weak_set(ended):
    class Kept:
        pass

    class SlowSet(set):
        def discard(self, item):
            spin(0.7, ended)

    kept, holder = Kept(), weakref.WeakSet()
    holder.add(kept)
    holder.data = SlowSet(holder.data)
    del kept


swallowing = pytest.mark.parametrize(
    "swallow",
    [
        in_a_destructor,
        in_a_callback_of_the_collector,
        in_a_callback_that_is_an_object,
        in_a_callback_after_a_long_collection,
        in_a_callback_of_a_weak_reference,
        in_the_callback_of_a_weak_set,
    ],
)


@swallowing
def test_what_swallows_exceptions_is_waited_for(swallow, here, lost):  # noqa: F811
    ended = []

    def work():
        swallow(ended)
        loop_for_ever()

    assert here(lambda: within(Budget(), work, "cut off", 0.4)) == "cut off"
    assert lost == []
    # from another thread the exception is only sent, and comes when compiled code returns: that may be to a callback
    if here is not in_a_thread or ("collect" not in swallow.__name__ and "object" not in swallow.__name__):
        assert ended


@posix
@swallowing
def test_a_bounded_call_waits_as_well(swallow, lost):
    ended = []

    def work():
        swallow(ended)
        loop_for_ever()

    assert run_bounded(work, 0.4).ended == "timed out"
    assert lost == []
    assert ended


class Endless:
    def __del__(self):
        loop_for_ever()


def drop_what_a_function_refers_to_weakly():
    class Kept:
        pass

    kept = Kept()
    reference = weakref.ref(kept, lambda dead: loop_for_ever())
    del kept
    return reference


# the first is known as a finaliser and cut off when patience ends; of the second nothing tells that it is one
@pytest.mark.parametrize("never_ends", [Endless, drop_what_a_function_refers_to_weakly])
def test_a_finaliser_that_does_not_end_is_cut_off_and_nobody_told(never_ends, here, lost):  # noqa: F811
    def work():
        never_ends()
        loop_for_ever()

    assert here(lambda: within(Budget(), work, "cut off", 0.05)) == "cut off"
    assert lost == []


def test_what_others_lose_is_told(lost):
    class Failing:
        def __del__(self):
            raise ValueError

    within(Budget(), Failing, None, 5)
    assert len(lost) == 1
    hook = sys.unraisablehook
    with silent_where_lost(), silent_where_lost():
        assert sys.unraisablehook is not hook
    assert sys.unraisablehook is hook
