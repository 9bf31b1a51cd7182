"""The backprop of affine, sigmoid, affine, softmax with loss, in arrays that are kept."""

import math

import numpy as np

from gradlab.node import Array
from gradlab.nodes.class_labels import target_rows
from gradlab.textbook.layers import StatefulLayer


class KeptStep:
    """One forward and one backward pass for batches like `x`, which allocate no array.

    Every number is computed by the operations of the layers' own nodes, in their order, and has the same bits; only
    the gradient of the input, which nobody needs, is left out: a third of all multiplications.

    Parameters
    ----------
    first, second : StatefulLayer
        The affine layers; the gradients are written into their `grads`.
    x : ndarray
        A batch of which `can_keep` is true.
    """

    def __init__(self, first: StatefulLayer, second: StatefulLayer, x: Array) -> None:
        self._first, self._second = first, second
        self.shape, self.dtype = x.shape, x.dtype
        n, hidden, classes = len(x), *second.params[0].shape
        self._hidden, self._work, self._slope = (np.empty((n, hidden), x.dtype) for _ in range(3))
        self._positive = np.empty((n, hidden), bool)
        self._scores, self._wide, self._targets = (np.empty((n, classes), x.dtype) for _ in range(3))
        self._column = np.empty((n, 1), x.dtype)
        self._starts, self._places = classes * np.arange(n), np.empty(n, int)

    def fits(self, x: Array) -> bool:
        """Return whether the arrays were made for the shape and dtype of `x`."""
        return self.shape == x.shape and self.dtype == x.dtype

    def run(self, x: Array, t: Array) -> None:
        """Write the gradient of the mean loss of `x` against `t` into the layers' `grads`."""
        x = x.reshape(len(x), -1)
        self._activate(x)
        error = self._output_error(t)
        _write_gradients(self._second, self._hidden, error)
        # the activations have done their work
        error = np.matmul(error, self._second.params[0].T, out=self._hidden)
        np.multiply(error, self._slope, out=error)
        _write_gradients(self._first, x, error)

    def _activate(self, x: Array) -> None:
        """Fill the activations of the hidden layer, and the slope of its sigmoid."""
        z, larger = self._hidden, self._work
        _affine(x, self._first, z, self._work)
        np.greater_equal(z, 0, out=self._positive)
        decay = np.exp(np.negative(np.abs(z, out=z), out=z), out=z)
        np.divide(1, np.add(decay, 1, out=larger), out=larger)
        smaller = np.multiply(decay, larger, out=z)
        np.multiply(larger, smaller, out=self._slope)
        np.putmask(z, self._positive, larger)

    def _output_error(self, t: Array) -> Array:
        """Return the gradient of the mean loss with respect to the scores."""
        y, column, wide = self._scores, self._column, self._wide
        _affine(self._hidden, self._second, y, wide)
        np.copyto(wide, np.maximum.reduce(y, axis=1, keepdims=True, out=column))
        np.exp(np.subtract(y, wide, out=y), out=y)
        np.copyto(wide, np.add.reduce(y, axis=1, keepdims=True, out=column))
        np.divide(y, wide, out=y)
        self._subtract_targets(y, t)
        return np.multiply(y, 1 / len(y), out=y)

    def _subtract_targets(self, y: Array, t: Array) -> None:
        """Subtract `t` from the probabilities, each row first multiplied by the sum of its targets, 1 for a class."""
        targets, wide, t = self._targets, self._wide, np.asarray(t)
        if t.shape == targets.shape:
            np.copyto(targets, t, casting="unsafe")
            np.copyto(wide, np.add.reduce(targets, axis=1, keepdims=True, out=self._column))
            np.multiply(y, wide, out=y)
        elif t.shape == self._places.shape and t.dtype.kind in "iu" and _are_classes(t, y.shape[1]):
            np.copyto(self._places, t, casting="unsafe")
            targets.fill(0)
            targets.reshape(-1)[np.add(self._starts, self._places, out=self._places)] = 1
        else:
            target_rows(t, targets)  # raises, and says what is wrong with t
        np.subtract(y, targets, out=y)


def can_keep(x: Array, first: StatefulLayer, second: StatefulLayer) -> bool:
    """Return whether `x` is a batch for these layers, of one dtype with all their parameters."""
    params = [*first.params, *second.params]
    of_one_dtype = all(p.dtype == x.dtype for p in params)
    return of_one_dtype and x.ndim > 0 and x.size > 0 and math.prod(x.shape[1:]) == len(params[0])


def _affine(x: Array, layer: StatefulLayer, out: Array, wide: Array) -> None:
    """Write x W + b into `out`; `wide`, of its shape, is written over."""
    W, b = layer.params
    np.matmul(x, W, out=out)
    # of operands of different shapes NumPy allocates a buffer
    np.copyto(wide, b)
    np.add(out, wide, out=out)


def _write_gradients(layer: StatefulLayer, x: Array, error: Array) -> None:
    dW, db = layer.grads
    np.matmul(x.T, error, out=dW)
    np.add.reduce(error, axis=0, out=db)


def _are_classes(t: Array, classes: int) -> bool:
    return bool(t.min() >= 0 and t.max() < classes)
