"""Optimizers by name."""

from collections.abc import Callable

from gradlab.textbook.optimizers._optimizer import Optimizer
from gradlab.textbook.optimizers.adaptive_rates import AdaGrad, RMSprop
from gradlab.textbook.optimizers.descent import SGD
from gradlab.textbook.optimizers.moments import Adam, AdamW
from gradlab.textbook.optimizers.momentum import Momentum, Nesterov

_MAKERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def get(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer of this name, new and with its defaults, or the given optimizer itself.

    Parameters
    ----------
    optimizer : str or Optimizer
        "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam" or "adamw", capitals or not; or an optimizer.

    Raises
    ------
    ValueError
        If there is no optimizer of this name.
    TypeError
        If it is neither a name nor an optimizer.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        what = type(optimizer).__name__
        raise TypeError(f"an optimizer cannot be a {what}: give a name or an object, 'adam' or Adam(0.001)")
    if optimizer.lower() not in _MAKERS:
        raise ValueError(f"no optimizer is named {optimizer!r}: give one of {', '.join(_MAKERS)}")
    return _MAKERS[optimizer.lower()]()
