"""The report on a function whose gradient a framework computes, held to the node contract as far as it applies."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.convention import named
from gradlab.adapters.framework.approximations import undecided_where_approximate
from gradlab.adapters.framework.function_pair import FunctionPair
from gradlab.adapters.framework.noise import held_to_noise, is_noise, noise_of, stated
from gradlab.adapters.framework.own_precision import is_half, own_precision
from gradlab.checks import CHECKS, Check, Trial, quiet
from gradlab.checks.exploration.other_shapes import integers_in
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.checks.trial.line_slopes import are_right
from gradlab.diagnosis import Finding
from gradlab.node import Node, Sample
from gradlab.report import Report, Row
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.mending import with_repairs
from gradlab.running.options import CheckOptions, check_tolerance
from gradlab.running.pictured import comparisons_of
from gradlab.running.selection import UnknownNameError, select_checks
from gradlab.running.shelter import sheltered_report
from gradlab.verdict import ATOL_ULPS, Verdict
from gradlab.workers.strange_objects import shown


def framework_options(options: CheckOptions) -> CheckOptions:
    """Return the options of a framework's function.

    Raises
    ------
    ValueError
        If the numerical side is to be the complex step.
    """
    if options.method == "complex-step":
        raise ValueError("method is 'complex-step', which needs NumPy's complex numbers: leave it 'auto'")
    return options


def check_asked(order: Any, intended: Any, reference: Any, budget: Any, nondet_tol: Any) -> None:
    """Raise TypeError or ValueError if what a framework's function is to be held to cannot be used."""
    if order is not None and (isinstance(order, bool) or order not in range(1, MOST_ORDERS + 1)):
        raise ValueError(f"order is {shown(order)}: give a whole number from 1 to {MOST_ORDERS}, or None")
    for name, function in (("intended", intended), ("reference", reference)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} is {shown(function)}: give a function of the same arguments, or None")
    if intended is not None and reference is not None:
        raise ValueError("a kernel is held to its reference, gradients included: leave intended= out")
    number = isinstance(budget, Real) and not isinstance(budget, bool)
    if not (number and 0 <= budget < inf):
        raise ValueError(f"budget is {shown(budget)}: give a number from 0 up")
    check_tolerance("nondet_tol", nondet_tol)


MOST_ORDERS = 5
# Gradients behind outputs of half precision may be so many units in their last place off, and so may differences.
COARSE_ULPS = 16


@dataclass(frozen=True)
class ValueTrial(Trial):
    """A trial whose numerical side evaluates the function where nothing is recorded for a gradient.

    Attributes
    ----------
    value : callable
        ``value(*primals, **settings) -> output``.
    """

    value: Callable[..., Any] = field(default=lambda *primals: primals)

    @property
    def takes_empty_batches(self) -> bool:
        """Whether this can do no harm: compiled code may divide by the length of a batch, and end the process."""
        return self.sheltered

    @property
    def takes_overlapping_memory(self) -> bool:
        """Never: a framework may take what lies at one place for one number, and gradcheck refuses such arrays."""
        return False

    @property
    def function(self) -> Callable[..., Any]:
        """The function of the primals; it is given copies."""
        return self.counted(lambda *xs: self.value(*map(np.array, xs), **self.settings()))


def has_right_gradients(trial: Trial) -> bool:
    """Return whether the gradients of a trial are right: of others there is nothing more to be said."""
    with quiet():
        try:
            # once more: one that adds up over calls is right the first time
            return are_right(trial, trial.gradients(trial.cotangent()))
        except Exception:
            return False


def report_on_pair(
    pair: FunctionPair[Any],
    options: CheckOptions,
    own_checks: Mapping[str, Check],
    meaningless: Iterable[str] = (),
    version: Mapping[str, str] | None = None,
    nondet_tol: float | None = None,
) -> Report:
    """Return the report on a pair; where all is asked for, made in a process of its own.

    Parameters
    ----------
    pair : FunctionPair
    options : CheckOptions
    own_checks : mapping
        The checks that there are for this framework alone.
    meaningless : iterable of str
        The checks that show nothing here, unless they are asked for.
    version : mapping, optional
        Of the framework, for the report's environment.
    nondet_tol : float, optional
        By how much gradients may differ from call to call.
    """

    def report(sheltered: bool) -> Report:
        return _report(pair, options, own_checks, meaningless, version, nondet_tol, sheltered)

    return sheltered_report(report, options, pair.name) if pair.may_die else report(True)


