"""Repairs of what a report found to be wrong: proposals that every check passes, at seeds that found nothing before."""

import multiprocessing
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from warnings import warn

from gradlab.checks.trial import Trial, interruptible
from gradlab.diagnosis import Finding
from gradlab.repair import LostPath, find_repairs, lost_paths
from gradlab.repair.proposal import Repair, shown_path
from gradlab.report import Report, Row
from gradlab.report.escaping import one_line
from gradlab.running.foreign_function import is_foreign
from gradlab.running.options import CheckOptions
from gradlab.verdict import Verdict
from gradlab.workers import threads
from gradlab.workers.child_process import ChildDiedError, can_fork, in_child
from gradlab.workers.strange_objects import text_of

# What the search may take of what is left, in seconds; and the seeds that a repair is proven at, beside the given one.
MOST_SECONDS, SEEDS = 6.0, (1009, 2003)
# A child that is in compiled code hears of no end, and is killed so many seconds later.
PATIENCE_S = 2.0
# The share of the time in which paths through forward are looked at.
FOR_PATHS = 0.2
# How near a factor of differences is to a whole number.
WHOLE = 1e-3
# What is said, and what is to be done, where a change gives the right gradients and was not proven.
UNPROVEN = "the gradients here would be right", "look at this line"
# The names of mistakes that say where a gradient is off, or how far, and not what was done.
WHERE = {
    "additive-bias", "border", "masked-region", "missing-term", "not-finite", "other-approximation", "single-element",
    "tie-or-kink",
}  # fmt: skip
# From this confidence on, a finding needs no repair to say what was done.
SURE = 0.9
# And from this one on, the condition under which a gradient is wrong is the one.
EXACTLY = 0.95
NUMERICAL = "matches_numerical"
MISSING = "missing-term"
PACKAGE = str(Path(__file__).parents[1])

Again = Callable[[CheckOptions], Report]


def with_repairs(
    report: Report, trial: Trial, options: CheckOptions, again: Again, *, apart: bool = True
) -> Report:
    """Return a report with the repairs of what is wrong in it.

    The search runs the function with changes in it, which may hand compiled code what it reads beyond its memory for;
    so that it takes nothing along, it runs in a child process, where there can be one.

    Parameters
    ----------
    report : Report
    trial : Trial
        Of the given primals.
    options : CheckOptions
    again : callable
        ``again(options)`` makes the report anew, under other options.
    apart : bool
        Whether a child can run the function: frameworks with threads of their own refuse to.
    """
    at = _where_it_is_wrong(report.rows, trial)
    left = min(options.budget.left_s, MOST_SECONDS)
    forks = apart and can_fork() and not multiprocessing.current_process().daemon
    if not options.repair or at is None or left <= 0 or not (forks or _is_alone()):
        return report
    start = monotonic()

    def spent() -> float:
        return (monotonic() - start) / left

    cut = _cuts(report)
    before = [row for row in report.rows if _warns(row)]
    warned = {(row.check, row.primal) for row in before} | {_said(row) for row in before}

    def rejected() -> bool:
        for seed in (options.seed, *(options.seed + more for more in SEEDS)):
            if spent() >= 1:
                return True
            proof = again(replace(options, seed=seed, repair=False, workers=None, max_seconds=left))
            new = any(
                _warns(row) and not warned & {(row.check, row.primal), _said(row)} for row in proof.rows
            )
            # what was cut off was not proven
            if not proof.ok or new or (_cuts(proof) and not cut):
                return True
        return False

    seeds = ", ".join(str(options.seed + more) for more in SEEDS)
    proven_with = f"all checks, at the given primals and beyond, at seeds {options.seed}, {seeds}"

    known = report.findings.get(trial.node.name, ())
    unnamed = () if _says_what(known) else _wrong_primals(report)

    def search() -> tuple[list[LostPath], list[Repair]]:
        paths: list[LostPath] = []
        try:
            if unnamed:
                paths = lost_paths(at, unnamed, lambda: spent() < FOR_PATHS)
            return paths, find_repairs(at, rejected, proven_with, spent)
        except Exception as error:
            # where it looked, the function has nothing to say; told here, as no child tells where an exception is from
            if is_foreign(error):
                return paths, []
            raise

    try:
        paths, found = in_child(search, left + PATIENCE_S) if forks else search()
    except ChildDiedError:
        return report
    except Exception as error:  # the verdict stands without it
        what = f"the search for a repair of {trial.node.name} raised {type(error).__name__}: {text_of(error)}"
        warn(one_line(f"{what}: please report it"), stacklevel=2)
        return report
    if not _says_what(known) or (found and _says_more(known, found[0])):
        known = _named(known, paths, found, _wrong_primals(report))
    elif found and found[0].diff:
        # of several mistakes that would explain it, it is the one that the change takes back
        known = sorted(known, key=lambda finding: finding.name != found[0].mistake)
    return replace(report, repairs=found, findings={**report.findings, trial.node.name: known})


