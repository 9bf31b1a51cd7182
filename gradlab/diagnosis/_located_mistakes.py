"""Mistakes in some places only: one element, the border, a region of the domain, ties."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from gradlab.checks.trial import quiet
from gradlab.checks.trial.ties import ties_move_together
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis._value_conditions import ENOUGH, Mask, condition, labelled, visible
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array


def not_finite(seen: PrimalEvidence) -> Finding | None:
    """Wrong only where it is no number."""
    if not seen.wrong or any(np.isfinite(seen.analytic(p))[p.wrong(seen.i)].any() for p in seen.wrong):
        return None
    value = next(float(v) for p in seen.wrong for v in seen.analytic(p)[p.wrong(seen.i)])
    where = condition(seen)
    evidence = f"the gradient is {value} where forward has a slope" + (f", where {where}" if where else "")
    return seen.found("not-finite", 1.0, evidence, "avoid 0 / 0, 0 times infinity and overflow there")


def single_element(seen: PrimalEvidence) -> Finding | None:
    """One element, at every sample that has more."""
    masks = [p.wrong(seen.i) for p in seen.wrong]
    large = [m for m in masks if m.size > 2]
    if not large or any(m.sum() != 1 for m in masks):
        return None
    if _is_at_zero(seen):
        return None  # not that element, but that value
    first = next(iter(np.argwhere(large[0])))
    place = ", ".join(str(int(k)) for k in first)
    evidence = f"one element alone is wrong, at ({place}) of {large[0].size}"
    return seen.found("single-element", 0.95, evidence, "look for an assignment to one index")


def _is_at_zero(seen: PrimalEvidence) -> bool:
    return all((seen.primal(p)[p.wrong(seen.i)] == 0).all() for p in seen.wrong)


def border(seen: PrimalEvidence) -> Finding | None:
    """See whether it is wrong at the ends of some axes, everywhere there, and nowhere else."""
    masks = [(p.wrong(seen.i), visible(seen, p)) for p in seen.wrong]
    masks = [(m, v) for m, v in masks if m.size > 1]
    ndim = max((m.ndim for m, _ in masks), default=0)
    if not masks or any(m.ndim == 0 for m, _ in masks) or _is_at_zero(seen):
        return None
    for width in (1, 2):
        for ends in _ends(ndim):
            frames = [_frame(m.shape, ends, width) for m, _ in masks]
            fits = all((m[v] == f[v]).all() for (m, v), f in zip(masks, frames, strict=True))
            inside = sum(int((~f & v).sum()) for (_, v), f in zip(masks, frames, strict=True))
            if fits and inside >= 2:
                where = " and ".join(f"{which} of axis {axis}" for axis, which in ends)
                evidence = f"the gradient is wrong at the {where}, and right everywhere else"
                return seen.found(
                    "border", 0.97, evidence, "treat the border as forward does (padding, one-sided ends)"
                )
    return None


def _ends(ndim: int) -> Iterator[tuple[tuple[int, str], ...]]:
    """Yield the ends of one axis, counted from behind and from the front, then those of several."""
    for axis in (*range(-1, -ndim - 1, -1), *range(ndim)):
        yield from (((axis, which),) for which in ("start", "end", "both ends"))
    if ndim > 1:
        for which in product(("both ends", "start", "end"), repeat=2):
            yield ((-2, which[0]), (-1, which[1]))


def _frame(shape: tuple[int, ...], ends: tuple[tuple[int, str], ...], width: int) -> Mask:
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


def tie_or_kink(seen: PrimalEvidence) -> Finding | None:
    """Wrong exactly where values are equal, or forward has a kink."""
    cure = "decide what happens at equality (>= or >, one of the ties or a share for each), once"
    masks = [(p, p.wrong(seen.i), visible(seen, p)) for p in seen.wrong]
    if masks and all(p.kinks[seen.i][m].all() for p, m, _ in masks):
        return seen.found("tie-or-kink", 1.0, "the gradient is wrong exactly where forward has a kink", cure)
    every = [*masks, *((p, np.zeros_like(p.kinks[seen.i]), visible(seen, p)) for p in seen.right)]
    right = sum(int((~m & v).sum()) for _, m, v in every)
    variants = ([(_tied(seen, p, others), m, v) for p, m, v in every] for others in (False, True))
    if masks and right >= ENOUGH and any(all((t[v] == m[v]).all() for t, m, v in tied) for tied in variants):
        where = f"the gradient is wrong exactly where values of {seen.name} are equal"
        return seen.found("tie-or-kink", 1.0, where, cure)
    if not masks:
        for p in seen.points:
            gradients = tuple(p.gradients)
            with quiet():
                wrong = (
                    next(iter(ties_move_together(p.trial, gradients)), None)
                    if p.kinks[seen.i].any()
                    else None
                )
            if wrong is not None:
                evidence = wrong.note.rpartition(": ")[0]
                return seen.found("tie-or-kink", 1.0, evidence, "give one of the ties all, or each its share")
    return None


def _tied(seen: PrimalEvidence, p: PointEvidence, others: bool) -> Mask:
    """Return the elements whose value stands in the primal more than once, or at the same place of another too."""
    x = seen.primal(p)
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    tied = (counts > 1)[inverse].reshape(x.shape)
    for j, other in enumerate(p.trial.sample.primals):
        if others and j != seen.i and other.shape == x.shape:
            tied = tied | (other == x)
    return np.asarray(tied)


def masked_region(seen: PrimalEvidence) -> Finding | None:
    """Wrong exactly where a condition on the values, or on the place in a batch, holds."""
    first_for_all = seen.explained(lambda p: _first_row_everywhere(p.numerical(seen.i)))
    if first_for_all:
        evidence = "along axis 0 every gradient is the first one's"
        return seen.found(
            "masked-region", first_for_all, evidence, "compute one for each example of the batch"
        )
    where = condition(seen) or labelled(seen) or _rows(seen)
    if not where:
        return None
    evidence = f"the gradient is wrong exactly where {where}" + _what_there(seen)
    return seen.found("masked-region", 0.96, evidence, "look at the branch, or the mask, that is taken there")


def _first_row_everywhere(numerical: Array) -> Array | None:
    if not numerical.ndim or not numerical.size:
        return None
    return np.array(np.broadcast_to(numerical[:1], numerical.shape))


def _what_there(seen: PrimalEvidence) -> str:
    """Return what backward gives where it is wrong, if it is one multiple of what is right."""
    ratios = np.concatenate(
        [(seen.analytic(p) / np.where(p.numerical(seen.i) == 0, np.nan, p.numerical(seen.i)))[p.wrong(seen.i)]
         for p in seen.wrong]
    )  # fmt: skip
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size or np.ptp(ratios) > 1e-3 * (1 + np.abs(ratios).max()):
        return ""
    factor = float(np.median(ratios))
    return ": there it is zero" if abs(factor) < 1e-9 else f": there analytic = {factor:.4g} numerical"


def _rows(seen: PrimalEvidence) -> str:
    """Return the place along the first axis at which a whole slice is wrong, or all but the first."""
    masks = [(p.wrong(seen.i), visible(seen, p)) for p in seen.wrong]
    if not masks or any(m.ndim == 0 or len(m) < 2 for m, _ in masks):
        return ""
    if all(_is_slices(m, v, range(1, len(m))) for m, v in masks):
        return "the index along axis 0 is not 0"
    if all(len(_wrong_slices(m)) == 1 and _is_slices(m, v, _wrong_slices(m)) for m, v in masks):
        middles = {_wrong_slices(m)[0] for m, _ in masks}
        return f"the index along axis 0 is {' or '.join(map(str, sorted(middles)))}"
    return ""


def _wrong_slices(mask: Mask) -> list[int]:
    return [k for k, part in enumerate(mask) if part.any()]


def _is_slices(mask: Mask, visible: Mask, chosen: "range | list[int]") -> bool:
    expected = np.zeros_like(mask)
    expected[list(chosen)] = True
    return bool((mask[visible] == expected[visible]).all() and (expected & visible).any())
