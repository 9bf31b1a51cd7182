"""The report on somebody else's pair of functions: conventions are tried, variations checked, notes added."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from gradlab.adapters.foreign_pair.convention import NUMERICAL, Convention, Epsilon, named
from gradlab.adapters.foreign_pair.convention_search import (
    asked_convention,
    convention_beside_factors,
    find_convention,
    fitting_convention,
    is_wrong,
)
from gradlab.adapters.foreign_pair.variations import Variation, Varied, check_variations
from gradlab.checks import Check
from gradlab.checks.exploration.derived_inputs import trials_with_batch
from gradlab.checks.trial import Trial
from gradlab.checks.trial.line_slopes import is_right_along_lines
from gradlab.node import Array, Node, Sample
from gradlab.report import Report, Row
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.mending import with_repairs
from gradlab.running.options import CheckOptions
from gradlab.running.pictured import comparisons_of
from gradlab.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Subject:
    """A pair of functions that somebody else wrote, and what is known of it before it is checked.

    Attributes
    ----------
    name : str
    forward, backward : callable
        The node contract's.
    names : sequence of str
        What the primals are called.
    primals : tuple of ndarray
    settings : mapping
    parameters : sequence of int
        Which primals are parameters.
    loss : bool
        Whether its gradient may belong to another function than forward.
    chained : bool
        Whether it takes a cotangent, so that forward is what its gradient should belong to.
    free : bool
        Whether forward leaves it to its caller to add several outputs up, or to average them.
    notes : mapping
        Of primals, where their gradients were found.
    variations : callable
        ``variations()`` yields a `Variation` each.
    epsilon : callable
        ``epsilon()`` is a context in which forward runs without its epsilons.
    """

    name: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[Any, ...]]
    names: Sequence[str]
    primals: tuple[Array, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Sequence[int] = ()
    loss: bool = False
    chained: bool = True
    free: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    variations: Callable[[], Iterable[Variation]] = tuple
    epsilon: Epsilon = nullcontext


def report_on(
    subject: Subject, options: CheckOptions, checks: Mapping[str, Check], loss: Any = None
) -> Report:
    """Return the report on a subject.

    Parameters
    ----------
    subject : Subject
    options : CheckOptions
    checks : mapping
        The checks to run.
    loss : str or callable, optional
        The function that its gradient belongs to, as `gradlab.check_layer` has it.
    """
    given = _trial(subject, options)
    convention = _convention(subject, checks, loss, given)
    departs = convention is not None and _departs(subject, loss, convention)
    applied = convention.unscaled if convention and departs else convention
    trial = applied.trial(given, subject.epsilon) if applied else given
    rows = list(run_checks([trial], checks))
    more, explored = explore_trials([trial], checks, rows, bool(options.explore))
    rows = _relaxed([*rows, *more], options.strict)
    # off its defaults a layer is looked at where it is right on them
    sound = NUMERICAL in checks and all(row.verdict is not Verdict.WRONG for row in rows)
    looks = bool(options.explore) and sound
    varied = check_variations(subject.variations(), trial, applied) if looks else Varied([], [], [], [])
    explored = [
        replace(
            places,
            derived=(*places.derived, *varied.looked),
            cut="; ".join(filter(None, [places.cut, varied.cut])),
        )
        for places in explored
    ]
    rows += varied.rows
    findings = explain([trial, *varied.trials], rows)
    comparisons = comparisons_of([trial], rows)
    if varied.findings:
        findings[subject.name] = varied.findings
    rows = [_noted(row, subject, convention) for row in rows]
    if applied and loss is None:
        rows.append(_convention_row(trial, applied, options.strict, excused=subject.free and applied.scales))
    found = Report(
        rows, environment(seed=options.seed), explored=explored, findings=findings, comparisons=comparisons
    )
    return with_repairs(found, trial, options, lambda other: report_on(subject, other, checks, loss))


def _trial(subject: Subject, options: CheckOptions) -> Trial:
    forward = named(subject.forward, subject.names)
    sample = Sample("given", subject.primals, subject.settings)
    node = Node(subject.name, "own", forward, subject.backward, lambda rng: iter([sample]))
    # of a loss whose backward takes no cotangent the numbers shown are the user's own
    trial: Trial = options.trial(node, sample, unit_cotangent=subject.loss and not subject.chained)
    return trial


def _convention(subject: Subject, checks: Mapping[str, Check], loss: Any, trial: Trial) -> Convention | None:
    """Return the convention that ``loss=`` asks for; without it, the one that fits if a gradient is wrong."""
    if loss is not None:
        asked = asked_convention(trial, loss, subject.epsilon)
        if asked is None and loss == "logits":
            first = subject.names[0]
            raise ValueError(
                f"loss is 'logits', and {first} holds no probabilities: leave it out, or pass some"
            )
        return asked
    if NUMERICAL not in checks or not trial.accepted:
        return None
    loss_or_layer: dict[str, Any] = {"loss": subject.loss, "parameters": subject.parameters}
    right = is_right_along_lines(trial)
    if right and trial.is_confirmed:
        return _of_more_examples(subject, trial)
    # two lines tell it in a few evaluations, and every element is looked at where a convention fits; where they tell
    # no difference, an epsilon's may be too small for them, but for the directions that confirm a gradient it is not
    fitting = None
    if not right or trial.asks_directions:
        fitting = fitting_convention(trial, epsilon=subject.epsilon, surely=right, **loss_or_layer)
    if fitting is not None:
        return fitting
    if any(told and told.is_as_claimed for told in trial.confirmed):
        return None  # a gradient that is right as it stands belongs to forward as it is, and so do the others
    if subject.loss and (beside := convention_beside_factors(trial, subject.epsilon)):
        return beside
    if not is_wrong(trial):
        return None
    return find_convention(trial, epsilon=subject.epsilon, **loss_or_layer)


def _of_more_examples(subject: Subject, trial: Trial) -> Convention | None:
    """Return the convention of a layer that is given one example, where a mean over the batch does not show."""
    first = trial.sample.primals[0]
    if not subject.parameters or subject.loss or not first.ndim or first.shape[0] != 1:
        return None
    for doubled in trials_with_batch(trial, "batch doubled", 2):
        if doubled.accepted and not is_right_along_lines(doubled):
            found = fitting_convention(
                doubled, loss=False, parameters=subject.parameters, epsilon=subject.epsilon
            )
            return replace(found, primals=trial.primals()) if found else None
    return None


def _departs(subject: Subject, loss: Any, convention: Convention) -> bool:
    """Return whether a factor between a loss and its gradient is a mistake, as the loss takes a cotangent."""
    return loss is None and subject.loss and subject.chained and convention.scales and not subject.free


def _convention_row(trial: Trial, convention: Convention, strict: bool, excused: bool) -> Row:
    cure = f": pass loss={convention.asked!r} if that is meant" if convention.asked else ""
    note = f"the gradient is that {convention.sentence}{cure}"
    if not convention.asked:
        note = f"{convention.sentence}: leave it to the loss, or take it into account"
    verdict = Verdict.PASS if excused else Verdict.WRONG if strict else Verdict.WARNING
    return Row(trial.node.name, trial.sample.name, "belongs_to_forward", "", "", verdict, note=note)


def _noted(row: Row, subject: Subject, convention: Convention | None) -> Row:
    """Return a row with the note on where its gradient was found, and on the convention that would fit."""
    if row.check != NUMERICAL:
        return row
    notes = [row.note]
    if convention and row.verdict is Verdict.WRONG and convention.asked:
        notes.append(
            f"the gradient is that {convention.sentence}: pass loss={convention.asked!r} if that is meant"
        )
    notes.append(subject.notes.get(row.primal, ""))
    return replace(row, note="; ".join(filter(None, notes)))


def _relaxed(rows: Sequence[Row], strict: bool) -> list[Row]:
    """Return the rows with warnings in place of errors that nobody holds other people's code to.

    Those are extreme numbers, layouts that the code refuses, and another gradient for a cotangent that backward itself
    has written into.
    """
    if strict:
        return list(rows)
    excused = {"finite_where_expected"}
    if any(row.check == "leaves_arguments_unchanged" and row.verdict is Verdict.WARNING for row in rows):
        excused.add("repeatable")

    def is_excused(row: Row) -> bool:
        refused = row.check == "any_layout" and row.note.startswith("raised ")
        return row.verdict is Verdict.WRONG and (refused or row.check in excused)

    return [replace(row, verdict=Verdict.WARNING) if is_excused(row) else row for row in rows]
