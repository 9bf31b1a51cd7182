"""Where a call can be interrupted by an exception, and where that exception would be lost."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# So often is looked whether what swallows exceptions has ended; one that takes longer is interrupted after all. Looks
# are counted, not seconds: a whole collection in a large process is one call into C, and may take seconds.
LOOKS = 200
# From one look to the next.
PAUSE_S = 0.005
# Where the callbacks of most weak references are.
WEAK = ("weakref", "_weakrefset")


class Interrupt(BaseException):
    """What interrupts a call; no `Exception`, so that code that catches what it calls raises lets it through."""


def is_swallowing(frame: FrameType | None) -> bool:
    """Return whether an exception that is raised in a frame ends in a finaliser, not in the call to be interrupted.

    Python prints what a destructor, a callback of the garbage collector (hypothesis and JAX have one each) or of a
    weak reference raises, and goes on; pytest makes a failure of it, in whatever test comes next.

    Parameters
    ----------
    frame : frame or None
        The innermost frame of the thread that is to be interrupted.
    """
    # a callback may be a function, a method, or an object that is called
    calls = [c if hasattr(c, "__code__") else type(c).__call__ for c in gc.callbacks]
    callbacks = {getattr(call, "__code__", None) for call in calls}
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code in callbacks or frame.f_globals.get("__name__") in WEAK:
            return True
        frame = frame.f_back
    return False


class Patience:
    """With a call that is to be interrupted, and is where the exception would be lost."""

    def __init__(self) -> None:
        self.looks = LOOKS

    def must_wait(self, frame: FrameType | None) -> bool:
        """Return whether a call whose innermost frame is given is to be looked at again before it is interrupted."""
        if not is_swallowing(frame):
            self.looks = LOOKS
            return False
        self.looks -= 1
        return self.looks >= 0


@contextmanager
def silent_where_lost() -> Iterator[None]:
    """Within it Python says nothing of an `Interrupt` that it loses: it comes again.

    Not every finaliser is known by its frame: the callback of a weak reference may be any function.
    """
    before = sys.unraisablehook

    def tell_others(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, Interrupt):
            before(unraisable)

    # where one is there already, of an outer call or of another thread's, it serves
    if getattr(before, "__qualname__", None) != tell_others.__qualname__:
        sys.unraisablehook = tell_others
    try:
        yield
    finally:
        if sys.unraisablehook is tell_others:
            sys.unraisablehook = before
