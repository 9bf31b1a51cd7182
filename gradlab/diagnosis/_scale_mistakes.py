"""Mistakes of scale: a gradient that is the right one times a number, -1 and 0 among them."""

from collections.abc import Iterator

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, LEFT, VISIBLE, PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat

# A factor is taken for a quantity that has a name (a length, a setting) if it is this near to it.
NEAR = 1e-4
# How sure a constant factor is that nobody would write.
STRANGE = 0.85
# To how many digits people write a factor.
DIGITS = 1e-3
# And up to which numbers.
LARGEST = 200


def zero_gradient(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is zero everywhere."""
    if any(evidence.analytic(p).any() for p in evidence.points) or not evidence.wrong_points:
        return None
    cure = "compute it, and return what was computed (not a buffer that a copy was written into)"
    return evidence.finding(
        "zero-gradient", 1.0, "the analytic gradient is zero wherever it was looked at", cure
    )


def sign_flipped(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the negative of the right one."""
    confidence = evidence.explained_share(lambda p: -p.numerical(evidence.i))
    if not confidence:
        return None
    return evidence.finding(
        "sign-flipped",
        confidence if not evidence.right_points else 0.85,
        "analytic = -numerical",
        "turn its sign",
    )


def constant_factor(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the right one times a factor: a constant, or a power of a size or of a setting."""
    if not any(evidence.analytic(p).any() for p in evidence.wrong_points):
        return None  # that is told as a zero gradient
    if all(p.kinks[evidence.i][p.wrong(evidence.i)].all() for p in evidence.wrong_points):
        return None  # at a kink there is no slope to be a multiple of
    factors = {}
    for k, p in enumerate(evidence.wrong_points):
        numerical, smooth = p.numerical(evidence.i), ~p.kinks[evidence.i]
        square = float(np.sum(numerical[smooth] ** 2))
        factor = (
            float(np.sum((evidence.analytic(p) * numerical)[smooth])) / square if square else float("nan")
        )
        if evidence.explained_share_at(p, factor * numerical) >= 1 - LEFT or (
            # if the factor is near 1, the numerical side's own error is a larger part of the mismatch
            not p.is_given and evidence.explained_share_at(p, factor * numerical) >= 0.8
        ):
            factors[k] = factor
    given = [k for k, p in enumerate(evidence.wrong_points) if p.is_given]
    if not factors or not all(k in factors for k in given) or len(factors) < 0.8 * len(evidence.wrong_points):
        return None
    # where the gradient is as good as zero the factor is rounding
    usual = max(evidence.numerical_size(evidence.wrong_points[k]) for k in factors)
    known = [
        (evidence.wrong_points[k], c)
        for k, c in factors.items()
        if evidence.numerical_size(evidence.wrong_points[k]) > VISIBLE * usual
    ]
    elements = sum(int(np.count_nonzero(p.numerical(evidence.i))) for p, _ in known)
    quantity, power = _matching_quantity(evidence, known)
    exempt = bool(quantity) and all(_is_one_or_absent(evidence, p, quantity) for p in evidence.right_points)
    values = np.array([c for _, c in known])
    tolerance = NEAR * max(NEAR, float(np.abs(values - 1).max())) * 100
    near = np.abs(values - np.median(values)) <= tolerance
    of_given = [is_near for is_near, (p, _) in zip(near, known, strict=True) if p.is_given]
    same = all(of_given) and bool(near.mean() >= ALMOST_ALL)
    if not same and not quantity and elements < 4 * len(known):
        return None  # any few numbers are nearly a multiple of any others
    here = next((c for p, c in known if p.is_given), float(np.median(values)))
    if same and not quantity and abs(here + 1) <= NEAR:
        return None  # that is told as a flipped sign
    observed = _factor_in_words(quantity, power, here, same)
    confidence = 1.0 if not evidence.right_points or exempt else 0.8
    if not quantity and not _is_plain(here):
        confidence = min(confidence, STRANGE)  # nobody forgets such a number
    if evidence.right_points and not exempt:
        observed += f"; not at every sample: right at {evidence.right_points[0].trial.sample.name!r}"
    return evidence.finding("constant-factor", confidence, observed, _cure(quantity))


def _is_plain(factor: float) -> bool:
    """Return whether a factor is one of numbers that people write: a ratio of small whole ones, or some digits."""
    of = (abs(factor), 1 / abs(factor) if factor else 0.0)
    ratio = any(
        abs(c * n - round(c * n)) <= NEAR * c * n and 0.5 < c * n <= LARGEST for c in of for n in range(1, 65)
    )
    return ratio or (abs(factor) >= DIGITS and abs(factor / DIGITS - round(factor / DIGITS)) <= NEAR)


def _factor_in_words(quantity: str, power: float, factor: float, same: bool) -> str:
    """Return the factor in words; unless `same`, it is another at each sample."""
    if quantity:
        number = f"{factor ** (1 / power):.6g}"
        shown = f"sqrt({number})" if abs(power) < 1 else number
        return f"analytic = numerical {'/' if power < 0 else '*'} {shown}, and {number} is {quantity}"
    factor_or_factors = f"{factor:.6g} numerical" if same else "c numerical, with another c at each sample"
    return f"analytic = {factor_or_factors}"


def _is_one_or_absent(evidence: PrimalEvidence, p: PointEvidence, quantity: str) -> bool:
    """Return whether this quantity is 1 at a point, or not there at all, so that its factor changes nothing."""
    return all(value == 1 for name, value in _quantities(evidence, p) if name == quantity)


def _cure(quantity: str) -> str:
    if "batch" in quantity:
        return "a mean over the batch is missing, or taken twice"
    if "number of" in quantity or "length" in quantity:
        return "a mean is missing, or taken twice, or a sum stands for it"
    return "look for a factor that is missing, doubled, or belongs to the update (a learning rate)"


def _matching_quantity(
    evidence: PrimalEvidence, known: list[tuple[PointEvidence, float]]
) -> tuple[str, float]:
    """Return the size or setting of which the factor is the same power at all points, and the power; '' if none."""
    named = [dict(_quantities(evidence, p)) for p, _ in known]
    for name in named[0]:
        for power in (-1.0, 1.0, -0.5, 0.5):
            if all(
                name in quantities and abs(c - quantities[name] ** power) <= NEAR * quantities[name] ** power
                for quantities, (_, c) in zip(named, known, strict=True)
            ):
                return name, power
    return "", 1.0


def _quantities(evidence: PrimalEvidence, p: PointEvidence) -> Iterator[tuple[str, float]]:
    """Yield sizes and settings at a point, with their names; a size of 0 counts as 1."""
    first, x = p.trial.sample.primals[0], evidence.primal(p)
    if first.ndim:
        yield f"the batch axis of {p.trial.names[0]}", float(first.shape[0] or 1)
    for axis in range(x.ndim):
        yield f"the length of axis {axis} of {evidence.name}", float(x.shape[axis] or 1)
        yield f"the length of axis {axis - x.ndim} of {evidence.name}", float(x.shape[axis] or 1)
        if x.shape[axis] > 1:
            less = f"the length less 1, over the length, of axis {axis - x.ndim} of {evidence.name}"
            yield less, (x.shape[axis] - 1) / x.shape[axis]
    outputs = flat(p.trial.output).size
    yield f"the number of elements of {evidence.name}", float(x.size or 1)
    yield "the number of elements of the output", float(outputs or 1)
    yield f"the number of outputs for each element of {evidence.name}", max(outputs, 1) / max(x.size, 1)
    for name, primal in zip(p.trial.names, p.trial.sample.primals, strict=True):
        for axis in range(primal.ndim):
            yield f"the length of axis {axis - primal.ndim} of {name}", float(primal.shape[axis] or 1)
    for name, value in p.trial.sample.settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield f"the setting {name}", float(value)
