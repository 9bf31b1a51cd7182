"""`check_vjp`: functions of the caller's own, held to the node contract."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array, Node, Sample
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.options import SharedCheckKeywords, options_of, takes_options
from gradlab.running.parallel_trial import Output, ParallelTrial
from gradlab.running.selection import select_checks
from gradlab.workers.worker_map import check_sendable, open_worker_map


@takes_options(strict=True)
def check_vjp(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Array, ...]],
    primals: Sequence[Array],
    *,
    settings: Mapping[str, Any] | None = None,
    **keywords: Unpack[SharedCheckKeywords],
) -> Report:
    """Hold functions of your own to the node contract.

    Parameters
    ----------
    forward : callable
        ``forward(*primals, **settings) -> (output, residuals)``; several outputs are a tuple.
    backward : callable
        ``backward(residuals, g) -> tuple``, one gradient per primal, each of its primal's shape and dtype.
    primals : sequence of ndarray
        The differentiable inputs, arrays of floats.
    settings : mapping, optional
        Keyword arguments of `forward` that are not differentiated.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If a primal is no array of floats, or `forward` cannot be sent to the processes of `workers`.
    UnknownNameError
        If a check does not exist.
    ValueError
        If there are no primals, or an option cannot be used.

    Examples
    --------
    >>> def forward(x):
    ...     return x**2, x
    >>> def backward(x, g):
    ...     return (3 * x * g,)
    >>> check_vjp(forward, backward, (np.array([1.0, 2.0]),)).ok
    False
    """
    options = options_of(check_vjp, keywords)
    if not hasattr(primals, "__len__"):
        raise TypeError(f"primals is {type(primals).__name__}: pass a tuple of arrays, (x, w)")
    if len(primals) == 0:
        raise ValueError(
            "there are no primals, so there is nothing to differentiate: pass at least one array"
        )
    arrays = tuple(float_primal(x, f"primal {i}") for i, x in enumerate(primals))
    sample = Sample("given", arrays, dict(settings or {}))
    title = str(options.name or getattr(forward, "__name__", type(forward).__name__))
    node = Node(title, "own", forward, backward, lambda rng: iter([sample]))
    run = select_checks(options.checks)
    with open_worker_map(options.workers) as over:
        if over.to_processes:
            check_sendable(Output(forward, sample.settings), "forward")
        kind = Trial if options.workers is None else partial(ParallelTrial, over=over)
        trial = options.trial(node, sample, kind)
        rows = list(run_checks([trial], run))
        more, explored = explore_trials([trial], run, rows, options.explore)
        rows += more
        findings = explain([trial], rows)
    return Report(rows, environment(seed=options.seed), explored=explored, findings=findings)


def float_primal(x: Any, what: str) -> Array:
    """Return `x` as an array if it holds real floats.

    Raises
    ------
    TypeError
        If it does not: a small step cannot be taken in integers.
    """
    array = np.asarray(x)
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(
            f"{what} has dtype {array.dtype}, which cannot be differentiated: "
            "pass it as floats, or as a setting if it is a label or an index"
        )
    return array
