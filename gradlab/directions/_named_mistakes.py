"""Which named mistake explains the wrong elements that were looked at."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradlab.directions._gradient_check import CheckProgress, GradientCheck
from gradlab.verdict import CheckResult, Verdict

# A factor counts as one if it leaves no more than this share of the errors of all elements that were looked at, and
# these are so many.
LEFT, ENOUGH = 0.02, 4
# A mistake is the whole primal's if so much of it, and of what was looked at, is wrong.
NEARLY_ALL = 0.8


class Mistake(NamedTuple):
    """A mistake that would explain what was seen, as `gradlab.diagnosis` names it."""

    name: str
    primal: str
    confidence: float
    evidence: str
    cure: str


def mistakes(judge: GradientCheck, found: CheckProgress) -> list[Mistake]:
    """Return a mistake for each primal where one explains all that was looked at."""
    of_primals = (_mistake(judge, found, i) for i in range(len(judge.point.names)))
    return [mistake for mistake in of_primals if mistake]


def _mistake(judge: GradientCheck, found: CheckProgress, i: int) -> Mistake | None:
    own = [result for k, result in found.elements.items() if judge.point.owner(k) == i]
    wrong = [result for result in own if result.verdict is Verdict.WRONG]
    name = judge.point.names[i]
    if any(not np.isfinite(result.analytic or 0.0) for result in wrong):
        cure = "look for an overflow, a division by zero or a logarithm of it"
        return Mistake("not-finite", name, 1.0, "the gradient is not finite where forward has a slope", cure)
    if i not in found.spread:
        if len(wrong) != 1:
            return None
        evidence = f"exactly one element is wrong, at {wrong[0].worst_index}"
        return Mistake(
            "single-element", name, 1.0, evidence, "look at how that place is computed, or written to"
        )
    factor = common_factor(wrong)
    if factor is None or share_wrong(judge, found, i) < NEARLY_ALL:
        return None
    seen = f"in all of {len(wrong)} wrong elements that were looked at"
    if factor == 0:
        cure = "compute it, and return what was computed"
        return Mistake("zero-gradient", name, 0.95, f"the gradient is zero {seen}", cure)
    if abs(factor + 1) < LEFT:
        return Mistake("sign-flipped", name, 0.95, f"analytic = -numerical {seen}", "turn its sign")
    cure = "look for a factor that is missing, doubled, or belongs to a mean or an update"
    return Mistake("constant-factor", name, 0.95, f"analytic = {factor_text(factor)} numerical {seen}", cure)


def share_wrong(judge: GradientCheck, found: CheckProgress, i: int) -> float:
    """Return the share of primal `i` that is wrong, as far as a sample of its groups tells."""
    span = judge.point.spans[i]
    sample = {k: size for k, size in found.sample.items() if span.start <= k < span.stop}
    wrong = sum(sample[k] for k in found.wrong(sample))
    covered = sum(group.stop - group.start for group in found.spread[i])
    return float(wrong / max(sum(sample.values()), 1) * covered / (span.stop - span.start))


def common_factor(wrong: Sequence[CheckResult]) -> float | None:
    """Return what the right values must be multiplied by to give the wrong ones, if it is one number."""
    pairs = [(r.analytic, r.numerical) for r in wrong if r.numerical and r.analytic is not None]
    if len(pairs) < ENOUGH:
        return None
    analytic, numerical = np.array(pairs, dtype=np.float64).T
    factor = float(np.median(analytic / numerical))
    left = np.abs(analytic - factor * numerical) <= LEFT * np.abs(analytic - numerical)
    return factor if left.all() else None


def factor_text(factor: float) -> str:
    """Return a factor in words that tell it from 1."""
    return f"{factor:.6g}" if abs(factor - 1) > 1e-4 else f"(1 {factor - 1:+.2g})"
