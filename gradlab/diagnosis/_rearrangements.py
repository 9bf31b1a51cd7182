"""Mistakes that put the right numbers in other places, or leave some of them out of a sum."""

from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, flat, jacobians_of
from gradlab.node import Array, as_tuple

# So many elements make a pattern more than chance.
ENOUGH = 3
BACK = "move the slice, or the crop, back by as much"


def swapped_primals(seen: PrimalEvidence) -> Finding | None:
    """See whether it is the gradient of another primal."""
    for j, other in enumerate(seen.points[0].trial.names):
        if j != seen.i:
            confidence = seen.explained(partial(_of_other, j))
            if confidence:
                evidence = f"the gradient of {seen.name} is what that of {other} should be"
                return seen.found(
                    "swapped-primals", confidence, evidence, "return them in the primals' order"
                )
    return None


def _of_other(j: int, p: PointEvidence) -> Array | None:
    return p.numerical(j) if j < len(p.gradients) else None


def transposed(seen: PrimalEvidence) -> Finding | None:
    """See whether it is the transpose of what is right, or right for a transposed operand."""
    confidence = seen.explained(lambda p: p.numerical(seen.i).T if p.numerical(seen.i).ndim == 2 else None)
    if confidence:
        evidence = "analytic = numerical transposed"
        return seen.found(
            "transposed", confidence, evidence, "exchange the product's factors, or transpose it"
        )
    for j, other in enumerate(seen.points[0].trial.names):
        confidence = seen.explained(partial(_with_transposed, seen, j))
        if confidence:
            evidence = f"the gradient of {seen.name} is right for {other} transposed"
            return seen.found(
                "transposed", confidence, evidence, f"leave out, or put in, the transpose of {other}"
            )
    return None


def _with_transposed(seen: PrimalEvidence, j: int, p: PointEvidence) -> Array | None:
    primals = list(p.trial.primals())
    if j >= len(primals) or primals[j].ndim != 2 or primals[j].shape[0] != primals[j].shape[1]:
        return None
    primals[j] = primals[j].T.copy()
    there = p.trial.at(f"{p.trial.names[j]} transposed", primals)
    with quiet():
        if not there.accepted or flat(there.output).size != p.g.size:
            return None
        jacobians, *_ = there.remembered("jacobians", jacobians_of)
    return np.asarray((p.g @ jacobians[seen.i]).reshape(seen.primal(p).shape))


def axes_permuted(seen: PrimalEvidence) -> Finding | None:
    """See whether it has the axes of what is right in another order, or its numbers in other places."""
    ndim = max((p.numerical(seen.i).ndim for p in seen.wrong), default=0)
    for order in permutations(range(ndim)):
        if ndim > 1 and order != tuple(range(ndim)):
            confidence = seen.explained(partial(_permuted, seen, order))
            if confidence:
                evidence = f"analytic = numerical with its axes in the order {order}"
                return seen.found(
                    "axes-permuted", confidence, evidence, "undo the permutation by its inverse"
                )
    confidence = seen.explained(lambda p: _same_numbers(seen.analytic(p), p.numerical(seen.i)))
    sizes = [np.unique(p.numerical(seen.i)).size for p in seen.wrong]
    if confidence and max(sizes, default=0) > 3:
        evidence = "analytic and numerical hold the same numbers in other places"
        return seen.found(
            "axes-permuted", 0.9 * confidence, evidence, "undo every permutation by its inverse"
        )
    return None


def _permuted(seen: PrimalEvidence, order: tuple[int, ...], p: PointEvidence) -> Array | None:
    numerical = p.numerical(seen.i)
    if numerical.ndim != len(order):
        return None
    moved = numerical.transpose(order)
    return moved if moved.shape == numerical.shape else moved.reshape(numerical.shape)


def _same_numbers(analytic: Array, numerical: Array) -> Array | None:
    """Return the numbers of `numerical` in the order of those of `analytic`."""
    guess = np.empty_like(numerical).reshape(-1)
    guess[np.argsort(analytic, axis=None)] = np.sort(numerical, axis=None)
    return guess.reshape(numerical.shape)


