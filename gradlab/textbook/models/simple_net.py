"""The textbook's smallest network: one weight matrix of shape (2, 3) and softmax."""

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental import chain, incremental_gradient
from gradlab.textbook.layers import CrossEntropy, MatMul, Softmax


class SimpleNet:
    """A linear classifier of two inputs into three classes.

    Parameters
    ----------
    W : ndarray of shape (2, 3), optional
        The weights; by default standard normal from `rng`.
    rng : numpy.random.Generator or int, optional
        What the weights are drawn from; by default seed 0.

    Notes
    -----
    Source: Deep Learning from Scratch, chapter 4: softmax, then cross-entropy with delta = 1e-7 in the logarithm.
    """

    def __init__(self, W: Array | None = None, rng: np.random.Generator | int = 0) -> None:
        self.W = np.random.default_rng(rng).standard_normal((2, 3)) if W is None else np.array(W, dtype=float)
        self._layers = [MatMul(self.W), Softmax(), CrossEntropy()]

    def predict(self, x: Array) -> Array:
        """Return the scores of `x`, shape (2,) or (N, 2): shape (3,) or (N, 3)."""
        scores: Array = self._layers[0].forward(np.atleast_2d(x))
        return scores.reshape(*np.shape(x)[:-1], -1)

    def loss(self, x: Array, t: Array) -> float:
        """Return the cross-entropy of `x` against the targets `t`, averaged over the rows."""
        _, softmax, cross_entropy = self._layers
        return float(cross_entropy.forward(softmax.forward(self.predict(x)), t))

    def incremental_gradient(self, x: Array, t: Array) -> Array:
        """Return dL/dW by central differences, shape (2, 3); see `gradlab.textbook.incremental`."""
        *layers, last = self._layers
        # a single row of shape (2,) is a batch of one, and so are its targets
        targets = np.reshape(t, (1, *np.shape(t))) if np.ndim(x) == 1 else np.asarray(t)
        program = chain(layers, last, np.atleast_2d(x), targets)
        return incremental_gradient(program, {"W": self.W})["W"]

    def gradient(self, x: Array, t: Array) -> Array:
        """Return dL/dW by backprop, shape (2, 3)."""
        self.loss(x, t)
        matmul, softmax, cross_entropy = self._layers
        matmul.backward(np.atleast_2d(softmax.backward(cross_entropy.backward())))
        return matmul.grads[0].copy()
