"""The textbook's network for MNIST: affine, sigmoid, affine, softmax with loss."""

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.incremental import chain, incremental_gradient
from gradlab.textbook.models._sigmoid_net import SigmoidNet
from gradlab.textbook.models._two_layer_step import KeptStep, can_keep
from gradlab.textbook.models.parameter_blocks import numerical_gradients
from gradlab.textbook.models.parameters import Parameters
from gradlab.workers.worker_map import Workers


class TwoLayerNet(SigmoidNet):
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
        super().__init__(input_size, hidden_size, output_size, weight_init_std, rng)
        first, _, second = self.layers
        self.params = Parameters(zip(("W1", "b1", "W2", "b2"), first.params + second.params, strict=True))
        self._own_layers = (*self.layers, self.last_layer)
        self._step: KeptStep | None = None

    def numerical_gradient(self, x: Array, t: Array, *, workers: Workers = None) -> dict[str, Array]:
        """Return the gradient of every parameter by central differences: two losses for each element.

        `workers`, a number of processes or a map-like callable, share the losses; the result does not depend on it.
        """
        if workers is not None:
            return numerical_gradients(self, x, t, workers)
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def incremental_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return `numerical_gradient`'s result but for rounding, hundreds of times faster.

        For each element only the values that it changes are computed anew; see `gradlab.textbook.incremental`.
        """
        return incremental_gradient(chain(self.layers, self.last_layer, x, t), self.params)

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by backprop, in arrays that the network keeps.

        The arrays are valid until the next call, which writes over them: copy those that are to last. After the first
        batch of a shape no array is allocated.
        """
        first, _, second = self.layers
        if self._own_layers != (*self.layers, self.last_layer) or not can_keep(x, first, second):
            self._gradient_by_layers(x, t)
        else:
            if self._step is None or not self._step.fits(x):
                self._step = KeptStep(first, second, x)
            self._step.run(x, t)
        return dict(zip(self.params, first.grads + second.grads, strict=True))

    def _gradient_by_layers(self, x: Array, t: Array) -> None:
        """Let the layers fill their `grads`: for a batch of another dtype, and where a layer was exchanged."""
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
