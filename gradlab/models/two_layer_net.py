"""The textbook's network for MNIST: affine, sigmoid, affine, softmax with loss."""

import numpy as np

from gradlab.finite_difference import numerical_gradient
from gradlab.incremental import chain, incremental_gradient
from gradlab.layers import Affine, Sigmoid, SoftmaxWithLoss
from gradlab.models._parameters import Parameters, accuracy
from gradlab.node import Array


class TwoLayerNet:
    """A classifier with one hidden layer.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The number of inputs, hidden units and classes.
    weight_init_std : float
        The standard deviation of the initial weights; biases start at 0.
    rng : numpy.random.Generator or int, optional
        What the weights are drawn from; by default seed 0.

    Attributes
    ----------
    params : dict
        W1, b1, W2 and b2, in this order.

    Notes
    -----
    Source: Deep Learning from Scratch, chapters 4 and 5.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        rng: np.random.Generator | int = 0,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.params = Parameters(
            W1=weight_init_std * rng.standard_normal((input_size, hidden_size)),
            b1=np.zeros(hidden_size),
            W2=weight_init_std * rng.standard_normal((hidden_size, output_size)),
            b2=np.zeros(output_size),
        )
        self.layers = [
            Affine(self.params["W1"], self.params["b1"]),
            Sigmoid(),
            Affine(self.params["W2"], self.params["b2"]),
        ]
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x: Array) -> Array:
        """Return the scores of `x`, shape (N, input_size): shape (N, output_size)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Array, t: Array) -> float:
        """Return the cross-entropy against `t` (class indices or one-hot rows), averaged over the batch."""
        return float(self.last_layer.forward(self.predict(x), t))

    def accuracy(self, x: Array, t: Array) -> float:
        """Return the share of rows that are classified rightly."""
        return accuracy(self.predict(x), t)

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by central differences: two losses for each element."""
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def incremental_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return what `numerical_gradient` does but for rounding, hundreds of times faster.

        For each element only what it changes is computed anew; see `gradlab.incremental`.
        """
        return incremental_gradient(chain(self.layers, self.last_layer, x, t), self.params)

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by backprop."""
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        first, _, second = self.layers
        return {name: g.copy() for name, g in zip(self.params, first.grads + second.grads, strict=True)}
