"""Enlarging images by copying every pixel.

forward:  y_ncij = x_nc(i // s)(j // t), `scale` = (s, t), or one number for both
backward: dx_ncij = sum of g over the s by t copies of the pixel

Source: copying, so backward adds up the copies.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import Size, images, per_axis
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "return (g.reshape(copies_shape).sum(axis=(-3, 5)),)": "of six axes -3 is 3",
}


def forward(x: Array, *, scale: Size) -> tuple[Array, Any]:
    down, right = per_axis("scale", scale, 2, 1)
    y = images(x).repeat(down, axis=2).repeat(right, axis=3)
    return y, (*x.shape[:3], down, x.shape[3], right)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    copies_shape = residuals
    return (g.reshape(copies_shape).sum(axis=(3, 5)),)


def reference(x: Array, *, scale: Any) -> Any:
    return np.kron(x, np.ones((1, 1, *np.broadcast_to(scale, 2))))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, oblong images", (normal(rng, 2, 2, 2, 3),), {"scale": 2})
    yield Sample("3 down and 2 to the right", (normal(rng, 1, 2, 3, 2),), {"scale": (3, 2)})
    yield Sample("one axis alone", (normal(rng, 2, 1, 2, 2),), {"scale": (1, 4)})
    yield Sample("images of one pixel", (normal(rng, 2, 3, 1, 1),), {"scale": 3})
