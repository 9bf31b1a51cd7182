"""Forward mode: the tangents of the outputs, held to differences of forward along the tangents of the primals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks import Trial, quiet
from gradlab.checks.trial import same_bits
from gradlab.checks.trial.line_slopes import STEP, in_a_row, random_directions
from gradlab.node import Array, as_tuple
from gradlab.numerical.estimate import estimate_line
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict, compare, rtol_for

# ``jvp(primals, tangents)`` returns the tangent of the output; of several outputs a tuple.
Jvp = Callable[[Sequence[Array], Sequence[Array]], Any]


def judged_tangents(trial: Trial, jvp: Jvp) -> Iterator[CheckResult]:
    """Compare what a jvp gives for the tangent of each primal alone, and for all of them, with what it should give.

    Along one random tangent all of a primal's elements move at once, so that every element of the Jacobian takes part;
    the outputs' slopes along it are weighed with the trial's random cotangent. What is right for each primal alone is
    right for all together if it is linear, which is tried with all at once and another scale.

    Parameters
    ----------
    trial : Trial
    jvp : callable
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
        result = _along(trial, name, tangents, found)
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


def _along(trial: Trial, name: str, tangents: Sequence[Array], found: Any) -> CheckResult:
    """Compare the tangents of the outputs with forward's slopes along those of the primals."""
    wide = np.promote_types(np.float64, np.result_type(*trial.sample.primals))
    points, g, function = [x.astype(wide) for x in trial.primals()], trial.cotangent(), trial.function

    def outputs(t: Any) -> Array:
        return in_a_row(function(*(x + t * v for x, v in zip(points, tangents, strict=True))))

    slopes, dtype = in_a_row(found), np.result_type(*trial.sample.primals)
    weighed = np.asarray(in_a_row(g) @ slopes, dtype=dtype)
    method = "auto" if trial.method == "complex-step" else trial.method
    with quiet():
        estimate = estimate_line(lambda t: in_a_row(g) @ outputs(t), method=method)
    # the sum over the outputs rounds as its terms do
    terms = float(np.abs(in_a_row(g) * slopes).sum())
    atol = rtol_for(dtype) * terms if trial.atol is None else trial.atol
    result = replace(compare(weighed, estimate, rtol=trial.rtol, atol=atol, primal=name), worst_index=None)
    return _located(result, outputs, found) if result.verdict is Verdict.WRONG else result


def _located(result: CheckResult, along: Callable[[Any], Array], found: Any) -> CheckResult:
    """Return a wrong result with the output that is furthest off, and what it gives and should give there."""
    with quiet():
        try:
            wide, narrow = ((along(h) - along(-h)) / (2 * h) for h in (STEP, STEP / 2))
        except Exception:
            return result
    slopes, tangents = (4 * narrow - wide) / 3, in_a_row(found)
    worst = int(np.nanargmax(np.abs(slopes - tangents)))
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
    dtype = np.result_type(*trial.sample.primals)
    for scale in (1.0, -0.375):
        together = in_a_row(
            _well_formed(trial, jvp(trial.primals(), [v * v.dtype.type(scale) for v in directions]))
        )
        terms = sum(np.abs(part) for part in alone)
        ulps = ATOL_ULPS * float(np.finfo(dtype).eps) * float(np.max(terms, initial=0.0))
        off = np.abs(together - scale * sum(alone))
        if not (off <= rtol_for(dtype) * terms + ulps).all():
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
