"""A call that is interrupted when it takes more than its share of a budget: forward may loop for ever somewhere."""

import _thread
import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import sleep
from types import FrameType
from typing import TypeVar

from gradlab.checks.trial.budget import Budget, OutOfBudget
from gradlab.workers.lost_exceptions import PAUSE_S, Patience, silent_where_lost

Returned = TypeVar("Returned")
Otherwise = TypeVar("Otherwise")
# An exception that a bare except catches is lost: it is raised again after so many seconds at least, in which whatever
# a `finally` puts back is back.
AGAIN_S = 1.0
# A longer time, eleven days, is none: no timer takes what is much longer.
FOREVER_S = 1e6


@dataclass
class _Alarm:
    """The state of the alarm of one call.

    Attributes
    ----------
    rung : bool
        Whether the call's time is up.
    over : bool
        Whether the call has ended, and must not be interrupted any more.
    ringing : bool
        Whether another thread is about to interrupt it at this moment.
    patience : Patience
        With what would swallow the exception.
    """

    rung: bool = False
    over: bool = False
    ringing: bool = False
    patience: Patience = field(default_factory=Patience)


def within(
    budget: Budget | None,
    function: Callable[[], Returned],
    otherwise: Otherwise,
    seconds: float | None = None,
) -> Returned | Otherwise:
    """Return what a function returns, or `otherwise` if it takes more than its share of a budget.

    Python code is interrupted wherever it is by an exception that is no `Exception`, and puts back what it has changed
    as that unwinds: in the main thread by the interval timer, unless somebody else's is running, in other threads and
    on Windows by another thread. A call into compiled code is interrupted when it returns.

    Parameters
    ----------
    budget : Budget or None
        None for a call that may take as long as it likes.
    function : callable
    otherwise : object
    seconds : float, optional
        What the call may take; by default its share.
    """
    if budget is None:
        return function()
    alarm = _Alarm()
    budget.guarded += 1
    try:
        return _interrupted(budget.share_s if seconds is None else seconds, function, alarm)
    except OutOfBudget:
        if not alarm.rung and not budget.is_spent:
            raise  # an outer call's time is up
        return otherwise
    finally:
        budget.guarded -= 1


def _interrupted(seconds: float, function: Callable[[], Returned], alarm: _Alarm) -> Returned:
    if seconds > FOREVER_S:
        return function()
    if seconds <= 0:
        alarm.rung = True
        raise OutOfBudget
    with silent_where_lost():
        return (_by_signal if _is_timer_free() else _by_thread)(seconds, function, alarm)


def _is_timer_free() -> bool:
    """Return whether the interval timer can be used: pytest-timeout, for one, has it run during a test."""
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0
        # None is a handler that is not Python's, which could not be put back
        and signal.getsignal(signal.SIGALRM) is not None
    )


def _by_signal(seconds: float, function: Callable[[], Returned], alarm: _Alarm) -> Returned:
    again = max(seconds, AGAIN_S)

    def ring(number: int, frame: FrameType | None) -> None:
        if alarm.over:
            return
        if alarm.patience.must_wait(frame):
            signal.setitimer(signal.ITIMER_REAL, PAUSE_S, again)
            return
        alarm.rung = True
        raise OutOfBudget

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, again)
            return function()
        finally:
            alarm.over = True
    finally:
        # once more, as it may have rung before the line above: then it does not ring again so soon
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _by_thread(seconds: float, function: Callable[[], Returned], alarm: _Alarm) -> Returned:
    target = threading.get_ident()
    # plain locks and flags: where the exception comes in the middle of an event or of a join, those never end
    awake = _thread.allocate_lock()
    awake.acquire()

    def ring() -> None:
        pause = seconds
        while not alarm.over and not awake.acquire(timeout=pause):
            alarm.ringing = True
            waits = alarm.patience.must_wait(sys._current_frames().get(target))
            if not alarm.over and not waits:
                alarm.rung = True
                _raise_in(target, OutOfBudget)
            alarm.ringing = False
            pause = PAUSE_S if waits else max(seconds, AGAIN_S)

    try:
        _thread.start_new_thread(ring, ())
        return function()
    finally:
        while True:
            # the exception may come as late as here
            try:
                alarm.over = True
                if awake.locked():
                    awake.release()
                while alarm.ringing:
                    sleep(0)
                if alarm.rung:
                    _let_come(target)
                break
            except OutOfBudget:
                continue


def _let_come(thread: int) -> None:
    """Have done with an exception that may not have come yet, in the thread that it is for.

    Taken back, it would leave the interpreter looking for it at every turn; until 3.12 one that is traced, as under
    coverage, then never gets beyond the beginning of the next function.
    """
    try:
        _raise_in(thread, OutOfBudget)  # in the place of what has not come yet
        while True:
            pass
    except OutOfBudget:
        pass


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
