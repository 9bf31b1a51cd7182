"""Which named mistake explains the wrong elements that were judged alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradlab.directions._gradient_check import GradientCheck, GradientFindings
from gradlab.verdict import CheckResult, Verdict

# A factor is named if it leaves no more than this share of the error of each wrong element, and these are so many at
# the least.
LEFT, ENOUGH = 0.02, 4
# A mistake is the whole primal's if this share of its elements is wrong.
NEARLY_ALL = 0.8


class Mistake(NamedTuple):
    """A mistake that would explain the wrong elements, by the name that `gradlab.diagnosis` gives it."""

    name: str
    primal: str
    confidence: float
    evidence: str
    cure: str


def named_mistakes(check: GradientCheck, findings: GradientFindings) -> list[Mistake]:
    """Return a mistake for each primal in which a single mistake explains all wrong elements."""
    of_primals = (_named_mistake(check, findings, i) for i in range(len(check.point.names)))
    return [mistake for mistake in of_primals if mistake]


def _named_mistake(check: GradientCheck, findings: GradientFindings, i: int) -> Mistake | None:
    own = [result for k, result in findings.elements.items() if check.point.primal_of(k) == i]
    wrong = [result for result in own if result.verdict is Verdict.WRONG]
    name = check.point.names[i]
    if any(not np.isfinite(result.analytic or 0.0) for result in wrong):
        cure = "look for an overflow, a division by zero or a logarithm of it"
        return Mistake("not-finite", name, 1.0, "the gradient is not finite where forward has a slope", cure)
    if i not in findings.wrong_groups:
        if len(wrong) != 1:
            return None
        evidence = f"exactly one element is wrong, at {wrong[0].worst_index}"
        return Mistake(
            "single-element", name, 1.0, evidence, "look at how that place is computed, or written to"
        )
    factor = common_factor(wrong)
    if factor is None or share_wrong(check, findings, i) < NEARLY_ALL:
        return None
    return factor_mistake(name, factor, f"in all of {len(wrong)} wrong elements that were looked at")


def factor_mistake(name: str, factor: float, where: str) -> Mistake:
    """Return the mistake of a gradient that is the right one times a factor; `where` that was seen."""
    if factor == 0:
        cure = "compute it, and return what was computed"
        return Mistake("zero-gradient", name, 0.95, f"the gradient is zero {where}", cure)
    if abs(factor + 1) < LEFT:
        return Mistake("sign-flipped", name, 0.95, f"analytic = -numerical {where}", "turn its sign")
    cure = "look for a factor that is missing, doubled, or belongs to a mean or an update"
    return Mistake("constant-factor", name, 0.95, f"analytic = {factor_text(factor)} numerical {where}", cure)


def share_wrong(check: GradientCheck, findings: GradientFindings, i: int) -> float:
    """Return the share of primal `i` that is wrong, estimated from the elements that were drawn by chance."""
    span = check.point.spans[i]
    sample = {k: size for k, size in findings.sample.items() if span.start <= k < span.stop}
    wrong = sum(sample[k] for k in findings.wrong_among(sample))
    covered = sum(group.stop - group.start for group in findings.wrong_groups[i])
    return float(wrong / max(sum(sample.values()), 1) * covered / (span.stop - span.start))


def common_factor(wrong: Sequence[CheckResult]) -> float | None:
    """Return the factor that makes all wrong values of the right ones, or None if no one factor does."""
    pairs = [(r.analytic, r.numerical) for r in wrong if r.numerical and r.analytic is not None]
    if len(pairs) < ENOUGH:
        return None
    analytic, numerical = np.array(pairs, dtype=np.float64).T
    factor = float(np.median(analytic / numerical))
    left = np.abs(analytic - factor * numerical) <= LEFT * np.abs(analytic - numerical)
    return factor if left.all() else None


def factor_text(factor: float) -> str:
    """Return a factor in digits enough to tell it from 1."""
    return f"{factor:.6g}" if abs(factor - 1) > 1e-4 else f"(1 {factor - 1:+.2g})"
