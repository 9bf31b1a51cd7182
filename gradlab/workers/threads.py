"""What the threads of one process share, and how a check in one of them leaves the others alone.

The filters of warnings, ``sys.stdout`` and the generators of random numbers are the process's: a context that puts one
back in its own thread puts it back in all. Here warnings and output are silenced in one thread alone, and checks, which
need the rest, wait for each other.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from io import TextIOBase
from typing import Any, ParamSpec, TextIO, TypeVar

from gradlab.workers.process_state import process_state_kept

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


@contextmanager
def one_check_at_a_time() -> Iterator[None]:
    """Wait until no other thread of this process is within such a context; within one's own there is no waiting.

    A check seeds and rewinds generators, lends methods, changes arrays in place and puts all of it back: it must be the
    only one that does, and leaves the process as it was. Estimates of functions are not checks, and run side by side.
    """
    lock = _checking
    with lock, process_state_kept():
        yield


def one_at_a_time(check: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Have the calls of a function run within `one_check_at_a_time`."""

    @wraps(check)
    def waiting(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        with one_check_at_a_time():
            return check(*args, **kwargs)

    return waiting


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore all warnings of this thread."""
    with _ignored(Warning, set()):
        yield


@contextmanager
def noticing(category: type[Warning]) -> Iterator[set[type]]:
    """Ignore the warnings of a category in this thread, and yield a set that the kinds of those which came get into."""
    noticed: set[type] = set()
    with _ignored(category, noticed):
        yield noticed


@contextmanager
def printing_into(sink: TextIO | TextIOBase) -> Iterator[None]:
    """Let what this thread prints go into `sink`; what others print goes where it went."""
    global _printing, _stdout
    with _lock:
        if not _printing:
            _stdout = sys.stdout
        _printing += 1
        if not isinstance(sys.stdout, _StdoutOfThreads):
            sys.stdout = _StdoutOfThreads(sys.stdout)
    _mine.sinks.append(sink)
    try:
        yield
    finally:
        _mine.sinks.pop()
        with _lock:
            _printing -= 1
            if not _printing:
                # also where a function that was run has put another in its place
                sys.stdout, _stdout = _stdout, None


class _OfThisThread(threading.local):
    def __init__(self) -> None:
        self.ignored: list[tuple[type[Warning], set[type]]] = []
        self.sinks: list[TextIO | TextIOBase] = []


class _StdoutOfThreads:
    """Stands for ``sys.stdout`` while some threads print into sinks of their own."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        stream = _mine.sinks[-1] if _mine.sinks else self.stream
        return getattr(_NOWHERE if stream is None else stream, name)


class _Nowhere:
    """What prints nothing, where a process has no stdout."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


class _ByThread(type):
    """The class of a category that all belongs to which this thread ignores at the time."""

    def __subclasscheck__(cls, category: type) -> bool:
        for ignored, noticed in reversed(_mine.ignored):
            if issubclass(category, ignored):
                noticed.add(category)
                return True
        return False


class _Ignored(Warning, metaclass=_ByThread):
    pass


# This stands in the list of the process, and matches nothing but in a thread that ignores something.
_FILTER: Any = ("ignore", None, _Ignored, None, 0)


@contextmanager
def _ignored(category: type[Warning], noticed: set[type]) -> Iterator[None]:
    if getattr(sys.flags, "context_aware_warnings", False):
        # from Python 3.14 on, where it is asked for, filters are a thread's own
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", category)
            yield
        noticed.update(w.category for w in caught or ())
        return
    global _ignoring
    with _lock:
        _ignoring += 1
        # a function that is run may have put others before it
        if not warnings.filters or warnings.filters[0] is not _FILTER:
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined] # typeshed takes it for a tuple
    _mine.ignored.append((category, noticed))
    try:
        yield
    finally:
        _mine.ignored.pop()
        with _lock:
            _ignoring -= 1
            if not _ignoring:
                for i in reversed(range(len(warnings.filters))):
                    if warnings.filters[i] is _FILTER:
                        del warnings.filters[i]  # type: ignore[attr-defined] # as above


def _forget_other_threads() -> None:
    """In a forked child: what threads held that are not here is held for ever."""
    global _checking, _lock
    _checking, _lock = threading.RLock(), threading.Lock()


_checking, _lock = threading.RLock(), threading.Lock()
_mine = _OfThisThread()
_NOWHERE = _Nowhere()
# How many contexts there are, of all threads, in which something is ignored, and in which sinks are printed into.
_ignoring, _printing = 0, 0
_stdout: Any = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
