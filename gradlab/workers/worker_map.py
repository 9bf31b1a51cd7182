"""Who evaluates many points: this process, several processes, or whatever has a map."""

import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from operator import itemgetter
from typing import Any

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
Workers = int | Map | None


@dataclass(frozen=True)
class Opened:
    """A map that `spread` has opened; `to_processes` says whether what it is given must be picklable."""

    over: Map
    to_processes: bool = False

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Return what `function` makes of the items, in any order."""
        return self.over(function, items)


class WorkersError(RuntimeError):
    """The workers, and not what they were to do, have failed; the message ends with the cure."""


class WorkersLost(BaseException):
    """Raised by a map whose workers have failed, inside `spread`, which makes a `WorkersError` of it.

    Not an `Exception`: whoever guards against what a function raises must not take it for that.
    """


@contextmanager
def spread(workers: Workers) -> Iterator[Opened]:
    """Give the map that `workers` stands for; processes live as long as the context.

    Parameters
    ----------
    workers : int or map-like callable, optional
        SciPy's convention: that many processes, -1 for as many as there are processors, or
        ``workers(function, iterable)``, which gives the results, in any order. None and 1: this process alone.

    Raises
    ------
    ValueError
        If `workers` is neither.
    WorkersError
        If a worker dies.
    """
    if isinstance(workers, Opened):
        yield workers  # whoever opened it tells of its workers' end
        return
    try:
        if callable(workers):
            yield Opened(workers)
        elif (count := _count(workers)) == 1:
            yield Opened(map)
        else:
            with _processes(count) as over:
                yield Opened(over, to_processes=True)
    except WorkersLost as lost:
        raise WorkersError(str(lost)) from lost


def each(over: Map, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the number of each item and what `function` makes of it, as they are done.

    Raises
    ------
    ValueError
        If the map gives more or fewer results than there are items.
    """
    numbered = list(enumerate(items))
    done = 0
    for result in over(_Numbered(function), numbered):
        done += 1
        yield result
    if done != len(numbered):
        raise ValueError(
            f"workers gave {done} results for {len(numbered)} items: give a callable that maps all, as map does"
        )


def in_order(over: Map, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Return what `function` makes of each item, in the order of the items."""
    return [result for _, result in sorted(each(over, function, items), key=itemgetter(0))]


@dataclass(frozen=True)
class _Numbered:
    """A function that keeps the number of its item; an object and not a closure, so that it can be sent."""

    function: Callable[[Any], Any]

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        number, item = numbered
        return number, self.function(item)


def _count(workers: Any) -> int:
    if workers == -1:
        return os.cpu_count() or 1
    if workers is None:
        return 1
    if not isinstance(workers, Integral) or workers < 1:
        raise ValueError(f"workers is {workers!r}: give a whole number from 1 up, or a callable such as map")
    return int(workers)


@contextmanager
def _processes(count: int) -> Iterator[Map]:
    # Ctrl-C goes to every process: the others end by it without a word
    pool = ProcessPoolExecutor(count, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL))
    try:
        yield partial(_as_done, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _as_done(
    pool: ProcessPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    check_sendable(function)
    try:
        for future in as_completed([pool.submit(function, item) for item in items]):
            yield future.result()
    except BrokenExecutor as error:
        cure = "give it more memory, or take fewer workers"
        raise WorkersLost(f"a worker process died ({error}): {cure}") from error


def check_sendable(function: object, name: str = "f") -> None:
    """Raise TypeError unless `function`, an argument of this name, can be sent to another process."""
    try:
        pickle.dumps(function)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise TypeError(
            f"{name} cannot be sent to other processes ({error}): define it at the top level of a module, or "
            "leave workers out"
        ) from error
