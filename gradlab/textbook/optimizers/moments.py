"""Adaptive moments: Adam and AdamW."""

from math import sqrt

import numpy as np

from gradlab.node import Array
from gradlab.textbook.optimizers._optimizer import Optimizer, State
from gradlab.textbook.optimizers._settings import decay, not_negative, positive


class Adam(Optimizer):
    """Momentum divided by the root mean square, both freed of their start at 0.

    Parameters
    ----------
    lr : float
        The learning rate, by default 0.001, as in Keras, torch and the paper.
    beta_1, beta_2 : float
        The shares of the means of g and of g^2 that are kept at each step, in [0, 1), by default 0.9 and 0.999, as
        in Keras, torch and the paper.
    epsilon : float
        Keeps the divisor from 0, by default Keras's 1e-7 (torch and the paper: 1e-8).

    Notes
    -----
    At step t = 1, 2, ...::

        m <- beta_1 m + (1 - beta_1) g          m and v are 0 at first
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    This is Keras's form, whose epsilon is the paper's epsilon hat. Algorithm 1 of the paper, and torch, add epsilon
    to the corrected root, sqrt(v / (1 - beta_2^t)) + epsilon, which is an epsilon hat of epsilon sqrt(1 - beta_2^t):
    torch's 1e-8 is an epsilon hat of 3e-10 at the first step. The steps t are counted for each parameter, as in torch;
    Keras counts all its updates.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, section 2, before 2.1.
    """

    def __init__(
        self, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        super().__init__(lr)
        self.beta_1 = decay("beta_1", beta_1)
        self.beta_2 = decay("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon, 1e-7)

    def _start(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p), "t": 0}

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        m, v = state["m"], state["v"]
        state["t"] += 1
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        root = np.sqrt(v)
        root += self.epsilon
        change: Array = m / root
        change *= -lr * sqrt(1 - self.beta_2 ** state["t"]) / (1 - self.beta_1 ** state["t"])
        return change


class AdamW(Adam):
    """Adam with weight decay beside the gradient's step, not in the gradient.

    Parameters
    ----------
    lr : float
        The learning rate, by default 0.001, as in Keras and torch.
    weight_decay : float
        The rate, in units of `lr`, at which parameters shrink; from 0 up, by default Keras's 0.004 (torch: 0.01).
    beta_1, beta_2, epsilon : float
        As Adam's.

    Notes
    -----
    ::

        w <- w - lr weight_decay w - Adam's step

    Both terms are of the parameter before the step. A term weight_decay w in the gradient (Adam with L2
    regularisation) would be divided by the root as the gradient is; here it is not. As in Keras and torch the decay
    is multiplied by the learning rate; in the paper only by the schedule's factor. It shrinks every parameter that has
    a gradient, biases too, as Keras does if none is excluded.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2.
    """

    def __init__(
        self,
        lr: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(lr, beta_1, beta_2, epsilon)
        self.weight_decay = not_negative("weight_decay", weight_decay)

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        change = super()._change(p, g, lr, state)
        change -= (lr * self.weight_decay) * p
        return change
