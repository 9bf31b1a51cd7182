"""`verify`: registered nodes, held to the whole contract."""

from collections.abc import Sequence
from functools import partial

from gradlab.checks.trial import Trial
from gradlab.diagnosis import Finding
from gradlab.numerical.estimate import Method, check_method
from gradlab.report import Explored, Report, Row
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explained
from gradlab.running.options import check_seed
from gradlab.running.progress import with_progress
from gradlab.running.selection import select_checks, select_nodes
from gradlab.workers.worker_map import Workers, each, spread

Verified = tuple[list[Row], list[Explored], dict[str, Sequence[Finding]]]


def verify(
    *names: str,
    family: str | None = None,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    checks: Sequence[str] | None = None,
    explore: bool = True,
    method: Method = "auto",
    workers: Workers = None,
    progress: bool = False,
) -> Report:
    """Hold registered nodes to the whole contract.

    Parameters
    ----------
    *names : str
        The nodes; none means all.
    family : str, optional
        Only the nodes of this family.
    seed : int
        Seed of samples and cotangents, not negative.
    rtol, atol : float, optional
        Tolerances; by default they follow from the dtype and the size of the gradient.
    checks : sequence of str, optional
        The checks to run; by default all.
    explore : bool
        Whether to look at primals derived from the samples as well (see `check_vjp`).
    method : {"auto", "central", "forward", "backward", "complex-step"}
        The numerical side: see `gradlab.estimate_gradient`.
    workers : int or map-like callable, optional
        Spreads the nodes over that many processes (-1: as many as there are processors), or over what
        ``workers(function, iterable)`` makes of them, as in SciPy. The rows do not depend on it, but for their times.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.

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
    check_seed(seed)
    check_method(method)
    chosen = select_nodes(names, family)
    run = select_checks(checks)
    task = partial(
        _verified, seed=seed, rtol=rtol, atol=atol, checks=tuple(run), explore=explore, method=method
    )
    done: dict[int, Verified] = {}
    interrupted = False
    try:
        with spread(workers) as over:
            verified = each(over, task, [node.name for node in chosen])
            for i, found in with_progress(verified, progress, "node", len(chosen)):
                done[i] = found
    except KeyboardInterrupt:
        interrupted = True
    rows: list[Row] = []
    explored: list[Explored] = []
    findings: dict[str, Sequence[Finding]] = {}
    for i in sorted(done):
        rows += done[i][0]
        explored += done[i][1]
        findings |= done[i][2]
    return Report(rows, environment(seed=seed), interrupted, explored, findings)


def _verified(
    name: str,
    *,
    seed: int,
    rtol: float | None,
    atol: float | None,
    checks: Sequence[str],
    explore: bool,
    method: Method,
) -> Verified:
    # told by name, so that any process finds the same node
    (node,), run = select_nodes([name]), select_checks(checks)
    trials = [Trial(node, sample, seed, rtol, atol, method) for sample in node.draw_samples(seed)]
    rows = list(run_checks(trials, run))
    more, explored = explore_trials(trials, run, rows) if explore else ([], [])
    rows += more
    return rows, explored, explained(trials, rows)
