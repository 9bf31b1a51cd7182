"""Enlarging images by interpolating between pixels, linear along both axes.

forward:  y_nc = A x_nc B^T; row i of A weighs the two pixels beside the place (i + 1/2) / s - 1/2 by their nearness,
          places outside counting as the edge; B alike with t; `scale` = (s, t), or one number for both
backward: dx_nc = A^T g_nc B

Source: linear in x, so backward is the transpose. Pixels are areas, so their centres lie at halves: in other
libraries this is align_corners=False.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import Size, images, per_axis
from gradlab.sampling import normal


def forward(x: Array, *, scale: Size) -> tuple[Array, Any]:
    down, right = per_axis("scale", scale, 2, 1)
    A, B = (_weights(n, s, x) for n, s in zip(images(x).shape[2:], (down, right), strict=True))
    return A @ x @ B.T, (A, B)


def _weights(length: int, scale: int, like: Array) -> Array:
    """Return what each of ``length * scale`` places takes from each of `length` pixels, a row a place."""
    place = (np.arange(length * scale) + 0.5) / scale - 0.5
    distance = np.abs(place.clip(0, length - 1)[:, None] - np.arange(length))
    weights: Array = np.maximum(1 - distance, 0)
    return weights.astype(like.dtype)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    A, B = residuals
    return (A.T @ g @ B,)


def reference(x: Array, *, scale: Any) -> Any:
    from scipy.ndimage import zoom

    return zoom(x, (1, 1, *np.broadcast_to(scale, 2)), order=1, mode="nearest", grid_mode=True)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, oblong images", (normal(rng, 2, 2, 2, 3),), {"scale": 2})
    yield Sample("3 down and 2 to the right", (normal(rng, 1, 2, 3, 2),), {"scale": (3, 2)})
    yield Sample("one axis alone", (normal(rng, 2, 1, 2, 2),), {"scale": (1, 4)})
    yield Sample("square images", (normal(rng, 1, 1, 3, 3),), {"scale": 2})
    yield Sample("images of one pixel", (normal(rng, 2, 3, 1, 1),), {"scale": 3})
