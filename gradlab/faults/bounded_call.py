"""A bound on the time and the memory of one call: a mutant may loop for ever."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from gradlab.workers.lost_exceptions import PAUSE_S, Interrupt, Patience, silent_where_lost
from gradlab.workers.strange_objects import text_of


class _TimeIsUp(Interrupt):
    """Raised when the time is up."""


@dataclass(frozen=True)
class BoundedOutcome:
    """How a bounded call ended.

    Attributes
    ----------
    ended : str
        "returned", "raised", "timed out" or "out of memory".
    value : object
        What the call returned, or None.
    note : str
        One sentence for a reader; empty where the call returned.
    """

    ended: str
    value: Any = None
    note: str = ""

    @property
    def returned(self) -> bool:
        """Whether the call returned."""
        return self.ended == "returned"


def run_bounded(function: Callable[[], Any], seconds: float, memory: int | None = None) -> BoundedOutcome:
    """Call `function` and return how it ended, whatever it does.

    The time is bounded by the interval timer of the process: only in the main thread, and only on POSIX. In another
    thread, and on Windows, the call runs unbounded, and only what it raises is caught. The timer interrupts Python
    code, but waits for the end of a long call into C. The memory is bounded by the address-space limit, on Linux
    only. A timer that ran before is stopped, and its handler put back.

    Parameters
    ----------
    function : callable
        Called without arguments.
    seconds : float
        The time it may take, more than 0.
    memory : int, optional
        The bytes it may take beyond those that the process has already; by default without a bound.

    Returns
    -------
    BoundedOutcome
        Of what `function` raises, ``KeyboardInterrupt`` alone is passed on.
    """
    try:
        with silent_where_lost(), _memory_bound(memory), _time_bound(seconds):
            return BoundedOutcome("returned", function())
    except _TimeIsUp:
        return BoundedOutcome("timed out", note=f"did not end within {seconds:g} s")
    except MemoryError as error:
        return BoundedOutcome("out of memory", note=f"MemoryError: {text_of(error)}")
    except (Exception, SystemExit) as error:
        return BoundedOutcome("raised", note=f"raised {type(error).__name__}: {text_of(error)}")


@contextmanager
def _time_bound(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    patience = Patience()

    def stop(signum: int, frame: FrameType | None) -> None:
        if patience.must_wait(frame):
            signal.setitimer(signal.ITIMER_REAL, PAUSE_S, seconds)
            return
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    try:
        # the timer rings again and again, as the exception may be swallowed where it is raised
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory_bound(memory: int | None) -> Iterator[None]:
    held = Path("/proc/self/statm")
    if memory is None or not held.exists():
        yield
        return
    import resource

    used = int(held.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = min(limit for limit in (used + memory, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
