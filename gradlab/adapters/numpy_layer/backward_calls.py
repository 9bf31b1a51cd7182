"""How the cotangent gets in: as an argument, as an attribute, on a tape, or by multiplying what comes back."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
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
    backward_methods,
    method_of,
)
from gradlab.adapters.numpy_layer.layer_state import Snapshot
from gradlab.adapters.numpy_layer.number_places import (
    as_array,
    attributes_of,
    data_name,
    grad_name,
)
from gradlab.adapters.numpy_layer.recording_optimizer import RecordingOptimizer
from gradlab.node import as_tuple
from gradlab.workers.strange_objects import attribute_of

# So many ways to understand one method's arguments are tried.
TRIED = 16
# And so many are put in order.
MOST = 1000


def find_backward_calls(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield every backward call that the names allow, the likeliest first."""
    if not forward.backward:
        yield from on_tape(forward, run)
        yield from _by_what_it_returned(forward, run)
        yield from _with_flag(forward, run)
    for name in [forward.backward] if forward.backward else backward_methods(run.layer, forward.method):
        try:
            parameters = inspect.signature(method_of(run.layer, name)).parameters
        except (TypeError, ValueError):
            continue
        lone = sum(map(is_wanted, parameters.values())) == 1
        if lone and isinstance(run.returned, Mapping):
            by_key = partial(_asked_by_key, name)
            yield BackwardCall(f"{name}(a dict with the cotangent)", by_key, method=name, several=True)
        if lone and data_name(run.returned) and run.returned is not run.layer:
            say = f"{name}(the output, with the cotangent on it)"
            yield BackwardCall(say, partial(_handed_back, name), method=name, named=True)
        plain = list(_with_arguments(name, parameters, forward, run))
        if (forward.unnamed or not forward.backward) and _is_an_inverse(name, parameters, forward, run):
            plain = [replace(backward_call, inverse=True) for backward_call in plain]
        yield from plain
        yield from _with_attribute(name, parameters, forward, run)
        for flag, p in parameters.items():
            if p.default is True:  # such as one that lets it take a step at once
                yield from (_without(flag, backward_call) for backward_call in plain)
    if not (forward.backward or forward.cache):
        yield from _carried(forward, run)


def _with_arguments(
    name: str, parameters: Mapping[str, inspect.Parameter], forward: ForwardCall, run: LayerRun
) -> Iterator[BackwardCall]:
    wanted = [p for p in parameters.values() if is_wanted(p)]
    cotangents = [
        p.name for p in wanted if names.is_cotangent(p.name) and p.name not in argument_names(forward)
    ]
    if forward.cotangent in parameters:
        cotangents = [forward.cotangent]
    options = [roles_of(name, p.name, len(wanted), cotangents, forward) for p in wanted]
    if forward.stored and run.returned is not None and as_array(run.returned) is not None:
        # of what is handed on beside a cost the cotangent is zero, so that the cost's gradient is left
        options = [[("none", 0), *option] if option[:1] == [G] else option for option in options]
    if forward.outputs == ((("item", 0),),) and isinstance(run.returned, tuple) and len(run.returned) == 1:
        # who returns a tuple of one output may be given one of one cotangent
        options = [[("tuple", 0), *option] if option[:1] == [G] else option for option in options]
    caches = [p for p in wanted if names.is_cache(p.name)] or wanted[-1:] if forward.cache else []
    rest = [p for p in wanted if p not in caches]
    told = [
        p
        for p in rest
        if p.name in argument_names(forward) or names.is_input(p.name) or names.is_output(p.name)
    ]
    if len(forward.outputs) == len(rest) > 1 and len(cotangents) < len(rest) and not told:
        options = [[("part", rest.index(p))] if p in rest else [("cache", 0)] for p in wanted]
    # each with a value of its own first
    every = sorted(islice(product(*options), MOST), key=lambda roles: len(roles) - len(set(roles)))
    for roles in every[:TRIED]:
        if roles.count(G) > 1 or roles.count(("cache", 0)) > 1:
            continue
        takes = any(role[0] in ("g", "part", "all", "tuple") for role in roles)
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
                p.name in cotangents and role[0] in ("g", "part", "tuple")
                for p, role in zip(wanted, roles, strict=True)
            ),
            likeliest=names.plain(name) in names.BACKWARD
            and all(o[0] == r for o, r in zip(options, roles, strict=True)),
        )


def _is_an_inverse(
    name: str, parameters: Mapping[str, inspect.Parameter], forward: ForwardCall, run: LayerRun
) -> bool:
    """Return whether a method takes forward's output back to its input: a step back in time, and no gradient."""
    if len(run.outputs) != 1 or sum(map(is_wanted, parameters.values())) != 1 or len(run.args) != 1:
        return False
    x = as_array(run.args[0])
    if x is None or x.shape != run.outputs[0].shape or np.allclose(x, run.outputs[0], 1e-3):
        return False
    state = Snapshot(run.layer)
    try:
        back = as_array(method_of(run.layer, name)(np.array(run.outputs[0])))
    except Exception:
        return False
    finally:
        state.restore()
    return back is not None and back.shape == x.shape and bool(np.allclose(back, x, 1e-6))


