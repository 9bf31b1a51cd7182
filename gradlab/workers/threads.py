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
    with _rule("ignore", Warning):
        yield


@contextmanager
def raising(category: type[Warning]) -> Iterator[None]:
    """Raise the warnings of a category in this thread, also where all are ignored."""
    with _rule("error", category):
        yield


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
        self.rules: list[tuple[str, type[Warning]]] = []
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
    """The class of a category to which whatever belongs that this thread has a rule for, with the same action."""

    action: str

    def __subclasscheck__(cls, category: type) -> bool:
        for action, ruled in reversed(_mine.rules):
            if issubclass(category, ruled):
                return action == cls.action
        return False


class _Raised(Warning, metaclass=_ByThread):
    action = "error"


class _Ignored(Warning, metaclass=_ByThread):
    action = "ignore"


# These stand in the list of the process, and match nothing but in a thread that has a rule.
_FILTERS: list[Any] = [(kind.action, None, kind, None, 0) for kind in (_Raised, _Ignored)]


@contextmanager
def _rule(action: str, category: type[Warning]) -> Iterator[None]:
    if getattr(sys.flags, "context_aware_warnings", False):
        # from Python 3.14 on, where it is asked for, filters are a thread's own
        with warnings.catch_warnings():
            warnings.simplefilter(action, category)  # type: ignore[arg-type]
            yield
        return
    global _ruling
    with _lock:
        _ruling += 1
        # a function that is run may have put others before them
        if warnings.filters[: len(_FILTERS)] != _FILTERS:
            warnings.filters[:0] = _FILTERS  # type: ignore[index]
    _mine.rules.append((action, category))
    try:
        yield
    finally:
        _mine.rules.pop()
        with _lock:
            _ruling -= 1
            if not _ruling:
                for i in reversed(range(len(warnings.filters))):
                    if warnings.filters[i] in _FILTERS:
                        del warnings.filters[i]  # type: ignore[attr-defined]


def _forget_other_threads() -> None:
    """In a forked child: what threads held that are not here is held for ever."""
    global _checking, _lock
    _checking, _lock = threading.RLock(), threading.Lock()


_checking, _lock = threading.RLock(), threading.Lock()
_mine = _OfThisThread()
_NOWHERE = _Nowhere()
# How many contexts there are, of all threads, in which rules hold, and in which sinks are printed into.
_ruling, _printing = 0, 0
_stdout: Any = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
