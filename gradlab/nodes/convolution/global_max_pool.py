"""Maximum of each channel over all of its places.

forward:  y_nc = max over all places of x_nc; x of shape (N, C, ...)
backward: dx_nc = g_nc at the place of that maximum, of several equal ones the first, row by row; 0 elsewhere

Source: the maximum is the identity of its largest element and constant in the others.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import channels_and_places
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {"dx = -np.zeros(flat_shape, g.dtype)": "-0.0 is 0"}


def forward(x: Array) -> tuple[Array, Any]:
    places = channels_and_places(x)
    return places.max(axis=2), (places.argmax(axis=2), places.shape, x.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    first, flat_shape, x_shape = residuals
    dx = np.zeros(flat_shape, g.dtype)
    np.put_along_axis(dx, first[:, :, None], g[:, :, None], axis=2)
    return (dx.reshape(x_shape),)


def reference(x: Array) -> Any:
    return np.array([[sorted(channel.ravel())[-1] for channel in image] for image in x])


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    ties = np.array([[[1.0, 2.0, 2.0], [0.0, 2.0, -1.0]], [[-3.0, -3.0, -4.0], [-3.0, -5.0, -3.0]]])
    yield Sample("batch of 2, oblong images", (normal(rng, 2, 3, 2, 3),))
    yield Sample("batch of 1, one channel", (normal(rng, 1, 1, 3, 2),))
    yield Sample("ties", (ties[None],))
    yield Sample("images of one pixel", (normal(rng, 3, 2, 1, 1),))
    yield Sample("signals", (normal(rng, 2, 2, 5),))
