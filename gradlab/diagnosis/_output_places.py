"""Mistakes in what comes from some places of the output: backward is asked for each output's cotangent by itself."""

from itertools import permutations, product
from typing import Any

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.cotangent_mistakes import analytic_for
from gradlab.diagnosis.point_evidence import PointEvidence, has_large_jacobian
from gradlab.node import Array, as_tuple

# Of more outputs backward is not asked for one by one.
OUTPUTS = 200
# Two rows are the same to within this share of the largest entry.
SAME = 1e-5
# An axis must have so many places for an end of it to be told from the rest.
PLACES = 3
# So many places of an output are named.
SHOWN = 12


def exchanged_outputs(evidence: PrimalEvidence) -> Finding | None:
    """See whether places of the output have each other's cotangents."""
    orders = [_order(there, right) for there, right in _rows(evidence)]
    if not orders or not all(order.size for order in orders):
        return None
    observed = (
        f"the gradient is right for the cotangents of the output's places in the order {_listed(orders[0])}"
    )
    several = all(np.ndim(as_tuple(p.trial.output)[0]) > 1 for p in _points(evidence))
    if several and all(map(_is_of_axes, orders)):
        observed += ", which is one of axes"
        return evidence.finding("axes-permuted", 0.85, observed, "transpose before, or after, it is reshaped")
    return evidence.finding(
        "wrong-cotangent", 0.85, observed, "use each output's own cotangent, at its own place"
    )


def ignored_outputs(evidence: PrimalEvidence) -> Finding | None:
    """See whether nothing comes from some places of the output, and what comes from the others is right."""
    rows = _rows(evidence)
    ignored = [_ignored(there, right) for there, right in rows]
    if not ignored or not all(ignored):
        return None
    # where one place of an axis alone is there, or one output of each element, it is what was written last
    for p, (there, right) in zip(_points(evidence), rows, strict=False):
        fine = _is_right(there, right)
        nothing = not evidence.analytic(p)[p.wrong(evidence.i)].any()  # which is a mistake of some elements
        if nothing or _is_one_place(p, fine) or _is_one_of_each(right, fine):
            return None
    observed = f"nothing comes from the cotangents of the output's places {ignored[0]}, and the rest is right"
    return evidence.finding(
        "ignores-cotangent", 0.9, observed, "use the cotangent of every place of the output"
    )


def right_at_one_end(evidence: PrimalEvidence) -> Finding | None:
    """See whether what comes from the outputs at one end of an axis is right, and all behind it is wrong.

    So it is where a state is handed on from place to place, and its gradient is not, or each place's share overwrites
    that of the place before.
    """
    ends = [
        _right_end(p, there, right)
        for p, (there, right) in zip(_points(evidence), _rows(evidence), strict=False)
    ]
    if not ends or ends[0] is None or any(end != ends[0] for end in ends):
        return None
    axis, said = ends[0]
    observed = (
        f"what comes from the outputs {said} axis {axis} is right, and what comes from those behind is not"
    )
    cure = "take back all that is handed on along this axis, and add up (+=) what each place gives"
    return evidence.finding("missing-term", 0.85, observed, cure)


def _points(evidence: PrimalEvidence) -> list[PointEvidence]:
    return ([p for p in evidence.wrong_points if p.is_given] or evidence.wrong_points[:1])[:2]


def _rows(evidence: PrimalEvidence) -> list[tuple[Array, Array]]:
    """Return what backward gives for each output's own cotangent, and what it should, a row for each output.

    Once for each point; nothing if that is not known at one of them.
    """
    found = [_rows_at(evidence, p) for p in _points(evidence)]
    known = [rows for rows in found if rows is not None]
    return known if len(known) == len(found) else []


def _rows_at(evidence: PrimalEvidence, p: PointEvidence) -> tuple[Array, Array] | None:
    found: tuple[Array, Array] | None = p.trial.remembered(
        f"rows of {evidence.name}", lambda trial: _rows_of(evidence, p)
    )
    return found


def _rows_of(evidence: PrimalEvidence, p: PointEvidence) -> tuple[Array, Array] | None:
    if not 2 <= p.g.size <= OUTPUTS or has_large_jacobian(p.trial):
        return None
    found = []
    for k in range(p.g.size):
        row = analytic_for(evidence, p, OneOf(k))
        if row is None:
            return None
        found.append(row.reshape(-1))
    return np.stack(found), p.jacobians[evidence.i]


