"""`verify`: registered nodes, held to the whole contract."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TypedDict, Unpack

from gradlab.checks.trial import Trial
from gradlab.checks.trial.budget import Budget
from gradlab.diagnosis import Finding
from gradlab.numerical.estimate import Method
from gradlab.report import Comparison, Explored, Report, Row
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.foreign_function import place_of
from gradlab.running.options import CheckOptions, options_of, takes_options
from gradlab.running.pictured import comparisons_of
from gradlab.running.progress import with_progress
from gradlab.running.selection import select_checks, select_nodes
from gradlab.running.timing import showing_times
from gradlab.workers.blas_threads import one_blas_thread
from gradlab.workers.threads import one_at_a_time, one_check_at_a_time
from gradlab.workers.worker_map import Workers, numbered_results, open_worker_map

Verified = tuple[list[Row], list[Explored], dict[str, Sequence[Finding]], list[Comparison]]


class VerifyKeywords(TypedDict, total=False):
    """The keywords of `verify` that every check has, for type checkers and editors: see `CheckOptions`."""

    rtol: float | None
    atol: float | None
    seed: int
    checks: Sequence[str] | None
    explore: bool
    method: Method
    max_seconds: float | None
    max_evaluations: int | None
    workers: Workers


# a registered node is held to everything, and ends
@one_blas_thread()
@takes_options(max_seconds=None)
def verify(
    *names: str,
    family: str | None = None,
    progress: bool = False,
    timings: bool = True,
    **keywords: Unpack[VerifyKeywords],
) -> Report:
    """Hold registered nodes to the whole contract.

    Parameters
    ----------
    *names : str
        The nodes; none means all.
    family : str, optional
        Only the nodes of this family.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.
    timings : bool
        Whether to time forward, backward and the numerical gradient, which takes a fifth of a run.

    Returns
    -------
    Report

    Raises
    ------
    UnknownNameError
        If a node, family or check does not exist.

    Examples
    --------
    >>> verify("sigmoid").ok
    True
    """
    options = options_of(verify, keywords)
    with one_check_at_a_time():
        chosen = select_nodes(names, family)
        import scipy.special  # noqa: F401 # nodes load it, which adds filters of warnings: not in the middle of a run
    select_checks(options.checks)  # a check that does not exist is told before anything runs
    task = partial(_verified, options=replace(options, workers=None), timings=timings)
    done: dict[int, Verified] = {}
    interrupted = False
    try:
        with open_worker_map(options.workers) as over:
            verified = numbered_results(over, task, [node.name for node in chosen])
            for i, found in with_progress(verified, progress, "node", len(chosen)):
                done[i] = found
    except KeyboardInterrupt:
        interrupted = True
    rows: list[Row] = []
    explored: list[Explored] = []
    findings: dict[str, Sequence[Finding]] = {}
    comparisons: list[Comparison] = []
    for i in sorted(done):
        rows += done[i][0]
        explored += done[i][1]
        findings |= done[i][2]
        comparisons += done[i][3]
    places = {node.name: place for node in chosen if (place := place_of(node.backward))}
    return Report(
        rows,
        environment(seed=options.seed),
        interrupted,
        explored,
        findings,
        comparisons=comparisons,
        places=places,
    )


@one_at_a_time
def _verified(name: str, options: CheckOptions, timings: bool) -> Verified:
    # told by name, so that any process finds the same node
    (node,), run = select_nodes([name]), select_checks(options.checks)
    o, budget = options, Budget(options.max_seconds, options.max_evaluations)
    trials = [
        Trial(node, sample, o.seed, o.rtol, o.atol, o.method, budget=budget)
        for sample in node.draw_samples(o.seed)
    ]
    with showing_times() if timings else nullcontext():
        rows = run_checks(trials, run)
    more, explored = explore_trials(trials, run, rows, bool(o.explore))
    rows += more
    return rows, explored, explain(trials, rows), comparisons_of(trials, rows)
