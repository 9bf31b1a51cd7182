"""Mistakes that put the right numbers in other places, or sum up others than they should."""

from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import LEFT, PrimalEvidence
from gradlab.diagnosis.point_evidence import SMALL, PointEvidence, flat, jacobians_of
from gradlab.node import Array, as_tuple

# A pattern in so many elements is no chance.
ENOUGH = 3
# Two slices are the same to within this share of the largest element; of more slices no order is looked for.
NEAR, SLICES = 1e-5, 256
# How sure an exchange is of which only one side is seen; and how far what goes round its end is moved, where that joins
# two parts the other way round.
ONE_SIDED, BLOCK = 0.8, 3
# Of many elements so many wrong and so many right ones are tried first.
FEW = 3
BACK = "move the slice, or the crop, back by as much"


def swapped_primals(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is that of another primal."""
    for j, other in enumerate(evidence.points[0].trial.names):
        if j != evidence.i:
            confidence = evidence.explained_share(partial(_numerical_of_other, j))
            if confidence:
                observed = f"the gradient of {evidence.name} is what that of {other} should be"
                # where the other one's is right, something else than an exchange gives the same twice
                both = any(p.wrong(j).any() for p in evidence.wrong_points if j < len(p.gradients))
                return evidence.finding(
                    "swapped-primals",
                    confidence if both else ONE_SIDED * confidence,
                    observed,
                    "return them in the primals' order",
                )
    return None


def _numerical_of_other(j: int, p: PointEvidence) -> Array | None:
    return p.numerical(j) if j < len(p.gradients) else None


def transposed(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the right one transposed, or right for a transposed operand."""
    confidence = evidence.explained_share(
        lambda p: p.numerical(evidence.i).T if p.numerical(evidence.i).ndim == 2 else None
    )
    if confidence:
        observed = "analytic = numerical transposed"
        return evidence.finding(
            "transposed", confidence, observed, "exchange the product's factors, or transpose it"
        )
    for j, other in enumerate(evidence.points[0].trial.names):
        confidence = evidence.explained_share(partial(_with_transposed, evidence, j))
        if confidence:
            observed = f"the gradient of {evidence.name} is right for {other} transposed"
            return evidence.finding(
                "transposed", confidence, observed, f"leave out, or put in, the transpose of {other}"
            )
    return None


def _with_transposed(evidence: PrimalEvidence, j: int, p: PointEvidence) -> Array | None:
    primals = list(p.trial.primals())
    if j >= len(primals) or primals[j].ndim != 2 or primals[j].shape[0] != primals[j].shape[1]:
        return None
    primals[j] = primals[j].T.copy()
    there = p.trial.at(f"{p.trial.names[j]} transposed", primals)
    with quiet():
        if not there.accepted or flat(there.output).size != p.g.size:
            return None
        jacobians, *_ = there.remembered("jacobians", jacobians_of)
    return np.asarray((p.g @ jacobians[evidence.i]).reshape(evidence.primal(p).shape))


def slices_exchanged(evidence: PrimalEvidence) -> Finding | None:
    """See whether the slices along an axis (columns, gates, channels) stand in another order."""
    ndim = max((p.numerical(evidence.i).ndim for p in evidence.wrong_points), default=0)
    for axis in range(-1, -ndim - 1, -1):
        orders = filter(None, (_order_of_slices(evidence, p, axis) for p in evidence.wrong_points))
        order = next(orders, None)
        confidence = evidence.explained_share(partial(_in_order, evidence, axis, order)) if order else 0.0
        if order and confidence:
            observed = f"along axis {axis} the slices of the right gradient stand in the order {_runs(order)}"
            cure = "put each slice where the primal has it"
            return evidence.finding("columns-exchanged", confidence, observed, cure)
    return None


def _order_of_slices(evidence: PrimalEvidence, p: PointEvidence, axis: int) -> tuple[int, ...]:
    """Return for each slice of the gradient which one of the right gradient's it is; empty if that is no reordering."""
    analytic, numerical = evidence.analytic(p), p.numerical(evidence.i)
    if numerical.ndim < -axis or numerical.shape[axis] > SLICES:
        return ()
    there = np.moveaxis(analytic, axis, 0).reshape(analytic.shape[axis], -1)
    right = np.moveaxis(numerical, axis, 0).reshape(analytic.shape[axis], -1)
    near = NEAR * float(np.abs(right).max(initial=0.0))
    alike = (np.abs(there[:, None] - right[None]) <= near).all(axis=2)
    distinct = ((np.abs(right[:, None] - right[None]) <= near).all(axis=2)).sum() == len(right)
    if not distinct or not (alike.sum(axis=0) == 1).all() or not (alike.sum(axis=1) == 1).all():
        return ()
    order = tuple(int(k) for k in alike.argmax(axis=1))
    # all turned round, or moved on, has a name of its own
    steps = {(k - i) % len(order) for i, k in enumerate(order)}
    return () if len(order) < 2 or (len(steps) == 1 and len(order) > 2) else order


def _in_order(evidence: PrimalEvidence, axis: int, order: tuple[int, ...], p: PointEvidence) -> Array | None:
    numerical = p.numerical(evidence.i)
    fits = numerical.ndim >= -axis and numerical.shape[axis] == len(order)
    return np.take(numerical, order, axis=axis) if fits else None


def _runs(order: tuple[int, ...]) -> str:
    """Return an order in words, with neighbours taken together: 0 to 3, 8 to 11, 4 to 7."""
    runs: list[list[int]] = []
    for k in order:
        if runs and k == runs[-1][-1] + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def axes_permuted(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the right one with its axes in another order, or its numbers in other places."""
    ndim = max((p.numerical(evidence.i).ndim for p in evidence.wrong_points), default=0)
    for order in permutations(range(ndim)):
        if ndim > 1 and order != tuple(range(ndim)):
            confidence = evidence.explained_share(partial(_permuted, evidence, order))
            if confidence:
                observed = f"analytic = numerical with its axes in the order {order}"
                # two that are exchanged are a transpose, of each matrix in the array
                two = sum(k != i for i, k in enumerate(order)) == 2
                return evidence.finding(
                    "transposed" if two else "axes-permuted",
                    confidence,
                    observed,
                    "undo the permutation by its inverse",
                )
    confidence = evidence.explained_share(
        lambda p: _same_numbers(evidence.analytic(p), p.numerical(evidence.i))
    )
    sizes = [np.unique(p.numerical(evidence.i)).size for p in evidence.wrong_points]
    if confidence and max(sizes, default=0) > 3:
        observed = "analytic and numerical hold the same numbers in other places"
        return evidence.finding(
            "axes-permuted", 0.9 * confidence, observed, "undo every permutation by its inverse"
        )
    return None


def _permuted(evidence: PrimalEvidence, order: tuple[int, ...], p: PointEvidence) -> Array | None:
    numerical = p.numerical(evidence.i)
    if numerical.ndim != len(order):
        return None
    moved = numerical.transpose(order)
    return moved if moved.shape == numerical.shape else moved.reshape(numerical.shape)


def _same_numbers(analytic: Array, numerical: Array) -> Array | None:
    """Return the numbers of `numerical` in the order of those of `analytic`."""
    guess = np.empty_like(numerical).reshape(-1)
    guess[np.argsort(analytic, axis=None)] = np.sort(numerical, axis=None)
    return guess.reshape(numerical.shape)


def shifted(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is the right one, moved along an axis, or along the last two at once."""
    ndim = max((p.numerical(evidence.i).ndim for p in evidence.wrong_points), default=0)
    longest = max((max(p.numerical(evidence.i).shape, default=0) for p in evidence.wrong_points), default=0)
    axes = [*range(-ndim, 0), *range(ndim)]  # samples may differ in their number of axes
    for places, axis in product([k for k in range(-longest + 1, longest) if k], axes):
        for how in ("zeros coming in", "round its end", "something else coming in"):
            confidence = evidence.explained_share(partial(_moved, evidence, places, axis, how))
            moved_elements = sum(
                p.numerical(evidence.i).size
                for p in evidence.wrong_points
                if _can_move(p.numerical(evidence.i), places, axis)
            )
            if confidence and moved_elements >= ENOUGH:
                observed = f"analytic = numerical moved by {places:+d} along axis {axis}, {how}"
                length = evidence.primal(evidence.wrong_points[0]).shape[axis]
                if how == "round its end" and min(abs(places), length - abs(places)) >= BLOCK:
                    cure = "join the parts in the order in which forward takes them"
                    return evidence.finding("columns-exchanged", confidence, observed, cure)
                return evidence.finding("shifted", confidence, observed, BACK)
    for places in [k for k in range(-longest + 1, longest) if k]:
        confidence = evidence.explained_share(partial(_moved_in_plane, evidence, places))
        if (
            confidence
            and sum(_count_moved_in_plane(evidence, places, p) for p in evidence.wrong_points) >= 2 * ENOUGH
        ):
            observed = f"analytic = numerical moved by {places:+d} along the last two axes"
            return evidence.finding("shifted", confidence, observed, BACK)
    return None


def _moved_in_plane(evidence: PrimalEvidence, places: int, p: PointEvidence) -> Array | None:
    """Return the right gradient moved along the last two axes, and what backward gave in the places that get empty."""
    numerical, guess = p.numerical(evidence.i), evidence.analytic(p).copy()
    if numerical.ndim < 2 or not all(_can_move(numerical, places, axis) for axis in (-2, -1)):
        return None
    to, of = _slices_in_plane(places)
    guess[to] = numerical[of]
    return guess


def _count_moved_in_plane(evidence: PrimalEvidence, places: int, p: PointEvidence) -> int:
    """Return how many numbers other than zero are moved: zeros look the same wherever they are moved."""
    numerical = p.numerical(evidence.i)
    return int(np.count_nonzero(numerical[_slices_in_plane(places)[1]])) if numerical.ndim > 1 else 0


def _slices_in_plane(places: int) -> tuple[Any, Any]:
    """Return the places that numbers come to when moved along the last two axes, and those that they come from."""
    ends = slice(max(places, 0), min(places, 0) or None), slice(max(-places, 0), min(-places, 0) or None)
    return (..., ends[0], ends[0]), (..., ends[1], ends[1])


def _can_move(numerical: Array, places: int, axis: int) -> bool:
    return -numerical.ndim <= axis < numerical.ndim and numerical.shape[axis] > abs(places)


def _moved(evidence: PrimalEvidence, places: int, axis: int, how: str, p: PointEvidence) -> Array | None:
    numerical = p.numerical(evidence.i)
    if not _can_move(numerical, places, axis):
        return np.zeros_like(numerical) if how == "zeros coming in" else numerical
    length = numerical.shape[axis]
    rolled = np.roll(numerical, places, axis)
    if how == "round its end":
        return rolled
    new = np.arange(length) < places if places > 0 else np.arange(length) >= length + places
    if how != "zeros coming in" and 2 * new.sum() > length:
        return None  # hardly anything of the right gradient would be left to compare
    shape = [1] * numerical.ndim
    shape[axis] = length
    coming = 0.0 if how == "zeros coming in" else evidence.analytic(p)
    guess: Array = np.where(new.reshape(shape), coming, rolled)
    return guess


def wrongly_summed(evidence: PrimalEvidence) -> Finding | None:
    """See whether of the shares of several outputs in one element only one is there, or others are summed up."""
    for form in ("last", "first"):
        if not _may_be_one_share(evidence, form):
            continue
        confidence = evidence.explained_share(partial(_share_of_one_output, evidence, form))
        if confidence:
            if all(_is_broadcast(evidence, p) for p in evidence.wrong_points):
                observed = f"{evidence.name} was broadcast, and its gradient is the {form} slice, not the sum"
                cure = "sum over every axis along which it was broadcast"
                return evidence.finding("missing-broadcast-sum", confidence, observed, cure)
            observed = (
                f"several outputs come from one element of {evidence.name}, "
                f"and only the {form} one's share is there"
            )
            # the first one's alone may be there because it was picked
            sure = confidence if form == "last" else ONE_SIDED * confidence
            return evidence.finding(
                "last-write-wins", sure, observed, "add up (np.add.at, +=), do not assign"
            )
    return _wrong_sums(evidence)


def _share_of_one_output(evidence: PrimalEvidence, which: str, p: PointEvidence) -> Array:
    """Return the gradient of which each element is the share of the first, or the last, output that depends on it."""
    return _shares_of_one_output(which, p.jacobians[evidence.i], p.g).reshape(evidence.primal(p).shape)


def _may_be_one_share(evidence: PrimalEvidence, which: str) -> bool:
    """Return whether a few elements, wrong and right ones, leave it open: a whole Jacobian of many takes long."""
    p = evidence.wrong_points[0]
    analytic, wrong = evidence.analytic(p).ravel(), p.wrong(evidence.i).ravel()
    if analytic.size <= SMALL:
        return True
    # at a kink several gradients are right
    smooth = ~p.kinks[evidence.i].ravel()
    at = [np.flatnonzero(kind & smooth) for kind in (wrong, ~wrong)]
    places = [int(k) for kind in at for k in kind[:: max(1, len(kind) // FEW)][:FEW]]
    guess = _shares_of_one_output(which, p.columns(evidence.i, places), p.g)
    off = np.abs(analytic - p.numerical(evidence.i).ravel())[wrong & smooth].max(initial=0.0)
    return bool((np.abs(analytic[places] - guess) <= 2 * LEFT * off).all())


def _shares_of_one_output(which: str, jacobian: Array, g: Array) -> Array:
    """Return, for each element, the share of the first, or the last, output that depends on it."""
    shares = jacobian * g[:, None]
    some = np.abs(jacobian) > 1e-9 * np.abs(jacobian).max(initial=0.0)
    rows = np.arange(len(shares))[:, None]
    chosen = (
        np.where(some, rows, -1).max(axis=0)
        if which == "last"
        else np.where(some, rows, len(shares)).min(axis=0)
    )
    exists = some.any(axis=0)
    values = shares[np.clip(chosen, 0, max(len(shares) - 1, 0)), np.arange(shares.shape[1])]
    return np.asarray(np.where(exists, values, 0.0))


def _output_shape(p: PointEvidence) -> tuple[int, ...]:
    return np.shape(as_tuple(p.trial.output)[0])


def _is_broadcast(evidence: PrimalEvidence, p: PointEvidence) -> bool:
    x, y = evidence.primal(p).shape, _output_shape(p)
    try:
        return np.broadcast_shapes(x, y) == y and x != y
    except ValueError:
        return False


def _broadcast_shares(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    """Return, in the output's shape, the share of each output in the element that was broadcast to it.

    None if the primal was not broadcast, or an output depends on several elements.
    """
    if not _is_broadcast(evidence, p) or isinstance(p.trial.output, tuple):
        return None
    shares = p.jacobians[evidence.i] * p.g[:, None]
    if (np.abs(shares) > 1e-9 * np.abs(shares).max(initial=0.0)).sum(axis=1).max(initial=0) > 1:
        return None
    return np.asarray(shares.sum(axis=1).reshape(_output_shape(p)))


def _wrong_sums(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient of a broadcast primal is summed over other axes than it should be."""
    confidence = evidence.explained_share(partial(_total_everywhere, evidence))
    if confidence:
        observed = f"every element of the gradient of {evidence.name} is the sum over all axes"
        cure = "sum over the axes along which it was broadcast, and over no other"
        return evidence.finding("wrong-sum-axis", confidence, observed, cure)
    ndim = max((len(_output_shape(p)) for p in evidence.wrong_points), default=0)
    for ways in product(("keep", "sum", "first", "last"), repeat=ndim if ndim <= 4 else 0):
        confidence = evidence.explained_share(partial(_summed, evidence, ways))
        if confidence:
            missing = any(way in ("first", "last") for way in ways)
            axes = [k for k, way in enumerate(ways) if way == "sum"]
            observed = f"the gradient of {evidence.name} is summed over the axes {axes} of the output"
            cure = "sum over every axis along which it was broadcast, and over no other"
            name = "missing-broadcast-sum" if missing else "wrong-sum-axis"
            return evidence.finding(name, confidence, observed + (" only" if missing else ""), cure)
    return None


def _total_everywhere(evidence: PrimalEvidence, p: PointEvidence) -> Array | None:
    total = _broadcast_shares(evidence, p)
    return None if total is None else np.full(evidence.primal(p).shape, float(total.sum()))


def _summed(evidence: PrimalEvidence, ways: tuple[str, ...], p: PointEvidence) -> Array | None:
    """Return the shares of a broadcast primal with each axis kept, summed, or cut to its first or last slice."""
    total = _broadcast_shares(evidence, p)
    if total is None or total.ndim > len(ways):
        return None
    for axis, way in enumerate(ways[len(ways) - total.ndim :]):
        if way == "sum":
            total = total.sum(axis=axis, keepdims=True)
        elif way in ("first", "last"):
            total = np.take(total, [0 if way == "first" else -1], axis=axis)
    shape = evidence.primal(p).shape
    if total.size == int(np.prod(shape)):
        return total.reshape(shape)
    return np.full(shape, float(total.reshape(-1)[0])) if total.size == 1 else None
