"""The kinds of objects that can be checked."""

import sys
from inspect import isroutine
from types import ModuleType
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.commands.check._construction import parameters_of
from gradlab.commands.check._target_lookup import is_layer
from gradlab.node import Node

NODE, PAIR, TORCH, JAX, FUNCTION = "node", "pair", "torch", "jax", "function"
CLASS, OBJECT, SEVERAL = "class", "object", "several"


def kind_of(found: Any, title: str) -> str:
    """Return the kind of an object; raises LayerError, with its `title`, if such an object cannot be checked."""
    if isinstance(found, Node) or (isinstance(found, ModuleType) and _is_pair_of(found)):
        return NODE
    if isinstance(found, ModuleType):
        cure = f"name one of its objects, {title}:OBJECT, or give --all"
        raise LayerError(f"{title} is a module without a forward and a backward: {cure}")
    if isinstance(found, tuple) and len(found) == 2 and all(is_function(part) for part in found):
        return PAIR
    if _is_of("torch", found):
        return TORCH
    if _is_of("jax", found) or _is_of("jaxlib", found):
        return JAX
    if isinstance(found, type):
        return CLASS
    if isinstance(found, list | tuple | dict):
        return SEVERAL
    if is_function(found):
        return FUNCTION
    if isinstance(found, np.ndarray | np.generic | str | bytes | int | float | complex | None):
        cure = "name a layer, its class, a pair of functions or a list of such"
        raise LayerError(f"{title} is {type(found).__name__}, which has no gradient to check: {cure}")
    return OBJECT


def _is_pair_of(module: ModuleType) -> bool:
    return all(callable(getattr(module, name, None)) for name in ("forward", "backward"))


def is_function(value: Any) -> bool:
    """Return whether it is a function, rather than an object that can be called."""
    return callable(value) and not isinstance(value, type) and (isroutine(value) or not is_layer(value))


def _is_of(framework: str, found: Any) -> bool:
    """Return whether an object is a framework's, or a function that uses the framework as its module imports it."""
    if framework not in sys.modules:
        return False
    kinds = found.__mro__ if isinstance(found, type) else type(found).__mro__
    if any(kind.__module__.partition(".")[0] == framework for kind in kinds):
        return True
    code = getattr(found, "__code__", None)
    used = [found.__globals__.get(name) for name in code.co_names] if code else []
    return any(
        getattr(value, "__name__", "").partition(".")[0] == framework
        for value in used
        if isinstance(value, ModuleType)
    )


def keeps_node_contract(backward: Any) -> bool:
    """Return whether a backward function takes ``(residuals, g)``, as gradlab's own nodes do."""
    taken = [p.name for p in parameters_of(backward)]
    return len(taken) == 2 and taken[0] == "residuals"
