"""Mistakes in what backward makes of its cotangent."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradlab.checks.trial import map_arrays, quiet
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat
from gradlab.node import Array, as_tuple

# Two gradients are the same if they differ by no more than this share of the larger: far more than rounding does.
SAME = 1e-7
# No rounding of a cotangent moves a gradient by more than this share of its terms.
SLIGHT = 2.0**-6
# A cotangent that any clip would cut.
LARGE = 2.0**10


def analytic_for(
    evidence: PrimalEvidence, p: PointEvidence, change: Callable[[Array], Array]
) -> Array | None:
    """Return what backward gives for a changed cotangent; None where backward fails."""
    with quiet():
        try:
            d = p.trial.gradients(map_arrays(change, p.trial.cotangent()))[evidence.i]
        except Exception:
            return None
    return d.astype(np.promote_types(d.dtype, np.float64))


def equal_within(a: Array | None, b: Array | None, rtol: float = SAME) -> bool:
    """Return whether two gradients are equal to within rounding."""
    if a is None or b is None:
        return False
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    return bool(np.abs(a - b).max(initial=0.0) <= rtol * size)


def ignores_cotangent(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the same for every cotangent, and not zero."""
    looked = evidence.wrong_points[:4]
    if not looked or not all(
        evidence.analytic(p).any()
        and equal_within(analytic_for(evidence, p, lambda g: -3 * g), evidence.analytic(p))
        for p in looked
    ):
        return None
    observed = "the gradient is the same for every cotangent"
    ones = evidence.explained_share(lambda p: p.numerical_for(evidence.i, np.ones_like(p.g)))
    if ones:
        observed += ", that of a cotangent of ones"
    return evidence.finding("ignores-cotangent", 1.0, observed, "multiply by the cotangent, dout")


def wrong_cotangent(evidence: PrimalEvidence) -> Finding | None:
    """See whether some output's cotangent is ignored, or another output's cotangent taken for it."""
    if not any(len(as_tuple(p.trial.cotangent())) > 1 for p in evidence.wrong_points):
        return None
    for how, choose in _CHOICES.items():
        confidence = evidence.explained_share(partial(_numerical_for_choice, evidence, choose))
        if confidence and "without" in how:
            cure = "use the cotangent of every output"
            return evidence.finding("ignores-cotangent", confidence, f"the gradient is right {how}", cure)
        if confidence:
            cure = "give each output its own cotangent"
            return evidence.finding("wrong-cotangent", confidence, f"the gradient is right {how}", cure)
    return None


# Given the number of outputs, the index of the cotangent that is taken for each output; -1 for none.
_CHOICES: dict[str, Callable[[int], list[int]]] = {
    "if the cotangent of the first output stands for all": lambda n: [0] * n,
    "if the cotangent of the last output stands for all": lambda n: [n - 1] * n,
    "with the cotangents of the first two outputs exchanged": lambda n: (
        [1, 0, *range(2, n)][:n] if n > 1 else [0]
    ),
    "with the cotangents of the outputs in reverse": lambda n: list(range(n))[::-1],
    "with the cotangent of each output moved on to the next": lambda n: [(k - 1) % n for k in range(n)],
    "with the cotangent of each output moved back to the one before": lambda n: [
        (k + 1) % n for k in range(n)
    ],
    "without the cotangent of output 0": lambda n: [-1 if k == 0 else k for k in range(n)],
    "without the cotangent of output 1": lambda n: [-1 if k == 1 else k for k in range(n)],
    "without the cotangent of the last output": lambda n: [*range(n - 1), -1],
}


def _numerical_for_choice(
    evidence: PrimalEvidence, choose: Callable[[int], list[int]], p: PointEvidence
) -> Array | None:
    parts = as_tuple(p.trial.cotangent())
    chosen: list[Any] = []
    for part, taken in zip(parts, choose(len(parts)), strict=True):
        if parts[taken].shape != part.shape and taken >= 0:
            return None
        chosen.append(parts[taken] if taken >= 0 else np.zeros_like(part))
    return p.numerical_for(evidence.i, flat(tuple(chosen)))


def nonlinear_in_cotangent(evidence: PrimalEvidence) -> Finding | None:
    """See whether a multiple of the cotangent does not give the same multiple of the gradient."""
    for change, c in ((lambda g: 2 * g, 2.0), (lambda g: -g, -1.0), (lambda g: LARGE * g, LARGE)):
        for p in (evidence.wrong_points or list(evidence.points))[:6]:
            scaled, right = analytic_for(evidence, p, change), c * evidence.analytic(p)
            # infinities, as at a pole, say nothing of a factor
            finite = scaled is not None and bool(np.isfinite(scaled).all() and np.isfinite(right).all())
            if scaled is not None and finite and not equal_within(scaled, right, 1e-6):
                size = float(np.abs(scaled).max(initial=0.0)) / max(
                    float(np.abs(evidence.analytic(p)).max()), 1e-300
                )
                observed = f"for {c:g} times the cotangent the gradient's largest element is {size:.4g} times as large"
                cure = "use the cotangent once, as a factor: no square, no sign, no clip, no norm"
                return evidence.finding("nonlinear-in-cotangent", 1.0, observed, cure)
    return None


BIAS_CURE = (
    "leave out what is added (an epsilon, a buffer that does not start at 0, a penalty's own gradient)"
)


