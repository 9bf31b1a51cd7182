"""Mistakes in some places only: one element, the border, a region of the domain, ties."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.checks.trial.ties import check_ties_together
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import ALMOST_ALL, PrimalEvidence
from gradlab.diagnosis._value_conditions import ENOUGH, Mask, label_condition, separating_condition, visible
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array

ENDS = {"start": "the start", "end": "the end", "both ends": "both ends"}


def not_finite(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is wrong only where it is not finite."""
    if not evidence.wrong_points or any(
        np.isfinite(evidence.analytic(p))[p.wrong(evidence.i)].any() for p in evidence.wrong_points
    ):
        return None
    value = next(float(v) for p in evidence.wrong_points for v in evidence.analytic(p)[p.wrong(evidence.i)])
    where = separating_condition(evidence)
    observed = f"the gradient is {value} where forward has a slope" + (f", where {where}" if where else "")
    return evidence.finding("not-finite", 1.0, observed, "avoid 0 / 0, 0 times infinity and overflow there")


def single_element(evidence: PrimalEvidence) -> Finding | None:
    """See whether one element alone is wrong, at every sample that has more."""
    at = [(p.is_given, p.wrong(evidence.i)) for p in evidence.wrong_points]
    large = [m for _, m in at if m.size > 2]
    others = [is_given for is_given, m in at if m.sum() != 1]
    # far away something else may be wrong as well
    if not large or any(others) or len(others) > (1 - ALMOST_ALL) * sum(not is_given for is_given, _ in at):
        return None
    if _is_wrong_at_zero_alone(evidence):
        return None  # what matters is the value 0, not the element
    first = next(iter(np.argwhere(large[0])))
    place = ", ".join(str(int(k)) for k in first)
    observed = f"one element alone is wrong, at ({place}) of {large[0].size}"
    return evidence.finding("single-element", 0.95, observed, "look for an assignment to one index")


def _is_wrong_at_zero_alone(evidence: PrimalEvidence) -> bool:
    return all((evidence.primal(p)[p.wrong(evidence.i)] == 0).all() for p in evidence.wrong_points)


