"""A path from a primal to the output that backward forgets, where the numbers bear it out."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, VISIBLE, PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat
from gradlab.node import Array, as_tuple

# Two sums are equal if they differ by no more than this share of their terms, and are not chance at so many points.
SAME, ENOUGH = 1e-6, 4
# Of more shares than these not all sums are tried.
SHARES = 10


def factor_held_constant(seen: PrimalEvidence) -> Finding | None:
    """See whether of a product only one factor was differentiated: what is there, or what lacks, is linear.

    If y is A(x) x, and A is held constant, then the gradient times x adds up to g times y, by Euler's theorem on
    homogeneous functions; the gradient of A(x) x as a whole does not.
    """
    for there, said in ((True, "is there"), (False, "lacks")):
        fits, looked = 0, 0
        for p in seen.wrong:
            equal = _adds_up(seen, p, there)
            if equal is not None:
                looked += 1
                fits += equal
            if p.is_given and equal is False:
                break
        else:
            if fits >= ENOUGH and fits >= ALMOST_ALL * looked:
                evidence = (
                    f"what {said} is the gradient of a product in which the other factors, though they depend on "
                    f"{seen.name}, are constant: with {seen.name} it adds up to g times the output"
                )
                cure = "add the terms of the other factors: the product rule has one for each"
                return seen.found("missing-term", 0.9, evidence, cure)
    return None


def _adds_up(seen: PrimalEvidence, p: PointEvidence, there: bool) -> bool | None:
    """Return whether what is there, or what lacks, adds up to g times the output; None where that would say nothing."""
    analytic, numerical, x = seen.analytic(p), p.numerical(seen.i), seen.primal(p)
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


def other_places_dropped(seen: PrimalEvidence) -> Finding | None:
    """See whether what outputs at other places of an axis (other steps, other samples) say of an element lacks."""
    axes = {(a, b) for p in seen.wrong for a, b in _axes_alike(seen, p)}
    for a, b in sorted(axes):
        confidence = seen.explained(partial(_of_the_same_place, seen, a, b))
        if confidence:
            evidence = (
                f"what is there comes from the outputs at the same place of axis {b} as the element's of axis {a} "
                f"of {seen.name} alone, and others depend on it"
            )
            cure = "hand the gradient on from place to place, as forward hands its state on"
            return seen.found("missing-term", confidence, evidence, cure)
    return None


def _axes_alike(seen: PrimalEvidence, p: PointEvidence) -> Iterator[tuple[int, int]]:
    x, y = seen.primal(p).shape, np.shape(as_tuple(p.trial.output)[0])
    if len(as_tuple(p.trial.output)) == 1:
        yield from ((a, b) for a in range(len(x)) for b in range(len(y)) if x[a] == y[b] > 1)


def _of_the_same_place(seen: PrimalEvidence, a: int, b: int, p: PointEvidence) -> Array | None:
    x, y = seen.primal(p), np.asarray(as_tuple(p.trial.output)[0])
    if (a, b) not in _axes_alike(seen, p):
        return None
    place_of_x = np.broadcast_to(np.arange(x.shape[a]).reshape(_along(a, x.ndim)), x.shape).reshape(-1)
    place_of_y = np.broadcast_to(np.arange(y.shape[b]).reshape(_along(b, y.ndim)), y.shape).reshape(-1)
    same = place_of_y[:, None] == place_of_x[None, :]
    return np.asarray((p.g @ (p.jacobians[seen.i] * same)).reshape(x.shape))


def _along(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(-1 if k == axis else 1 for k in range(ndim))


def some_shares(seen: PrimalEvidence) -> Finding | None:
    """See whether each wrong element is the sum of some of its shares: windows that overwrite each other."""
    ndim = max((np.ndim(as_tuple(p.trial.output)[0]) for p in seen.wrong), default=0)
    for reduced in (None, *range(ndim)):
        with quiet():
            found = [_partial_sums(seen, p, reduced) for p in seen.wrong if not p.kinks[seen.i].any()]
        if found and None not in found and sum(filter(None, found)) >= ENOUGH:
            evidence = (
                f"several outputs come from one element of {seen.name}, and wherever the gradient is wrong it is the "
                "sum of some of their shares"
            )
            return seen.found("last-write-wins", 0.9, evidence, "add up (np.add.at, +=), do not assign")
    return None


def _partial_sums(seen: PrimalEvidence, p: PointEvidence, reduced: int | None) -> int | None:
    """Return how many elements are the sum of some of their shares, and not of none; None if one is no such sum."""
    y = np.asarray(as_tuple(p.trial.output)[0])
    if len(as_tuple(p.trial.output)) > 1 or (reduced is not None and reduced >= y.ndim):
        return None
    shares = p.jacobians[seen.i] * p.g[:, None]
    if reduced is not None:
        shares = shares.reshape(*y.shape, -1).sum(axis=reduced).reshape(-1, shares.shape[1])
    near = 10 * SAME * float(np.abs(shares).max(initial=0.0))
    count = 0
    for k in np.flatnonzero(p.wrong(seen.i)):
        value, own = float(seen.analytic(p).flat[k]), shares[np.abs(shares[:, k]) > near, k]
        if len(own) > SHARES:
            return None
        if abs(value) > near:
            sums = (sum(some) for n in range(1, len(own)) for some in combinations(own, n))
            if not any(abs(value - total) <= near for total in sums):
                return None
            count += 1
    return count


def path_of_others(seen: PrimalEvidence) -> Finding | None:
    """See whether what lacks is what comes through some of the other primals.

    Where f depends on x and W by x W alone, to scale x is to scale W: of all that x meets so, the sums of gradients
    times values add up to that of x. What lacks then has the sum of those through which the path is forgotten.
    """
    names = seen.points[0].trial.names
    others = [j for j in range(len(names)) if j != seen.i]
    for n in range(1, len(others)):
        for some in combinations(others, n):
            fits = [_is_through(seen, p, some) for p in seen.wrong]
            known = [fit for fit in fits if fit is not None]
            sure = all(fit for fit, p in zip(fits, seen.wrong, strict=True) if p.is_given)
            if sure and sum(known) >= max(ENOUGH, ALMOST_ALL * len(known)):
                through = " and ".join(names[j] for j in some)
                evidence = f"what lacks in the gradient of {seen.name} is as much as comes through {through}"
                return seen.found("missing-term", 0.9, evidence, "add what comes back on every path")
    return None


def _is_through(seen: PrimalEvidence, p: PointEvidence, some: tuple[int, ...]) -> bool | None:
    """Return whether what lacks adds up to the sums of others; None where there is too little to see."""
    x, analytic, numerical = seen.primal(p), seen.analytic(p), p.numerical(seen.i)
    if len(p.gradients) <= max(some) or not analytic.any():
        return False
    lacks = (numerical - analytic) * x
    sums = [p.numerical(j) * p.trial.sample.primals[j] for j in some]
    size = sum(float(np.abs(part).sum()) for part in (lacks, *sums))
    total = float(lacks.sum())
    if not np.isfinite(size) or abs(total) <= 1e-3 * size:
        return None
    return abs(total - sum(float(part.sum()) for part in sums)) <= 100 * SAME * size


def empty_block(seen: PrimalEvidence) -> Finding | None:
    """See whether nothing at all reaches some neighbouring slices along an axis, that should have some."""
    for axis, first, last in _blocks(seen, _empty):
        evidence = f"nothing at all reaches the slices {first} to {last} along axis {axis} of {seen.name}"
        return seen.found("missing-term", 0.9, evidence, "differentiate what these are for, too")
    return None


def _blocks(
    seen: PrimalEvidence, of: Callable[[PrimalEvidence, PointEvidence, int], tuple[int, int] | None]
) -> Iterator[tuple[int, int, int]]:
    """Yield the axes along which most points have the same block of slices, and its first and last."""
    ndim = max((seen.primal(p).ndim for p in seen.wrong), default=0)
    for axis in range(-1, -ndim - 1, -1):
        blocks = [of(seen, p, axis) for p in seen.wrong]
        found = next((block for block, p in zip(blocks, seen.wrong, strict=True) if p.is_given), None)
        # at some points hardly anything should be there
        if found and sum(block == found for block in blocks) >= max(ENOUGH, len(blocks) / 2):
            yield axis, *found


def _empty(seen: PrimalEvidence, p: PointEvidence, axis: int) -> tuple[int, int] | None:
    """Return the first and the last of the slices that are zero and should not be, None if they are no block."""
    analytic, numerical = seen.analytic(p), p.numerical(seen.i)
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


def block(seen: PrimalEvidence) -> Finding | None:
    """See whether some neighbouring slices along an axis are wrong as a whole, and all others right."""
    for axis, first, last in _blocks(seen, _block):
        there = f"is {first}" if first == last else f"is {first} to {last}"
        zero = all((seen.analytic(p)[p.wrong(seen.i)] == 0).all() for p in seen.wrong)
        evidence = f"the gradient is wrong exactly where the index along axis {axis} {there}"
        evidence += ": there it is zero" if zero else ""
        return seen.found("masked-region", 0.9, evidence, "look at what is computed for these alone")
    return None


def _block(seen: PrimalEvidence, p: PointEvidence, axis: int) -> tuple[int, int] | None:
    """Return the first and the last of the wrong slices along an axis, None if they are no such block."""
    mask = p.wrong(seen.i)
    if mask.ndim < -axis:
        return None
    size = np.abs(p.numerical(seen.i))
    visible = np.moveaxis((size > 10 * VISIBLE * size.max(initial=0.0)) | mask, axis, 0)
    slices = np.moveaxis(mask, axis, 0)
    wrong = [k for k in range(len(slices)) if slices[k].any()]
    if not wrong or wrong != list(range(wrong[0], wrong[-1] + 1)) or len(wrong) == len(slices):
        return None
    whole = all(slices[k][visible[k]].all() for k in wrong)
    return (wrong[0], wrong[-1]) if whole and int(mask.sum()) >= ENOUGH else None
