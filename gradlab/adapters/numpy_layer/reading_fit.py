"""Whether a reading's gradients are those of forward, along a line."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer.layer_pair import LayerPair
from gradlab.adapters.numpy_layer.layer_run import LayerRun
from gradlab.checks.trial import quiet
from gradlab.node import Array, as_tuple

# The step along a line, relative to the primal's size, and how near its slope must come to count as a fit.
STEP, NEAR, ULPS = 2.0**-10, 2e-3, 64
# What a gradient counts that is wrong by a factor alone, among several readings none of which fits.
IN_PROPORTION = 0.5


def fits_of(bound: LayerPair, seed: int) -> list[float]:
    """Return how each primal's gradient fits forward's slopes along random lines.

    That is 1 if it has them, `IN_PROPORTION` if it is in one proportion to them, and 0 otherwise.
    """
    rng = np.random.default_rng([seed, 21])
    with quiet():
        output, residuals = bound.forward(*bound.values)
        g = tuple(np.asarray(rng.standard_normal(np.shape(y)), np.asarray(y).dtype) for y in as_tuple(output))
        gradients = bound.backward(residuals, g if isinstance(output, tuple) else g[0])
        return [_fit(bound, i, d, g, rng) for i, d in enumerate(gradients)]


def _fit(bound: LayerPair, i: int, d: Any, g: Sequence[Array], rng: np.random.Generator) -> float:
    if d is None or np.shape(d) != bound.values[i].shape:
        return 0.0
    pairs = [_slopes(bound, i, np.asarray(d, np.float64), g, rng)]
    if _agree(*pairs[0]):
        return 1.0
    pairs += [_slopes(bound, i, np.asarray(d, np.float64), g, rng) for _ in range(2)]
    ratios = [total / slope for total, slope, size in pairs if abs(slope) > NEAR * size]
    alike = len(ratios) == len(pairs) and max(ratios) - min(ratios) <= NEAR * max(map(abs, ratios))
    return IN_PROPORTION if alike and np.size(d) > 1 else 0.0


def _agree(total: float, slope: float, size: float) -> bool:
    return abs(total - slope) <= NEAR * size


def _slopes(
    bound: LayerPair, i: int, d: Array, g: Sequence[Array], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return along one line the slope that the gradient says, the one that forward has, and their size."""
    x = bound.values[i].astype(np.float64)
    least = 0.1 * float(np.abs(x).max(initial=0.0)) or 1.0
    v = rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.5, x.shape) * np.maximum(np.abs(x), least)

    def f(t: float) -> float:
        moved = [a.astype(np.float64) for a in bound.values]
        moved[i] = x + t * v
        return sum(float(np.sum(a * y)) for a, y in zip(g, as_tuple(bound.forward(*moved)[0]), strict=True))

    wide, narrow = ((f(h) - f(-h)) / (2 * h) for h in (STEP, STEP / 2))
    terms = sum(float(np.abs(a).sum()) for a in g) * max(1.0, abs(f(0.0)))
    narrowest = np.float32 if any(a.dtype == np.float32 for a in bound.stage.snapshot.arrays) else np.float64
    noise = ULPS * float(np.finfo(narrowest).eps) * terms / STEP / NEAR
    slope = (4 * narrow - wide) / 3
    return float(np.sum(d * v)), slope, float(np.abs(d * v).sum()) + abs(slope) + noise


def cotangent(run: LayerRun, rng: np.random.Generator) -> Any:
    """Return a random cotangent for a run's outputs."""
    parts = tuple(np.asarray(rng.standard_normal(y.shape), dtype=y.dtype) for y in run.outputs)
    return parts[0] if len(parts) == 1 else parts
