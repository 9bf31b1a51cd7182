"""A Dask cluster as the workers of a run, which needs the extra `distributed`."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from socket import create_connection
from typing import Any

from gradlab.workers.worker_map import Map, WorkersError, WorkersLost

# In seconds: a running scheduler answers at once, but its workers may be about to start.
PATIENCE, PATIENCE_WITH_WORKERS = 3, 5
# Of the others Dask cannot tell in good time that nobody answers.
SCHEMES = ("tcp", "tls", "ws", "wss", "inproc")
# How often a failed task is tried again; a task whose worker dies is given to another worker by Dask anyway.
RETRIES = 2


@contextmanager
def on_cluster(address: str) -> Iterator[Map]:
    """Give a map over the workers of a Dask cluster, for ``workers=``.

    A task whose worker dies is done by another, as often as the cluster's ``allowed-failures`` say.

    Parameters
    ----------
    address : str
        The scheduler's, such as "tcp://127.0.0.1:8786".

    Raises
    ------
    ImportError
        If Dask is not installed.
    WorkersError
        If no scheduler answers, or it has no workers, or one of them has another version of gradlab.

    Examples
    --------
    >>> with on_cluster("tcp://127.0.0.1:8786") as workers:  # doctest: +SKIP
    ...     report = verify(workers=workers)
    """
    with _unlogged("distributed"), _client(address) as client:
        _check_workers(client, address)
        yield partial(_results_as_done, client)


def _dask() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ImportError(
            "a scheduler wants Dask, which is not installed: pip install 'gradlab[distributed]'"
        ) from error


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Silence a logger whose errors are raised as well."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _client(address: str) -> Any:
    _dask()
    try:
        _check_listener(address)
        return _dask().Client(address, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # of any kind, as the address may be of any
        cure = "start one with `dask scheduler`, or correct the address"
        raise WorkersError(f"no Dask scheduler answers at {address} ({error}): {cure}") from error


def _check_listener(address: str) -> None:
    """Raise OSError unless the listener at the address speaks first, as Dask's schedulers do.

    With any other, such as a scheduler's dashboard, a client would wait without end.
    """
    addressing = _dask().comm.addressing
    scheme, place = addressing.parse_address(address)
    if scheme not in SCHEMES:
        raise OSError(f"{scheme}:// is not among {', '.join(f'{known}://' for known in SCHEMES)}")
    if scheme == "tls" and not _dask().Security().get_connection_args("client").get("ssl_context"):
        raise OSError(
            "tls wants certificates, which Dask's configuration, distributed.comm.tls, does not name"
        )
    if scheme == "inproc" and place.count("/") != 2:
        raise OSError("so begins only the address of a scheduler in this process")
    if scheme in ("tcp", "tls"):
        with create_connection(addressing.parse_host_port(place), timeout=PATIENCE) as connection:
            # with certificates the other side waits for ours
            if scheme == "tcp" and not connection.recv(1):
                raise OSError("what listens there is none")


def _check_workers(client: Any, address: str) -> None:
    """Raise `WorkersError` unless there are workers, and all have this version of gradlab."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE_WITH_WORKERS)
    except TimeoutError as error:
        raise WorkersError(
            f"the scheduler at {address} has no workers: start some with `dask worker {address}`"
        ) from error
    ours = version("gradlab")
    for worker, theirs in client.run(version, "gradlab", on_error="return").items():
        if theirs != ours:
            has = "no gradlab" if isinstance(theirs, PackageNotFoundError) else f"gradlab {theirs}"
            raise WorkersError(f"the worker at {worker} has {has}: install gradlab {ours} there, as here")


def _results_as_done(client: Any, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    # no list of the futures is kept: a result that was let go is not computed again if its worker dies later
    futures = client.map(function, list(items), key="gradlab", pure=False, retries=RETRIES)
    done = _dask().as_completed(futures, loop=client.loop)
    del futures
    for future in done:
        yield _result(future)


def _result(future: Any) -> Any:
    try:
        return future.result()
    except _dask().KilledWorker as error:
        cure = "give the workers more memory, or look into their logs"
        raise WorkersLost(f"{error.allowed_failures + 1} workers died of one task: {cure}") from error
    except _dask().CancelledError as error:
        raise WorkersLost("the Dask scheduler has gone: start it again, and then this run") from error
