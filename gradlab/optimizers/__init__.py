"""Descent along a gradient: from plain gradient descent to AdamW."""

from gradlab.optimizers._optimizer import Optimizer
from gradlab.optimizers.adaptive import AdaGrad, RMSprop
from gradlab.optimizers.by_name import get
from gradlab.optimizers.descent import SGD, gradient_descent
from gradlab.optimizers.moments import Adam, AdamW
from gradlab.optimizers.momentum import Momentum, Nesterov

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "get",
    "gradient_descent",
]
