"""What one call leaves behind for the next."""

import numpy as np

from ._entry import normal, registry
from ._layers import (
    AFFINE,
    EMBEDDING,
    MULTIPLY,
    RELU,
    SIGMOID,
    SQUARE,
    affine,
    affine_backward,
    embedding,
    logistic,
)

ENTRIES, mistake, mistake_with_state = registry()


@mistake_with_state(
    "affine as a class, the first batch kept for good",
    "stale-residuals",
    "",
    AFFINE,
    normal(128, 3, 2),
    normal(129, 2, 3),
    normal(130, 3),
)
def _():
    class Affine:
        x = None

        def forward(self, x, W, b):
            if self.x is None:
                self.x = x.copy()
            return x @ W + b, W

        def backward(self, W, g):
            return g @ W.T, self.x.T @ g, g.sum(axis=0)

    layer = Affine()
    return layer.forward, layer.backward


@mistake_with_state(
    "sigmoid, output of the last call kept in a closure",
    "stale-residuals",
    "",
    SIGMOID,
    normal(131, 2, 4),
)
def _():
    last = {}

    def forward(x):
        last["y"] = logistic(x)
        return last["y"].copy(), None

    def backward(_, g):
        y = last["y"]
        return (g * y * (1.0 - y),)

    return forward, backward


@mistake_with_state(
    "multiply, factors cached by their shape",
    "stale-residuals",
    "",
    MULTIPLY,
    normal(132, 4),
    normal(133, 4),
)
def _():
    known = {}

    def forward(a, b):
        key = a.shape, b.shape
        if key not in known:
            known[key] = a.copy(), b.copy()
        return a * b, key

    def backward(key, g):
        a, b = known[key]
        return g * b, g * a

    return forward, backward


@mistake_with_state(
    "relu, mask written into a buffer that the next call uses again",
    "stale-residuals",
    "",
    RELU,
    normal(134, 3, 5),
)
def _():
    buffers = {}

    def forward(x):
        mask = buffers.setdefault(x.shape, np.empty(x.shape, dtype=bool))
        np.greater(x, 0.0, out=mask)
        return x * mask, mask

    def backward(mask, g):
        return (g * mask,)

    return forward, backward


@mistake_with_state(
    "affine as a class, dW added up over calls",
    "accumulates",
    "W",
    AFFINE,
    normal(135, 2, 3),
    normal(136, 3, 2),
    normal(137, 2),
)
def _():
    class Affine:
        def __init__(self):
            self.dW = 0.0

        def forward(self, x, W, b):
            return affine(x, W, b)

        def backward(self, cache, g):
            dx, dW, db = affine_backward(cache, g)
            self.dW = self.dW + dW
            return dx, self.dW.copy(), db

    layer = Affine()
    return layer.forward, layer.backward


@mistake_with_state(
    "square, gradient added into the cache of the forward",
    "accumulates",
    "x",
    SQUARE,
    normal(138, 3, 2),
)
def _():
    def forward(x):
        return x**2, {"x": x, "dx": np.zeros_like(x)}

    def backward(cache, g):
        cache["dx"] += 2.0 * cache["x"] * g
        return (cache["dx"].copy(),)

    return forward, backward


@mistake_with_state(
    "embedding, buffer in a default argument",
    "accumulates",
    "W",
    EMBEDDING,
    normal(139, 4, 3),
    ids=(1, 1, 3),
)
def _():
    def backward(cache, g, buffers={}):  # noqa: B006 # the mistake itself
        W, ids = cache
        dW = buffers.setdefault(W.shape, np.zeros_like(W))
        np.add.at(dW, ids, g)
        return (dW.copy(),)

    return embedding, backward
