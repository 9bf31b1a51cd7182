"""Mistakes that leave the gradient's direction: its sign, a factor, nothing at all."""

from collections.abc import Iterator

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, LEFT, VISIBLE, PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat

# A factor counts as a named quantity if it is this near to it.
NEAR = 1e-4


def zero_gradient(seen: PrimalEvidence) -> Finding | None:
    """See whether it is zero everywhere."""
    if any(seen.analytic(p).any() for p in seen.points) or not seen.wrong:
        return None
    cure = "compute it, and return what was computed (not a buffer that a copy was written into)"
    return seen.found("zero-gradient", 1.0, "the analytic gradient is zero wherever it was looked at", cure)


def sign_flipped(seen: PrimalEvidence) -> Finding | None:
    """See whether it is the negative of what is right."""
    confidence = seen.explained(lambda p: -p.numerical(seen.i))
    if not confidence:
        return None
    return seen.found(
        "sign-flipped", confidence if not seen.right else 0.85, "analytic = -numerical", "turn its sign"
    )


def constant_factor(seen: PrimalEvidence) -> Finding | None:
    """See whether it is a multiple of what is right: one at all points, or one that goes with a size or a setting."""
    if not any(seen.analytic(p).any() for p in seen.wrong):
        return None  # that is told as what it is
    factors = {}
    for k, p in enumerate(seen.wrong):
        numerical, smooth = p.numerical(seen.i), ~p.kinks[seen.i]
        square = float(np.sum(numerical[smooth] ** 2))
        factor = float(np.sum((seen.analytic(p) * numerical)[smooth])) / square if square else float("nan")
        if seen.share(p, factor * numerical) >= 1 - LEFT or (
            # of a factor near 1 the numerical side's own error is a larger part
            not p.is_given and seen.share(p, factor * numerical) >= 0.8
        ):
            factors[k] = factor
    given = [k for k, p in enumerate(seen.wrong) if p.is_given]
    if not factors or not all(k in factors for k in given) or len(factors) < 0.8 * len(seen.wrong):
        return None
    # of a gradient that is as good as zero the factor is rounding
    usual = max(seen.size(seen.wrong[k]) for k in factors)
    known = [(seen.wrong[k], c) for k, c in factors.items() if seen.size(seen.wrong[k]) > VISIBLE * usual]
    elements = sum(int(np.count_nonzero(p.numerical(seen.i))) for p, _ in known)
    quantity, power = _quantity(seen, known)
    exempt = bool(quantity) and all(_is_one(seen, p, quantity) for p in seen.right)
    values = np.array([c for _, c in known])
    tolerance = NEAR * max(NEAR, float(np.abs(values - 1).max())) * 100
    near = np.abs(values - np.median(values)) <= tolerance
    of_given = [is_near for is_near, (p, _) in zip(near, known, strict=True) if p.is_given]
    same = all(of_given) and bool(near.mean() >= ALMOST_ALL)
    if not same and not quantity and elements < 4 * len(known):
        return None  # of few numbers each, everything is nearly a multiple
    here = next((c for p, c in known if p.is_given), float(np.median(values)))
    if same and not quantity and abs(here + 1) <= NEAR:
        return None  # that is its sign
    evidence = _said(quantity, power, here, same)
    confidence = 1.0 if not seen.right or exempt else 0.8
    if seen.right and not exempt:
        evidence += f"; not at every sample: right at {seen.right[0].trial.sample.name!r}"
    return seen.found("constant-factor", confidence, evidence, _cure(quantity))


def _said(quantity: str, power: float, factor: float, same: bool) -> str:
    """Return in words a factor, which is another at each sample unless `same`."""
    if quantity:
        number = f"{factor ** (1 / power):.6g}"
        shown = f"sqrt({number})" if abs(power) < 1 else number
        return f"analytic = numerical {'/' if power < 0 else '*'} {shown}, and {number} is {quantity}"
    factor_or_factors = f"{factor:.6g} numerical" if same else "c numerical, with another c at each sample"
    return f"analytic = {factor_or_factors}"


def _is_one(seen: PrimalEvidence, p: PointEvidence, quantity: str) -> bool:
    """Return whether this quantity is 1, or is not there at all, so that the factor is none."""
    return all(value == 1 for name, value in _quantities(seen, p) if name == quantity)


def _cure(quantity: str) -> str:
    if "batch" in quantity:
        return "a mean over the batch is missing, or taken twice"
    if "number of" in quantity or "length" in quantity:
        return "a mean is missing, or taken twice, or a sum stands for it"
    return "look for a factor that is missing, doubled, or belongs to the update (a learning rate)"


def _quantity(seen: PrimalEvidence, known: list[tuple[PointEvidence, float]]) -> tuple[str, float]:
    """Return what in shapes or settings the factor is a power of at all points, and the power; or no name."""
    named = [dict(_quantities(seen, p)) for p, _ in known]
    for name in named[0]:
        for power in (-1.0, 1.0, -0.5, 0.5):
            if all(
                name in quantities and abs(c - quantities[name] ** power) <= NEAR * quantities[name] ** power
                for quantities, (_, c) in zip(named, known, strict=True)
            ):
                return name, power
    return "", 1.0


def _quantities(seen: PrimalEvidence, p: PointEvidence) -> Iterator[tuple[str, float]]:
    """Yield sizes and settings at a point; a size of 1 says nothing, and no size at all is one."""
    first, x = p.trial.sample.primals[0], seen.primal(p)
    if first.ndim:
        yield f"the batch axis of {p.trial.names[0]}", float(first.shape[0] or 1)
    for axis in range(x.ndim):
        yield f"the length of axis {axis} of {seen.name}", float(x.shape[axis] or 1)
        yield f"the length of axis {axis - x.ndim} of {seen.name}", float(x.shape[axis] or 1)
        if x.shape[axis] > 1:
            less = f"the length less 1, over the length, of axis {axis - x.ndim} of {seen.name}"
            yield less, (x.shape[axis] - 1) / x.shape[axis]
    outputs = flat(p.trial.output).size
    yield f"the number of elements of {seen.name}", float(x.size or 1)
    yield "the number of elements of the output", float(outputs or 1)
    yield f"the number of outputs for each element of {seen.name}", max(outputs, 1) / max(x.size, 1)
    for name, primal in zip(p.trial.names, p.trial.sample.primals, strict=True):
        for axis in range(primal.ndim):
            yield f"the length of axis {axis - primal.ndim} of {name}", float(primal.shape[axis] or 1)
    for name, value in p.trial.sample.settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield f"the setting {name}", float(value)