def _report(
    pair: FunctionPair[Any],
    options: CheckOptions,
    own_checks: Mapping[str, Check],
    meaningless: Iterable[str],
    version: Mapping[str, str] | None,
    nondet_tol: float | None,
    sheltered: bool,
) -> Report:
    half = any(is_half(leaf) for leaf in pair.leaves)
    coarse = 0.0 if half else getattr(pair, "output_eps", 0.0)
    if coarse:
        # a cast of its arguments to half precision: nothing that comes back has more digits, whatever its dtype is
        meaningless = [*meaningless, "linear_in_cotangent"]
        options = replace(options, rtol=COARSE_ULPS * coarse if options.rtol is None else options.rtol)
    chosen = _chosen(options, own_checks, meaningless, half, pair.narrow)
    trial = _trial(pair, options, half, sheltered)
    if coarse and options.atol is None:
        trial = replace(trial, atol=_coarse_atol(trial, coarse))
    rows, noise = list(run_checks([trial], chosen)), 0.0
    if any(row.verdict is Verdict.WRONG for row in rows) and not (options.strict and nondet_tol is None):
        noise = noise_of(trial, nondet_tol)
    if noise:
        trial = held_to_noise(trial, noise)
        # what is noisy is the gradient of no function to the last digit
        chosen = {name: check for name, check in chosen.items() if name != "hessian_is_symmetric"}
        rows = list(run_checks([trial], chosen))
    approximate = undecided_where_approximate(rows, pair, trial)
    looks_exact = approximate == rows
    looks = bool(options.explore) and not (half and pair.narrow) and not coarse and looks_exact
    rows = approximate
    more, explored = explore_trials([trial], chosen, rows, looks)
    rows += more
    if half and "matches_numerical" in (options.checks or ["matches_numerical"]):
        rows += own_precision(pair.leaves, trial)
    rows = [
        _told(row, pair, trial)
        for row in (rows if options.strict else _relaxed(rows, trial, pair.meant is not None))
    ]
    # what differs by an approximation, or by noise, needs no diagnosis
    explained = rows if looks_exact else [row for row in rows if row.verdict is not Verdict.INCONCLUSIVE]
    if noise:
        rows = stated(rows, noise, nondet_tol)
        explained = [row for row in explained if not is_noise(row)]
    findings = _findings(trial, explained, pair, chosen)
    where = environment(seed=options.seed) | dict(version or {})
    comparisons = comparisons_of([trial], rows)
    found = Report(rows, where, explored=explored, findings=findings, comparisons=comparisons)

    def again(other: CheckOptions) -> Report:
        return _report(pair, other, own_checks, meaningless, version, nondet_tol, sheltered)

    return with_repairs(found, trial, options, again, apart=False)


def _chosen(
    options: CheckOptions,
    own_checks: Mapping[str, Check],
    meaningless: Iterable[str],
    half: bool,
    narrow: bool,
) -> dict[str, Check]:
    if options.checks is not None:
        known = [name for name in options.checks if name not in own_checks]
        try:
            chosen = select_checks(known)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error}; and, for this framework, {', '.join(own_checks)}") from None
        return chosen | {name: check for name, check in own_checks.items() if name in options.checks}
    # forward is given no complex numbers
    without = {"complex_step_agrees", *meaningless}
    if half or not options.strict:
        without.add("works_in_float32")
    if half and narrow:
        # the numbers are judged in their own precision, and nothing is known in another
        bits = {"leaves_arguments_unchanged", "owns_its_memory", "shapes_and_dtypes"}
        return {name: CHECKS[name] for name in CHECKS if name in bits}
    return {name: check for name, check in {**CHECKS, **own_checks}.items() if name not in without}


def _trial(pair: FunctionPair[Any], options: CheckOptions, half: bool, sheltered: bool) -> Trial:
    dtype = np.float64 if half and not pair.narrow else None
    primals = tuple(np.array(leaf.value, dtype=dtype) for leaf in pair.leaves)
    sample = Sample("given", primals, pair.settings)
    forward = named(pair.forward, [leaf.name for leaf in pair.leaves])
    node = Node(pair.name, "own", forward, pair.backward, lambda rng: iter([sample]), reference=pair.value)
    arguments = [getattr(pair.call, part, ()) for part in ("args", "kwargs", "parts")]
    places = bool(integers_in([pair.settings, *arguments], arrays_alone=True).size)
    places = places or getattr(pair, "takes_integers", False)
    integers = places or bool(integers_in([pair.settings, *arguments]).size)
    may_not_end = getattr(pair, "may_not_end", False)
    trial: Trial = options.trial(
        node,
        sample,
        ValueTrial,
        value=(pair.meant or pair).value,
        # what is meant may hold arrays of the given shapes
        fixed_shapes=pair.meant is not None
        or (pair.compiles and not pair.is_written)
        or not _is_python(getattr(pair.call, "function", None)),
        sheltered=sheltered and options.explore == "all" and pair.meant is None,
        holds_integers=integers,
        holds_places=places,
        slow_shapes=pair.compiles,
        held_lengths=getattr(pair, "held_lengths", frozenset()),
        may_not_end=may_not_end,
    )
    return trial


def _coarse_atol(trial: Trial, eps: float) -> float:
    """Return what half precision puts the elements of a gradient off by that are small beside its largest."""
    try:
        with quiet():
            sizes = [float(np.nan_to_num(np.abs(d)).max(initial=0.0)) for d in trial.own_gradients]
    except Exception:  # which the checks tell
        return 0.0
    return ATOL_ULPS * eps * min((size for size in sizes if size), default=0.0)


