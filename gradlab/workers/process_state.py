"""What a function that is checked may change of its process, put back behind it."""

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

# Those that a program handles; one that is not handled in Python cannot be put back.
HANDLED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Put back what has changed of the generators of random numbers, the filters of warnings, the streams and the rest.

    Where other threads run, what has changed may be theirs, and is left alone, but for NumPy's handling of errors,
    which is this context's own.
    """
    with np.errstate(), np.printoptions():
        if threading.active_count() > 1:
            yield
            return
        drawn, numbers = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 # others draw from it
        filters, rules = warnings.filters, list(warnings.filters)
        hooks = sys.unraisablehook, sys.excepthook
        main = threading.current_thread() is threading.main_thread()
        handlers = {number: signal.getsignal(number) for number in HANDLED}
        handlers = {number: handler for number, handler in handlers.items() if handler is not None}
        streams, limit, folder = (sys.stdout, sys.stderr), sys.getrecursionlimit(), _folder()
        try:
            yield
        finally:
            if random.getstate() != numbers:
                random.setstate(numbers)
            np.random.set_state(drawn)  # noqa: NPY002 # as above
            if warnings.filters is filters and filters != rules:
                filters[:] = rules  # type: ignore[index] # typeshed takes it for a tuple
            if (sys.stdout, sys.stderr) != streams:
                sys.stdout, sys.stderr = streams
            if sys.getrecursionlimit() != limit:
                sys.setrecursionlimit(limit)
            sys.unraisablehook, sys.excepthook = hooks
            if main:
                for number, handler in handlers.items():
                    if signal.getsignal(number) is not handler:
                        signal.signal(number, handler)
            if folder and _folder() != folder:
                with suppress(OSError):  # it is there no more
                    os.chdir(folder)


def _folder() -> str:
    """Return the current folder; nothing where it is there no more."""
    try:
        return os.getcwd()
    except OSError:
        return ""
