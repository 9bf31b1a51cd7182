"""Conditions on values under which a gradient is wrong: where x, the output or a target is large, small or zero."""

from collections.abc import Callable
from functools import partial

import numpy as np

from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array, as_tuple

# An element is looked at only if its gradient is at least this share of the largest: in a smaller one a mistake
# may not show.
VISIBLE, FAINT = 1e-4, 1e-5
# So many right elements and wrong ones make a condition more than chance.
ENOUGH = 3

Mask = Array


def visible(seen: PrimalEvidence, p: PointEvidence) -> Mask:
    """Return which elements have a gradient large enough for a mistake in it to show."""
    size = np.abs(p.numerical(seen.i))
    finite = np.isfinite(size)
    least = VISIBLE * float(size[finite].max(initial=0.0))
    if not p.is_given:
        # by differences a gradient is not known to so many digits
        usual = [np.abs(q.numerical(seen.i)).max(initial=0.0) for q in seen.points if q.is_given]
        least = max(least, FAINT * float(np.nan_to_num(max(usual, default=0.0))))
    return np.asarray((finite & (size > least)) | p.wrong(seen.i))


def condition(seen: PrimalEvidence) -> str:
    """Return the condition on x, y or a target that separates wrong elements from right ones; empty if none does."""
    every = [*seen.wrong, *seen.right]
    sources: list[tuple[str, Callable[[PointEvidence], Array | None]]] = [(seen.name, seen.primal)]
    sources += [("the output", lambda p: _like(seen, p, p.trial.output))]
    names = seen.points[0].trial.names
    sources += [(names[j], partial(_other_primal, seen, j)) for j in range(len(names)) if j != seen.i]
    targets = seen.points[0].trial.sample.settings
    sources += [(name, partial(_setting, seen, name, False)) for name in targets]
    sources += [(f"{seen.name} - {name}", partial(_setting, seen, name, True)) for name in targets]
    for name, source in sources:
        values, wrong = [], []
        for p in every:
            value = source(p)
            if value is None:
                break
            looked = visible(seen, p) & ~p.kinks[seen.i]
            if name == "the output":
                looked = looked & (seen.primal(p) != 0)  # of 0 it is 0 whatever a mask says
            values.append(np.asarray(value, np.float64)[looked])
            wrong.append(p.wrong(seen.i)[looked])
        else:
            found = _separates(name, np.concatenate(values), np.concatenate(wrong)) if values else ""
            if found:
                return found
    return ""


def _other_primal(seen: PrimalEvidence, j: int, p: PointEvidence) -> Array | None:
    return _like(seen, p, p.trial.sample.primals[j])


def _setting(seen: PrimalEvidence, name: str, less: bool, p: PointEvidence) -> Array | None:
    """Return a setting that has a number for each element, targets among them, or how far the element is above it."""
    value = p.trial.sample.settings.get(name)
    numbers = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    found = _like(seen, p, value) if numbers else None
    return seen.primal(p) - found if found is not None and less else found


def labelled(seen: PrimalEvidence) -> str:
    """Return of which labels it is that it is wrong exactly at the classes that they name; empty if of none."""
    every = [*seen.wrong, *seen.right]
    for name in seen.points[0].trial.sample.settings:
        masks = [(_of_labels(seen, p, name), p.wrong(seen.i), visible(seen, p)) for p in every]
        fits = all(label is not None and (label == wrong)[looked].all() for label, wrong, looked in masks)
        if fits and sum(int(wrong.sum()) for _, wrong, _ in masks) >= ENOUGH:
            return f"the index along the last axis is the one that {name} says"
    return ""


def _of_labels(seen: PrimalEvidence, p: PointEvidence, name: str) -> Mask | None:
    value, shape = p.trial.sample.settings.get(name), seen.primal(p).shape
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "iu"
        or value.shape != shape[:-1]
        or not shape
    ):
        return None
    return np.asarray(np.arange(shape[-1]) == value[..., np.newaxis])


def _like(seen: PrimalEvidence, p: PointEvidence, values: object) -> Array | None:
    shape = seen.primal(p).shape
    parts = as_tuple(values)
    return np.asarray(parts[0]) if len(parts) == 1 and np.shape(parts[0]) == shape and shape else None


def _separates(name: str, values: Array, wrong: Mask) -> str:
    inside, outside = values[wrong], values[~wrong]
    if not inside.size or outside.size < ENOUGH:
        return ""
    if (inside == 0).all() and (outside != 0).all():
        return f"{name} is exactly 0"
    if inside.size < ENOUGH:
        return ""
    for form, mapped in ((name, lambda v: v), (f"|{name}|", np.abs)):
        low, high = mapped(inside), mapped(outside)
        if low.max() < high.min():
            return f"{form} < {_between(low.max(), high.min())}"
        if low.min() > high.max():
            return f"{form} > {_between(high.max(), low.min())}"
    below, above = inside[inside < outside.min()], inside[inside > outside.max()]
    if below.size + above.size == inside.size and min(below.size, above.size) > 0:
        ends = _between(below.max(), outside.min()), _between(outside.max(), above.min())
        return f"{name} < {ends[0]} or {name} > {ends[1]}"
    below, above = outside[outside < inside.min()], outside[outside > inside.max()]
    if below.size + above.size == outside.size and min(below.size, above.size) >= ENOUGH:
        return f"{_between(below.max(), inside.min())} < {name} < {_between(inside.max(), above.min())}"
    return ""


def _between(low: float, high: float) -> str:
    """Return the plainest number between two."""
    for digits in range(4):
        number = round((low + high) / 2, digits)
        if low <= number <= high:
            return f"{number:g}" if digits else f"{int(number)}"
    return f"{(low + high) / 2:.4g}"
