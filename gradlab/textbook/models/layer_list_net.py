"""The textbook's two-layer network with its parameters and gradients in lists."""

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental import chain, incremental_gradient
from gradlab.textbook.layers import Affine, Sigmoid, SoftmaxWithLoss
from gradlab.textbook.models.parameters import accuracy


class LayerListNet:
    """Affine, sigmoid, affine, and softmax with loss: the same network as `TwoLayerNet`, as layers in a list.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The number of inputs, hidden units and classes.
    weight_init_std : float
        The standard deviation of the initial weights; biases start at 0.
    rng : numpy.random.Generator or int, optional
        What the weights are drawn from; by default seed 0. The same seed draws the weights of `TwoLayerNet`.

    Attributes
    ----------
    layers : list of Layer
        What `predict` goes through.
    params, grads : list of ndarray
        W1, b1, W2 and b2 and, after `backward`, their gradients: the layers' own arrays, to be changed in place.

    Notes
    -----
    Source: Deep Learning from Scratch 2, chapter 1.
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
        sizes = [(input_size, hidden_size), (hidden_size, output_size)]
        first, second = (Affine(weight_init_std * rng.standard_normal(s), np.zeros(s[1])) for s in sizes)
        self.layers = [first, Sigmoid(), second]
        self.loss_layer = SoftmaxWithLoss()
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    def predict(self, x: Array) -> Array:
        """Return the scores of `x`, shape (N, input_size): shape (N, output_size)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Array, t: Array) -> float:
        """Return the cross-entropy against `t` (class indices or one-hot rows), averaged over the batch."""
        return float(self.loss_layer.forward(self.predict(x), t))

    def accuracy(self, x: Array, t: Array) -> float:
        """Return the share of rows that are classified rightly."""
        return accuracy(self.predict(x), t)

    def backward(self, dout: float = 1.0) -> Array:
        """Fill `grads`, after a `loss`, and return the gradient of the inputs, shape (N, input_size)."""
        g: Array = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            g = layer.backward(g)
        return g

    def gradient(self, x: Array, t: Array) -> list[Array]:
        """Return copies of `grads` for a batch."""
        self.loss(x, t)
        self.backward()
        return [g.copy() for g in self.grads]

    def numerical_gradient(self, x: Array, t: Array) -> list[Array]:
        """Return the gradients by central differences: two losses for each element."""
        return [numerical_gradient(lambda _: self.loss(x, t), p) for p in self.params]

    def incremental_gradient(self, x: Array, t: Array) -> list[Array]:
        """Return what `numerical_gradient` does but for rounding, far faster; see `gradlab.textbook.incremental`."""
        program = chain(self.layers, self.loss_layer, x, t)
        return list(incremental_gradient(program, {str(i): p for i, p in enumerate(self.params)}).values())
