"""Rotary position embedding: pairs of features turned by an angle that grows with the position.

forward:  (y_a, y_b) = (x_a cos t - x_b sin t, x_b cos t + x_a sin t) for the i-th pair (a, b) of D features, with
          t = position base^(-2 i / D); the pairs are (i, i + D/2), or (2 i, 2 i + 1) if interleaved
backward: (dx_a, dx_b) = (g_a cos t + g_b sin t, g_b cos t - g_a sin t)

Source: a rotation's transpose is the rotation back; Su and others, 2021, arXiv:2104.09864, whose pairs are the
interleaved ones. x has the shape (..., T, D), and positions, which broadcasts to (..., T), is 0 to T - 1 unless given.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.number_settings import finite_number
from gradlab.sampling import normal


def forward(
    x: Array, *, base: float = 10000.0, positions: Any = None, interleaved: bool = False
) -> tuple[Array, Any]:
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(f"x has shape {x.shape}: give (..., T, D) with an even number D of features")
    base = finite_number(base, "base")
    if base <= 0:
        raise ValueError(f"base is {base}: give a number above 0")
    places = _places(positions, x.shape[:-1])
    angles = places[..., None] * base ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    # the angles in double precision: of a large one single precision keeps too little
    cosine, sine = (turn.astype(x.real.dtype) for turn in (np.cos(angles), np.sin(angles)))
    return _turned(x, cosine, sine, interleaved), (cosine, sine, interleaved)


def _places(positions: Any, shape: tuple[int, ...]) -> Array:
    if positions is None:
        return np.arange(shape[-1], dtype=np.float64)
    places = np.atleast_1d(np.asarray(positions))
    if not (places.dtype.kind in "iuf" and np.isfinite(places).all()):
        raise ValueError(f"positions is {positions!r}: give finite numbers")
    places = places.astype(np.float64)
    lengths = zip(places.shape[::-1], shape[::-1], strict=False)
    if places.ndim > len(shape) or any(length not in (1, size) for length, size in lengths):
        raise ValueError(
            f"positions has shape {places.shape}: give one that broadcasts to {shape}, as x has it"
        )
    return places


def _turned(x: Array, cosine: Array, sine: Array, interleaved: bool) -> Array:
    half = x.shape[-1] // 2
    first, second = (
        (np.s_[..., ::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    )
    y = np.empty(x.shape, x.dtype)
    y[first] = x[first] * cosine - x[second] * sine
    y[second] = x[second] * cosine + x[first] * sine
    return y


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    cosine, sine, interleaved = residuals
    return (_turned(g, cosine, -sine, interleaved),)


def reference(x: Array, *, base: float = 10000.0, positions: Any = None, interleaved: bool = False) -> Any:
    features = x.shape[-1]
    places = np.broadcast_to(np.arange(x.shape[-2]) if positions is None else positions, x.shape[:-1])
    y = np.empty_like(x)
    for i in range(features // 2):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + features // 2)
        number = (x[..., a] + 1j * x[..., b]) * np.exp(1j * places / base ** (2 * i / features))
        y[..., a], y[..., b] = number.real, number.imag
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, 3 places, 4 features", (normal(rng, 2, 3, 4),), {"base": 10.0})
    yield Sample("interleaved", (normal(rng, 3, 6),), {"base": 10.0, "interleaved": True})
    yield Sample(
        "a position for each row", (normal(rng, 2, 2, 2),), {"positions": np.array([[5, 1], [-2, 0.5]])}
    )
    yield Sample(
        "positions far on, one for all heads",
        (normal(rng, 1, 2, 2, 4),),
        {"positions": np.array([400, 2**20])},
    )
