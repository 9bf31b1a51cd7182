"""Paths from a primal to the output that backward forgets, where sums of gradients bear it out."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, VISIBLE, PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat
from gradlab.node import Array, as_tuple

# Two sums are equal if they differ by no more than the share SAME of their terms; at ENOUGH points that is no chance.
SAME, ENOUGH = 1e-6, 4
# Of an element with more shares than this not all sums of shares are tried.
SHARES = 10


def factor_held_constant(evidence: PrimalEvidence) -> Finding | None:
    """See whether only one factor of a product was differentiated: its gradient is all there is, or what is missing.

    If y is A(x) x, and A is held constant, then the gradient times x adds up to g times y, by Euler's theorem on
    homogeneous functions; the gradient of A(x) x as a whole does not.
    """
    for there, said in ((True, "is there"), (False, "lacks")):
        fits, compared = 0, 0
        for p in evidence.wrong_points:
            equal = _adds_up_to_output(evidence, p, there)
            if equal is not None:
                compared += 1
                fits += equal
            if p.is_given and equal is False:
                break
        else:
            if fits >= ENOUGH and fits >= ALMOST_ALL * compared:
                observed = (
                    f"what {said} is the gradient of a product in which the other factors, though they depend on "
                    f"{evidence.name}, are constant: with {evidence.name} it adds up to g times the output"
                )
                cure = "add the terms of the other factors: the product rule has one for each"
                return evidence.finding("missing-term", 0.9, observed, cure)
    return None


def _adds_up_to_output(evidence: PrimalEvidence, p: PointEvidence, there: bool) -> bool | None:
    """Return whether the part of the gradient that is `there`, or else the missing part, adds up to g times the output.

    None where this part is zero, or where the right gradient adds up to the same.
    """
    analytic, numerical, x = evidence.analytic(p), p.numerical(evidence.i), evidence.primal(p)
    part = (analytic if there else numerical - analytic) * x
    terms = p.g * flat(p.trial.output)
    near = SAME * (float(np.abs(part).sum()) + float(np.abs(terms).sum()))
    if (
        not np.isfinite(near)
        or not part.any()
        or abs(float(np.sum(numerical * x) - terms.sum())) <= 1e3 * near
    ):
        return None
    return abs(float(part.sum() - terms.sum())) <= 100 * near


def other_places_dropped(evidence: PrimalEvidence) -> Finding | None:
    """See whether the share of outputs at other places of an axis (other steps, other samples) is missing."""
    axes = {(a, b) for p in evidence.wrong_points for a, b in _axes_of_equal_length(evidence, p)}
    for a, b in sorted(axes):
        confidence = evidence.explained_share(partial(_from_the_same_place, evidence, a, b))
        if confidence:
            observed = (
                f"what is there comes from the outputs at the same place of axis {b} as the element's of axis {a} "
                f"of {evidence.name} alone, and others depend on it"
            )
            cure = "hand the gradient on from place to place, as forward hands its state on"
            return evidence.finding("missing-term", confidence, observed, cure)
    return None


def _axes_of_equal_length(evidence: PrimalEvidence, p: PointEvidence) -> Iterator[tuple[int, int]]:
    """Yield an axis of the primal with an axis of the output of the same length, above 1."""
    x, y = evidence.primal(p).shape, np.shape(as_tuple(p.trial.output)[0])
    if len(as_tuple(p.trial.output)) == 1:
        yield from ((a, b) for a in range(len(x)) for b in range(len(y)) if x[a] == y[b] > 1)


def _from_the_same_place(evidence: PrimalEvidence, a: int, b: int, p: PointEvidence) -> Array | None:
    """Return the gradient if only outputs at an element's own place count: axis `a` of x, axis `b` of the output."""
    x, y = evidence.primal(p), np.asarray(as_tuple(p.trial.output)[0])
    if (a, b) not in _axes_of_equal_length(evidence, p):
        return None
    place_of_x = np.broadcast_to(np.arange(x.shape[a]).reshape(_along(a, x.ndim)), x.shape).reshape(-1)
    place_of_y = np.broadcast_to(np.arange(y.shape[b]).reshape(_along(b, y.ndim)), y.shape).reshape(-1)
    same = place_of_y[:, None] == place_of_x[None, :]
    return np.asarray((p.g @ (p.jacobians[evidence.i] * same)).reshape(x.shape))


