"""Where forward is analytic, backward gives the slope of a complex step, which subtracts nothing, to ten digits."""

from collections.abc import Iterator, Sequence

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.line_slopes import line_slopes
from gradlab.node import Array, as_tuple
from gradlab.verdict import ATOL_ULPS, CheckResult, Verdict
from gradlab.workers.threads import noticing

# The imaginary step: its square is lost beside any number.
STEP = 1e-30
# How near the complex step's slope must be to that of real differences for forward to count as analytic, relative to
# that slope; and how near backward's slope must be to it, relative to the sum of the sizes of its terms.
ANALYTIC_RTOL, RTOL = 1e-6, 1e-10


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the slopes along random lines; yield nothing where forward does not compute in complex numbers."""
    gradients = trial.gradients(trial.cotangent())
    if any(part.dtype != np.float64 for part in (*gradients, *trial.sample.primals)):
        return
    slopes = trial.remembered("complex slopes", _complex_slopes)
    for direction, slope, rounding in slopes:
        parts = [a * v for a, v in zip(gradients, direction, strict=True)]
        total, size = (float(sum(f(p).sum() for p in parts)) for f in (np.asarray, np.abs))
        if not abs(total - slope) <= RTOL * size + rounding:
            note = "along a random line: where matches_numerical passes, look for a rounded constant or a small term"
            off = abs(total - slope)
            yield CheckResult(
                Verdict.WRONG,
                relative_error=off / max(abs(total), abs(slope)),
                absolute_error=off,
                analytic=total,
                numerical=slope,
                note=note,
            )
            return
    if slopes:
        yield CheckResult(Verdict.PASS)


def _complex_slopes(trial: Trial) -> list[tuple[Sequence[Array], float, float]]:
    """Return lines, forward's slope along each, and how far rounding may put backward's slope off."""
    if trial.witness:
        slopes: list[tuple[Sequence[Array], float, float]] = trial.witness.remembered(
            "complex slopes", _complex_slopes
        )
        return slopes
    g = as_tuple(trial.cotangent())
    terms = sum(
        float(np.abs(a * np.asarray(y)).sum()) for a, y in zip(g, as_tuple(trial.output), strict=True)
    )
    found = []
    with quiet():  # a line may leave the domain
        lines = trial.remembered("lines", line_slopes)
    for line in lines:
        moved = [x + 1j * STEP * v for x, v in zip(trial.primals(), line.direction, strict=True)]
        try:
            with quiet(), noticing(np.exceptions.ComplexWarning) as discarded:
                outputs = as_tuple(trial.node.forward(*moved, **trial.settings())[0])
            parts = [float(np.sum(a * np.imag(np.asarray(y)))) for a, y in zip(g, outputs, strict=True)]
        except Exception:
            return []
        if discarded:
            return []
        slope = sum(parts) / STEP
        size = _size_of_terms(trial, line.direction)
        if not abs(slope - line.slope) <= ANALYTIC_RTOL * abs(line.slope) + line.noise:
            return []
        found.append((line.direction, slope, ATOL_ULPS * float(np.finfo(np.float64).eps) * (size + terms)))
    return found


def _size_of_terms(trial: Trial, direction: Sequence[Array]) -> float:
    """Return the sum of the sizes of the terms along a line; the gradients stand for the terms of large primals."""
    if trial.is_large:
        sizes = [np.abs(gradient) for gradient in trial.gradients(trial.cotangent())]
    else:
        sizes = [estimate.terms for estimate in trial.estimates]
    return sum(float(np.sum(np.abs(terms * v))) for terms, v in zip(sizes, direction, strict=True))
