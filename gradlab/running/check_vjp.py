"""`check_vjp`: functions of the caller's own, held to the node contract."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Unpack

import numpy as np

from gradlab.checks import Check
from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array, Node, Sample
from gradlab.numerical.finite_difference import sequence_of
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.foreign_function import ForeignFunction, place_of
from gradlab.running.mending import with_repairs
from gradlab.running.options import CheckOptions, SharedCheckKeywords, options_of, takes_options
from gradlab.running.parallel_trial import Output, ParallelTrial
from gradlab.running.pictured import comparisons_of
from gradlab.running.selection import select_checks
from gradlab.running.shelter import sheltered_report
from gradlab.workers.strange_objects import shown, text_of, title_of
from gradlab.workers.threads import one_at_a_time
from gradlab.workers.worker_map import check_sendable, open_worker_map


@one_at_a_time
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
    return report_on_functions(forward, backward, primals, options_of(check_vjp, keywords), settings=settings)


def report_on_functions(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Array, ...]],
    primals: Sequence[Array],
    options: CheckOptions,
    *,
    settings: Mapping[str, Any] | None = None,
    checks: Mapping[str, Check] | None = None,
    fixed_shapes: bool = False,
    **more: bool,
) -> Report:
    """Return the report of `check_vjp`.

    `checks` are those that run, by default those that the options name. `fixed_shapes` says that the primals' shapes
    have a meaning: others are tried only in a process of its own. What there is `more` is said to the trial.
    """
    node, sample = node_of(forward, backward, primals, options.name, settings)
    run = checks_of(options) if checks is None else checks

    def report(sheltered: bool) -> Report:
        return _report(node, sample, run, options, fixed_shapes=fixed_shapes, sheltered=sheltered, **more)

    return sheltered_report(report, options, node.name) if fixed_shapes else report(False)


def _report(
    node: Node,
    sample: Sample,
    run: Mapping[str, Check],
    options: CheckOptions,
    **told: bool,
) -> Report:
    with open_worker_map(options.workers) as over:
        if over.to_processes:
            check_sendable(Output(node.forward, sample.settings), "forward")
        kind = Trial if options.workers is None else partial(ParallelTrial, over=over)
        trial = options.trial(node, sample, kind, **told)
        rows = list(run_checks([trial], run))
        more, explored = explore_trials([trial], run, rows, bool(options.explore))
        rows += more
        findings, comparisons = explain([trial], rows), comparisons_of([trial], rows)
    place = place_of(node.backward)
    found = Report(
        rows,
        environment(seed=options.seed),
        explored=explored,
        findings=findings,
        comparisons=comparisons,
        places={node.name: place} if place else {},
    )
    return with_repairs(found, trial, options, lambda other: _report(node, sample, run, other, **told))


def node_of(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Array, ...]],
    primals: Sequence[Array],
    name: str | None,
    settings: Mapping[str, Any] | None,
) -> tuple[Node, Sample]:
    """Return two functions as a node, and the primals that they are given as its sample.

    Raises
    ------
    TypeError
        If a primal is no array of floats, or `forward` takes others.
    ValueError
        If there are no primals, or none has an element.
    """
    sequence_of("primals", primals)
    if len(primals) == 0:
        raise ValueError(
            "there are no primals, so there is nothing to differentiate: pass at least one array"
        )
    arrays = tuple(float_primal(x, f"primal {i}") for i, x in enumerate(primals))
    check_elements(arrays)
    if not isinstance(settings, Mapping | None):
        raise TypeError(f"settings is {shown(settings)}: pass a dict of forward's keyword arguments")
    _refuse_arguments(forward, arrays, settings or {})
    sample = Sample("given", arrays, dict(settings or {}))
    title = str(name or title_of(forward))
    both = ForeignFunction(forward), ForeignFunction(backward)
    return Node(title, "own", *both, lambda rng: iter([sample])), sample


def checks_of(options: CheckOptions) -> Mapping[str, Check]:
    """Return the checks that options name, or else all that a function of somebody's own is held to."""
    chosen = select_checks(options.checks)
    if options.checks is None and not options.strict:
        # somebody who checks a function of their own in double precision has not asked for another
        return {name: check for name, check in chosen.items() if name != "works_in_float32"}
    return chosen


def _refuse_arguments(
    forward: Callable[..., Any], primals: Sequence[Array], settings: Mapping[str, Any]
) -> None:
    """Raise TypeError if forward has no place for so many primals, or for such settings.

    Its signature may be that of a function which a decorator calls otherwise: what it says is believed where the call
    raises as well.
    """
    try:
        signature = inspect.signature(forward)
    except KeyboardInterrupt:
        raise
    except BaseException:  # compiled code says nothing of what it takes, and an object's own code anything
        return
    try:
        signature.bind(*primals, **settings)
    except TypeError as error:
        with quiet(), suppress(Exception):
            forward(*map(np.copy, primals), **settings)
            return
        cure = "pass a tuple of arrays, (x,) or (x, w), and the rest as settings="
        raise TypeError(
            f"forward{signature} was given {len(primals)} primals, {text_of(error)}: {cure}"
        ) from error


def check_elements(primals: Sequence[Array]) -> None:
    """Raise ValueError if there is no element in any primal: nothing would be compared, and all would pass."""
    if not any(x.size for x in primals):
        raise ValueError("no primal has an element, so nothing was checked: pass at least one number")


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