def _without(flag: str, call: BackwardCall) -> BackwardCall:
    """Return a call with one of the method's flags off."""
    said = f"{call.said.removesuffix(')')}{', ' * (not call.said.endswith('()'))}{flag}=False)"
    return replace(call, said=said, give=partial(call.give, **{flag: False}))


def _call(
    name: str,
    bound: Sequence[tuple[str, Any, Role]],
    forward: ForwardCall,
    run: LayerRun,
    g: Any,
    **flags: bool,
) -> Any:
    positional: list[Any] = []
    named: dict[str, Any] = {**flags}
    for argument, kind, role in bound:
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [_scalar(part) for part in as_tuple(g)]
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            named[argument] = _value(role, forward, run, g)
        else:
            positional.append(_value(role, forward, run, g))
    if run.args and {("arg", i) for i in range(len(run.args))} <= {role for _, _, role in bound}:
        run.rewind()  # it is given what forward was, and may run forward itself: then with the same dropout
    return _listed(method_of(run.layer, name)(*positional, **named))


def _listed(returned: Any) -> Any:
    """Return what a generator yields, and pairs of names and gradients as a dict."""
    parts: Any = list(returned) if inspect.isgenerator(returned) else returned
    pairs = isinstance(parts, list | tuple) and all(isinstance(x, tuple) and len(x) == 2 for x in parts)
    named = pairs and bool(parts) and all(isinstance(name, str) for name, _ in parts)
    return dict(parts) if named else parts


