"""A torch function or module with its arguments taken apart, so that it can be run at other numbers."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.leaves import Leaf, Path, argument_names, distinct_names
from gradlab.adapters.torch.argument_forms import by_values
from gradlab.adapters.torch.tensors import (
    FLOATS,
    OF_NUMPY,
    each_tensor,
    in_parts,
    joined_parts,
    leaf_of,
    tensor_of,
    with_tensors,
)
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property
from gradlab.workers.strange_objects import text_of

INPUT, SETTING, PARAMETER = "input", "setting", "parameter"


@dataclass(frozen=True, eq=False)
class TorchCall:
    """A torch function or module with its arguments.

    Attributes
    ----------
    name : str
    function : callable
    args, kwargs : tuple, dict
        As they were given, a template for others.
    leaves : tuple of Leaf
        What is differentiated: floating tensors among the arguments, then parameters.
    places : tuple of (str, Path)
        Where each of them goes.
    held : mapping of Path to Leaf
        The other tensors among the arguments.
    buffers : mapping of str to Tensor
        What a module starts every evaluation from, besides its parameters.
    seed : int
        Of the random state that every evaluation starts from.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    leaves: tuple[Leaf, ...]
    places: tuple[tuple[str, Path], ...]
    held: Mapping[Path, Leaf] = field(default_factory=dict)
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    seed: int = 0

    def tensors(self, primals: Sequence[Array], common: Any) -> list[torch.Tensor]:
        """Return the primals as tensors in their own dtypes, or in a common one, on their own devices."""
        shared = None if common is None else OF_NUMPY[np.dtype(common)]
        return [
            tensor_of(x, shared or in_parts(dtype), device)
            for x, (dtype, device) in zip(primals, self.homes, strict=True)
        ]

    @cached_property
    def homes(self) -> list[Any]:
        """The dtypes and devices of the leaves."""
        return [leaf.home for leaf in self.leaves]

    def settings(self, given: Mapping[str, Any], common: Any) -> dict[Path, torch.Tensor]:
        """Return the tensors that are not differentiated, of the numbers that are given for them."""
        made = {}
        for path, leaf in self.held.items():
            dtype, device = leaf.home
            if leaf.differentiated and common is not None:
                dtype = OF_NUMPY[np.dtype(common)]
            numbers = np.asarray(given.get(leaf.name, leaf.value))
            made[path] = tensor_of(numbers, in_parts(dtype), device)
        return made

    def run(self, tensors: Sequence[torch.Tensor], settings: Mapping[Path, torch.Tensor], common: Any) -> Any:
        """Return what the function gives, from the same random state and buffers in every run."""
        tensors = [joined_parts(t, leaf) for t, leaf in zip(tensors, self.leaves, strict=True)]
        held = {path: joined_parts(t, self.held[path]) for path, t in settings.items()}
        filled = {**held, **dict(zip(self.inputs, tensors, strict=False))}
        args = [with_tensors(part, filled.__getitem__, (0, i)) for i, part in enumerate(self.args)]
        kwargs = {key: with_tensors(x, filled.__getitem__, (1, key)) for key, x in self.kwargs.items()}
        self.seed_generators(self.seed)
        if not isinstance(self.function, torch.nn.Module):
            return self.function(*args, **kwargs)
        return self._with_state(lambda: self.function(*args, **kwargs), tensors, common)

    def with_state(self, action: Callable[[], Any], leaves: Sequence[torch.Tensor], common: Any) -> Any:
        """Return what an action gives while the module holds these leaves: a checkpoint runs it again in backward."""
        if not isinstance(self.function, torch.nn.Module):
            return action()
        return self._with_state(
            action, [joined_parts(t, leaf) for t, leaf in zip(leaves, self.leaves, strict=True)], common
        )

    def _with_state(self, action: Callable[[], Any], tensors: Sequence[torch.Tensor], common: Any) -> Any:
        values = {name: _cast(buffer.clone(), common) for name, buffer in self.buffers.items()}
        values |= zip(self.parameters, tensors[len(self.inputs) :], strict=True)
        state = {f"module.{name}": values[first] for name, first in self.tied.items()}
        # which names mean one tensor is known here, and takes torch longer than the call to find out
        return torch.func.functional_call(_Holder(self.function), state, (action,), tie_weights=False)

    @cached_property
    def inputs(self) -> list[Path]:
        """Where those leaves go that are arguments; they come first."""
        return [path for kind, path in self.places if kind == INPUT]

    @cached_property
    def constants(self) -> list[str]:
        """The names of the arguments of floats that require no gradient, where others do."""
        return [leaf.name for path, leaf in self.held.items() if path[0] == 0 and leaf.differentiated]

    @cached_property
    def parameters(self) -> list[str]:
        """The names of the other leaves in the module."""
        return [path[0] for kind, path in self.places if kind == PARAMETER]

    @cached_property
    def tied(self) -> dict[str, str]:
        """The names of a module's parameters and buffers, each with the first of those that mean the same tensor."""
        module: Any = self.function
        every = [
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ]
        first: dict[int, str] = {}
        names = {name: first.setdefault(id(t), name) for name, t in every}
        return {name: one for name, one in names.items() if one in {*self.parameters, *self.buffers}}

    @cached_property
    def accelerators(self) -> set[str]:
        """The kinds of the devices that its tensors are on, besides the processor."""
        return {leaf.home[1].type for leaf in (*self.leaves, *self.held.values())} - {"cpu"}

    def seed_generators(self, seed: int) -> None:
        """Draw random numbers from this seed from now on; to be called where `held_random_state` holds them."""
        torch.default_generator.manual_seed(seed)
        for kind in self.accelerators:
            module = getattr(torch, kind)
            getattr(module, "manual_seed_all", module.manual_seed)(seed)


