"""`check_vjp`: functions of the caller's own, held to the node contract."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.directions import FULL_BELOW
from gradlab.node import Array, Node, Sample
from gradlab.numerical.estimate import Method, check_method
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explained
from gradlab.running.options import check_full_below, check_seed
from gradlab.running.parallel_trial import Output, SpreadTrial
from gradlab.running.selection import select_checks
from gradlab.workers.worker_map import Workers, check_sendable, spread


def check_vjp(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Array, ...]],
    primals: Sequence[Array],
    *,
    settings: Mapping[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    checks: Sequence[str] | None = None,
    explore: bool = True,
    strict: bool = True,
    method: Method = "auto",
    workers: Workers = None,
    full_below: int | None = FULL_BELOW,
    name: str | None = None,
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
    rtol, atol : float, optional
        Tolerances; by default they follow from the dtype and the size of the gradient.
    seed : int
        Seed of the cotangents, not negative.
    checks : sequence of str, optional
        The checks to run; by default all that apply.
    explore : bool
        Whether to look beyond the given primals as well: at some that are derived from them (another sign, size,
        order or batch, ties, exact zeros), wherever forward accepts them and stays finite. A fault there is
        reported with the smallest primals that show it.
    strict : bool
        Whether a breach of the contract that leaves the numbers right (memory that is shared or written into,
        another dtype) is an error; otherwise it is a warning.
    method : {"auto", "central", "forward", "backward", "complex-step"}
        The numerical side: see `estimate_gradient`.
    workers : int or map-like callable, optional
        Who computes the numerical side of many elements: see `estimate_gradient`.
    full_below : int, optional
        With more elements than this, 10,000, in all primals together, the gradient of ``sum(g * forward(*primals))``
        is compared along random directions, in under 100 evaluations of forward, and what is wrong in it is found by
        halving; the row's note says which error in one element would have been caught. None: every element, always.
    name : str, optional
        The name in the report; by default that of `forward`.

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
        If there are no primals, or the seed or `full_below` is negative.

    Examples
    --------
    >>> def forward(x):
    ...     return x**2, x
    >>> def backward(x, g):
    ...     return (3 * x * g,)
    >>> check_vjp(forward, backward, (np.array([1.0, 2.0]),)).ok
    False
    """
    if not hasattr(primals, "__len__"):
        raise TypeError(f"primals is {type(primals).__name__}: pass a tuple of arrays, (x, w)")
    if len(primals) == 0:
        raise ValueError(
            "there are no primals, so there is nothing to differentiate: pass at least one array"
        )
    check_seed(seed)
    check_method(method)
    check_full_below(full_below)
    arrays = tuple(float_primal(x, f"primal {i}") for i, x in enumerate(primals))
    sample = Sample("given", arrays, dict(settings or {}))
    title = str(name or getattr(forward, "__name__", type(forward).__name__))
    node = Node(title, "own", forward, backward, lambda rng: iter([sample]))
    run = select_checks(checks)
    with spread(workers) as over:
        if over.to_processes:
            check_sendable(Output(forward, sample.settings), "forward")
        kind = Trial if workers is None else partial(SpreadTrial, over=over)
        trial = kind(
            node, sample, seed, rtol, atol, method, registered=False, strict=strict, full_below=full_below
        )
        rows = list(run_checks([trial], run))
        more, explored = explore_trials([trial], run, rows) if explore else ([], [])
        rows += more
        findings = explained([trial], rows)
    return Report(rows, environment(seed=seed), explored=explored, findings=findings)


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