def _along(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(-1 if k == axis else 1 for k in range(ndim))


def sum_of_some_shares(evidence: PrimalEvidence) -> Finding | None:
    """See whether each wrong element is the sum of some of its shares: windows that overwrite each other."""
    ndim = max((np.ndim(as_tuple(p.trial.output)[0]) for p in evidence.wrong_points), default=0)
    for reduced in (None, *range(ndim)):
        with quiet():
            found = [
                _partial_sums(evidence, p, reduced)
                for p in evidence.wrong_points
                if not p.kinks[evidence.i].any()
            ]
        if found and None not in found and sum(filter(None, found)) >= ENOUGH:
            observed = (
                f"several outputs come from one element of {evidence.name}, and wherever the gradient is wrong "
                "it is the sum of some of their shares"
            )
            return evidence.finding("last-write-wins", 0.9, observed, "add up (np.add.at, +=), do not assign")
    return None


def _partial_sums(evidence: PrimalEvidence, p: PointEvidence, reduced: int | None) -> int | None:
    """Return how many wrong elements are the sum of some, but not of none, of their shares.

    A share is what one output adds to an element, or all outputs along the axis `reduced`. None if some wrong element
    is no such sum.
    """
    y = np.asarray(as_tuple(p.trial.output)[0])
    if len(as_tuple(p.trial.output)) > 1 or (reduced is not None and reduced >= y.ndim):
        return None
    shares = p.jacobians[evidence.i] * p.g[:, None]
    if reduced is not None:
        shares = shares.reshape(*y.shape, -1).sum(axis=reduced).reshape(-1, shares.shape[1])
    near = 10 * SAME * float(np.abs(shares).max(initial=0.0))
    count = 0
    for k in np.flatnonzero(p.wrong(evidence.i)):
        value, own = float(evidence.analytic(p).flat[k]), shares[np.abs(shares[:, k]) > near, k]
        if len(own) > SHARES:
            return None
        if abs(value) > near:
            sums = (sum(some) for n in range(1, len(own)) for some in combinations(own, n))
            if not any(abs(value - total) <= near for total in sums):
                return None
            count += 1
    return count


def path_through_other_primals(evidence: PrimalEvidence) -> Finding | None:
    """See whether the missing part of the gradient is what comes through some of the other primals.

    Where f depends on x and W by x W alone, to scale x is to scale W: the sum of gradient times value is the same for
    both. If x meets several such W, the sums of all of them add up to that of x, and if the path through some W is
    forgotten, the missing part of the gradient of x, times x, adds up to the sum of these W.
    """
    names = evidence.points[0].trial.names
    others = [j for j in range(len(names)) if j != evidence.i]
    for n in range(1, len(others)):
        for some in combinations(others, n):
            fits = [_missing_part_comes_through(evidence, p, some) for p in evidence.wrong_points]
            known = [fit for fit in fits if fit is not None]
            sure = all(fit for fit, p in zip(fits, evidence.wrong_points, strict=True) if p.is_given)
            if sure and sum(known) >= max(ENOUGH, ALMOST_ALL * len(known)):
                through = " and ".join(names[j] for j in some)
                observed = (
                    f"what lacks in the gradient of {evidence.name} is as much as comes through {through}"
                )
                return evidence.finding("missing-term", 0.9, observed, "add what comes back on every path")
    return None


def _missing_part_comes_through(
    evidence: PrimalEvidence, p: PointEvidence, some: tuple[int, ...]
) -> bool | None:
    """Return whether the missing part adds up to the sums of the primals `some`; None if it is too small to tell."""
    x, analytic, numerical = evidence.primal(p), evidence.analytic(p), p.numerical(evidence.i)
    if len(p.gradients) <= max(some) or not analytic.any():
        return False
    lacks = (numerical - analytic) * x
    sums = [p.numerical(j) * p.trial.sample.primals[j] for j in some]
    size = sum(float(np.abs(part).sum()) for part in (lacks, *sums))
    total = float(lacks.sum())
    if not np.isfinite(size) or abs(total) <= 1e-3 * size:
        return None
    return abs(total - sum(float(part.sum()) for part in sums)) <= 100 * SAME * size


def empty_block(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is zero in some neighbouring slices along an axis where it should not be."""
    for axis, first, last in _common_blocks(evidence, _block_of_empty_slices):
        observed = f"nothing at all reaches the slices {first} to {last} along axis {axis} of {evidence.name}"
        length = evidence.primal(evidence.wrong_points[0]).shape[axis]
        if first == last and first in (0, length - 1):
            return evidence.finding("border", 0.9, observed, "go on to the end of the axis")
        return evidence.finding("missing-term", 0.9, observed, "differentiate what these are for, too")
    return None


def _common_blocks(
    evidence: PrimalEvidence, of: Callable[[PrimalEvidence, PointEvidence, int], tuple[int, int] | None]
) -> Iterator[tuple[int, int, int]]:
    """Yield the axes along which most points have the same block of slices, with its first and its last slice.

    `of` returns the first and the last slice of the block along an axis at a point, None where there is no block.
    """
    ndim = max((evidence.primal(p).ndim for p in evidence.wrong_points), default=0)
    for axis in range(-1, -ndim - 1, -1):
        blocks = [of(evidence, p, axis) for p in evidence.wrong_points]
        found = next(
            (block for block, p in zip(blocks, evidence.wrong_points, strict=True) if p.is_given), None
        )
        # not at all points: at some of them the right gradient is hardly anything
        if found and sum(block == found for block in blocks) >= max(ENOUGH, len(blocks) / 2):
            yield axis, *found


def _block_of_empty_slices(evidence: PrimalEvidence, p: PointEvidence, axis: int) -> tuple[int, int] | None:
    """Return the first and the last of the slices that are zero and should not be; None if they are no block."""
    analytic, numerical = evidence.analytic(p), p.numerical(evidence.i)
    if analytic.ndim < -axis:
        return None
    there, should = np.moveaxis(analytic, axis, 0), np.moveaxis(numerical, axis, 0)
    least = VISIBLE * float(np.abs(numerical).max(initial=0.0))
    empty = [
        k for k in range(len(there)) if not there[k].any() and np.abs(should[k]).max(initial=0.0) > least
    ]
    if not empty or empty != list(range(empty[0], empty[-1] + 1)) or len(empty) == len(there):
        return None
    return empty[0], empty[-1]


def wrong_block(evidence: PrimalEvidence) -> Finding | None:
    """See whether some neighbouring slices along an axis are wrong as a whole, and all other slices right.

    Where all are wrong but a few at the end, a mistake is handed on from step to step, and what it is nobody knows.
    """
    for axis, first, last in _common_blocks(evidence, _block_of_wrong_slices):
        longest = max(p.wrong(evidence.i).shape[axis] for p in evidence.wrong_points if p.is_given)
        if first == 0 and last + 1 > longest / 2:
            continue
        there = f"is {first}" if first == last else f"is {first} to {last}"
        zero = all((evidence.analytic(p)[p.wrong(evidence.i)] == 0).all() for p in evidence.wrong_points)
        observed = f"the gradient is wrong exactly where the index along axis {axis} {there}"
        observed += ": there it is zero" if zero else ""
        return evidence.finding("masked-region", 0.9, observed, "look at what is computed for these alone")
    return None


def _block_of_wrong_slices(evidence: PrimalEvidence, p: PointEvidence, axis: int) -> tuple[int, int] | None:
    """Return the first and the last of the wrong slices along an axis; None if they are no block, or wrong in part."""
    mask = p.wrong(evidence.i)
    if mask.ndim < -axis:
        return None
    size = np.abs(p.numerical(evidence.i))
    visible = np.moveaxis((size > 10 * VISIBLE * size.max(initial=0.0)) | mask, axis, 0)
    slices = np.moveaxis(mask, axis, 0)
    wrong = [k for k in range(len(slices)) if slices[k].any()]
    if not wrong or wrong != list(range(wrong[0], wrong[-1] + 1)) or len(wrong) == len(slices):
        return None
    whole = all(slices[k][visible[k]].all() for k in wrong)
    return (wrong[0], wrong[-1]) if whole and int(mask.sum()) >= ENOUGH else None
