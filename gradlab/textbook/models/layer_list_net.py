"""The textbook's two-layer network with its parameters and gradients in lists."""

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental import chain, incremental_gradient
from gradlab.textbook.layers import LossLayer
from gradlab.textbook.models._sigmoid_net import SigmoidNet


class LayerListNet(SigmoidNet):
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
    layers : list of StatefulLayer
        The layers that `predict` goes through.
    loss_layer : LossLayer
        The loss of the scores.
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
        super().__init__(input_size, hidden_size, output_size, weight_init_std, rng)
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    @property
    def loss_layer(self) -> LossLayer:
        """The last layer, by the name that it has in the textbook's second volume."""
        return self.last_layer

    @loss_layer.setter
    def loss_layer(self, layer: LossLayer) -> None:
        self.last_layer = layer

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
        """Return `numerical_gradient`'s result but for rounding, far faster; see `gradlab.textbook.incremental`."""
        program = chain(self.layers, self.loss_layer, x, t)
        return list(incremental_gradient(program, {str(i): p for i, p in enumerate(self.params)}).values())
