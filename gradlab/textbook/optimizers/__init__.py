"""Descent along a gradient: from plain gradient descent to AdamW."""

from gradlab.textbook.optimizers._optimizer import Optimizer
from gradlab.textbook.optimizers.adaptive_rates import AdaGrad, RMSprop
from gradlab.textbook.optimizers.descent import SGD, gradient_descent
from gradlab.textbook.optimizers.moments import Adam, AdamW
from gradlab.textbook.optimizers.momentum import Momentum, Nesterov
from gradlab.textbook.optimizers.registry import get

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
