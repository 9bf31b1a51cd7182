"""One way to run a layer backwards, and the methods that may do it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.layer_run import ForwardCall, LayerRun


@dataclass(frozen=True)
class BackwardWay:
    """One way to run a layer backwards.

    Attributes
    ----------
    said : str
    give : callable
        ``give(forward, run, g) -> what backward returned``.
    takes : bool
        Whether the cotangent goes in; otherwise what comes back is multiplied by it.
    optional : bool
        Whether the cotangent has a default, as in ``backward(dout=1)``.
    steps : bool
        Whether a learning rate is passed.
    sure : bool
        Whether the names leave no doubt.
    method : str
        The layer's method that it calls.
    named : bool
        Whether what the cotangent is passed as is called so.
    """

    said: str
    give: Callable[[ForwardCall, LayerRun, Any], Any]
    takes: bool = True
    optional: bool = False
    steps: bool = False
    sure: bool = False
    method: str = ""
    named: bool = False


def backward_methods(layer: Any, forward: str) -> list[str]:
    """Return the names of the methods that may run a layer backwards, the likeliest first."""
    found = [name for name in dir(layer) if names.looks_like_backward(name) and name != forward]
    order = {name: i for i, name in enumerate(names.BACKWARD)}
    found.sort(key=lambda name: (order.get(names.plain(name), len(order)), name.startswith("_"), name))
    return [
        name
        for name in found
        if callable(attribute_of(layer, name)) and not _is_object(attribute_of(layer, name))
    ]


def attribute_of(layer: Any, name: str) -> Any:
    """Return an attribute, None where there is none to be had."""
    try:
        return getattr(layer, name)
    except Exception:  # a property that needs more
        return None


def _is_object(value: Any) -> bool:
    """Return whether it is a layer or a class held in an attribute, and no method."""
    return isinstance(value, type) or not (inspect.isroutine(value) or isinstance(value, partial | np.ufunc))