class _Holder(torch.nn.Module):  # type: ignore[misc]
    """Holds a module while something else runs."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, action: Callable[[], Any]) -> Any:
        return action()


def _cast(buffer: torch.Tensor, common: Any) -> torch.Tensor:
    wanted = common is not None and buffer.is_floating_point()
    return buffer.to(OF_NUMPY[np.dtype(common)]) if wanted else buffer


@contextlib.contextmanager
def held_random_state(call: TorchCall) -> Iterator[None]:
    """Leave the generators of a call's devices as they were, however often evaluations seed them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for kind in call.accelerators:
            devices = range(getattr(torch, kind).device_count())
            stack.enter_context(torch.random.fork_rng(devices=devices, device_type=kind))
        yield


def call_of(
    fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str | None, seed: int
) -> TorchCall:
    """Take a function or module and its arguments apart.

    Raises
    ------
    TypeError
        If it cannot be called, or nothing in it can be differentiated.
    ValueError
        If a module is not made yet.
    """
    function, names = _function(fn, len(args))
    title = _title(fn, name)
    function, args = by_values(function, args, kwargs)
    found = [*_arguments(args, kwargs, names), *_parameters(function)]
    unique = distinct_names([leaf.name for _, _, leaf in found])
    found = [(k, p, replace(f, name=n)) for n, (k, p, f) in zip(unique, found, strict=True)]
    primals = [entry for entry in found if entry[0] != SETTING]
    if not primals:
        cure = f"pass at least one tensor of {', '.join(FLOATS.values())}"
        raise TypeError(f"{title} is given no tensor of floats, so there is nothing to differentiate: {cure}")
    return TorchCall(
        title,
        function,
        args,
        dict(kwargs),
        tuple(leaf for _, _, leaf in primals),
        tuple((kind, path) for kind, path, _ in primals),
        {path: leaf for kind, path, leaf in found if kind == SETTING},
        {key: value.detach().clone() for key, value in _buffers(function)},
        seed,
    )


def _title(fn: Any, name: str | None) -> str:
    owner = getattr(fn, "__self__", None)
    # of a Function's apply, the Function is what its author knows
    return str(name or getattr(owner if isinstance(owner, type) else fn, "__name__", type(fn).__name__))


def _arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], names: Sequence[str]
) -> Iterator[tuple[str, Path, Leaf]]:
    found = list(each_tensor((args, dict(kwargs))))
    # who lets one argument require a gradient says which
    says = any(tensor.requires_grad for (which, *_), tensor in found if which == 0)
    for path, tensor in found:
        which, key, *rest = path
        called = f"{names[key] if which == 0 else key}{''.join(f'[{part!r}]' for part in rest)}"
        leaf = leaf_of(called, tensor)
        # a keyword argument is a setting, and settings are not differentiated
        counts = which == 0 and leaf.differentiated and (tensor.requires_grad or not says)
        yield INPUT if counts else SETTING, path, leaf


def _function(fn: Any, count: int) -> tuple[Callable[..., Any], list[str]]:
    """Return the function that is run, and the names of its arguments."""
    owner = fn if isinstance(fn, type) else getattr(fn, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        written: Any = owner
        # in the older style forward takes the context first
        context = written.setup_context is torch.autograd.Function.setup_context
        return written.apply, argument_names(written.forward, count, skip=int(context))
    if isinstance(fn, torch.nn.Module):
        return _copy(fn), argument_names(fn.forward, count)
    if not callable(fn) or isinstance(fn, type):
        cure = "pass a function, a module, or a torch.autograd.Function"
        raise TypeError(
            f"fn is {fn if isinstance(fn, type) else type(fn).__name__}, which is no function: {cure}"
        )
    return fn, argument_names(fn, count)


def _copy(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a module: the copy runs, and the module itself stays as it is."""
    if any(torch.nn.parameter.is_lazy(p) for p in (*module.parameters(), *module.buffers())):
        raise ValueError("fn has parameters without a shape as yet: call it once before it is checked")
    try:
        return deepcopy(module)
    except Exception as error:
        raise ValueError(f"fn cannot be copied ({text_of(error)}): pass a function that calls it") from error


def _parameters(function: Any) -> Iterator[tuple[str, Path, Leaf]]:
    # one that is used twice is named once
    for name, parameter in function.named_parameters() if isinstance(function, torch.nn.Module) else ():
        if parameter.is_floating_point() or parameter.is_complex():
            yield PARAMETER, (name,), leaf_of(name, parameter)


def _buffers(function: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from function.named_buffers() if isinstance(function, torch.nn.Module) else ()
