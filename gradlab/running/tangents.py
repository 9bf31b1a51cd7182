"""Forward mode: the tangents of the outputs, held to differences of forward along the tangents of the primals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks import Trial, quiet
from gradlab.checks.trial import same_bits
from gradlab.checks.trial.gradient_comparison import DRAWS, FURTHER, JUMP, LARGER, MOVED_ULPS
from gradlab.checks.trial.line_slopes import STEP, in_a_row, random_directions
from gradlab.node import Array, as_tuple, named_rng
from gradlab.numerical.estimate import estimate_line
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, compare, rtol_for

# ``jvp(primals, tangents)`` returns the tangent of the output; of several outputs a tuple.
Jvp = Callable[[Sequence[Array], Sequence[Array]], Any]
FAR_ULPS = LARGER * MOVED_ULPS
# So many units in the last place of the outputs are left of terms that cancel on the way to their tangents.
RESIDUE_ULPS = 2**10


def judged_tangents(trial: Trial, jvp: Jvp, gradients: Sequence[Array] = ()) -> Iterator[CheckResult]:
    """Compare what a jvp gives for the tangent of each primal alone, and for all of them, with what it should give.

    Along one random tangent all of a primal's elements move at once, so that every element of the Jacobian takes part;
    the outputs' slopes along it are weighed with the trial's random cotangent. What is right for each primal alone is
    right for all together if it is linear, which is tried with all at once and another scale.

    Parameters
    ----------
    trial : Trial
    jvp : callable
    gradients : sequence of ndarray, optional
        Those of a reverse mode of its own that is known to be right: what agrees with them needs no differences, which
        see less where forward is a staircase, or badly conditioned.
    """
    # all that a step moves together is to move an output by as much as one element would
    directions = [
        (v / np.sqrt(max(x.size, 1))).astype(x.dtype)
        for v, x in zip(random_directions(trial, 1)[0], trial.sample.primals, strict=True)
    ]
    alone, writes = [], False
    for i, name in enumerate(trial.names):
        tangents = [v if j == i else np.zeros_like(v) for j, v in enumerate(directions)]
        given = [v.copy() for v in tangents]
        found = _well_formed(trial, jvp(trial.primals(), given))
        if not all(map(same_bits, given, tangents)):
            writes = True
        alone.append(in_a_row(found))
        if gradients and _agrees(trial, found, gradients[i], directions[i]):
            result = CheckResult(Verdict.PASS, name)
        else:
            result = _along(trial, jvp, name, tangents, found)
        yield result
        if result.verdict is not Verdict.PASS:
            return
    yield _linear(trial, jvp, directions, alone)
    if writes:
        yield CheckResult(trial.breach, note="jvp writes into its tangents: write into a copy")


def _well_formed(trial: Trial, found: Any) -> Any:
    """Return the tangents of the outputs as arrays.

    Raises
    ------
    ValueError
        If they are not of the outputs' shapes.
    """
    outputs, tangents = as_tuple(trial.output), as_tuple(found)
    shapes = [np.shape(y) for y in outputs], [np.shape(t) for t in tangents]
    if shapes[0] != shapes[1]:
        cure = "return one tangent for each output of forward, of its shape"
        raise ValueError(f"the outputs have the shapes {shapes[0]}, and their tangents {shapes[1]}: {cure}")
    arrays = tuple(np.asarray(t) for t in tangents)
    return arrays if isinstance(trial.output, tuple) else arrays[0]


def _agrees(trial: Trial, found: Any, gradient: Array, direction: Array) -> bool:
    """Return whether the tangents of the outputs for that of one primal give the slope that its gradient gives."""
    weighed = in_a_row(trial.cotangent()) * in_a_row(found)
    terms = in_a_row(gradient) * in_a_row(direction)
    dtype = _coarsest(trial, found)
    allowed = rtol_for(dtype) * (np.abs(weighed).sum() + np.abs(terms).sum())
    allowed += _residue(trial, dtype) * np.abs(in_a_row(trial.cotangent())).sum()
    return bool(abs(weighed.sum() - terms.sum()) <= allowed)


def _residue(trial: Trial, dtype: Any) -> float:
    """Return what terms that cancel on the way leave of a tangent that should vanish: as much of any output."""
    arrays = [np.nan_to_num(np.abs(np.asarray(y, np.float64)), posinf=0.0) for y in as_tuple(trial.output)]
    usual = max((float(y.mean()) for y in arrays if y.size), default=0.0)
    return RESIDUE_ULPS * float(np.finfo(dtype).eps) * usual


def _coarsest(trial: Trial, found: Any) -> Any:
    """Return the dtype with the fewest digits among those of the primals and of the tangents of the outputs."""
    dtypes = [x.dtype for x in (*trial.sample.primals, *as_tuple(found)) if x.dtype.kind == "f"]
    coarsest: Any = max(dtypes, key=lambda dtype: float(np.finfo(dtype).eps))
    return coarsest


def _rounding(trial: Trial, jvp: Jvp, tangents: Sequence[Array], here: Array) -> Array | float:
    """Return how far the rounding of the primals may move the tangents of the outputs; 0 where nothing tells."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "rounding of tangents")

    def moved(ulps: float) -> Array:
        primals = [
            np.asarray(x * (1 + ulps * np.finfo(x.dtype).eps * rng.choice([-1, 1], x.shape)), x.dtype)
            for x in trial.primals()
        ]
        there = in_a_row(jvp(primals, [v.copy() for v in tangents]))
        return np.asarray(np.nan_to_num(np.abs(there - here), nan=0.0))

    with quiet():
        try:
            near, far = (
                np.max([moved(ulps) for _ in range(DRAWS)], axis=0) for ulps in (MOVED_ULPS, FAR_ULPS)
            )
        except Exception:
            return 0.0
    # a jump, as at a tie, is as far for larger moves, and is no rounding
    return np.asarray(FURTHER * np.where(JUMP * near <= far, near, 0.0))


