"""How the cotangent gets in where outputs know how to run backwards."""

import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.backward_methods import BackwardWay, backward_methods
from gradlab.adapters.numpy_layer.layer_run import ForwardCall, LayerRun
from gradlab.adapters.numpy_layer.number_values import data_name, grad_name
from gradlab.node import as_tuple


def on_tape(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardWay]:
    """Yield the ways in which the output, or the function that makes it, knows how to run backwards."""
    raw = forward.raw(run)
    if not raw or not all(data_name(y) for y in raw):
        return
    for name in backward_methods(raw[0], ""):
        for wrap in (False, True):
            word = f"{type(raw[0]).__name__}(g)" if wrap else "g"
            if _takes_one(raw[0], name):
                yield BackwardWay(f"y.{name}({word})", partial(_seeded, name, wrap, "argument"))
            yield BackwardWay(f"y.grad = {word}; y.{name}()", partial(_seeded, name, wrap, "attribute"))
        yield BackwardWay(f"(y * g).sum().{name}()", partial(_summed, name))
        if all(y.size == 1 for y in run.outputs):
            yield BackwardWay(f"y.{name}()", partial(_seeded, name, False, "none"), takes=False)


def _takes_one(y: Any, name: str) -> bool:
    try:
        parameters = inspect.signature(getattr(y, name)).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty or names.is_cotangent(p.name) for p in parameters)


def _seeded(name: str, wrap: bool, where: str, forward: ForwardCall, run: LayerRun, g: Any) -> None:
    for y, part in zip(forward.raw(run), as_tuple(g), strict=True):
        seed = type(y)(part) if wrap else _like_data(y, part)
        if where == "attribute":
            setattr(y, grad_name(y), seed)
        getattr(y, name)(*([seed] if where == "argument" else []))


def _like_data(y: Any, part: Any) -> Any:
    return part if isinstance(getattr(y, data_name(y)), np.ndarray) else part[()]


def _summed(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> None:
    for y, part in zip(forward.raw(run), as_tuple(g), strict=True):
        product_ = y * type(y)(part)
        getattr(product_.sum() if hasattr(product_, "sum") else product_, name)()