def bias_at_zero(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is not zero for a cotangent of zero."""
    offsets = [analytic_for(evidence, p, np.zeros_like) for p in evidence.wrong_points[:6]]
    known = [offset for offset in offsets if offset is not None]
    if not known or not all(offset.any() and np.isfinite(offset).all() for offset in known):
        return None
    largest = max(float(np.abs(offset).max()) for offset in known)
    observed = f"for a cotangent of zero the gradient is not zero but up to {largest:.4g}"
    return evidence.finding("additive-bias", 1.0, observed, BIAS_CURE)


def additive_bias(evidence: PrimalEvidence) -> Finding | None:
    """See whether the same number is added to every element, and is no mean of the right gradient."""
    given = [p for p in evidence.wrong_points if p.is_given] or evidence.wrong_points
    large = [p for p in given if evidence.primal(p).size > 2]
    for p in large:
        numerical = p.numerical(evidence.i)
        d = evidence.analytic(p) - numerical
        added = float(np.mean(d))
        if np.ptp(d) > 0.01 * abs(added) or abs(abs(added) - abs(float(np.mean(numerical)))) <= 0.01 * abs(
            added
        ):
            return None
    # where the right gradient is the same everywhere, what is added to it may as well be a factor
    if not large or all(
        np.ptp(p.numerical(evidence.i)) <= 1e-3 * np.abs(p.numerical(evidence.i)).max() for p in large
    ):
        return None
    number = float(np.mean(evidence.analytic(large[0]) - large[0].numerical(evidence.i)))
    return evidence.finding("additive-bias", 0.95, f"{number:.4g} is added to every element", BIAS_CURE)


def float32_round_trip(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is off by no more than the rounding of a narrower dtype, and not by a factor."""
    given = [p for p in evidence.wrong_points if p.is_given and evidence.primal(p).dtype == np.float64]
    if not given or len(given) < sum(p.is_given for p in evidence.wrong_points):
        return None
    for narrow in (np.float32, np.float16):
        unit = float(np.finfo(narrow).eps)
        fits = all(_is_rounded(evidence, p, narrow) for p in given)
        near = all(_is_within_rounding(evidence, p, unit) for p in given)
        slight = all(_is_within_rounding(evidence, p, SLIGHT) for p in given)
        rounded = (narrow is np.float16 and slight) and bool(
            evidence.explained_share(partial(_numerical_for_rounded, evidence, narrow))
        )
        irregular = narrow is np.float32 and near and _is_irregular(evidence, given)
        # what was computed in float32 jumps from number to number
        if (fits and near) or rounded or (irregular and not all(is_smooth(evidence, p) for p in given)):
            observed = (
                f"the gradient is right to the {np.finfo(narrow).precision} digits of {np.dtype(narrow).name}"
            )
            cure = f"compute in the primal's dtype throughout, without {np.dtype(narrow).name} on the way"
            return evidence.finding("float32-round-trip", 0.95, observed, cure)
    return None


def _is_rounded(evidence: PrimalEvidence, p: PointEvidence, narrow: Any) -> bool:
    """Return whether the gradient, for this cotangent or for one of ones, has only values that a dtype can hold."""
    found = (evidence.analytic(p), analytic_for(evidence, p, np.ones_like))
    return any(d is not None and equal_within(d, d.astype(narrow).astype(np.float64), 0.0) for d in found)


def _numerical_for_rounded(evidence: PrimalEvidence, narrow: Any, p: PointEvidence) -> Array:
    return p.numerical_for(evidence.i, p.g.astype(narrow).astype(np.float64))


def _is_within_rounding(evidence: PrimalEvidence, p: PointEvidence, unit: float) -> bool:
    numerical = p.numerical(evidence.i)
    terms = np.abs(numerical) + np.nan_to_num(p.trial.estimates[evidence.i].terms, posinf=0.0)
    off = np.abs(evidence.analytic(p) - numerical)
    # beside terms that cancel, whatever is returned is within their rounding
    return bool((off <= 2 * unit * terms).all() and off.max(initial=0) <= np.abs(numerical).max(initial=0))


def _is_irregular(evidence: PrimalEvidence, given: list[PointEvidence]) -> bool:
    """Return whether the relative error is another in each element, so that it is no factor."""
    parts = []
    for p in given:
        numerical = p.numerical(evidence.i)
        parts.append(
            ((evidence.analytic(p) - numerical) / np.where(numerical == 0, np.inf, numerical)).ravel()
        )
    off = np.concatenate(parts)
    return bool(off.size > 2 and np.ptp(off) > 0.5 * np.abs(off).max())


def is_smooth(evidence: PrimalEvidence, p: PointEvidence) -> bool:
    """Return whether the gradient is as good as a line over tiny steps, which nothing in float32 is."""
    found = []
    for k in range(3):
        moved = [x * x.dtype.type(1 + k * 2.0**-26) for x in p.trial.primals()]
        with quiet():
            try:
                d = p.trial.at(f"{k} tiny steps on", moved).gradients(p.trial.cotangent())[evidence.i]
            except Exception:
                return False
        found.append(d.astype(np.float64))
    size = float(np.abs(found[0]).max(initial=0.0))
    return bool(np.abs(found[2] - 2 * found[1] + found[0]).max(initial=0.0) <= 1e-11 * size)
