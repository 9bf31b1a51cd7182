"""A torch function or module with its arguments taken apart, so that it can be run at other numbers."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.leaves import Leaf, Path, argument_names, distinct_names
from gradlab.adapters.torch.tensors import FLOATS, OF_NUMPY, each_tensor, leaf_of, tensor_of, with_tensors
from gradlab.node import Array

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
        made = []
        for leaf, (kind, _), x in zip(self.leaves, self.places, primals, strict=True):
            if kind == PARAMETER and x.shape != leaf.value.shape:
                raise ValueError(f"the parameter {leaf.name} has shape {leaf.value.shape}: it takes no other")
            dtype, device = leaf.home
            made.append(tensor_of(x, dtype if common is None else OF_NUMPY[np.dtype(common)], device))
        return made

    def settings(self, given: Mapping[str, Any], common: Any) -> dict[Path, torch.Tensor]:
        """Return the tensors that are not differentiated, of the numbers that are given for them."""
        made = {}
        for path, leaf in self.held.items():
            dtype, device = leaf.home
            if leaf.differentiated and common is not None:
                dtype = OF_NUMPY[np.dtype(common)]
            made[path] = tensor_of(np.asarray(given.get(leaf.name, leaf.value)), dtype, device)
        return made

    def run(self, tensors: Sequence[torch.Tensor], settings: Mapping[Path, torch.Tensor], common: Any) -> Any:
        """Return what the function gives, from the same random state and buffers in every run."""
        filled = dict(settings)
        filled |= {path: t for (kind, path), t in zip(self.places, tensors, strict=True) if kind == INPUT}
        args, kwargs = with_tensors((self.args, dict(self.kwargs)), filled.__getitem__)
        with held_random_state(self.devices, self.seed):
            if not isinstance(self.function, torch.nn.Module):
                return self.function(*args, **kwargs)
            state = {name: _cast(buffer.clone(), common) for name, buffer in self.buffers.items()}
            for (kind, path), t in zip(self.places, tensors, strict=True):
                state |= {path[0]: t} if kind == PARAMETER else {}
            return torch.func.functional_call(self.function, state, args, kwargs)

    @property
    def devices(self) -> set[torch.device]:
        """Where its tensors are."""
        return {leaf.home[1] for leaf in (*self.leaves, *self.held.values())}


def _cast(buffer: torch.Tensor, common: Any) -> torch.Tensor:
    wanted = common is not None and buffer.is_floating_point()
    return buffer.to(OF_NUMPY[np.dtype(common)]) if wanted else buffer


@contextlib.contextmanager
def held_random_state(devices: set[torch.device], seed: int) -> Iterator[None]:
    """Draw random numbers from this seed, and leave the generators as they were."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(seed)
        for kind in {device.type for device in devices} - {"cpu"}:
            module = getattr(torch, kind)
            stack.enter_context(torch.random.fork_rng(devices=range(module.device_count()), device_type=kind))
            getattr(module, "manual_seed_all", module.manual_seed)(seed)
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
    found = [*_arguments(args, kwargs, names), *_parameters(function)]
    unique = distinct_names([leaf.name for _, _, leaf in found])
    found = [(k, p, Leaf(n, f.value, f.dtype, f.home)) for n, (k, p, f) in zip(unique, found, strict=True)]
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
    for path, tensor in each_tensor((args, dict(kwargs))):
        which, key, *rest = path
        called = f"{names[key] if which == 0 else key}{''.join(f'[{part!r}]' for part in rest)}"
        leaf = leaf_of(called, tensor)
        # a keyword argument is a setting, and settings are not differentiated
        yield INPUT if which == 0 and leaf.differentiated else SETTING, path, leaf


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
        raise ValueError(f"fn cannot be copied ({error}): pass a function that calls it") from error


def _parameters(function: Any) -> Iterator[tuple[str, Path, Leaf]]:
    # one that is used twice is named once
    for name, parameter in function.named_parameters() if isinstance(function, torch.nn.Module) else ():
        if parameter.is_floating_point() or parameter.is_complex():
            yield PARAMETER, (name,), leaf_of(name, parameter)


def _buffers(function: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from function.named_buffers() if isinstance(function, torch.nn.Module) else ()
