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

# Two gradients are the same if they differ by no more than this share of the larger, which is far more than rounding.
SAME = 1e-7
# A cotangent that any clip would cut.
LARGE = 2.0**10


def gradient_for(seen: PrimalEvidence, p: PointEvidence, change: Callable[[Array], Array]) -> Array | None:
    """Return what backward gives for a changed cotangent; None where it gives nothing."""
    with quiet():
        try:
            d = p.trial.gradients(map_arrays(change, p.trial.cotangent()))[seen.i]
        except Exception:
            return None
    return d.astype(np.promote_types(d.dtype, np.float64))


def same(a: Array | None, b: Array | None, rtol: float = SAME) -> bool:
    """Return whether two gradients are equal to within rounding."""
    if a is None or b is None:
        return False
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    return bool(np.abs(a - b).max(initial=0.0) <= rtol * size)


def ignores_cotangent(seen: PrimalEvidence) -> Finding | None:
    """See whether it is the same gradient for every cotangent, and not zero."""
    looked = seen.wrong[:4]
    if not looked or not all(
        seen.analytic(p).any() and same(gradient_for(seen, p, lambda g: -3 * g), seen.analytic(p))
        for p in looked
    ):
        return None
    evidence = "the gradient is the same for every cotangent"
    ones = seen.explained(lambda p: p.pulled(seen.i, np.ones_like(p.g)))
    if ones:
        evidence += ", that of a cotangent of ones"
    return seen.found("ignores-cotangent", 1.0, evidence, "multiply by the cotangent, dout")


def wrong_cotangent(seen: PrimalEvidence) -> Finding | None:
    """See whether of several outputs another's cotangent was taken for one of them, or none."""
    if not any(len(as_tuple(p.trial.cotangent())) > 1 for p in seen.wrong):
        return None
    for how, choose in _CHOICES.items():
        confidence = seen.explained(partial(_pulled, seen, choose))
        if confidence and "without" in how:
            cure = "use the cotangent of every output"
            return seen.found("ignores-cotangent", confidence, f"the gradient is right {how}", cure)
        if confidence:
            cure = "give each output its own cotangent"
            return seen.found("wrong-cotangent", confidence, f"the gradient is right {how}", cure)
    return None


# Of so many outputs, which one's cotangent is taken for each; -1 for none.
_CHOICES: dict[str, Callable[[int], list[int]]] = {
    "if the first output's cotangent stands for all": lambda n: [0] * n,
    "if the last output's cotangent stands for all": lambda n: [n - 1] * n,
    "with the first two outputs' cotangents exchanged": lambda n: [1, 0, *range(2, n)][:n] if n > 1 else [0],
    "with the outputs' cotangents in reverse": lambda n: list(range(n))[::-1],
    "with each output's cotangent moved on to the next": lambda n: [(k - 1) % n for k in range(n)],
    "with each output's cotangent moved back to the one before": lambda n: [(k + 1) % n for k in range(n)],
    "without the cotangent of output 0": lambda n: [-1 if k == 0 else k for k in range(n)],
    "without the cotangent of output 1": lambda n: [-1 if k == 1 else k for k in range(n)],
    "without the cotangent of the last output": lambda n: [*range(n - 1), -1],
}


def _pulled(seen: PrimalEvidence, choose: Callable[[int], list[int]], p: PointEvidence) -> Array | None:
    parts = as_tuple(p.trial.cotangent())
    chosen: list[Any] = []
    for part, taken in zip(parts, choose(len(parts)), strict=True):
        if parts[taken].shape != part.shape and taken >= 0:
            return None
        chosen.append(parts[taken] if taken >= 0 else np.zeros_like(part))
    return p.pulled(seen.i, flat(tuple(chosen)))


def nonlinear_in_cotangent(seen: PrimalEvidence) -> Finding | None:
    """See whether twice the cotangent does not give twice the gradient, nor its negative the negative."""
    for change, c in ((lambda g: 2 * g, 2.0), (lambda g: -g, -1.0), (lambda g: LARGE * g, LARGE)):
        for p in (seen.wrong or list(seen.points))[:6]:
            scaled = gradient_for(seen, p, change)
            if scaled is not None and not same(scaled, c * seen.analytic(p), 1e-6):
                size = float(np.abs(scaled).max(initial=0.0)) / max(
                    float(np.abs(seen.analytic(p)).max()), 1e-300
                )
                evidence = f"for {c:g} times the cotangent the gradient's largest element is {size:.4g} times as large"
                cure = "use the cotangent once, as a factor: no square, no sign, no clip, no norm"
                return seen.found("nonlinear-in-cotangent", 1.0, evidence, cure)
    return None


