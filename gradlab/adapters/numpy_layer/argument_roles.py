"""The role of each argument of a backward method, by its name: the cotangent, the cache, an input, a rate."""

import inspect
from collections.abc import Sequence

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.layer_run import ForwardCall

# What an argument of backward stands for: a word, and a number where there are several.
Role = tuple[str, int]


G: Role = ("g", 0)


def is_wanted(p: inspect.Parameter) -> bool:
    """Return whether backward is given a value for an argument."""
    if p.kind is p.VAR_KEYWORD:
        return False
    if p.default is p.empty:
        return (
            p.kind is not p.VAR_POSITIONAL or names.is_cotangent(p.name) or p.name in ("args", "xs", "inputs")
        )
    if isinstance(p.default, bool | str | dict | list):
        return False  # retain_grads=True, or what is filled
    return names.is_cotangent(p.name) or names.is_rate(p.name) or names.is_optimizer(p.name)


def argument_names(forward: ForwardCall) -> list[str]:
    """Return the names of forward's arguments."""
    return [argument.name for argument in forward.arguments]


def roles_of(
    method: str, name: str, count: int, cotangents: Sequence[str], forward: ForwardCall
) -> list[Role]:
    """Return the roles that an argument of backward may have, the likeliest first."""
    arguments = argument_names(forward)
    outputs = len(forward.outputs)
    pointwise = bool(names.POINTWISE.search(method.lower()))
    if name in arguments and name not in cotangents:
        same: Role = ("arg", arguments.index(name))
        if count > 2 and cotangents and names.is_output(name):
            return [same, ("output", 0)]  # h may be the old state forward, and the new one backward
        # a lone argument of a method named after a direction may be the cotangent whatever it is called
        return [same] if count > 1 or (pointwise and cotangents) else ([same, G] if pointwise else [G, same])
    if names.is_rate(name) and name not in cotangents[:1]:
        rate: Role = ("rate", 0)
        if cotangents or forward.scalar:
            return [rate]
        # where nothing else can be the cotangent, drate is that of a rate
        return [G, rate] if name.startswith("d") else [rate, G]
    if names.is_optimizer(name):
        return [("optimizer", 0)]
    if names.is_cache(name) and forward.cache:
        return [("cache", 0)]
    if name in cotangents:
        place = cotangents.index(name)
        if len(cotangents) == 1:
            # some losses are given their predictions under such a name
            loss = forward.scalar or any(map(names.is_target, arguments))
            several: list[Role] = [("tuple", 0)] if name.endswith("s") and count > 1 else []
            return [G, ("arg", 0), ("stored", 0), *several] if loss else [G, *several]
        if place >= outputs and forward.partly:
            return []  # it is the cotangent of an output that is not looked at
        return [("part", place)] if place < outputs else [("zero", 0)]
    if names.is_target(name):
        # where forward gives no cost, gT is the cotangent of T and no ground truth
        target: list[Role] = [("arg", _target(forward))]
        return target if cotangents or forward.scalar else [*target, G]
    if name.lower() in ("n", "m", "batch_size", "batch", "bs"):
        return [("batch", 0), ("cache", 0)] if forward.cache else [("batch", 0)]
    unknown = _unknown(name, pointwise, bool(cotangents), len(arguments) if count > 2 else 1)
    if name.endswith("s") and cotangents:
        unknown.append(("inputs", 0))  # all of them, as Chainer's functions take them
    return [("cache", 0), *unknown] if forward.cache else unknown


def _unknown(name: str, pointwise: bool, has_cotangent: bool, arguments: int) -> list[Role]:
    inputs: list[Role] = [("arg", i) for i in range(arguments)]
    output: Role = ("output", 0)
    point = [output, *inputs] if names.is_output(name) and not names.is_input(name) else [*inputs, output]
    if has_cotangent:
        return point
    return [*point, G] if pointwise else [G, *point]


def _target(forward: ForwardCall) -> int:
    arguments = argument_names(forward)
    named = [i for i, name in enumerate(arguments) if names.is_target(name)]
    return named[0] if named else len(arguments) - 1


def role_text(name: str, role: Role, forward: ForwardCall) -> str:
    """Return the value that is passed for an argument, in words."""
    arguments = argument_names(forward)
    meaning = {"g": "the cotangent", "all": "the cotangents", "part": f"the cotangent of output {role[1]}"}
    meaning |= {
        "tuple": "a tuple of the cotangent",
        "inputs": "a tuple of the inputs",
        "output": "the output",
        "zero": "zeros",
        "none": "zeros",
        "cache": "the cache",
        "stored": "the stored output",
        "rate": "2**40",
    }
    meaning |= {"batch": "the batch size", "optimizer": "a spy"}
    if role[0] == "arg":
        other = arguments[role[1]] if role[1] < len(arguments) else ""
        return name if name == other else f"{name}={other}"
    return (
        name
        if role[0] in ("g", "part", "cache", "tuple") and names.is_cotangent(name)
        else f"{name}={meaning[role[0]]}"
    )
