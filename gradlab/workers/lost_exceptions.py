"""Where a call can be interrupted by an exception, and where that exception would be lost."""

import gc
from types import FrameType

# So long is waited for what swallows exceptions to end; one that takes longer is interrupted after all.
PATIENCE_S = 1.0
# Until it is looked at again.
PAUSE_S = 0.005
# Where the callbacks of most weak references are.
WEAK = ("weakref", "_weakrefset")


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
