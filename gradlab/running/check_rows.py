"""The rows of a report: checks run on the trials of one node, at its samples and beyond them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from gradlab import checks as check_room
from gradlab.checks.trial import ContractError, Trial
from gradlab.report import Explored, Row
from gradlab.running.timing import Times, measure_or_nothing
from gradlab.verdict import CheckResult, Verdict


def run_checks(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> Iterator[Row]:
    """Yield a row for each comparison that the checks make on the trials of one node.

    An exception of a node, or a return that cannot be compared, makes a row as well: one broken node never ends the
    run.
    """
    times: dict[str, Times] = {}
    for name, check in checks.items():
        timed = name == "matches_numerical"
        for group in [trials] if check.needs_all_samples else [[trial] for trial in trials]:
            for trial, result in _guarded(check, group):
                if timed and trial.sample.name not in times:
                    times[trial.sample.name] = measure_or_nothing(trial)
                yield _row(trial, name, result, times[trial.sample.name] if timed else {})


def explore_trials(
    trials: Sequence[Trial],
    checks: Mapping[str, check_room.Check],
    rows: Sequence[Row],
    shrinking: bool = True,
) -> tuple[list[Row], list[Explored]]:
    """Run the checks beyond the trials of one node, at primals derived from them.

    Parameters
    ----------
    trials : sequence of Trial
    checks : mapping
    rows : sequence of Row
        The rows of the trials themselves: a check that rejects a sample is not run beyond that sample.
    shrinking : bool
        Whether to look for the smallest primals that show a fault.

    Returns
    -------
    more : list of Row
        A row for each fault that shows only at derived primals.
    explored : list of Explored
        The derived primals that were checked, for each trial.
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


def first_wrong(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> tuple[str, str] | None:
    """Return the name of the first check that rejects the node of these trials, and its note; None if none does.

    For one wrong node among thousands: nothing is timed, nothing shrunk, and the first fault ends it. The samples
    come first, and the primals derived from them last.
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


def _found_row(trial: Trial, check: str, found: check_room.ExploredFault) -> Row:
    changed = found.trial.sample.settings is not trial.sample.settings
    python = check_room.as_python(found.trial, changed)
    row = _row(found.trial, check, found.result, {})
    note = "; ".join(filter(None, [found.result.note, f"not at the given primals, but at others: {python}"]))
    return replace(row, sample=f"{trial.sample.name}, {found.how}", note=note)


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
