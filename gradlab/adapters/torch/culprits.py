"""Which part of a module is to blame: each submodule and each Function alone, on the tensors that it was given."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch

from gradlab.adapters.torch.call import TorchCall
from gradlab.adapters.torch.pair import TorchPair

# So many are named.
MOST = 3


class Part(NamedTuple):
    """A part of a module, what it is called, and the arguments that it was given first."""

    name: str
    function: Any
    args: tuple[Any, ...]


def culprits(pair: TorchPair, is_right: Callable[[Part], bool]) -> list[str]:
    """Return the names of the smallest parts whose own gradient is wrong, at the most three.

    Parameters
    ----------
    pair : TorchPair
    is_right : callable
        Returns whether the gradient of a part is right, or cannot be judged.
    """
    functions, modules = _seen_in(pair)
    found = [part.name for part in functions if not is_right(part)]
    for part in modules if not found else ():
        # what is around a wrong part is wrong because of it
        inside = any(name.startswith(f"{part.name}.") for name in found)
        if not inside and not is_right(part):
            found.append(part.name)
    return found[:MOST]


def _seen_in(pair: TorchPair) -> tuple[list[Part], list[Part]]:
    """Return the Functions and the submodules that one run goes through, the innermost submodules first."""
    call, around = pair.call, [""]
    functions, modules = dict[str, Part](), dict[str, Part]()

    def enter(name: str, module: Any, args: tuple[Any, ...]) -> None:
        around.append(name)
        modules.setdefault(name, Part(name, module, tuple(map(_held, args))))

    def leave(module: Any, args: Any, output: Any) -> None:
        around.pop()

    def note(function: Any, args: tuple[Any, ...]) -> None:
        place = f" in {around[-1]}" if around[-1] else ""
        functions.setdefault(
            function.__name__, Part(f"{function.__name__}{place}", function, tuple(map(_held, args)))
        )

    with ExitStack() as stack:
        if isinstance(call.function, torch.nn.Module):
            for name, module in call.function.named_modules():
                if name:
                    stack.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
                    stack.callback(module.register_forward_hook(leave).remove)
        for function in pair.functions:
            stack.enter_context(_recorded(function, partial(note, function)))
        pair.record([leaf.value.copy() for leaf in pair.leaves], dict(pair.settings))
    return list(functions.values()), sorted(modules.values(), key=lambda part: -part.name.count("."))


def _held(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)


@contextmanager
def _recorded(function: Any, note: Callable[[tuple[Any, ...]], None]) -> Iterator[None]:
    """Note what a Function is given, until the context ends."""
    own, original = vars(function).get("apply"), function.apply

    def apply(*args: Any) -> Any:
        note(args)
        return original(*args)

    function.apply = staticmethod(apply)
    try:
        yield
    finally:
        if own is None:
            del function.apply
        else:
            function.apply = own


def is_composed(call: TorchCall, pair: TorchPair) -> bool:
    """Return whether a call is of more than one part that could be to blame."""
    owner = getattr(call.function, "__self__", None)
    return isinstance(call.function, torch.nn.Module) or bool(pair.functions - {owner})