def border(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is wrong at the ends of some axes, everywhere there, and nowhere else."""
    masks = [(p.wrong(evidence.i), visible(evidence, p)) for p in evidence.wrong_points]
    masks = [(m, v) for m, v in masks if m.size > 1]
    ndim = max((m.ndim for m, _ in masks), default=0)
    if not masks or any(m.ndim == 0 for m, _ in masks) or _is_wrong_at_zero_alone(evidence):
        return None
    for width in (1, 2):
        for ends in _groups_of_ends(ndim):
            frames = [_border_mask(m.shape, ends, width) for m, _ in masks]
            fits = all((m[v] == f[v]).all() for (m, v), f in zip(masks, frames, strict=True))
            inside = sum(int((~f & v).sum()) for (_, v), f in zip(masks, frames, strict=True))
            # the last of a model's parameters is no border: one end of one vector tells nothing
            tells = len({m.shape for m, _ in masks}) > 1 or ndim > 1 or ends[0][1] == "both ends"
            if fits and inside >= 2 and tells:
                where = " and ".join(f"{ENDS[which]} of axis {axis}" for axis, which in ends)
                observed = f"the gradient is wrong at {where}, and right everywhere else"
                return evidence.finding(
                    "border", 0.97, observed, "treat the border as forward does (padding, one-sided ends)"
                )
    return None


def _groups_of_ends(ndim: int) -> Iterator[tuple[tuple[int, str], ...]]:
    """Yield ends of one axis, counted from behind and from the front, then ends of the last two axes together."""
    for axis in (*range(-1, -ndim - 1, -1), *range(ndim)):
        yield from (((axis, which),) for which in ("start", "end", "both ends"))
    if ndim > 1:
        for which in product(("both ends", "start", "end"), repeat=2):
            yield ((-2, which[0]), (-1, which[1]))


def _border_mask(shape: tuple[int, ...], ends: tuple[tuple[int, str], ...], width: int) -> Mask:
    frame = np.zeros(shape, dtype=bool)
    for axis, which in ends:
        if not -len(shape) <= axis < len(shape):
            continue
        view = np.moveaxis(frame, axis, 0)
        if which != "end":
            view[:width] = True
        if which != "start":
            view[-width:] = True
    return frame


def tie_or_kink(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is wrong exactly where values of the primal are equal, or forward has a kink."""
    cure = "decide what happens at equality (>= or >, one of the ties or a share for each), once"
    masks = [(p, p.wrong(evidence.i), visible(evidence, p)) for p in evidence.wrong_points]
    if masks and all(p.kinks[evidence.i][m].all() for p, m, _ in masks):
        return evidence.finding(
            "tie-or-kink", 1.0, "the gradient is wrong exactly where forward has a kink", cure
        )
    every = [
        *masks,
        *((p, np.zeros_like(p.kinks[evidence.i]), visible(evidence, p)) for p in evidence.right_points),
    ]
    right = sum(int((~m & v).sum()) for _, m, v in every)
    variants = (
        [(_tied_elements(evidence, p, others), m, v) for p, m, v in every] for others in (False, True)
    )
    if masks and right >= ENOUGH and any(all((t[v] == m[v]).all() for t, m, v in tied) for tied in variants):
        where = f"the gradient is wrong exactly where values of {evidence.name} are equal"
        return evidence.finding("tie-or-kink", 1.0, where, cure)
    if not masks:
        for p in evidence.points:
            gradients = tuple(p.gradients)
            with quiet():
                wrong = (
                    next(iter(check_ties_together(p.trial, gradients)), None)
                    if p.kinks[evidence.i].any()
                    else None
                )
            # ties of another primal are that one's
            if wrong is not None and wrong.primal in ("", evidence.name):
                observed = wrong.note.rpartition(": ")[0]
                return evidence.finding(
                    "tie-or-kink", 1.0, observed, "give one of the ties all, or each its share"
                )
    return None


def _tied_elements(evidence: PrimalEvidence, p: PointEvidence, others: bool) -> Mask:
    """Return which elements share their value with another element, or (`others`) with another primal in that place."""
    x = evidence.primal(p)
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    tied = (counts > 1)[inverse].reshape(x.shape)
    for j, other in enumerate(p.trial.sample.primals):
        if others and j != evidence.i and other.shape == x.shape:
            tied = tied | (other == x)
    return np.asarray(tied)


def masked_region(evidence: PrimalEvidence) -> Finding | None:
    """See whether the gradient is wrong exactly where a condition on values, or on the place in a batch, holds."""
    first_for_all = evidence.explained_share(lambda p: _first_row_everywhere(p.numerical(evidence.i)))
    if first_for_all:
        observed = "along axis 0 every gradient is the first one's"
        return evidence.finding(
            "masked-region", first_for_all, observed, "compute one for each example of the batch"
        )
    where = separating_condition(evidence) or label_condition(evidence) or _wrong_slices_in_words(evidence)
    if not where:
        return None
    observed = f"the gradient is wrong exactly where {where}" + _factor_there(evidence)
    return evidence.finding(
        "masked-region", 0.96, observed, "look at the branch, or the mask, that is taken there"
    )


def _first_row_everywhere(numerical: Array) -> Array | None:
    if not numerical.ndim or not numerical.size:
        return None
    return np.array(np.broadcast_to(numerical[:1], numerical.shape))


def _factor_there(evidence: PrimalEvidence) -> str:
    """Return in words which multiple of the right gradient the wrong elements are; nothing if not all the same one."""
    parts = []
    for p in evidence.wrong_points:
        numerical = p.numerical(evidence.i)
        parts.append(
            (evidence.analytic(p) / np.where(numerical == 0, np.nan, numerical))[p.wrong(evidence.i)]
        )
    ratios = np.concatenate(parts)
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size or np.ptp(ratios) > 1e-3 * (1 + np.abs(ratios).max()):
        return ""
    factor = float(np.median(ratios))
    return ": there it is zero" if abs(factor) < 1e-9 else f": there analytic = {factor:.4g} numerical"


def _wrong_slices_in_words(evidence: PrimalEvidence) -> str:
    """Return in words which slices along the first axis are wrong: a whole one, or all but the first; else nothing."""
    masks = [(p.wrong(evidence.i), visible(evidence, p)) for p in evidence.wrong_points]
    if not masks or any(m.ndim == 0 or len(m) < 2 for m, _ in masks):
        return ""
    if all(m.sum() == 1 for m, _ in masks):
        return ""  # of one element its place is all that is known, and is told as such
    if all(_is_wrong_in_slices(m, v, range(1, len(m))) for m, v in masks):
        return "the index along axis 0 is not 0"
    if all(len(_wrong_slices(m)) == 1 and _is_wrong_in_slices(m, v, _wrong_slices(m)) for m, v in masks):
        middles = {_wrong_slices(m)[0] for m, _ in masks}
        return f"the index along axis 0 is {' or '.join(map(str, sorted(middles)))}"
    return ""


def _wrong_slices(mask: Mask) -> list[int]:
    return [k for k, part in enumerate(mask) if part.any()]


def _is_wrong_in_slices(mask: Mask, visible: Mask, chosen: "range | list[int]") -> bool:
    expected = np.zeros_like(mask)
    expected[list(chosen)] = True
    # where the right gradient is 0 a mistake need not show, but a slice that is named has one
    return bool((mask[visible] == expected[visible]).all() and all(mask[k].any() for k in chosen))
