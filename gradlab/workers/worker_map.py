"""Maps that spread a function's calls over workers: this process, several processes, or a caller's own map."""

import multiprocessing
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from operator import itemgetter
from typing import Any

from gradlab.workers.orphans import end_with_parent
from gradlab.workers.sent_exceptions import as_received, as_sent
from gradlab.workers.strange_objects import text_of

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
Workers = int | Map | None


@dataclass(frozen=True)
class WorkerMap:
    """A map from `open_worker_map`; `to_processes` says whether functions and items must be picklable."""

    map: Map
    to_processes: bool = False

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Return the results of `function` for the items, in any order."""
        return self.map(function, items)


class WorkersError(RuntimeError):
    """The workers have failed, and not the function that they called; the message ends with the cure."""


class WorkersLost(BaseException):
    """Raised by a map whose workers have failed, inside `open_worker_map`, which makes a `WorkersError` of it.

    Not an `Exception`: code that catches the exceptions of a function must not catch this one.
    """


@contextmanager
def open_worker_map(workers: Workers) -> Iterator[WorkerMap]:
    """Give the map that `workers` stands for; processes that it starts live as long as the context.

    Parameters
    ----------
    workers : int or map-like callable, optional
        SciPy's convention: that many processes, -1 for as many as there are processors, or a callable
        ``workers(function, iterable)`` that gives the results, in any order. None and 1: this process alone.

    Raises
    ------
    ValueError
        If `workers` is neither.
    WorkersError
        If a worker dies, or the map loses its workers.
    """
    if isinstance(workers, WorkerMap):
        yield workers  # the failure of its workers is reported where it was opened
        return
    try:
        if callable(workers):
            yield WorkerMap(workers)
        elif (count := process_count(workers)) == 1 or _may_have_no_children(count):
            yield WorkerMap(map)
        else:
            with _processes(count) as worker_map:
                yield WorkerMap(worker_map, to_processes=True)
    except WorkersLost as lost:
        raise WorkersError(str(lost)) from lost


def numbered_results(
    worker_map: Map, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each item and the result of `function` for it, as the results come.

    Raises
    ------
    ValueError
        If the map does not give one result for each item.
    """
    numbered = list(enumerate(items))
    done, missing = 0, set(range(len(numbered)))
    for result in _results_of(worker_map, _Numbered(function), numbered):
        missing.discard(result[0])
        done += 1
        yield result
    if missing or done != len(numbered):
        lost = f", and none of item {min(missing) + 1}" if missing else ""
        raise ValueError(
            f"workers gave {done} results for {len(numbered)} items{lost}: give a callable that maps each item once, "
            "as map does"
        )


def _results_of(worker_map: Map, function: "_Numbered", numbered: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    results = worker_map(function, numbered)
    try:
        coming = iter(results)
    except TypeError as error:
        given = type(results).__name__
        raise ValueError(
            f"workers gave {given}: give a callable that returns the results, as map does"
        ) from error
    for result in coming:
        if not isinstance(result, _Result):
            given = type(result).__name__
            raise ValueError(
                f"workers gave {given} for a result: give a callable that calls the function, as map does"
            )
        yield result.number, result.value


def results_in_order(worker_map: Map, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Return the results of `function` for the items, in the order of the items."""
    return [result for _, result in sorted(numbered_results(worker_map, function, items), key=itemgetter(0))]


@dataclass(frozen=True)
class _Result:
    """What a function returned for the item of this number."""

    number: int
    value: Any


@dataclass(frozen=True)
class _Numbered:
    """A function that returns the number of its item, too; an object and not a closure, so that it can be sent."""

    function: Callable[[Any], Any]

    def __call__(self, numbered: tuple[int, Any]) -> _Result:
        number, item = numbered
        return _Result(number, self.function(item))


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_count(workers: Any) -> int:
    """Return how many processes a number of workers stands for; raise ValueError where it is none."""
    if workers == -1:
        return processors()
    if workers is None:
        return 1
    if not isinstance(workers, Integral) or workers < 1:
        raise ValueError(f"workers is {workers!r}: give a whole number from 1 up, or a callable such as map")
    return int(workers)


def _may_have_no_children(count: int) -> bool:
    """Return whether this process is one that may start none, and say so: the work is done all the same."""
    if not multiprocessing.current_process().daemon:
        return False
    warnings.warn(
        f"workers={count} wants processes, which a daemonic process (a worker of Dask's, or of a multiprocessing.Pool) "
        "may not start: the work is done in this one",
        RuntimeWarning,
        stacklevel=2,
    )
    return True


@contextmanager
def _processes(count: int) -> Iterator[Map]:
    pool = ProcessPoolExecutor(count, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield partial(_results_as_done, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    end_with_parent(parent)
    # Ctrl-C goes to every process: the workers end by it without a word
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # as many threads as processors in each of them would only wait for each other
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")


def _results_as_done(
    pool: ProcessPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    check_sendable(function)
    try:
        for future in as_completed([pool.submit(_outcome, function, item) for item in items]):
            returned, value = future.result()
            if not returned:
                raise as_received(value)
            yield value
    except BrokenExecutor as error:
        cure = "give it more memory, or take fewer workers"
        raise WorkersLost(f"a worker process died ({text_of(error)}): {cure}") from error


def _outcome(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """Return whether a function returned, and what it returned or raised; in a worker."""
    try:
        return True, function(item)
    except Exception as error:
        return False, as_sent(error)


def check_sendable(function: object, name: str = "f") -> None:
    """Raise TypeError unless `function`, an argument of this name, can be sent to another process."""
    try:
        pickle.dumps(function)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise TypeError(
            f"{name} cannot be sent to other processes ({text_of(error)}): define it at the top level of a module, or "
            "leave workers out"
        ) from error
