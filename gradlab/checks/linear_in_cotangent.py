"""Backward is linear in the cotangent: B(2 g1 - 3 g2) = 2 B(g1) - 3 B(g2), B(c g) = c B(g), and B(0) = 0."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.line_judgement import usual_gradient
from gradlab.checks.trial import Trial
from gradlab.checks.trial.gradient_comparison import RESIDUE, rounding_of_gradients
from gradlab.checks.trial.large_primals import size_of_terms
from gradlab.checks.trial.linearity import (
    FIRST,
    ROUNDING_ULPS,
    Relation,
    demanded_cotangents,
    is_near,
    of_values,
    relations_between,
)
from gradlab.checks.trial.observed_run import ObservedRun, observed
from gradlab.node import Array
from gradlab.numerical.estimate import exact_estimate
from gradlab.verdict import CheckResult, Verdict, compare, largest_of, rtol_for

# What linearity misses by this, relative to each element, may be the tolerance of a solver inside, whose steps depend
# on the cotangent.
SLIGHT = 1e-6
# What is left of terms that cancel, relative to the largest element.
CRUMB = 1e-12


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradients of combined and scaled cotangents with the combination of their gradients."""
    results: list[list[CheckResult]] = [[] for _ in trial.names]
    run = observed(trial)
    shared = run is not None and run.combines
    for relation in relations_between(run.gradients, run.meant) if run and shared else _relations(trial):
        results[relation.i].append(_judge(trial, relation))
    for of_primal in results:
        found = next((result for result in of_primal if result.verdict is not Verdict.PASS), of_primal[0])
        if found.verdict is Verdict.WRONG and trial.may_not_end and _is_slight(of_primal):
            note = "to within a solver's tolerance backward is linear, and no further"
            found = replace(found, verdict=Verdict.WARNING, note=note)
        yield found


def _is_slight(results: Sequence[CheckResult]) -> bool:
    """Return whether all that linearity misses is little, and the gradient of a zero cotangent is zero."""
    wrong = [result for result in results if result.verdict is Verdict.WRONG]
    return all(0 < (result.relative_error or np.inf) <= SLIGHT for result in wrong)


def check_elsewhere(trial: Trial) -> Iterator[CheckResult]:
    """Judge only gradients that differ by more than rounding; leave elements without a value to other checks."""
    for relation in map(of_values, _relations(trial)):
        if not is_near(relation) and not _is_nothing(trial, relation):
            result = _judge(trial, relation)
            if result.verdict is Verdict.WRONG:
                yield result


def _is_nothing(trial: Trial, relation: Relation) -> bool:
    """Return whether both sides are nothing beside the gradients at the given primals: what terms that cancel leave."""
    if trial.registered or trial.origin is None:
        return False
    size = max(float(np.abs(part).max(initial=0.0)) for part in (relation.found, relation.expected))
    return size <= RESIDUE * usual_gradient(trial.origin) * max(relation.size, 1.0)


def is_clear(run: ObservedRun) -> bool:
    """Return whether the backwards of one forward are as linear as rounding lets them be."""
    return run.combines


def _relations(trial: Trial) -> Iterator[Relation]:
    """Yield what linearity demands, of gradients that each come after a forward of their own."""
    demanded = demanded_cotangents(trial)
    gradients = {
        which: trial.own_gradients if which == FIRST else trial.gradients(g) for which, g in demanded.items()
    }
    yield from relations_between(gradients, demanded)


def _judge(trial: Trial, relation: Relation) -> CheckResult:
    if trial.atol is not None or relation.size == 0 or is_near(relation):
        return _compared(trial, relation, None)
    # the two sides round differently: by a few ulps of the terms that were added up on the way, which may well have
    # cancelled in the end
    if trial.origin is not None:
        # at derived primals the sizes of the terms would cost an estimate of every element: the outputs' come first
        terms = size_of_terms(trial)
        # where nobody asked, no residue of terms that cancel on the way counts, whatever these are
        result = _compared(trial, relation, terms, 0.0 if trial.registered else RESIDUE * terms)
        if result.verdict is Verdict.PASS:
            return result
    terms = float(np.nan_to_num(trial.estimates[relation.i].terms, posinf=0.0).max())
    result = _compared(trial, relation, terms)
    if result.verdict is not Verdict.WRONG:
        return result
    # and by what rounding of the primals moves the gradient, where that is more: most of it may be such a residue
    rounding = rounding_of_gradients(trial, trial.cotangent())
    return result if rounding is None else _compared(trial, relation, terms, rounding[relation.i])


def _compared(
    trial: Trial, relation: Relation, terms: float | None, rounding: Array | float = 0.0
) -> CheckResult:
    """Compare the two sides of a relation, to within the rounding of terms of this size; None: as the trial says.

    `rounding` is that of the gradient for a cotangent of usual size, which comes on top of it.
    """
    rtol: float | None = trial.rtol
    atol: Any = trial.atol
    if relation.size == 0:
        rtol, atol = 0.0, 0.0
    elif atol is None and not (terms is None and trial.registered):
        size = largest_of(relation.expected)
        atol = ROUNDING_ULPS * relation.eps * (relation.size * (terms or 0.0) + size)
        # what cancels on the way leaves more in other people's code
        atol = atol + relation.size * rounding + (0.0 if trial.registered else CRUMB * size)
    if trial.noise:
        atol = (atol or 0.0) + relation.size * trial.noise
    if rtol is None:
        rtol = max(rtol_for(relation.found.dtype), ROUNDING_ULPS * relation.eps)
    name = trial.names[relation.i]
    return compare(relation.found, exact_estimate(relation.expected), rtol=rtol, atol=atol, primal=name)
