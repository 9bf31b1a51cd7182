"""Gradient descent: along the whole gradient, and along that of a mini-batch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.optimizers._optimizer import Optimizer, State


def gradient_descent(
    f: Callable[[Array], Any], init_x: Array, lr: float = 0.01, step_num: int = 100
) -> Array:
    """Return where `step_num` steps of gradient descent lead, by numerical gradients.

    Parameters
    ----------
    f : callable
        ``f(x) -> scalar``, to be made small.
    init_x : ndarray of floats
        The start; it is not changed.
    lr : float
        The learning rate.
    step_num : int
        The number of steps.

    Notes
    -----
    x <- x - lr * gradient. Source: Deep Learning from Scratch, chapter 4.
    """
    x = np.array(init_x)
    for _ in range(step_num):
        x -= lr * numerical_gradient(f, x)
    return x


class SGD(Optimizer):
    """Stochastic gradient descent: every parameter moves by -lr times its gradient.

    Parameters
    ----------
    lr : float
        The learning rate, by default Keras's 0.01 (torch: 0.001).

    Notes
    -----
    ::

        w <- w - lr g

    Sources: Robbins and Monro, A Stochastic Approximation Method, 1951; Deep Learning from Scratch, chapter 6.
    """

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        return -lr * g
