"""How the cotangent gets in: as an argument, as an attribute, on a tape, or by multiplying what comes back."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.argument_roles import (
    G,
    Role,
    argument_names,
    is_wanted,
    role_text,
    roles_of,
)
from gradlab.adapters.numpy_layer.layer_reading import RATE, BackwardCall
from gradlab.adapters.numpy_layer.layer_run import (
    ForwardCall,
    LayerRun,
    attribute_of,
    backward_methods,
    method_of,
)
from gradlab.adapters.numpy_layer.number_places import as_array, data_name, grad_name
from gradlab.adapters.numpy_layer.recording_optimizer import RecordingOptimizer
from gradlab.node import as_tuple

# So many ways to understand one method's arguments are tried.
TRIED = 16


def find_backward_calls(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield every backward call that the names allow, the likeliest first."""
    yield from on_tape(forward, run)
    yield from _with_flag(forward, run)
    for name in backward_methods(run.layer, forward.method):
        try:
            parameters = inspect.signature(method_of(run.layer, name)).parameters
        except (TypeError, ValueError):
            continue
        yield from _with_arguments(name, parameters, forward, run)
        yield from _with_attribute(name, parameters, forward, run)


def _with_arguments(
    name: str, parameters: Mapping[str, inspect.Parameter], forward: ForwardCall, run: LayerRun
) -> Iterator[BackwardCall]:
    wanted = [p for p in parameters.values() if is_wanted(p)]
    cotangents = [
        p.name for p in wanted if names.is_cotangent(p.name) and p.name not in argument_names(forward)
    ]
    options = [roles_of(name, p.name, len(wanted), cotangents, forward) for p in wanted]
    for roles in islice(product(*options), TRIED):
        if roles.count(G) > 1 or roles.count(("cache", 0)) > 1:
            continue
        takes = any(role[0] in ("g", "part", "all") for role in roles)
        said = ", ".join(role_text(p.name, role, forward) for p, role in zip(wanted, roles, strict=True))
        optional = all(p.default is not p.empty for p, role in zip(wanted, roles, strict=True) if role == G)
        yield BackwardCall(
            f"{name}({said})",
            partial(_call, name, [(p.name, p.kind, role) for p, role in zip(wanted, roles, strict=True)]),
            takes,
            optional=takes and optional,
            steps=("rate", 0) in roles,
            sure=all(len(option) == 1 for option in options),
            method=name,
            named=any(
                p.name in cotangents and role[0] in ("g", "part")
                for p, role in zip(wanted, roles, strict=True)
            ),
        )


def _call(
    name: str, bound: Sequence[tuple[str, Any, Role]], forward: ForwardCall, run: LayerRun, g: Any
) -> Any:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument, kind, role in bound:
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [_scalar(part) for part in as_tuple(g)]
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            named[argument] = _value(role, forward, run, g)
        else:
            positional.append(_value(role, forward, run, g))
    return method_of(run.layer, name)(*positional, **named)


def _value(role: Role, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    word, number = role
    if word == "g":
        return tuple(map(_scalar, g)) if isinstance(g, tuple) else _scalar(g)
    if word == "part":
        return _scalar(as_tuple(g)[number])
    if word == "zero":
        return np.zeros_like(as_tuple(g)[0])
    if word == "cache":
        return run.returned[-1]
    if word == "arg":
        return run.args[number]
    if word == "output":
        return forward.raw(run)[0]
    if word == "stored":
        return next(getattr(run.layer, name) for name in names.OUTPUTS if _is_array(run.layer, name))
    if word == "optimizer":
        run.recorders.append(RecordingOptimizer(run.moving))
        return run.recorders[-1]
    return RATE if word == "rate" else len(run.args[0])


def _is_array(layer: Any, name: str) -> bool:
    held = getattr(layer, name, None)
    return isinstance(held, np.ndarray) and held.ndim > 0


def _scalar(g: Any) -> Any:
    return g[()] if isinstance(g, np.ndarray) and g.ndim == 0 else g


def _with_flag(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield the call of forward itself with a flag that asks for its derivative."""
    try:
        parameters = inspect.signature(method_of(run.layer, forward.method)).parameters
    except (TypeError, ValueError):
        return
    for name, p in parameters.items():
        if p.default is False and names.looks_like_backward(name):
            for role in (("arg", 0), ("output", 0)):
                give = partial(_flagged, name, role)
                said = f"{forward.method}({role_text('', role, forward).lstrip('=')}, {name}=True)"
                yield BackwardCall(said, give, takes=False)


def _flagged(name: str, role: Role, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return method_of(run.layer, forward.method)(_value(role, forward, run, g), **{name: True})


def _with_attribute(
    name: str, parameters: Mapping[str, inspect.Parameter], forward: ForwardCall, run: LayerRun
) -> Iterator[BackwardCall]:
    """Yield the calls of a method without arguments, with the cotangent put into an attribute before."""
    if any(is_wanted(p) for p in parameters.values()):
        return
    for attribute in names.COTANGENTS:
        held = attribute_of(run.layer, attribute)
        if hasattr(run.layer, attribute) and (held is None or as_array(held) is not None):
            yield BackwardCall(f"{name}(), the cotangent in .{attribute}", partial(_put, attribute, name))
    yield BackwardCall(
        f"{name}(), the cotangent in the attribute that it misses", partial(_put_missing, name)
    )
    if any(data_name(y) for y in forward.raw(run)):
        yield BackwardCall(f"{name}(), the cotangent on the output", partial(_put_on_output, name))


def _put(attribute: str, name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    setattr(run.layer, attribute, _scalar(g))
    return method_of(run.layer, name)()


def _put_missing(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    try:
        method_of(run.layer, name)()
    except AttributeError as error:
        if error.obj is not run.layer or not names.is_cotangent(str(error.name)):
            raise
        return _put(str(error.name), name, forward, run, g)
    raise LookupError("it misses none")


def _put_on_output(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    for y, part in zip(forward.raw(run), as_tuple(g), strict=True):
        setattr(y, grad_name(y), _scalar(part))
    return method_of(run.layer, name)()


def on_tape(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield the calls of an output's own backward method, where outputs are tensor objects that record a tape."""
    raw = forward.raw(run)
    if not raw or not all(data_name(y) for y in raw):
        return
    for name in backward_methods(raw[0], ""):
        for wrap in (False, True):
            word = f"{type(raw[0]).__name__}(g)" if wrap else "g"
            if _takes_one(raw[0], name):
                yield BackwardCall(f"y.{name}({word})", partial(_seeded, name, wrap, "argument"))
            yield BackwardCall(f"y.grad = {word}; y.{name}()", partial(_seeded, name, wrap, "attribute"))
        yield BackwardCall(f"(y * g).sum().{name}()", partial(_summed, name))
        if all(y.size == 1 for y in run.outputs):
            yield BackwardCall(f"y.{name}()", partial(_seeded, name, False, "none"), takes=False)


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
