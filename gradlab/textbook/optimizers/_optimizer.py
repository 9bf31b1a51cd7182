"""What every optimizer does: check its arguments, keep state for each parameter, change parameters in place."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.optimizers._settings import positive

State = dict[str, Any]


class Optimizer:
    """A rule that turns a gradient into a change of its parameter.

    Parameters
    ----------
    lr : float
        The learning rate; it may be changed between two updates.

    Attributes
    ----------
    state : dict
        What the rule keeps of each parameter, by the parameter's name: made at the first update, in the
        parameter's shape and dtype. So an optimizer serves one model.
    """

    def __init__(self, lr: float) -> None:
        self.lr = positive("lr", lr, 0.01)
        self.state: dict[str, State] = {}

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change in place every array of `params` that `grads` has a gradient for.

        Parameters
        ----------
        params, grads : mappings of str to ndarray
            The parameters, floats, and gradients of the same shapes under the same names.

        Raises
        ------
        TypeError, ValueError
            If the learning rate is no positive number, or a gradient fits no parameter. No parameter is changed
            then.
        """
        lr = positive("lr", self.lr, 0.01)
        _check_mappings(params, grads)
        for name, gradient in grads.items():
            _check(name, params, gradient, self.state.get(name, {}))
        for name, gradient in grads.items():
            p = params[name]
            if name not in self.state:
                self.state[name] = self._start(p)
            change = self._change(p, np.asarray(gradient, p.dtype), lr, self.state[name])
            np.add(p, change, out=p)

    def _start(self, p: Array) -> State:
        """Return the state of a parameter that has not been updated yet."""
        return {}

    def _change(self, p: Array, g: Array, lr: float, state: State) -> Array:
        """Return what to add to parameter `p`, whose gradient is `g`; `state` is changed in place."""
        raise NotImplementedError


def _check_mappings(params: Any, grads: Any) -> None:
    for what, given in (("params", params), ("grads", grads)):
        if not isinstance(given, Mapping):
            raise TypeError(
                f"{what} is a {type(given).__name__}: give a mapping of names to arrays, "
                f"as dict(enumerate({what})) makes one of a list"
            )


def _check(name: str, params: Mapping[str, Array], gradient: Any, state: State) -> None:
    if name not in params:
        raise ValueError(
            f"no parameter is named {name!r}: name the gradients as the parameters, {list(params)}"
        )
    p, g = params[name], np.asarray(gradient)
    if not isinstance(p, np.ndarray) or p.dtype.kind != "f" or not p.flags.writeable:
        raise TypeError(f"parameter {name!r} cannot be changed in place: give a writeable array of floats")
    if g.shape != p.shape:
        raise ValueError(f"the gradient of {name!r} has shape {g.shape}: give one of the shape {p.shape}")
    if not np.can_cast(g.dtype, p.dtype, "same_kind"):
        raise TypeError(f"the gradient of {name!r} has dtype {g.dtype}: give one of {p.dtype}")
    kept = next((a for a in state.values() if isinstance(a, np.ndarray)), p)
    if (kept.shape, kept.dtype) != (p.shape, p.dtype):
        raise ValueError(
            f"parameter {name!r} was {kept.dtype} of shape {kept.shape} and is {p.dtype} of shape {p.shape}: "
            "make a new optimizer for another model"
        )
