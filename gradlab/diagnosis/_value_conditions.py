"""Conditions on values under which a gradient is wrong: where x, the output or a target is large, small or zero."""

from collections.abc import Callable
from functools import partial

import numpy as np

from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array, as_tuple

# An element is looked at only if its gradient is at least the share VISIBLE of the point's largest, and beyond the
# samples also the share FAINT of the samples' largest: in a smaller one a mistake may not show.
VISIBLE, FAINT = 1e-4, 1e-5
# Relative to its median, a mistake so small is one that grows from nothing.
FADED = 1e-2
# A condition that separates so many wrong elements from so many right ones is no chance.
ENOUGH = 3

Mask = Array


def visible(evidence: PrimalEvidence, p: PointEvidence) -> Mask:
    """Return which elements have a gradient large enough for a mistake in it to show."""
    size = np.abs(p.numerical(evidence.i))
    finite = np.isfinite(size)
    least = VISIBLE * float(size[finite].max(initial=0.0))
    if not p.is_given:
        # beyond the samples the gradient, by differences, is known to fewer digits
        usual = [np.abs(q.numerical(evidence.i)).max(initial=0.0) for q in evidence.points if q.is_given]
        least = max(least, FAINT * float(np.nan_to_num(max(usual, default=0.0))))
    return np.asarray((finite & (size > least)) | p.wrong(evidence.i))


def separating_condition(evidence: PrimalEvidence) -> str:
    """Return the condition on primals, output or settings that separates wrong elements from right ones, or ''."""
    every = [*evidence.wrong_points, *evidence.right_points]
    sources: list[tuple[str, Callable[[PointEvidence], Array | None]]] = [(evidence.name, evidence.primal)]
    sources += [("the output", lambda p: _of_primals_shape(evidence, p, p.trial.output))]
    names = evidence.points[0].trial.names
    sources += [
        (names[j], partial(_other_primal_values, evidence, j)) for j in range(len(names)) if j != evidence.i
    ]
    targets = evidence.points[0].trial.sample.settings
    sources += [(name, partial(_setting_values, evidence, name, False)) for name in targets]
    sources += [
        (f"{evidence.name} - {name}", partial(_setting_values, evidence, name, True)) for name in targets
    ]
    for name, source in sources:
        values, wrong, off = [], [], []
        for p in every:
            value = source(p)
            if value is None:
                break
            looked = visible(evidence, p) & ~p.kinks[evidence.i]
            if name == "the output":
                # the output of 0 is often 0, on both sides of a mask
                looked = looked & (evidence.primal(p) != 0)
            values.append(np.asarray(value, np.float64)[looked])
            wrong.append(p.wrong(evidence.i)[looked])
            off.append(_relative_errors(evidence, p)[looked])
        else:
            found = _condition_between(name, np.concatenate(values), np.concatenate(wrong)) if values else ""
            if found and not _fades(np.concatenate(off)[np.concatenate(wrong)]):
                return found
    return ""


def _relative_errors(evidence: PrimalEvidence, p: PointEvidence) -> Array:
    right = p.numerical(evidence.i)
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(evidence.analytic(p) - right) / np.abs(right))


def _fades(off: Array) -> bool:
    """Return whether a mistake is next to nothing in some elements: no mask ends it, but the tolerance."""
    finite = off[np.isfinite(off)]
    return bool(finite.size and finite.min() < FADED * np.median(finite))


def _other_primal_values(evidence: PrimalEvidence, j: int, p: PointEvidence) -> Array | None:
    return _of_primals_shape(evidence, p, p.trial.sample.primals[j])


def _setting_values(evidence: PrimalEvidence, name: str, less: bool, p: PointEvidence) -> Array | None:
    """Return a setting that has a number for each element, as targets do; if `less`, the primal minus this setting."""
    value = p.trial.sample.settings.get(name)
    numbers = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    found = _of_primals_shape(evidence, p, value) if numbers else None
    return evidence.primal(p) - found if found is not None and less else found


def label_condition(evidence: PrimalEvidence) -> str:
    """Return the condition that the gradient is wrong exactly at the classes that labels name, or ''."""
    every = [*evidence.wrong_points, *evidence.right_points]
    for name in evidence.points[0].trial.sample.settings:
        masks = [
            (_mask_of_labels(evidence, p, name), p.wrong(evidence.i), visible(evidence, p)) for p in every
        ]
        fits = all(label is not None and (label == wrong)[looked].all() for label, wrong, looked in masks)
        if fits and sum(int(wrong.sum()) for _, wrong, _ in masks) >= ENOUGH:
            return f"the index along the last axis is the one that {name} says"
    return ""


def _mask_of_labels(evidence: PrimalEvidence, p: PointEvidence, name: str) -> Mask | None:
    """Return the elements that a setting names as labels of the last axis; None if the setting is no labels."""
    value, shape = p.trial.sample.settings.get(name), evidence.primal(p).shape
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "iu"
        or value.shape != shape[:-1]
        or not shape
    ):
        return None
    return np.asarray(np.arange(shape[-1]) == value[..., np.newaxis])


def _of_primals_shape(evidence: PrimalEvidence, p: PointEvidence, values: object) -> Array | None:
    """Return `values` if they are one array of the primal's shape, else None."""
    shape = evidence.primal(p).shape
    parts = as_tuple(values)
    return np.asarray(parts[0]) if len(parts) == 1 and np.shape(parts[0]) == shape and shape else None


def _condition_between(name: str, values: Array, wrong: Mask) -> str:
    """Return the condition on `values` that holds exactly where `wrong` does, or ''."""
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
            return f"{form} < {_plainest_between(low.max(), high.min())}"
        if low.min() > high.max():
            return f"{form} > {_plainest_between(high.max(), low.min())}"
    below, above = inside[inside < outside.min()], inside[inside > outside.max()]
    if below.size + above.size == inside.size and min(below.size, above.size) > 0:
        ends = _plainest_between(below.max(), outside.min()), _plainest_between(outside.max(), above.min())
        return f"{name} < {ends[0]} or {name} > {ends[1]}"
    below, above = outside[outside < inside.min()], outside[outside > inside.max()]
    if below.size + above.size == outside.size and min(below.size, above.size) >= ENOUGH:
        ends = _plainest_between(below.max(), inside.min()), _plainest_between(inside.max(), above.min())
        return f"{ends[0]} < {name} < {ends[1]}"
    return ""


def _plainest_between(low: float, high: float) -> str:
    """Return the number with the fewest digits between two."""
    for digits in range(4):
        number = round((low + high) / 2, digits)
        if low <= number <= high:
            return f"{number:g}" if digits else f"{int(number)}"
    return f"{(low + high) / 2:.4g}"
