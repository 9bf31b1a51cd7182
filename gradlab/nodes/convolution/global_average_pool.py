"""Mean of each channel over all of its places.

forward:  y_nc = (1/P) sum over all places of x_nc, P the number of places; x of shape (N, C, ...)
backward: dx_nc = g_nc / P at each place

Source: the mean node, over all axes from the third; Lin, Chen and Yan, 2014, Network in network, arXiv:1312.4400.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.convolution._windows import channels_and_places
from gradlab.sampling import normal


def forward(x: Array) -> tuple[Array, Any]:
    places = channels_and_places(x)
    return places.mean(axis=2), (places.shape[2], x.shape)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    count, x_shape = residuals
    return (np.repeat(g / count, count).reshape(x_shape),)


def reference(x: Array) -> Any:
    places = x.reshape(*x.shape[:2], -1)
    return np.einsum("ncp->nc", places) / places.shape[2]


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample("batch of 2, oblong images", (normal(rng, 2, 3, 2, 3),))
    yield Sample("batch of 1, one channel", (normal(rng, 1, 1, 3, 2),))
    yield Sample("images of one pixel", (normal(rng, 3, 2, 1, 1),))
    yield Sample("signals", (normal(rng, 2, 2, 5),))
