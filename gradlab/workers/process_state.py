"""What a function that is checked may change of its process, put back behind it."""

import os
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Put back what has changed of the generators of random numbers, the filters of warnings, the streams and the rest.

    Where other threads run, what has changed may be theirs, and is left alone, but for NumPy's handling of errors,
    which is this context's own.
    """
    with np.errstate():
        if threading.active_count() > 1:
            yield
            return
        drawn, numbers = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 # others draw from it
        filters, rules = warnings.filters, list(warnings.filters)
        streams, limit, folder = (sys.stdout, sys.stderr), sys.getrecursionlimit(), _folder()
        try:
            yield
        finally:
            if random.getstate() != numbers:
                random.setstate(numbers)
            np.random.set_state(drawn)  # noqa: NPY002
            if warnings.filters is filters and filters != rules:
                filters[:] = rules  # type: ignore[index]
            if (sys.stdout, sys.stderr) != streams:
                sys.stdout, sys.stderr = streams
            if sys.getrecursionlimit() != limit:
                sys.setrecursionlimit(limit)
            if folder and _folder() != folder:
                with suppress(OSError):  # it is there no more
                    os.chdir(folder)


def _folder() -> str:
    """Return the current folder; nothing where it is there no more."""
    try:
        return os.getcwd()
    except OSError:
        return ""
