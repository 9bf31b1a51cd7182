"""The gradient of another function than forward: nearly the same one, one of another order, of another variable."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, VISIBLE, PrimalEvidence
from gradlab.diagnosis.cotangent_mistakes import analytic_for, equal_within, is_smooth
from gradlab.diagnosis.point_evidence import LARGEST, PointEvidence, flat, has_large_jacobian
from gradlab.node import Array, as_tuple

# A function that is nearly forward has a gradient that is off by no more than CLOSE, and one with rounded constants by
# no more than ROUNDED, relative to the largest element.
CLOSE, ROUNDED = 0.05, 1e-4
# A rougher one is off by no more than ROUGH where the primal is no more than WIDER times as large as at the samples:
# far out an approximation is another function.
ROUGH, WIDER = 0.15, 1.5
# An epsilon counts for less where the primals are LARGER times as large, and for less again where they are that once
# more: both times the relative error falls to the same share of what it was, of no more than FADED, to within ALIKE.
LARGER, FADED, ALIKE = 4.0, 0.3, 2.0
# Two numbers are the same to within this; entries of a Jacobian below TINY of the largest are none.
SAME, TINY = 1e-5, 1e-6
# More planes of two axes are not looked at.
SLICES = 64
OF_FORWARD = "differentiate the approximation that forward computes, not the function that it stands for"
# A pattern in so many entries is no chance.
ENOUGH = 6


def straight_through(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the cotangent itself."""
    confidence = evidence.explained_share(partial(_cotangent, evidence))
    if not confidence:
        return None
    observed = "the gradient is the cotangent as it came, as if forward were the identity"
    cure = (
        "multiply by forward's slope, or, where a straight-through estimator is meant, say of which function"
    )
    return evidence.finding("straight-through", confidence, observed, cure)