def _value(role: Role, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    word, number = role
    if word == "g":
        return _like_outputs(forward, run, tuple(map(_scalar, g)) if isinstance(g, tuple) else _scalar(g))
    if word == "tuple":
        return (_scalar(g),)
    if word == "inputs":
        return tuple(run.args)
    if word == "part":
        return _scalar(as_tuple(g)[number])
    if word == "none":
        return np.zeros_like(as_array(run.returned))
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


def _like_outputs(forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    """Return cotangents in the form of forward's outputs: a named tuple, or a dict or a tuple beside a cache."""
    if isinstance(g, tuple) and hasattr(run.returned, "_fields") and len(run.returned) == len(g):
        return type(run.returned)(*g)
    if forward.cache and all(len(path) == 2 for path in forward.outputs):
        parts = g if isinstance(g, tuple) else (g,)
        if not isinstance(run.returned[0], Mapping):
            return parts
        return {path[1][1]: part for path, part in zip(forward.outputs, parts, strict=True)}
    return g


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


def _carried(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield the reading in which forward itself returns the gradients, beside a loss."""
    if (
        not forward.scalar
        or forward.stored
        or len(forward.outputs) != 1
        or isinstance(run.returned, np.ndarray)
    ):
        return
    beside = _beside_output(forward, run.returned)
    if any(as_array(part) is not None for part in _flat(beside)):
        yield BackwardCall("what forward returns beside the loss", _given_beside, takes=False)


def _given_beside(forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return _beside_output(forward, run.returned)


def _beside_output(forward: ForwardCall, returned: Any) -> Any:
    """Return what stands beside the output: the rest of a tuple or dict, or the other attributes of an object."""
    kind, key = (*forward.outputs[0], ("attr", data_name(returned)))[0]
    if isinstance(returned, Mapping):
        return {k: part for k, part in returned.items() if k != key}
    if kind == "item":
        rest = [part for i, part in enumerate(returned) if i != key]
        return rest[0] if len(rest) == 1 else tuple(rest)
    return {k: part for k, part in attributes_of(returned).items() if k != key}


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _flat(part)
    else:
        yield value


def _flagged(name: str, role: Role, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return method_of(run.layer, forward.method)(_value(role, forward, run, g), **{name: True})


def _with_attribute(
    name: str, parameters: Mapping[str, inspect.Parameter], forward: ForwardCall, run: LayerRun
) -> Iterator[BackwardCall]:
    """Yield the calls of a method without arguments, with the cotangent put into an attribute before.

    Or with one argument, a buffer that the gradient of the input is added to.
    """
    wanted = [p for p in parameters.values() if is_wanted(p)]
    if len(wanted) > 1:
        return
    into = f"a buffer as {wanted[0].name}" if wanted else ""
    run_it = partial(_filled, name) if wanted else partial(_called, name)
    told = forward.cotangent.removeprefix(".")
    for attribute in [told] if told else names.COTANGENTS:
        held = attribute_of(run.layer, attribute)
        if hasattr(run.layer, attribute) and (held is None or as_array(held) is not None):
            said = f"{name}({into}), the cotangent in .{attribute}"
            yield BackwardCall(said, partial(_put, attribute, run_it), likeliest=True)
    if wanted:
        return
    yield BackwardCall(
        f"{name}(), the cotangent in the attribute that it misses", partial(_put_missing, name)
    )
    raw = forward.raw(run)
    if any(data_name(y) for y in raw):
        yield BackwardCall(f"{name}(), the cotangent on the output", partial(_put_on_output, name))
    elif len(raw) == 1 and len(forward.outputs[0]) == 1 and forward.outputs[0][0][0] == "attr":
        for attribute, held in attributes_of(_holder(forward, run)).items():
            if held is None or (isinstance(held, np.ndarray) and not held.any()):
                said = f"{name}(), the cotangent in .{attribute} of what forward returned"
                yield BackwardCall(said, partial(_put_beside_output, attribute, name))


def _holder(forward: ForwardCall, run: LayerRun) -> Any:
    """Return the object that the output is an attribute of."""
    return run.layer if forward.stored else run.returned


def _called(name: str, run: LayerRun) -> Any:
    return method_of(run.layer, name)()


def _filled(name: str, run: LayerRun) -> Any:
    """Return the buffer that backward was given, of zeros like forward's first argument."""
    buffer = np.zeros_like(run.args[0])
    method_of(run.layer, name)(buffer)
    return buffer


def _put_beside_output(attribute: str, name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    setattr(_holder(forward, run), attribute, _scalar(g))
    return method_of(run.layer, name)()


def _put(
    attribute: str, run_it: Callable[[LayerRun], Any], forward: ForwardCall, run: LayerRun, g: Any
) -> Any:
    setattr(run.layer, attribute, _scalar(g))
    return run_it(run)


def _handed_back(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    setattr(run.returned, grad_name(run.returned), _scalar(as_tuple(g)[0]))
    return method_of(run.layer, name)(run.returned)


class _Asked(dict[Any, Any]):
    """What forward returned, without its outputs, and with the cotangent under whatever other key is asked for."""

    def __init__(self, forward: ForwardCall, run: LayerRun, g: Any) -> None:
        super().__init__({k: v for k, v in run.returned.items() if as_array(v) is None})
        parts = {path[0][1]: part for path, part in zip(forward.outputs, as_tuple(g), strict=True)}
        self.parts = parts

    def __missing__(self, key: Any) -> Any:
        named = [k for k in self.parts if k == key or names.is_gradient_of(str(key), str(k))]
        if not named and len(self.parts) > 1:
            raise KeyError(key)
        return self.parts[named[0] if named else next(iter(self.parts))]


def _asked_by_key(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return method_of(run.layer, name)(_Asked(forward, run, g))


def _put_missing(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    try:
        method_of(run.layer, name)()
    except AttributeError as error:
        if error.obj is not run.layer or not names.is_cotangent(str(error.name)):
            raise
        return _put(str(error.name), partial(_called, name), forward, run, g)
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
                give = partial(_seeded, name, wrap, "argument")
                yield BackwardCall(f"y.{name}({word})", give, likeliest=True)
            give = partial(_seeded, name, wrap, "attribute")
            yield BackwardCall(f"y.grad = {word}; y.{name}()", give, likeliest=True)
        yield BackwardCall(f"(y * g).sum().{name}()", partial(_summed, name), likeliest=True)
        if all(y.size == 1 for y in run.outputs):
            yield BackwardCall(f"y.{name}()", partial(_seeded, name, False, "none"), takes=False)


def _by_what_it_returned(forward: ForwardCall, run: LayerRun) -> Iterator[BackwardCall]:
    """Yield the calls of a backward method of the object that forward returned, if it is neither tensor nor layer."""
    returned = run.returned
    if isinstance(returned, tuple | list) and len(returned) > 1 and inspect.isroutine(returned[-1]):
        yield BackwardCall("the function that forward returned(g)", _pulled_back, likeliest=True)
    plain = isinstance(returned, np.ndarray | np.generic | int | float | tuple | list | Mapping)
    if plain or returned is run.layer or len(forward.outputs) != 1 or data_name(returned):
        return
    for name in backward_methods(returned, ""):
        if _takes_one(returned, name):
            give = partial(_returned_pulled, name)
            yield BackwardCall(f"y.{name}(g)", give, likeliest=True)


def _pulled_back(forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return _listed(run.returned[-1](*map(_scalar, as_tuple(g))))


def _returned_pulled(name: str, forward: ForwardCall, run: LayerRun, g: Any) -> Any:
    return getattr(run.returned, name)(_scalar(as_tuple(g)[0]))


def _takes_one(y: Any, name: str) -> bool:
    try:
        parameters = inspect.signature(getattr(y, name)).parameters.values()
    except (TypeError, ValueError):
        return False
    # what may be left out, and is None then, may be a seed by any name
    return any(p.default is p.empty or p.default is None or names.is_cotangent(p.name) for p in parameters)


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
