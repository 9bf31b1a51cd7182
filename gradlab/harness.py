"""Runs checks on samples, times forward, backward and numerical gradient, and makes the report."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from timeit import Timer
from typing import Any
from warnings import warn

import numpy as np

from gradlab import checks as check_room
from gradlab import nodes as node_room
from gradlab._spread_trial import Output, SpreadTrial
from gradlab.checks import _along as along
from gradlab.checks._trial import ContractError, Trial
from gradlab.compare import CheckResult, Verdict
from gradlab.diagnosis import OF_VALUES, Finding, diagnose
from gradlab.directional import FULL_BELOW
from gradlab.estimate import Method, check_method
from gradlab.finite_difference import numerical_vjp
from gradlab.node import Array, Node, Sample
from gradlab.parallel import Workers, check_sendable, each, spread
from gradlab.report import Explored, Report, Row
from gradlab.report.envelope import environment

Times = Mapping[str, Any]
Verified = tuple[list[Row], list[Explored], dict[str, Sequence[Finding]]]


class UnknownNameError(ValueError):
    """A node, family or check that does not exist; the message offers the nearest names."""


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


def check_seed(seed: int) -> None:
    """Raise ValueError unless `seed` can be one."""
    if seed < 0:
        raise ValueError(f"the seed is {seed}: give a whole number from 0 up")


def check_full_below(full_below: int | None) -> None:
    """Raise ValueError unless `full_below` is a number of elements, or None."""
    if full_below is not None and full_below < 0:
        raise ValueError(
            f"full_below is {full_below}: give a number of elements from 0 up, or None for no limit"
        )


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


def select_nodes(names: Sequence[str], family: str | None = None) -> list[Node]:
    """Return the registered nodes of these names (all, if none is given) and this family."""
    known = node_room.NODES
    for name in names:
        if name not in known:
            raise UnknownNameError(_unknown("node", name, known, "gradlab list shows all"))
    families = sorted({node.family for node in known.values()})
    if family is not None and family not in families:
        raise UnknownNameError(_unknown("family", family, families, f"there are {', '.join(families)}"))
    chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    return [node for node in chosen if family in (None, node.family)]


def select_checks(names: Sequence[str] | None) -> dict[str, check_room.Check]:
    """Return the checks of these names (all, if None)."""
    known = check_room.CHECKS
    for name in names or ():
        if name not in known:
            raise UnknownNameError(_unknown("check", name, known, f"there are {', '.join(known)}"))
    return {name: check for name, check in known.items() if names is None or name in names}


def run_checks(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> Iterator[Row]:
    """Yield a row for each thing that the checks compared on the trials of one node.

    What a node raises, or returns in a form that cannot be compared, is a row as well: one broken node never
    ends the run.
    """
    times: dict[str, Times] = {}
    for name, check in checks.items():
        timed = name == "matches_numerical"
        for group in [trials] if check.needs_all_samples else [[trial] for trial in trials]:
            for trial, result in _guarded(check, group):
                if timed and trial.sample.name not in times:
                    times[trial.sample.name] = _times(trial)
                yield _row(trial, name, result, times[trial.sample.name] if timed else {})


def explore_trials(
    trials: Sequence[Trial],
    checks: Mapping[str, check_room.Check],
    rows: Sequence[Row],
    shrinking: bool = True,
) -> tuple[list[Row], list[Explored]]:
    """Look beyond the trials of one node, for every check that does.

    Parameters
    ----------
    trials : sequence of Trial
    checks : mapping
    rows : sequence of Row
        What the checks found at the trials themselves: what is wrong there already is not looked for again.
    shrinking : bool
        Whether to look for the smallest primals that show a fault.

    Returns
    -------
    more : list of Row
        A row for each fault that shows only at derived primals.
    explored : list of Explored
        Where was looked.
    """
    more: list[Row] = []
    explored = []
    wrong = {(row.sample, row.check) for row in rows if row.verdict is Verdict.WRONG}
    for trial in trials:
        looked: dict[str, None] = {}
        for name, check in checks.items():
            if check.elsewhere is None or (trial.sample.name, name) in wrong:
                continue
            where, found = check_room.explore(trial, check.elsewhere, shrinking=shrinking)
            looked |= dict.fromkeys(where)
            if found:
                more.append(_found_row(trial, name, found))
        explored.append(Explored(trial.node.name, trial.sample.name, tuple(looked)))
    return more, explored


def explained(trials: Sequence[Trial], rows: Sequence[Row]) -> dict[str, Sequence[Finding]]:
    """Return the likeliest mistakes of a node that some check rejects; nothing where it is only undecided."""
    # what is wrong first: of what is only warned of, none explains it
    failed = [
        {row.check for row in rows if row.verdict is verdict} - {"samples_can_fail"}
        for verdict in (Verdict.WRONG, Verdict.WARNING)
    ]
    large = any(trial.is_large for trial in trials)
    try:
        # of what every element would be needed for, the few that were looked at say what can be said
        named = (
            [Finding(*m) for trial in trials for m in along.outcome(trial).mistakes]
            if large and any(failed)
            else []
        )
        rest = [some - OF_VALUES if large else some for some in failed]
        found = [*named, *(finding for some in rest if some for finding in diagnose(trials, some))]
        # what has been written into gives other numbers, that look like another mistake
        found.sort(key=lambda finding: finding.name != "mutates-argument")
    except Exception as error:  # the verdict stands without it, and so do the other nodes
        name = trials[0].node.name
        warn(
            f"the diagnosis of {name} raised {type(error).__name__}: {error}: please report it", stacklevel=2
        )
        found = []
    return {trials[0].node.name: found} if found else {}


def first_wrong(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> tuple[str, str] | None:
    """Return the name of the first check that rejects the node of these trials, and what it says; None if none does.

    For one wrong node among thousands: nothing is timed, nothing shrunk, and the first fault ends it. The samples
    come first, and what is derived from them last.
    """
    for name, check in checks.items():
        for _, result in _guarded(check, trials):
            if result.verdict is Verdict.WRONG:
                return name, result.note
    for name, check in checks.items():
        for trial in trials:
            if check.elsewhere is None:
                break
            _, found = check_room.explore(trial, check.elsewhere, shrinking=False)
            if found:
                return f"{name} (explored)", f"{trial.sample.name}, {found.how}"
    return None


def _found_row(trial: Trial, check: str, found: check_room.Found) -> Row:
    changed = found.trial.sample.settings is not trial.sample.settings
    python = check_room.as_python(found.trial, changed)
    row = _row(found.trial, check, found.result, {})
    note = "; ".join(filter(None, [found.result.note, f"not at the given primals, but at others: {python}"]))
    return replace(row, sample=f"{trial.sample.name}, {found.how}", note=note)


def _times(trial: Trial) -> Times:
    # a faulty backward need not survive a second call; its verdict stands without times
    try:
        with np.errstate(all="ignore"):
            return measure(trial)
    except Exception:
        return {}


def measure(trial: Trial) -> Times:
    """Return the best times of forward, backward and the numerical gradient, in seconds, and their ratio.

    Of large primals the numerical gradient is not computed, and not timed.
    """
    node, settings, primals = trial.node, trial.settings(), trial.primals()
    _, residuals = node.forward(*primals, **settings)
    g = trial.cotangent()
    forward = best_time(lambda: node.forward(*primals, **settings))
    backward = best_time(lambda: node.backward(residuals, g))
    if trial.is_large:
        return {"forward_s": forward, "backward_s": backward}
    numerical = best_time(lambda: numerical_vjp(lambda *xs: node.forward(*xs, **settings)[0], primals, g))
    return {
        "forward_s": forward,
        "backward_s": backward,
        "numerical_s": numerical,
        "speedup": numerical / (forward + backward),
    }


def best_time(function: Callable[[], object], repeat: int = 3, enough_s: float = 3e-4) -> float:
    """Return the best time of one call, in seconds.

    The number of calls grows as 1, 2, 5, 10, 20, ... until they take `enough_s` together, as in
    `timeit.Timer.autorange`, whose fixed 0.2 s would make minutes of a run over all samples of all nodes. What
    takes a thousand times as long for a single call is timed that once.
    """
    timer = Timer(function)
    for number in _one_two_five():
        first = timer.timeit(number)
        if first >= enough_s:
            break
    again = [] if first >= 1000 * enough_s else timer.repeat(repeat - 1, number)
    return min([first, *again]) / number


def _one_two_five() -> Iterator[int]:
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10


def _guarded(check: check_room.Check, trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
    try:
        yield from check.run(trials)
    except ContractError as error:
        yield trials[0], CheckResult(Verdict.WRONG, note=str(error))
    except Exception as error:
        yield trials[0], CheckResult(Verdict.WRONG, note=f"raised {type(error).__name__}: {error}")


def _row(trial: Trial, check: str, result: CheckResult, times: Times) -> Row:
    dtypes = dict(zip(trial.names, (str(x.dtype) for x in trial.sample.primals), strict=True))
    dtype = dtypes.get(result.primal) or ", ".join(dict.fromkeys(dtypes.values()))
    return Row(
        node=trial.node.name, sample=trial.sample.name, check=check, dtype=dtype, **asdict(result), **times
    )


def with_progress(items: Iterable[Any], progress: bool, unit: str, total: int | None = None) -> Iterable[Any]:
    """Return the items, and show on stderr how many have been taken, if `progress` and if that is a terminal."""
    if not progress:
        return items
    from tqdm import tqdm

    # disable=None: a bar on a terminal, none in a pipe
    return tqdm(items, total=total, unit=unit, leave=False, disable=None)


def _unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"no {kind} is named {name!r}: " + (f"did you mean {' or '.join(near)}?" if near else otherwise)