def _says_what(known: Sequence[Finding]) -> bool:
    """Return whether the likeliest finding says what was done, not where gradients are wrong, or how far."""
    sure = next((f for f in known if f.confidence and not f.warns), None)
    return sure is not None and sure.name not in WHERE and sure.confidence >= SURE


def _says_more(known: Sequence[Finding], repair: Repair) -> bool:
    """Return whether a proven change says what the numbers alone do not.

    That a power of a primal is missing, which by its numbers is a gradient by the logarithm as well; or that shares are
    overwritten, where it looks as if some cotangents were not used.
    """
    of_power = known[0].name == "log-parameter" and repair.mistake == "missing-factor"
    return bool(repair.diff) and (of_power or repair.mistake == "last-write-wins")


def _wrong_primals(report: Report) -> set[str]:
    return {row.primal for row in report.rows if row.verdict is Verdict.WRONG and row.check == NUMERICAL}


def _named(
    known: Sequence[Finding], paths: Sequence[LostPath], found: Sequence[Repair], wrong: Collection[str]
) -> list[Finding]:
    """Return findings with the mistake that a repair takes back and with the paths that are wrong, which come first."""
    # of several lines the first that tells a mistake
    repair = next((repair for repair in found if repair.mistake), found[0] if found else None)
    proven = repair is not None and bool(repair.diff)
    told = list(map(_of_path, paths))
    # where a gradient is wrong exactly where a condition holds, its branch says more than what was not proven
    branch = [f for f in known[:1] if f.name == "masked-region" and f.confidence >= EXACTLY]
    # a change that was proven says it better, but for what is missing, of which it does not say why
    if told and (not proven or repair is None or repair.mistake in ("", MISSING)):
        return [*branch, *told, *(f for f in known if f not in branch)]
    same = [finding for finding in known if repair and finding.name == repair.mistake]
    if repair and repair.mistake and not same:
        said, cure = ("all checks pass", "see the repair") if proven else UNPROVEN
        evidence = f"with line {repair.line} of {repair.shown_file} changed, {said}"
        primal = next(iter(wrong)) if len(wrong) == 1 else ""
        same = [Finding(repair.mistake, primal, 1.0 if proven else 0.8, evidence, cure)]
    first = [*same, *branch] if proven else [*branch, *same]
    return [*first, *(finding for finding in known if finding not in first)]


def _of_path(path: LostPath) -> Finding:
    """Return what a path through forward that a gradient gets wrong says of the mistake."""
    line = f"line {path.line} of {shown_path(path.file)}"
    through = line if path.text == path.primal else f"{path.text} ({line})"
    if path.rounds:
        observed = f"of the rounds in which forward computes {through}, the share of {path.rounds} is missing"
        cure = "add up the shares of all rounds (+=), do not assign"
        return Finding("last-write-wins", path.primal, 1.0, observed, cure)
    name, said, cure = (
        "constant-factor",
        f"counts {1 - path.factor:.6g} times",
        "look for a factor on this path",
    )
    if abs(path.factor - 1) < WHOLE:
        name, said, cure = (
            MISSING,
            "is missing",
            "differentiate it too: backward takes it for a constant",
        )
    elif abs(path.factor - 2) < WHOLE:
        name, said, cure = "sign-flipped", "has the wrong sign", "turn the sign of this path round"
    elif abs(path.factor + 1) < WHOLE:
        said, cure = "is there twice", "add what comes back on this path once"
    return Finding(name, path.primal, 1.0, f"what {path.primal} does through {through} {said}", cure)


def _cuts(report: Report) -> bool:
    """Return whether a report did not get to all that it would have looked at."""
    return any(places.cut for places in report.explored)


def _warns(row: Row) -> bool:
    return row.verdict is Verdict.WARNING


def _said(row: Row) -> str:
    """Return what a row says happened, without where: one check hears of it before another."""
    return row.note.partition(";")[0]


def _where_it_is_wrong(rows: Sequence[Row], trial: Trial) -> Trial | None:
    """Return the trial at which a gradient is wrong: that of the given primals, or of the smallest others."""
    wrong = [row for row in rows if row.check == NUMERICAL and row.verdict is Verdict.WRONG]
    if any(row.sample == trial.sample.name for row in wrong):
        return trial
    return trial.found_elsewhere.get(NUMERICAL) if wrong else None


def _is_alone() -> bool:
    """Return whether no other thread is in gradlab: what is tried runs wherever the function is called."""
    mine = threading.get_ident()
    for thread, frame in sys._current_frames().items():
        while thread != mine and frame is not None:
            file = frame.f_code.co_filename
            # a thread that interrupts calls may be about to end, and one that waits for its turn does nothing
            if file == threads.__file__:
                break
            if file.startswith(PACKAGE) and file != interruptible.__file__:
                return False
            frame = frame.f_back  # type: ignore[assignment]
    return True
