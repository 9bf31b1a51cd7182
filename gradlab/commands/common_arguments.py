"""Arguments that several subcommands take: numbers, and who does the work."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from gradlab.workers.worker_map import Workers


def count(text: str) -> int:
    """Return a whole number from 0 up: a type for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def positive_count(text: str) -> int:
    """Return a whole number from 1 up: a type for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def rate(text: str) -> float:
    """Return a positive, finite number: a type for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return number


def add_budget(parser: argparse.ArgumentParser, max_seconds: float | None, what: str) -> None:
    """Add --max-seconds, with its default, and --max-evaluations, both for each thing that `what` names."""
    limit = "no limit" if max_seconds is None else f"{max_seconds:g}"
    after = f"for each {what}, after which nothing but the given point is looked at"
    parser.add_argument(
        "--max-seconds",
        type=rate,
        default=max_seconds,
        metavar="S",
        help=f"seconds {after} (default: {limit})",
    )
    parser.add_argument(
        "--max-evaluations",
        type=positive_count,
        metavar="N",
        help=f"evaluations of forward {after} (default: no limit)",
    )


def add_workers(parser: argparse.ArgumentParser, default: str = "none but this") -> None:
    """Add --workers and --scheduler, of which a call may give one; `default` says what does the work without."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--workers", type=positive_count, help=f"processes that share the work (default: {default})"
    )
    group.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="the Dask cluster that does the work")


@contextmanager
def workers_of(arguments: argparse.Namespace) -> Iterator[Workers]:
    """Give the workers that --workers or --scheduler name; a cluster's connection is closed at the end."""
    if arguments.scheduler is None:
        yield arguments.workers
        return
    from gradlab.workers.dask_cluster import on_cluster

    with on_cluster(arguments.scheduler) as over:
        yield over