def shifted(seen: PrimalEvidence) -> Finding | None:
    """See whether it is what is right, moved along an axis."""
    ndim = max((p.numerical(seen.i).ndim for p in seen.wrong), default=0)
    longest = max((max(p.numerical(seen.i).shape, default=0) for p in seen.wrong), default=0)
    axes = [*range(-ndim, 0), *range(ndim)]  # samples may differ in their number of axes
    for places, axis in product([k for k in range(-longest + 1, longest) if k], axes):
        for how in ("round its end", "zeros coming in", "something else coming in"):
            confidence = seen.explained(partial(_moved, seen, places, axis, how))
            seen_move = sum(
                p.numerical(seen.i).size for p in seen.wrong if _moves(p.numerical(seen.i), places, axis)
            )
            if confidence and seen_move >= ENOUGH:
                evidence = f"analytic = numerical moved by {places:+d} along axis {axis}, {how}"
                return seen.found("shifted", confidence, evidence, BACK)
    for places in [k for k in range(-longest + 1, longest) if k]:
        confidence = seen.explained(partial(_moved_in_plane, seen, places))
        if confidence and sum(_shown_in_plane(seen, places, p) for p in seen.wrong) >= 2 * ENOUGH:
            evidence = f"analytic = numerical moved by {places:+d} along the last two axes"
            return seen.found("shifted", confidence, evidence, BACK)
    return None


def _moved_in_plane(seen: PrimalEvidence, places: int, p: PointEvidence) -> Array | None:
    """Return what is right moved along the last two axes, with what backward gave where nothing is known."""
    numerical, guess = p.numerical(seen.i), seen.analytic(p).copy()
    if numerical.ndim < 2 or not all(_moves(numerical, places, axis) for axis in (-2, -1)):
        return None
    to, of = _plane(places)
    guess[to] = numerical[of]
    return guess


def _shown_in_plane(seen: PrimalEvidence, places: int, p: PointEvidence) -> int:
    """Return how many numbers that are not zero are moved: what is mostly zero is soon where it was."""
    numerical = p.numerical(seen.i)
    return int(np.count_nonzero(numerical[_plane(places)[1]])) if numerical.ndim > 1 else 0


def _plane(places: int) -> tuple[Any, Any]:
    """Return where numbers come to, and where they come from."""
    ends = slice(max(places, 0), min(places, 0) or None), slice(max(-places, 0), min(-places, 0) or None)
    return (..., ends[0], ends[0]), (..., ends[1], ends[1])


def _moves(numerical: Array, places: int, axis: int) -> bool:
    return -numerical.ndim <= axis < numerical.ndim and numerical.shape[axis] > abs(places)


def _moved(seen: PrimalEvidence, places: int, axis: int, how: str, p: PointEvidence) -> Array | None:
    numerical = p.numerical(seen.i)
    if not _moves(numerical, places, axis):
        return np.zeros_like(numerical) if how == "zeros coming in" else numerical
    length = numerical.shape[axis]
    rolled = np.roll(numerical, places, axis)
    if how == "round its end":
        return rolled
    new = np.arange(length) < places if places > 0 else np.arange(length) >= length + places
    if how != "zeros coming in" and 2 * new.sum() > length:
        return None  # hardly anything of it would be left to see
    shape = [1] * numerical.ndim
    shape[axis] = length
    coming = 0.0 if how == "zeros coming in" else seen.analytic(p)
    guess: Array = np.where(new.reshape(shape), coming, rolled)
    return guess


def partly_summed(seen: PrimalEvidence) -> Finding | None:
    """Of what several outputs say of one element, only some was added up, or that of others."""
    for form in ("last", "first"):
        confidence = seen.explained(partial(_one_of_many, seen, form))
        if confidence:
            if all(_is_broadcast(seen, p) for p in seen.wrong):
                evidence = f"{seen.name} was broadcast, and its gradient is the {form} slice, not the sum"
                cure = "sum over every axis along which it was broadcast"
                return seen.found("missing-broadcast-sum", confidence, evidence, cure)
            evidence = f"several outputs come from one element of {seen.name}, and only the {form} one's share is there"
            return seen.found(
                "last-write-wins", confidence, evidence, "add up (np.add.at, +=), do not assign"
            )
    return _other_sums(seen)