def _cotangent(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    g, shape = p.trial.cotangent(), evidence.primal(p).shape
    return None if isinstance(g, tuple) or g.shape != shape else p.g.reshape(shape)


def log_parameter(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is by the primal's logarithm, or by what the primal is the logarithm of."""
    elements = sum(int(p.wrong(evidence.i).sum()) for p in evidence.wrong_points)
    if elements < ENOUGH:
        return None
    name = evidence.name
    confidence = evidence.explained_share(partial(_by_the_exponential, evidence))
    if confidence:
        observed = (
            f"analytic = numerical / exp({name}): {name} is a logarithm, and the gradient is by what it is of"
        )
        return evidence.finding(
            "log-parameter", confidence, observed, f"multiply by exp({name}), the chain's last link"
        )
    confidence = evidence.explained_share(partial(_by_the_logarithm, evidence))
    if not confidence:
        return None
    observed = f"analytic = numerical * {name}: the gradient is by the logarithm of {name}"
    return evidence.finding("log-parameter", confidence, observed, f"divide by {name}, or take log({name})")


def _by_the_exponential(evidence: PrimalEvidence, p: PointEvidence) -> Array:
    right = p.numerical(evidence.i)
    return np.asarray(np.where(p.wrong(evidence.i), right / np.exp(evidence.primal(p)), right))


def _by_the_logarithm(evidence: PrimalEvidence, p: PointEvidence) -> Array:
    right = p.numerical(evidence.i)
    return np.asarray(np.where(p.wrong(evidence.i), right * evidence.primal(p), right))


def moved_cotangent(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is right for the cotangent moved by a step along an axis of the output, or turned."""
    ndim = max((np.ndim(as_tuple(p.trial.output)[0]) for p in evidence.wrong_points), default=0)
    for axis in range(ndim):
        for step in (1, -1, 0):
            for round_its_end in (True, False) if step else (True,):
                guess = partial(_numerical_for_moved, evidence, axis, step, round_its_end)
                confidence = evidence.explained_share(guess)
                if confidence:
                    how = f"moved by {step:+d}" if step else "turned round"
                    observed = (
                        f"the gradient is right for the cotangent {how} along axis {axis} of the output"
                    )
                    cure = "use each output's own cotangent, at its own place"
                    return evidence.finding("wrong-cotangent", confidence, observed, cure)
    return None


def _numerical_for_moved(
    evidence: PrimalEvidence, axis: int, step: int, round_its_end: bool, p: PointEvidence
) -> Array | None:
    g = p.trial.cotangent()
    if isinstance(g, tuple) or axis >= g.ndim or g.shape[axis] < 2:
        return None
    moved = np.roll(g, step, axis) if step else np.flip(g, axis)
    if not round_its_end:
        np.moveaxis(moved, axis, 0)[slice(0, 1) if step > 0 else slice(-1, None)] = 0
    return p.numerical_for(evidence.i, flat(moved))


def counted_once(evidence: PrimalEvidence) -> Finding | None:
    """See whether what is taken several times, as by repeated indices, counts once."""
    confidence = evidence.explained_share(partial(_of_single_copies, evidence))
    if not confidence:
        return None
    observed = f"what forward takes several times from one element of {evidence.name} counts once"
    return evidence.finding(
        "last-write-wins", confidence, observed, "add up (np.add.at), d[ids] += g does not"
    )


def _of_single_copies(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    """Return the gradient with each multiplicity in the Jacobian, of whole numbers, taken for one."""
    if has_large_jacobian(p.trial):
        return None
    jacobian = p.jacobians[evidence.i]
    whole = np.rint(jacobian)
    if np.abs(jacobian - whole).max(initial=0.0) > SAME or np.abs(whole).max(initial=0.0) < 2:
        return None
    return np.asarray((p.g @ np.sign(whole)).reshape(evidence.primal(p).shape))


def forgotten_mask(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is right once the cotangent is 0 wherever the output is."""
    confidence = evidence.explained_share(partial(_analytic_for_masked, evidence))
    if not confidence:
        return None
    observed = "with the cotangent set to 0 where the output is exactly 0 backward is right"
    cure = "multiply the cotangent by forward's mask before all else"
    return evidence.finding("masked-region", confidence, observed, cure)


def _analytic_for_masked(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    """Return a guess that explains all if backward is right for a masked cotangent, and nothing otherwise."""
    y = p.trial.output
    if isinstance(y, tuple) or not (y == 0).any() or not y.any():
        return None
    masked = analytic_for(evidence, p, lambda g: np.where(y == 0, 0, g).astype(g.dtype))
    right = equal_within(masked, p.numerical(evidence.i), SAME)
    return evidence.analytic(p) if right else None


def wrong_order(evidence: PrimalEvidence) -> Finding | None:
    """See whether a factor for each element was applied on the wrong side of a sum or mean.

    If forward takes A x and then a factor for each element, y = d * (A x), its gradient is A^T (d * g); a backward that
    gives d * (A^T g) has, entry for entry, d_k / d_l times the right Jacobian.
    """
    points = [p for p in evidence.wrong_points if p.is_given] or evidence.wrong_points[:2]
    if not points or not all(_is_scaled_on_both_sides(evidence, p) for p in points[:2]):
        return None
    observed = "entry (k, l) of what backward does is d[k] / d[l] times the right one"
    cure = "apply the factor (a gain, a mask) to the cotangent before the sums and means, not behind them"
    return evidence.finding("wrong-order", 0.95, observed, cure)


def _is_scaled_on_both_sides(evidence: PrimalEvidence, p: PointEvidence) -> bool:
    x, y = evidence.primal(p), p.trial.output
    if isinstance(y, tuple) or y.shape != x.shape or not 3 <= x.size**2 <= min(LARGEST, 10_000):
        return False
    right, found = p.jacobians[evidence.i].T, np.zeros((x.size, x.size))
    for k in range(x.size):
        one = np.zeros(y.size)
        one[k] = 1
        column = analytic_for(evidence, p, lambda g, one=one: one.reshape(g.shape).astype(g.dtype))  # type: ignore[misc]
        if column is None:
            return False
        found[:, k] = column.reshape(-1)
    there = np.abs(right) > TINY * np.abs(right).max()
    if np.abs(found[~there]).max(initial=0.0) > TINY * np.abs(found).max():
        return False
    with np.errstate(all="ignore"):
        ratio = np.log(np.abs(np.where(there, found / right, 1.0)))
    if not np.isfinite(ratio).all() or np.abs(ratio).max() < CLOSE:
        return False
    # log |d_k| - log |d_l|: solved by least squares over all entries that are there
    rows, columns = np.nonzero(there)
    equations = np.zeros((rows.size, x.size))
    equations[np.arange(rows.size), rows] += 1
    equations[np.arange(rows.size), columns] -= 1
    logs, *_ = np.linalg.lstsq(equations, ratio[there], rcond=None)
    left = np.abs(equations @ logs - ratio[there]).max(initial=0.0)
    rank = int(np.linalg.matrix_rank(equations))
    return bool(left < 1e3 * SAME and rows.size - rank >= ENOUGH)


def not_transposed(evidence: PrimalEvidence) -> Finding | None:
    """See whether backward multiplies by the Jacobian itself where it should by its transpose."""
    confidence = evidence.explained_share(partial(_by_the_jacobian, evidence))
    if not confidence:
        return None
    observed = "the gradient is the Jacobian times the cotangent, and should be its transpose times it"
    cure = "transpose the matrix, turn the kernel or the rotation round, on the way back"
    return evidence.finding("transposed", confidence, observed, cure)


def _by_the_jacobian(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    shape = evidence.primal(p).shape
    y = p.trial.output
    if isinstance(y, tuple) or np.shape(y) != shape or has_large_jacobian(p.trial):
        return None
    return np.asarray((p.jacobians[evidence.i] @ p.g).reshape(shape))


def sum_over_another_axis(evidence: PrimalEvidence) -> Finding | None:
    """See whether the mistake is what two exchanged axes leave: parts constant along the one and along the other."""
    points = sorted(evidence.wrong_points, key=lambda p: not p.is_given)
    ndim = min((evidence.primal(p).ndim for p in points), default=0)
    for a in range(-ndim, 0):
        for b in range(a + 1, 0):
            for forms in (
                ("1",),
                ("the output",),
                (evidence.name,),
                ("1", "the output"),
                ("1", evidence.name),
            ):
                fits = [_spare_of_two_axes(evidence, p, a, b, forms) for p in points]
                given = [fit for fit, p in zip(fits, points, strict=True) if p.is_given]
                known = [fit for fit in fits if fit is not None]
                # with as many coefficients as elements everything fits
                if not all(given) or len(known) < ALMOST_ALL * len(fits) or sum(known) < ENOUGH:
                    continue
                of = " and of ".join(forms)
                observed = (
                    f"numerical - analytic is a sum of multiples of {of}, each constant along axis {a} or {b}"
                )
                cure = f"sum over the axis that forward sums over: {a} and {b} are exchanged"
                return evidence.finding("wrong-sum-axis", 0.9, observed, cure)
    return None


def _spare_of_two_axes(
    evidence: PrimalEvidence, p: PointEvidence, a: int, b: int, forms: tuple[str, ...]
) -> int | None:
    """Return how many more elements than coefficients the form explains at a point; None if it does not explain it."""
    d = (p.numerical(evidence.i) - evidence.analytic(p)).astype(np.float64)
    if d.ndim < -a or not d.any() or d.size > d.shape[a] * d.shape[b] * SLICES:
        return None
    factors = []
    for form in forms:
        y = p.trial.output
        if form == "the output" and (isinstance(y, tuple) or np.shape(y) != d.shape):
            return None
        factors.append({"1": np.ones_like(d), "the output": y, evidence.name: evidence.primal(p)}[form])
    # along the other axes everything is for itself
    planes = [_planes(np.asarray(part, np.float64), a, b) for part in (d, *factors)]
    spare = 0
    for one, *beside in zip(*planes, strict=True):
        matrix = np.stack([column for factor in beside for column in _constant_along_each(factor)], axis=1)
        solution, _, rank, _ = np.linalg.lstsq(matrix, one.reshape(-1), rcond=1e-10)
        if np.abs(matrix @ solution - one.reshape(-1)).max() > 1e-4 * float(np.abs(d).max()):
            return None
        spare += one.size - int(rank)
    return spare


def _planes(x: Array, a: int, b: int) -> Array:
    """Return the planes that two axes span, one behind the other."""
    return np.moveaxis(x, (a, b), (-2, -1)).reshape(-1, x.shape[a], x.shape[b])


def _constant_along_each(factor: Array) -> Iterator[Array]:
    """Yield a plane's rows, and its columns, each with zeros around it."""
    for k in range(len(factor)):
        yield np.where(np.arange(len(factor))[:, None] == k, factor, 0.0).reshape(-1)
    for k in range(factor.shape[1]):
        yield np.where(np.arange(factor.shape[1]) == k, factor, 0.0).reshape(-1)


def nearly_the_same_function(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is off by little everywhere, and smoothly: that of rounded constants, of an epsilon.

    What was computed in float32 is off by as little, and jumps from number to number.
    """
    given = [p for p in evidence.wrong_points if p.is_given]
    usual = max((evidence.numerical_size(p) for p in given), default=0.0)
    seen = [p for p in evidence.all_wrong_points if evidence.numerical_size(p) > VISIBLE * usual]
    off = [_relative_error(evidence, p) for p in seen]
    size = max((_relative_error(evidence, p) for p in given), default=np.inf)
    # beyond the samples there are places where an epsilon is all there is
    if size > CLOSE or np.mean(np.array(off) <= CLOSE) < ALMOST_ALL:
        return None
    if not all(is_smooth(evidence, p) for p in given):
        return None
    shown = f"the gradient is off by {size:.1g} of its largest element, and smoothly"
    if _fades_for_larger_primals(evidence, given[0], size):
        cure = "take the epsilon into account where forward does, and only there"
        return evidence.finding(
            "epsilon-mismatch", 0.9, f"{shown}; less so where {evidence.name} is larger", cure
        )
    if size <= ROUNDED:
        cure = "write the constants with all their digits, the same in forward and backward"
        return evidence.finding("rounded-constants", 0.9, f"{shown}, not as by float32", cure)
    return evidence.finding("other-approximation", 0.7, f"{shown}, everywhere that was looked at", OF_FORWARD)


def roughly_the_same_function(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is that of a rougher approximation, as large and of the same sign where primals are.

    Asked last, as many a small mistake looks so.
    """
    widest = WIDER * max((_largest(evidence.primal(p)) for p in evidence.points if p.is_given), default=0.0)
    given = [p for p in evidence.all_wrong_points if p.is_given]
    near = [p for p in evidence.all_wrong_points if p.is_given or _largest(evidence.primal(p)) <= widest]
    if not given or len(near) < ENOUGH or not all(_is_rough(evidence, p) for p in given):
        return None
    if np.mean([_is_rough(evidence, p) for p in near]) < ALMOST_ALL:
        return None
    if not all(is_smooth(evidence, p) for p in given):
        return None
    shown = (
        f"the gradient has the right signs, and is off by up to {ROUGH:.0%} of its largest element, smoothly"
    )
    return evidence.finding("other-approximation", 0.6, shown, OF_FORWARD)


def _largest(x: Array) -> float:
    return float(np.nan_to_num(np.abs(x)).max(initial=0.0))


def _is_rough(evidence: PrimalEvidence, p: PointEvidence) -> bool:
    right = p.numerical(evidence.i)
    if _relative_error(evidence, p) > ROUGH:
        return False
    seen = np.abs(right) > ROUGH * _largest(right)
    return bool((np.sign(right) == np.sign(evidence.analytic(p)))[seen].all())


def _relative_error(evidence: PrimalEvidence, p: PointEvidence) -> float:
    right = p.numerical(evidence.i)
    size = float(np.nan_to_num(np.abs(right)).max(initial=0.0)) or 1.0
    return float(np.nan_to_num(np.abs(evidence.analytic(p) - right)).max(initial=0.0)) / size


def _fades_for_larger_primals(evidence: PrimalEvidence, p: PointEvidence, size: float) -> bool:
    """Return whether the relative error falls as a power of the primal's size."""
    if p.trial.may_not_end:
        return False
    off = [size]
    for k in (1, 2):
        off.append(_relative_error_for_larger(evidence, p, LARGER**k))
        if not 0 < off[-1] < np.inf:
            return False
    once, again = off[1] / off[0], off[2] / off[1]
    return max(once, again) <= FADED and 1 / ALIKE <= once / again <= ALIKE


def _relative_error_for_larger(evidence: PrimalEvidence, p: PointEvidence, factor: float) -> float:
    """Return the relative error where the primal is so many times as large; NaN where it is not known."""
    primals = list(p.trial.primals())
    primals[evidence.i] = primals[evidence.i] * primals[evidence.i].dtype.type(factor)
    # by its name the trial has the same cotangent
    there = replace(p.trial, sample=replace(p.trial.sample, primals=tuple(primals)), witness=None)
    try:
        analytic = there.gradients(there.cotangent())[evidence.i].astype(np.float64)
        estimate = there.estimates[evidence.i]
    except Exception:
        return np.nan
    right = float(np.abs(estimate.value).max(initial=0.0))
    off = float(np.abs(analytic - estimate.value).max(initial=0.0))
    return off / right if right and off > 3 * float(estimate.error.max(initial=0.0)) else np.nan