def _along(trial: Trial, jvp: Jvp, name: str, tangents: Sequence[Array], found: Any) -> CheckResult:
    """Compare the tangents of the outputs with forward's slopes along those of the primals."""
    wide = np.promote_types(np.float64, np.result_type(*trial.sample.primals))
    points, g, function = [x.astype(wide) for x in trial.primals()], trial.cotangent(), trial.function

    def outputs(t: Any) -> Array:
        return in_a_row(function(*(x + t * v for x, v in zip(points, tangents, strict=True))))

    slopes, dtype = in_a_row(found), _coarsest(trial, found)
    weighed = np.asarray(in_a_row(g) @ slopes, dtype=dtype)
    method = "auto" if trial.method == "complex-step" else trial.method
    with quiet():
        estimate = estimate_line(lambda t: in_a_row(g) @ outputs(t), method=method)
    # the sum over the outputs rounds as its terms do
    terms = float(np.abs(in_a_row(g) * slopes).sum())
    residue = _residue(trial, dtype) * float(np.abs(in_a_row(g)).sum())
    atol = rtol_for(dtype) * terms + residue if trial.atol is None else trial.atol
    rtol = rtol_for(dtype) if trial.rtol is None else trial.rtol
    result = replace(compare(weighed, estimate, rtol=rtol, atol=atol, primal=name), worst_index=None)
    if result.verdict is Verdict.WRONG:
        atol = atol + float(np.abs(in_a_row(g) * _rounding(trial, jvp, tangents, slopes)).sum())
        result = replace(compare(weighed, estimate, rtol=rtol, atol=atol, primal=name), worst_index=None)
    return _located(result, outputs, found) if result.verdict is Verdict.WRONG else result


def _located(result: CheckResult, along: Callable[[Any], Array], found: Any) -> CheckResult:
    """Return a wrong result with the output that is furthest off, and what it gives and should give there."""
    with quiet():
        try:
            wide, narrow = ((along(h) - along(-h)) / (2 * h) for h in (STEP, STEP / 2))
        except Exception:
            return result
    slopes, tangents = (4 * narrow - wide) / 3, in_a_row(found)
    off = np.abs(slopes - tangents)
    if np.isnan(off).all():
        return result
    worst = int(np.nanargmax(off))
    outputs = as_tuple(found)
    which = int(np.searchsorted(np.cumsum([y.size for y in outputs]), worst, side="right"))
    inside = worst - sum(y.size for y in outputs[:which])
    index = tuple(map(int, np.unravel_index(inside, outputs[which].shape)))
    output = f"output {which}" if len(outputs) > 1 else "the output"
    place = f"element {index} of {output}" if index else output
    note = f"along one tangent {place} moves by {tangents[worst]:.6g} and should by about {slopes[worst]:.6g}"
    return replace(result, note="; ".join(filter(None, [note, result.note])))


def _linear(trial: Trial, jvp: Jvp, directions: Sequence[Array], alone: Sequence[Array]) -> CheckResult:
    """Return whether tangents that come together, at another scale, give the sum of what they give alone."""
    for scale in (1.0, -0.375):
        tangents = [v * v.dtype.type(scale) for v in directions]
        found = _well_formed(trial, jvp(trial.primals(), [v.copy() for v in tangents]))
        together, dtype = in_a_row(found), _coarsest(trial, found)
        terms = sum(np.abs(part) for part in alone)
        size = float(np.nan_to_num(terms).max(initial=0.0))
        ulps = ATOL_ULPS * float(np.finfo(dtype).eps) * size + _residue(trial, dtype)
        # where a tangent is not a number, it is none for all together
        off = np.nan_to_num(np.abs(together - scale * sum(alone)), nan=0.0, posinf=0.0)
        allowed = np.nan_to_num(rtol_for(dtype) * terms + ulps, nan=np.inf)
        if (off > allowed).any():
            allowed = allowed + _rounding(trial, jvp, tangents, together)
        if (off > allowed).any():
            what = "of all primals at once" if scale == 1.0 else f"of {scale} times as much"
            note = (
                f"the tangent for those {what} is not what they give alone: a jvp is linear in its tangents"
            )
            return CheckResult(Verdict.WRONG, note=note)
    return CheckResult(Verdict.PASS)


def transposed(jvp: Jvp) -> Callable[[Sequence[Array], Any], tuple[Array, ...]]:
    """Return the gradients that a jvp makes, one call an element: ``of(primals, g)``."""

    def gradients(primals: Sequence[Array], g: Any) -> tuple[Array, ...]:
        row, found = in_a_row(g), []
        for i, x in enumerate(primals):
            d = np.zeros(x.shape, x.dtype)
            for index in np.ndindex(x.shape):
                tangents = [np.zeros_like(other) for other in primals]
                tangents[i][index] = 1
                with quiet():
                    d[index] = row @ in_a_row(jvp([p.copy() for p in primals], tangents))
            found.append(d)
        return tuple(found)

    return gradients