class OneOf:
    """Makes cotangents, asked for one output after the other, of which one element in all is 1."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __call__(self, g: Any) -> Array:
        """Return the next output's."""
        one = np.zeros(np.shape(g), np.asarray(g).dtype)
        if 0 <= self.place < one.size:
            one.reshape(-1)[self.place] = 1
        self.place -= one.size
        return one


def _is_right(there: Array, right: Array) -> Array:
    """Return for each output whether what comes from it is right."""
    near = SAME * float(np.abs(right).max(initial=0.0))
    return np.asarray((np.abs(there - right) <= near).all(axis=1))


def _order(there: Array, right: Array) -> Array:
    """Return which output's row each row is; nothing if the rows are not the right ones in another order."""
    nothing: Array = np.empty(0, int)
    near = SAME * float(np.abs(right).max(initial=0.0))
    alike = (np.abs(there[:, None] - right[None]) <= near).all(axis=2)
    if not ((alike.sum(axis=0) == 1).all() and (alike.sum(axis=1) == 1).all()):
        return nothing
    order: Array = alike.argmax(axis=1)
    return nothing if (order == np.arange(len(order))).all() else order


def _is_of_axes(order: Array) -> bool:
    """Return whether an order is that of the elements of an array with its axes in another order."""
    n = len(order)
    parts = [k for k in range(1, n + 1) if n % k == 0]
    shapes = {(n // (a * b * c), a, b, c) for a, b, c in product(parts, repeat=3) if n % (a * b * c) == 0}
    axes = [axes for axes in permutations(range(4)) if axes != (0, 1, 2, 3)]
    elements = (np.arange(n).reshape(shape).transpose(turn).reshape(-1) for shape in shapes for turn in axes)
    return any(np.array_equal(order, other) for other in elements)


def _ignored(there: Array, right: Array) -> str:
    """Return the outputs of which nothing comes, where all others are right, in words; empty if that is not so."""
    wrong = ~_is_right(there, right)
    return "" if not wrong.any() or wrong.all() or there[wrong].any() else _listed(np.flatnonzero(wrong))


def _is_one_place(p: PointEvidence, fine: Array) -> bool:
    """Return whether these are the outputs at one place of an axis, all of them."""
    if isinstance(p.trial.output, tuple) or np.ndim(p.trial.output) < 2:
        return False
    fine = fine.reshape(np.shape(p.trial.output))
    for axis, length in enumerate(fine.shape):
        whole = fine.all(axis=tuple(k for k in range(fine.ndim) if k != axis))
        if length > 1 and whole.sum() == 1 and fine.sum() * length == fine.size:
            return True
    return False


def _is_one_of_each(right: Array, fine: Array) -> bool:
    """Return whether of the outputs that depend on an element one at the most is among these."""
    depends = np.abs(right) > SAME * float(np.abs(right).max(initial=0.0))
    return bool((depends[fine].sum(axis=0) <= 1).all())


def _right_end(p: PointEvidence, there: Array, right: Array) -> tuple[int, str] | None:
    """Return the axis at one end of which outputs are right, and which end, in words; None if there is none."""
    y = p.trial.output
    fine = _is_right(there, right)
    if isinstance(y, tuple) or fine.all() or not fine.any():
        return None
    # of a function of each element alone the right outputs are those at which the mistake is small
    depends = right != 0
    if not (depends[fine].any(axis=0) & depends[~fine].any(axis=0)).any():
        return None
    # what comes from an output that depends on nothing is right whatever backward does
    asked = (right != 0).any(axis=1).reshape(y.shape)
    fine = fine.reshape(y.shape)
    for axis in range(y.ndim):
        beside = tuple(k for k in range(y.ndim) if k != axis)
        whole, none = (fine | ~asked).all(axis=beside), ~(fine & asked).any(axis=beside)
        if len(whole) < PLACES:
            continue
        for end, (w, n) in {"first": (whole, none), "last": (whole[::-1], none[::-1])}.items():
            count = int(np.argmin(w)) if not w.all() else 0
            if 0 < count < len(w) and n[count:].all():
                return axis, f"at the {end} {count} places of" if count > 1 else f"at the {end} place of"
    return None


def _listed(places: Array) -> str:
    more = ", ..." if len(places) > SHOWN else ""
    return ", ".join(map(str, places[:SHOWN])) + more