def _one_of_many(seen: PrimalEvidence, which: str, p: PointEvidence) -> Array:
    shares = p.jacobians[seen.i] * p.g[:, None]
    some = np.abs(p.jacobians[seen.i]) > 1e-9 * np.abs(p.jacobians[seen.i]).max(initial=0.0)
    rows = np.arange(len(shares))[:, None]
    chosen = (
        np.where(some, rows, -1).max(axis=0)
        if which == "last"
        else np.where(some, rows, len(shares)).min(axis=0)
    )
    exists = some.any(axis=0)
    values = shares[np.clip(chosen, 0, max(len(shares) - 1, 0)), np.arange(shares.shape[1])]
    return np.asarray(np.where(exists, values, 0.0).reshape(seen.primal(p).shape))


def _output_shape(p: PointEvidence) -> tuple[int, ...]:
    return np.shape(as_tuple(p.trial.output)[0])


def _is_broadcast(seen: PrimalEvidence, p: PointEvidence) -> bool:
    x, y = seen.primal(p).shape, _output_shape(p)
    try:
        return np.broadcast_shapes(x, y) == y and x != y
    except ValueError:
        return False


def _contributions(seen: PrimalEvidence, p: PointEvidence) -> Array | None:
    """Return what each output says of the element that was broadcast to it, None if it is not as simple as that."""
    if not _is_broadcast(seen, p) or isinstance(p.trial.output, tuple):
        return None
    shares = p.jacobians[seen.i] * p.g[:, None]
    if (np.abs(shares) > 1e-9 * np.abs(shares).max(initial=0.0)).sum(axis=1).max(initial=0) > 1:
        return None
    return np.asarray(shares.sum(axis=1).reshape(_output_shape(p)))


def _other_sums(seen: PrimalEvidence) -> Finding | None:
    confidence = seen.explained(partial(_sum_of_all, seen))
    if confidence:
        evidence = f"every element of the gradient of {seen.name} is the sum over all axes"
        cure = "sum over the axes along which it was broadcast, and over no other"
        return seen.found("wrong-sum-axis", confidence, evidence, cure)
    ndim = max((len(_output_shape(p)) for p in seen.wrong), default=0)
    for ways in product(("keep", "sum", "first", "last"), repeat=ndim if ndim <= 4 else 0):
        confidence = seen.explained(partial(_summed, seen, ways))
        if confidence:
            missing = any(way in ("first", "last") for way in ways)
            axes = [k for k, way in enumerate(ways) if way == "sum"]
            evidence = f"the gradient of {seen.name} is summed over the axes {axes} of the output"
            cure = "sum over every axis along which it was broadcast, and over no other"
            name = "missing-broadcast-sum" if missing else "wrong-sum-axis"
            return seen.found(name, confidence, evidence + (" only" if missing else ""), cure)
    return None


def _sum_of_all(seen: PrimalEvidence, p: PointEvidence) -> Array | None:
    total = _contributions(seen, p)
    return None if total is None else np.full(seen.primal(p).shape, float(total.sum()))


def _summed(seen: PrimalEvidence, ways: tuple[str, ...], p: PointEvidence) -> Array | None:
    total = _contributions(seen, p)
    if total is None or total.ndim > len(ways):
        return None
    for axis, way in enumerate(ways[len(ways) - total.ndim :]):
        if way == "sum":
            total = total.sum(axis=axis, keepdims=True)
        elif way in ("first", "last"):
            total = np.take(total, [0 if way == "first" else -1], axis=axis)
    shape = seen.primal(p).shape
    if total.size == int(np.prod(shape)):
        return total.reshape(shape)
    return np.full(shape, float(total.reshape(-1)[0])) if total.size == 1 else None