def _is_python(function: Any) -> bool:
    """Return whether a function, or what it wraps, is written in Python; a class or an object is."""
    return not inspect.isroutine(function) or hasattr(inspect.unwrap(function), "__code__")


def _relaxed(rows: Sequence[Row], trial: Trial, frozen: bool) -> list[Row]:
    """Return the rows with warnings in place of errors that nobody holds other people's code to.

    Those are primals in a layout that the code refuses or of a shape that nobody gave, another gradient for a cotangent
    that backward itself has written into, and last bits that differ from call to call, as those of sums do whose order
    is left to many threads. What is `frozen`, as a function whose gradient is meant may be at the given primals, says
    nothing elsewhere.
    """
    excused: set[str] = set()
    writes = any(row.check == "leaves_arguments_unchanged" and row.verdict is Verdict.WARNING for row in rows)
    unsteady = any(row.check == "repeatable" and row.verdict is Verdict.WRONG for row in rows)
    unsteady = unsteady and _differs_in_last_bits(trial)
    if writes:
        excused.add("repeatable")

    def is_excused(row: Row) -> bool:
        elsewhere = row.sample.startswith("given, ") or "where the primals are" in row.note
        if frozen and row.sample.startswith("given, "):
            return row.verdict is Verdict.WRONG
        refused = row.note.startswith("raised ") and elsewhere
        again = row.check == "repeatable" and unsteady and "called again" in row.note
        return row.verdict is Verdict.WRONG and (refused or again or row.check in excused)

    return [replace(row, verdict=Verdict.WARNING) if is_excused(row) else row for row in rows]


def _differs_in_last_bits(trial: Trial) -> bool:
    """Return whether the gradients of one cotangent, in two calls and after another forward, differ by rounding."""
    try:
        residuals = trial.forward()[1]
        calls = [trial.well_formed(trial.node.backward(residuals, trial.cotangent())) for _ in range(2)]
        calls.append(trial.gradients(trial.cotangent()))
    except Exception:
        return False
    pairs = [(i, a, b) for later in calls[1:] for i, (a, b) in enumerate(zip(calls[0], later, strict=True))]
    return all(compare_two_gradients(trial, i, a, b).verdict is Verdict.PASS for i, a, b in pairs)


def _told(row: Row, pair: FunctionPair[Any], trial: Trial) -> Row:
    """Return a row with the note on its primal's gradient: absent, recast, or of another forward."""
    if row.check == "matches_numerical" and (told := pair.note_of(row.primal)):
        row = replace(row, note="; ".join(filter(None, [row.note, told])))
    if row.check == "matches_numerical" and row.verdict is Verdict.WRONG and row.primal in pair.absent:
        note = f"no gradient of {row.primal} came back, which counts as zero"
        return replace(row, note="; ".join(filter(None, [row.note, note])))
    if row.check == "matches_numerical" and row.verdict is Verdict.WRONG and _is_constant(trial, row):
        note = (
            "forward is constant here: where a straight-through estimator is meant, say of what by intended="
        )
        return replace(row, note="; ".join(filter(None, [note, row.note])))
    if row.check == "matches_reference" and row.verdict is Verdict.WRONG:
        note = "forward gives something else where it is differentiated than where it is not: return the same"
        return replace(row, note="; ".join(filter(None, [note, row.note])))
    if row.check == "shapes_and_dtypes" and row.verdict is Verdict.PASS and row.primal in pair.recast:
        note = f"the gradient of {row.primal} came back as {pair.recast[row.primal]}: keep the primal's dtype"
        return replace(row, verdict=trial.breach, note=note)
    return row


def _is_constant(trial: Trial, row: Row) -> bool:
    """Return whether forward's slopes vanish in all elements of the primal of a row at the given primals."""
    if row.sample != trial.sample.name or trial.is_large or row.primal not in trial.names:
        return False
    return not trial.estimates[trial.names.index(row.primal)].value.any()


def _findings(
    trial: Trial, rows: Sequence[Row], pair: FunctionPair[Any], chosen: Mapping[str, Check]
) -> dict[str, Sequence[Finding]]:
    """Return the mistakes that explain the rows, each once, and the dtypes that the framework has changed."""
    found = list(explain([trial], rows).get(pair.name, ()))
    if "shapes_and_dtypes" in chosen:
        cure = "keep the primal's dtype"
        found += [
            Finding(
                "wrong-dtype",
                name,
                1.0,
                f"the gradient of {name} came back as {dtypes}",
                cure,
                warns=trial.breach is Verdict.WARNING,
            )
            for name, dtypes in pair.recast.items()
        ]
    unique = {(finding.name, finding.primal): finding for finding in reversed(found)}
    return {pair.name: list(unique.values())[::-1]} if unique else {}
