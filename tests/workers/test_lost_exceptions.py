"""A call that is interrupted is not interrupted where its exception would be printed and lost."""

import gc
import sys
import time
import weakref

import pytest

from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within
from gradlab.faults import run_bounded
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


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def in_a_destructor():
    class Slow:
        def __del__(self):
            spin(0.3)

    Slow()


def in_a_callback_of_the_collector():
    def slow(phase, info):
        spin(0.15)

    gc.callbacks.append(slow)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(slow)


def in_a_callback_that_is_an_object():
    class Slow:
        def __call__(self, phase, info):
            spin(0.15)

    slow = Slow()
    gc.callbacks.append(slow)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(slow)


def in_a_callback_of_a_weak_reference():
    class Kept:
        pass

    kept = Kept()
    weakref.finalize(kept, spin, 0.3)
    del kept


def in_the_callback_of_a_weak_set():
    class Kept:
        pass

    class SlowSet(set):
        def discard(self, item):
            spin(0.3)

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
        in_a_callback_of_a_weak_reference,
        in_the_callback_of_a_weak_set,
    ],
)


@swallowing
def test_what_swallows_exceptions_is_waited_for(swallow, here, lost):  # noqa: F811
    def work():
        swallow()
        loop_for_ever()

    assert here(lambda: within(Budget(), work, "cut off", 0.1)) == "cut off"
    # from another thread the exception is only sent, and comes when compiled code returns: that may be to a callback
    late = here is in_a_thread and swallow in (
        in_a_callback_of_the_collector,
        in_a_callback_that_is_an_object,
    )
    assert len(lost) <= int(late)


@posix
@swallowing
def test_a_bounded_call_waits_as_well(swallow, lost):
    def work():
        swallow()
        loop_for_ever()

    assert run_bounded(work, 0.1).ended == "timed out"
    assert lost == []


def test_a_destructor_that_does_not_end_is_interrupted_after_all(here, lost):  # noqa: F811
    class Endless:
        def __del__(self):
            loop_for_ever()

    def work():
        Endless()
        loop_for_ever()

    assert here(lambda: within(Budget(), work, "cut off", 0.05)) == "cut off"
    assert len(lost) == 1
