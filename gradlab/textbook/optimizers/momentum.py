"""Descent with a velocity: the heavy ball, and Nesterov's."""

import numpy as np

from gradlab.node import Array
from gradlab.textbook.optimizers._optimizer import Optimizer, State
from gradlab.textbook.optimizers._settings import decay


class Momentum(Optimizer):
    """Gradient descent of a heavy ball, which keeps a share of its velocity.

    Parameters
    ----------
    lr : float
        The learning rate, by default Keras's 0.01.
    momentum : float
        The share of the velocity that is kept, in [0, 1). The textbook's 0.9; Keras and torch have no class of this
        name, and their SGD has momentum 0 by default.

    Notes
    -----
    ::

        v <- momentum v - lr g        v is 0 at first
        w <- w + v

    This is Keras's ``SGD(lr, momentum)``. torch keeps u <- momentum u + g and moves by -lr u: the same as long as
    the learning rate is constant; with torch's, a change of the rate acts on the past gradients too.

    Sources: Polyak, Some methods of speeding up the convergence of iteration methods, 1964; Deep Learning from
    Scratch, chapter 6.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = decay("momentum", momentum)

    def _start(self, p: Array) -> State:
        return {"velocity": np.zeros_like(p)}

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        v: Array = state["velocity"]
        v *= self.momentum
        v -= lr * g
        return v


class Nesterov(Momentum):
    """Momentum whose gradient is taken where the velocity is about to lead.

    Parameters
    ----------
    lr : float
        The learning rate, by default Keras's 0.01.
    momentum : float
        The share of the velocity that is kept, in [0, 1); the textbook's 0.9.

    Notes
    -----
    ::

        v <- momentum v - lr g        v is 0 at first
        w <- w + momentum v - lr g

    Nesterov's own form takes the gradient at w + momentum v, away from the parameters. Here `w` is that very
    point, so that gradients are taken at the parameters. This is Keras's ``SGD(lr, momentum, nesterov=True)``;
    torch's moves by -lr (g + momentum u) with u <- momentum u + g, the same as long as the learning rate is constant.

    Sources: Nesterov, A method of solving a convex programming problem with convergence rate O(1/k^2), 1983;
    Sutskever et al., On the importance of initialization and momentum in deep learning, 2013; in this form:
    Bengio et al., Advances in optimizing recurrent networks, 2013, section 3.5.
    """

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        change = self.momentum * super()._change(p, g, lr, state)
        change -= lr * g
        return change
