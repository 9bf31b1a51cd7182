"""The rows of a report: checks run on the trials of one node, at its samples and beyond them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite

from gradlab import checks as check_room
from gradlab.checks.exploration.derived_inputs import derivation
from gradlab.checks.trial import Trial, error_text
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within
from gradlab.report import Explored, Row
from gradlab.running.timing import Times, best_of, times_again, times_to_show
from gradlab.verdict import CheckResult, Verdict

# The checks that also move the primals far, or round them: there a loop may not end that ends at the given ones.
MOVING = {"any_layout", "complex_step_agrees", "finite_where_expected", "repeatable", "works_in_float32"}
# How much of what is left exploring leaves for the diagnosis of what is wrong already.
FOR_THE_DIAGNOSIS = 0.25
BATCH_OF_ONE = "batch cut to 1"
# The check whose rows have the times.
TIMED = "matches_numerical"

Judged = tuple[Trial, CheckResult]


def run_checks(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> list[Row]:
    """Return a row for each comparison that the checks make on the trials of one node.

    An exception of a node, or a return that cannot be compared, makes a row as well: one broken node never ends the
    run. Nor does one that does not return: a check that moves the primals is left out if that takes too long.
    """
    rows: list[Row] = []
    moments: dict[str, list[Times]] = {trial.sample.name: [] for trial in trials}
    for name, check in checks.items():
        for group in [trials] if check.needs_all_samples else [[trial] for trial in trials]:
            for trial, result in (
                _in_time(name, check, group) if name in MOVING else _guarded(name, check, group)
            ):
                rows.append(_row(trial, name, result))
        for trial in trials:
            known = moments[trial.sample.name]
            known += times_to_show(trial) if name == TIMED else times_again(trial, known)
    times = {sample: best_of(known) for sample, known in moments.items()}
    return [replace(row, **times[row.sample]) if row.check == TIMED else row for row in rows]


def _in_time(name: str, check: check_room.Check, trials: Sequence[Trial]) -> list[Judged]:
    """Return what a check that moves the primals finds at one trial; nothing where that takes too long."""
    (trial,) = trials
    if trial.may_not_end:
        return []
    budget = trial.budget
    if budget is None:
        return list(_guarded(name, check, trials))
    # nothing is cut off at the given primals because it is slow there: it may take as long as all before it took
    seconds = max(budget.share_s, budget.elapsed_s)
    found = within(Budget(), lambda: list(_guarded(name, check, trials)), None, seconds)
    if found is None:
        _cut_off(trial).append(f"gave up on {name}, which did not end in time: raise max_seconds")
    return found or []


def _cut_off(trial: Trial) -> list[str]:
    """Return what the budget did not last for at a trial, to be added to."""
    told: list[str] = trial.remembered("cut off", lambda trial: [])
    return told


def explore_trials(
    trials: Sequence[Trial],
    checks: Mapping[str, check_room.Check],
    rows: Sequence[Row],
    explore: bool = True,
) -> tuple[list[Row], list[Explored]]:
    """Run the checks beyond the trials of one node, at primals derived from them.

    Parameters
    ----------
    trials : sequence of Trial
    checks : mapping
    rows : sequence of Row
        The rows of the trials themselves: a check that rejects a sample is not run beyond that sample.
    explore : bool
        False: only tell what the budget did not last for at the trials themselves.

    Returns
    -------
    more : list of Row
        A row for each fault that shows only at derived primals.
    explored : list of Explored
        The derived primals that were checked, for each trial.
    """
    more: list[Row] = []
    explored = []
    for trial in trials:
        looks = explore and not trial.may_not_end
        looked = _explored(trial, checks, [*rows, *more], more) if looks else ()
        told = _cut_off(trial)
        told += _not_asked(checks, explore) if trial.may_not_end else []
        if explore or told:
            explored.append(Explored(trial.node.name, trial.sample.name, tuple(looked), "; ".join(told)))
        told.clear()
    return more, explored


def _explored(
    trial: Trial, checks: Mapping[str, check_room.Check], rows: Sequence[Row], more: list[Row]
) -> list[str]:
    """Return how the primals were derived at which the checks were run; add a row to `more` for each fault there."""
    wrong = {(row.sample, row.check) for row in rows if row.verdict is Verdict.WRONG}
    looked: dict[str, None] = {}
    for name, check in checks.items():
        if check.elsewhere is None or (trial.sample.name, name) in wrong:
            continue
        with trial.budget.keeping(FOR_THE_DIAGNOSIS) if trial.budget and wrong else nullcontext():
            done = check_room.explore(
                trial, check.elsewhere, is_clear=check.is_clear, of_values=name == "matches_numerical"
            )
        looked |= dict.fromkeys(done.tried)
        if done.found:
            more.append(_found_row(trial, name, done.found))
            trial.found_elsewhere[name] = done.found.trial
        if done.cut:
            _cut_off(trial).append(f"{name} {done.cut}")
        if done.cut and not done.found:
            break
    if left := derivation(trial).left:
        _cut_off(trial).append(f"gave up on {', '.join(left)}, which did not end in time: raise max_seconds")
    return list(looked)


def _not_asked(checks: Mapping[str, check_room.Check], explore: bool) -> list[str]:
    """Return that a function was asked for nothing elsewhere, where nobody could interrupt it."""
    without = [*(["exploring"] if explore else []), *(name for name in checks if name in MOVING)]
    cure = "check it at other primals, too"
    why = f"as it holds a loop that may not end elsewhere: {cure}"
    return [f"without {', '.join(without)}, {why}"] if without else []


def first_wrong(trials: Sequence[Trial], checks: Mapping[str, check_room.Check]) -> tuple[str, str] | None:
    """Return the name of the first check that rejects the node of these trials, and its note; None if none does.

    For one wrong node among thousands: nothing is timed, nothing shrunk, and the first fault ends it. The samples
    come first, and the primals derived from them last.
    """
    for name, check in checks.items():
        for _, result in _guarded(name, check, trials):
            if result.verdict is Verdict.WRONG:
                return name, result.note
    for name, check in checks.items():
        for trial in trials:
            if check.elsewhere is None:
                break
            found = check_room.explore(trial, check.elsewhere, is_clear=check.is_clear, shrinking=False).found
            if found:
                return f"{name} (explored)", f"{trial.sample.name}, {found.how}"
    return None


def _found_row(trial: Trial, check: str, found: check_room.ExploredFault) -> Row:
    changed = found.trial.sample.settings is not trial.sample.settings
    python = check_room.as_python(found.trial, changed)
    row = _row(found.trial, check, found.result)
    told = (found.result.note, f"not at the given primals, but at others: {python}")
    note = "; ".join(filter(None, told))
    row = replace(row, sample=f"{trial.sample.name}, {found.how}", note=note)
    # of a single example a deviation is 0, and what is divided by it nothing that anybody means
    alone = found.how == BATCH_OF_ONE and row.analytic is not None and not isfinite(row.analytic)
    if (found.meant and not alone) or trial.elsewhere is Verdict.WRONG:
        return row
    return replace(row, verdict=trial.elsewhere, note=trial.told_elsewhere(note))


def _guarded(name: str, check: check_room.Check, trials: Sequence[Trial]) -> Iterator[Judged]:
    try:
        yield from check.run(trials)
    except Exception as error:
        trial, note = trials[0], error_text(error)
        if name == "matches_numerical" and not trial.registered and _answers(trial):
            note = f"{note}, in double precision or beside the given point, and nothing was compared"
            note = f"{note}: let forward take float64, and numbers beside the given ones"
            yield trial, CheckResult(Verdict.INCONCLUSIVE, note=note)
        else:
            yield trial, CheckResult(Verdict.WRONG, note=note)


def _answers(trial: Trial) -> bool:
    """Return whether forward and backward give what can be compared at the given primals themselves."""
    try:
        return trial.accepted and bool(trial.own_gradients)
    except Exception:
        return False


def _row(trial: Trial, check: str, result: CheckResult) -> Row:
    dtypes = dict(zip(trial.names, (str(x.dtype) for x in trial.sample.primals), strict=True))
    dtype = dtypes.get(result.primal) or ", ".join(dict.fromkeys(dtypes.values()))
    return Row(node=trial.node.name, sample=trial.sample.name, check=check, dtype=dtype, **vars(result))
