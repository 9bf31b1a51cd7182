"""Layers on features: Dense, Flatten, Dropout and BatchNormalization."""

import math
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.linear import affine
from gradlab.nodes.normalisation import batch_norm, batch_norm_inference, dropout
from gradlab.nodes.shape import reshape
from gradlab.textbook.models.graph.layers.activation import Activated
from gradlab.textbook.models.graph.layers.layer import (
    Gradients,
    GraphLayer,
    NodeLayer,
    Shape,
    glorot_uniform,
    whole_number,
)


class Dense(Activated):
    """x W + b over the last axis, then the activation: (features,) to (units,), (time, features) to (time, units).

    W begins as Glorot's uniform weights, b as 0, as in Keras.

    Parameters
    ----------
    units : int
    activation : str, optional
        One of `ACTIVATIONS`.
    name, input_shape
        As for `GraphLayer`.
    """

    ties_features = True

    def __init__(self, units: int, activation: str | None = None, **common: Any) -> None:
        super().__init__(activation, **common)
        self.units = whole_number("units", units)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape with `units` for the features."""
        (shape,) = shapes
        if len(shape) not in (1, 2):
            raise ValueError(
                f"{self}: got a tensor of shape {shape}, and takes (features,) or (time, features): "
                "put Flatten() before it"
            )
        return (*shape[:-1], self.units)

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return W of shape (features, units) and b of shape (units,)."""
        W = glorot_uniform(rng, (shape[-1], self.units), shape[-1], self.units)
        return {"W": W, "b": np.zeros(self.units)}

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return x W + b; steps of time count as further rows."""
        (x,) = inputs
        rows, residuals = affine.forward(x.reshape(-1, x.shape[-1]), *self.params.values())
        return rows.reshape(*x.shape[:-1], self.units), (residuals, x.shape)

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of x, and of W and b."""
        kept, shape = residuals
        dx, dW, db = affine.backward(kept, g.reshape(-1, self.units))
        return (dx.reshape(shape),), {"W": dW, "b": db}


class Flatten(NodeLayer):
    """All axes but the batch's as one, in their order."""

    node = reshape

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the product of all sizes."""
        return (math.prod(shapes[0]),)

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return one row for each example."""
        output, residuals = reshape.forward(inputs[0], shape=(len(inputs[0]), -1))
        return output, residuals


class Dropout(GraphLayer):
    """In training, drops a share of `rate` at random and scales up the rest; otherwise leaves all as it is.

    Raises
    ------
    ValueError
        If `rate` is not from 0 to below 1.
    """

    def __init__(self, rate: float, **common: Any) -> None:
        super().__init__(**common)
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate}: give the share that is dropped, at least 0 and below 1")
        self.rate = rate

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return what is kept, by a mask from `rng`."""
        (x,) = inputs
        if not training:
            return x, None
        output, residuals = dropout.forward(x, mask=rng.random(x.shape) >= self.rate, rate=self.rate)
        return output, residuals

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradient of x."""
        return (g,) if residuals is None else dropout.backward(residuals, g), {}


class BatchNormalization(GraphLayer):
    """Each feature, or channel, by its mean and variance: of the batch in training, running ones otherwise.

    Features are the last axis, as in Keras, and so are momentum, epsilon and the start (gamma 1, beta 0, running
    mean 0 and variance 1). The running variance is moved towards the batch's, which divides by M.

    Parameters
    ----------
    momentum : float
        The share of the running statistics that is kept at each step, from 0 to 1.
    epsilon : float
        Added to the variance, above 0.
    name, input_shape
        As for `GraphLayer`.
    """

    ties_features = True

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **common: Any) -> None:
        super().__init__(**common)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}: give a number from 0 to 1")
        if not epsilon > 0:
            raise ValueError(f"epsilon is {epsilon}: give a number above 0")
        self.momentum, self.epsilon = momentum, epsilon

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the same shape."""
        if not shapes[0]:
            raise ValueError(
                f"{self}: got a tensor of shape (), and takes (..., features): give it at least one axis"
            )
        return shapes[0]

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return gamma and beta, one number a feature."""
        return {"gamma": np.ones(shape[-1]), "beta": np.zeros(shape[-1])}

    def initial_state(self, shape: Shape) -> dict[str, Array]:
        """Return the running mean and variance, one number a feature."""
        return {"mean": np.zeros(shape[-1]), "variance": np.ones(shape[-1])}

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return gamma u + beta; the running statistics stay as they are."""
        x = np.moveaxis(inputs[0], -1, 1)
        node = batch_norm if training else batch_norm_inference
        statistics = {} if training else self.state
        y, residuals = node.forward(x, **self.params, **statistics, eps=self.epsilon)
        return np.moveaxis(y, 1, -1), (node, residuals, inputs[0])

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of x, and of gamma and beta."""
        node, kept, _ = residuals
        dx, dgamma, dbeta = node.backward(kept, np.moveaxis(g, -1, 1))
        return (np.moveaxis(dx, 1, -1),), {"gamma": dgamma, "beta": dbeta}

    def after_step(self, residuals: Any) -> None:
        """Move the running mean and variance towards the batch's."""
        x = residuals[2]
        axes = tuple(range(x.ndim - 1))
        for name, found in (("mean", x.mean(axis=axes)), ("variance", x.var(axis=axes))):
            self.state[name] *= self.momentum
            self.state[name] += (1 - self.momentum) * found
