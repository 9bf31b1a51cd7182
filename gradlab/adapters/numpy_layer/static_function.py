"""Classes whose forward and backward are static and pass a context, as torch's Functions do, read as layers."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

CONTEXTS = ("ctx", "context")


class Context:
    """What such a forward keeps things in for backward."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep what backward needs."""
        self.saved_tensors = tensors


def with_context(layer: Any) -> Any:
    """Return an object that keeps the context from forward to backward, for such a class or an object of it.

    Anything else is returned as it is.
    """
    kind: Any = layer if isinstance(layer, type) else type(layer)
    try:
        pair = [inspect.getattr_static(kind, name, None) for name in ("forward", "backward")]
        static = all(isinstance(method, staticmethod) and _takes_context(method.__func__) for method in pair)
    except Exception:  # a class may answer with one, as it may to every other question
        return layer
    if not static:
        return layer
    members = {"forward": _given_context(kind.forward, fresh=True), "backward": _given_context(kind.backward)}
    return type(kind.__name__, (), {**members, "ctx": Context()})()


def _takes_context(method: Callable[..., Any]) -> bool:
    return next(iter(inspect.signature(method).parameters), "") in CONTEXTS


def _given_context(method: Callable[..., Any], fresh: bool = False) -> Callable[..., Any]:
    """Return a method that hands on the context of its object, for forward a new one."""

    @functools.wraps(method)
    def handed(self: Any, *args: Any, **settings: Any) -> Any:
        if fresh:
            self.ctx = Context()
        return method(self.ctx, *args, **settings)

    signature = inspect.signature(method)
    context, *others = signature.parameters.values()
    own = [context.replace(name="self"), *others]
    handed.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    return handed
