"""The network of `TwoLayerNet` and `LayerListNet`: affine, sigmoid, affine, and softmax with loss."""

import numpy as np

from gradlab.node import Array
from gradlab.textbook.layers import Affine, Sigmoid, SoftmaxWithLoss
from gradlab.textbook.models.parameters import accuracy


class SigmoidNet:
    """A classifier with one hidden layer of sigmoids; a subclass gives out the parameters by name, or in a list.

    Attributes
    ----------
    layers : list of StatefulLayer
        The layers that `predict` goes through; they keep the parameters.
    last_layer : LossLayer
        The loss of the scores.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float,
        rng: np.random.Generator | int,
    ) -> None:
        rng = np.random.default_rng(rng)
        sizes = [(input_size, hidden_size), (hidden_size, output_size)]
        first, second = (Affine(weight_init_std * rng.standard_normal(s), np.zeros(s[1])) for s in sizes)
        self.layers = [first, Sigmoid(), second]
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