BIAS_CURE = (
    "leave out what is added (an epsilon, a buffer that does not start at 0, a penalty's own gradient)"
)


def bias_at_zero(seen: PrimalEvidence) -> Finding | None:
    """See whether something is there for a cotangent of zero too."""
    offsets = [gradient_for(seen, p, np.zeros_like) for p in seen.wrong[:6]]
    known = [offset for offset in offsets if offset is not None]
    if not known or not all(offset.any() and np.isfinite(offset).all() for offset in known):
        return None
    largest = max(float(np.abs(offset).max()) for offset in known)
    evidence = f"for a cotangent of zero the gradient is not zero but up to {largest:.4g}"
    return seen.found("additive-bias", 1.0, evidence, BIAS_CURE)


def additive_bias(seen: PrimalEvidence) -> Finding | None:
    """See whether one number is added to every element, and no mean."""
    given = [p for p in seen.wrong if p.is_given] or seen.wrong
    large = [p for p in given if seen.primal(p).size > 2]
    for p in large:
        numerical = p.numerical(seen.i)
        d = seen.analytic(p) - numerical
        added = float(np.mean(d))
        if np.ptp(d) > 0.01 * abs(added) or abs(abs(added) - abs(float(np.mean(numerical)))) <= 0.01 * abs(
            added
        ):
            return None
    # of a gradient that is one number everywhere, another number everywhere is as well a multiple
    if not large or all(
        np.ptp(p.numerical(seen.i)) <= 1e-3 * np.abs(p.numerical(seen.i)).max() for p in large
    ):
        return None
    number = float(np.mean(seen.analytic(large[0]) - large[0].numerical(seen.i)))
    return seen.found("additive-bias", 0.95, f"{number:.4g} is added to every element", BIAS_CURE)


def float32_round_trip(seen: PrimalEvidence) -> Finding | None:
    """See whether it is off by the rounding of a narrower dtype, no more, and not by one factor."""
    given = [p for p in seen.wrong if p.is_given and seen.primal(p).dtype == np.float64]
    if not given or len(given) < sum(p.is_given for p in seen.wrong):
        return None
    for narrow in (np.float32, np.float16):
        unit = float(np.finfo(narrow).eps)
        fits = all(_is_rounded(seen, p, narrow) for p in given)
        near = all(_is_within(seen, p, unit) for p in given)
        rounded = narrow is np.float16 and bool(seen.explained(partial(_rounded, seen, narrow)))
        if (fits and near) or rounded or (narrow is np.float32 and near and _is_irregular(seen, given)):
            evidence = (
                f"the gradient is right to the {np.finfo(narrow).precision} digits of {np.dtype(narrow).name}"
            )
            cure = f"compute in the primal's dtype throughout, without {np.dtype(narrow).name} on the way"
            return seen.found("float32-round-trip", 0.95, evidence, cure)
    return None


def _is_rounded(seen: PrimalEvidence, p: PointEvidence, narrow: Any) -> bool:
    """Return whether all numbers, or those for a cotangent of ones, which no other factor follows, are of a dtype."""
    found = (seen.analytic(p), gradient_for(seen, p, np.ones_like))
    return any(d is not None and same(d, d.astype(narrow).astype(np.float64), 0.0) for d in found)


def _rounded(seen: PrimalEvidence, narrow: Any, p: PointEvidence) -> Array:
    return p.pulled(seen.i, p.g.astype(narrow).astype(np.float64))


def _is_within(seen: PrimalEvidence, p: PointEvidence, unit: float) -> bool:
    numerical = p.numerical(seen.i)
    terms = np.abs(numerical) + np.nan_to_num(p.trial.estimates[seen.i].terms, posinf=0.0)
    return bool((np.abs(seen.analytic(p) - numerical) <= 2 * unit * terms).all())


def _is_irregular(seen: PrimalEvidence, given: list[PointEvidence]) -> bool:
    """Return whether the relative error is another in each element: not a factor."""
    parts = []
    for p in given:
        numerical = p.numerical(seen.i)
        parts.append(((seen.analytic(p) - numerical) / np.where(numerical == 0, np.inf, numerical)).ravel())
    off = np.concatenate(parts)
    return bool(off.size > 2 and np.ptp(off) > 0.5 * np.abs(off).max())
