"""A learning rate for each element, from its own past gradients: AdaGrad and RMSprop."""

from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.optimizers._optimizer import Optimizer, State
from gradlab.textbook.optimizers._settings import decay, not_negative, positive


class AdaGrad(Optimizer):
    """Every element's rate falls with the sum of its squared gradients.

    Parameters
    ----------
    lr : float
        The learning rate, by default Keras's 0.001 (torch and the textbook: 0.01).
    initial_accumulator_value : float
        The sum at the start, by default Keras's 0.1, which keeps the first steps small (torch and the paper: 0).
    epsilon : float
        Keeps the root from 0, by default Keras's 1e-7 (torch: 1e-10).

    Notes
    -----
    ::

        s <- s + g^2
        w <- w - lr g / sqrt(s + epsilon)

    Keras adds epsilon inside the root, torch outside: lr g / (sqrt(s) + epsilon).

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization,
    2011.
    """

    def __init__(
        self, lr: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7
    ) -> None:
        super().__init__(lr)
        self.initial_accumulator_value = not_negative("initial_accumulator_value", initial_accumulator_value)
        self.epsilon = positive("epsilon", epsilon, 1e-7)

    def _start(self, p: Array) -> State:
        return {"accumulator": np.full_like(p, self.initial_accumulator_value)}

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        s = state["accumulator"]
        s += g * g
        change: Array = g / np.sqrt(s + self.epsilon)
        change *= -lr
        return change


class RMSprop(Optimizer):
    """Every element's gradient is divided by its root mean square of late.

    Parameters
    ----------
    lr : float
        The learning rate, by default Keras's 0.001 (torch: 0.01).
    rho : float
        The share of the mean that is kept at each step, in [0, 1), by default Keras's 0.9 (torch's alpha: 0.99).
    momentum : float
        The share of the velocity that is kept, in [0, 1), by default 0, no momentum.
    epsilon : float
        Keeps the root from 0, by default Keras's 1e-7 (torch: 1e-8).
    centered : bool
        Divide by the standard deviation instead: the mean gradient's square is taken off. By default False.

    Notes
    -----
    ::

        s <- rho s + (1 - rho) g^2        s, m and v are 0 at first
        m <- rho m + (1 - rho) g          where centered
        d  = lr g / sqrt(s + epsilon), or lr g / sqrt(s - m^2 + epsilon) where centered
        v <- momentum v + d
        w <- w - v

    Keras adds epsilon inside the root, as Graves does; torch outside, centred or not: sqrt(s - m^2) + epsilon.
    torch keeps v without the factor lr, the same as long as the learning rate is constant. Keras and torch let
    s - m^2 fall below 0 by rounding, and then give nan; here it stops at 0.

    Sources: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; the centred form with
    momentum: Graves, Generating Sequences With Recurrent Neural Networks, 2013, equations 38 to 41.
    """

    def __init__(
        self,
        lr: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
    ) -> None:
        super().__init__(lr)
        self.rho = decay("rho", rho)
        self.momentum = decay("momentum", momentum)
        self.epsilon = positive("epsilon", epsilon, 1e-7)
        self.centered = centered

    def _start(self, p: Array) -> State:
        kept = {"mean_square": True, "mean": self.centered, "velocity": self.momentum > 0}
        return {name: np.zeros_like(p) for name, needed in kept.items() if needed}

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        s = state["mean_square"]
        s += (1 - self.rho) * (g * g - s)
        change: Array = g / self._root(s, g, state)
        change *= -lr
        if not self.momentum:
            return change
        v: Array = state["velocity"]
        v *= self.momentum
        v += change
        return v

    def _root(self, s: Array, g: Array, state: State) -> Any:
        if not self.centered:
            return np.sqrt(s + self.epsilon)
        m = state["mean"]
        m += (1 - self.rho) * (g - m)
        return np.sqrt(np.maximum(s - m * m, 0) + self.epsilon)  # a variance, but for rounding
