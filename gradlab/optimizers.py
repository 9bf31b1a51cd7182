"""Descent along a gradient."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradlab.finite_difference import numerical_gradient
from gradlab.node import Array


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


class SGD:
    """Stochastic gradient descent: every parameter moves by -lr times its gradient.

    Source: Deep Learning from Scratch, chapter 6.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change every array of `params` in place."""
        for key, gradient in grads.items():
            params[key][...] -= self.lr * gradient
