"""A torch function as the pair of functions of NumPy arrays that every check takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.function_pair import FunctionPair, single_or_tuple
from gradlab.adapters.framework.leaves import common_dtype, first_line
from gradlab.adapters.framework.loops import has_loop
from gradlab.adapters.torch.call import TorchCall
from gradlab.adapters.torch.returned_gradients import Returned, nodes, watched_functions
from gradlab.adapters.torch.tensors import (
    OF_NUMPY,
    each_tensor,
    is_without_data,
    name_of,
    numbers,
    same_numbers,
    tensor_of,
)
from gradlab.node import Array, as_tuple
from gradlab.workers.lock_free import cached_property


@dataclass(frozen=True, eq=False)
class TorchResiduals:
    """The residuals of a torch forward: the graph, from its leaves to its outputs.

    Attributes
    ----------
    leaves : list of Tensor
    outputs : list of Tensor
        The floating ones.
    primals : tuple of ndarray
        The arrays that the leaves were made of; what a function writes into a leaf is written into its array too.
    common : dtype or None
        The dtype that all were computed in.
    """

    leaves: list[torch.Tensor]
    outputs: list[torch.Tensor]
    primals: tuple[Array, ...]
    common: Any

    @cached_property
    def graph(self) -> list[Any]:
        """The nodes of the graph."""
        return nodes([y.grad_fn for y in self.outputs])


@dataclass(eq=False)
class TorchPair(FunctionPair[TorchCall]):
    """A torch function and its gradient, as functions of NumPy arrays.

    Attributes
    ----------
    through_copies : bool
        Whether the function is given copies of the leaves, which it may write into.
    needs_graph : bool
        Whether it differentiates inside, so that it gives nothing where nothing is recorded.
    draws : bool
        Whether it draws random numbers. Torch draws them in the order in which the elements lie in memory.
    takes_integers : bool
        Whether one of torch's operators is given a tensor of integers beside one of floats.
    held_lengths : frozenset of int
        Those of the axes of arrays that the function holds beside its arguments, which so do not grow with them.
    output_eps : float
        The rounding of half precision, where outputs, or what is computed on the way to them, are of it; else 0.
    functions : frozenset of type
        The torch.autograd.Functions that it goes through.
    live : tuple of bool
        Which of the floating outputs require a gradient, if some do not: the others are left out. Empty if all count.
    """

    through_copies: bool = False
    needs_graph: bool = False
    draws: bool = False
    takes_integers: bool = False
    held_lengths: frozenset[int] = frozenset()
    output_eps: float = 0.0
    functions: frozenset[Any] = frozenset()
    live: tuple[bool, ...] = ()
    calls: int = 0

    def iterates(self) -> bool:
        """Return whether the backward of a torch.autograd.Function has a loop in it."""
        return any(has_loop(getattr(function, "backward", None)) for function in self.functions)

    @property
    def left_out(self) -> str:
        """What a row says of the outputs and arguments that require no gradient."""
        places = [str(i) for i, counts in enumerate(self.live) if not counts]
        told = [
            f"{what}{'s' * (len(which) > 1)} {', '.join(which)} require{'s' * (len(which) == 1)} no gradient, and "
            f"{'is' if len(which) == 1 else 'are'} {then}"
            for what, which, then in (
                ("output", places, "left out"),
                ("argument", self.call.constants, "held"),
            )
            if which
        ]
        return "; ".join(told)

    def forward(self, *primals: Array, **settings: Any) -> tuple[Any, TorchResiduals]:
        """Return the floating outputs, and the graph that leads to them."""
        residuals = self.record(primals, settings)
        return single_or_tuple(map(numbers, residuals.outputs)), residuals

    def record(self, primals: Sequence[Array], settings: Mapping[str, Any]) -> TorchResiduals:
        """Run the function where all is recorded, and write into the arrays what it wrote into the tensors."""
        common = common_dtype(self.leaves, primals, self.narrow)
        leaves, held = self.tensors(primals, common), self.call.settings(settings, common)
        before = [t.clone() for t in (*leaves, *held.values())]
        with torch.enable_grad():
            for t in leaves:
                t.requires_grad_()
            given = [t.clone() for t in leaves] if self.through_copies else leaves
            outputs = self.outputs(given, held, common)
        arrays = (*primals, *[settings.get(leaf.name) for leaf in self.call.held.values()])
        _write_back(arrays, (*given, *held.values()), before)
        return TorchResiduals(leaves, outputs, tuple(primals), common)

    def tensors(self, primals: Sequence[Array], common: Any) -> list[torch.Tensor]:
        """Return the primals as tensors, in their own layout unless that decides what is drawn.

        The parameters of a module are contiguous whatever its inputs are, and of their own shapes.
        """
        if self.draws or self.call.parameters:
            primals = [self._laid_out(i, x) for i, x in enumerate(primals)]
        return self.call.tensors(primals, common)

    def _laid_out(self, i: int, x: Array) -> Array:
        leaf, is_parameter = self.leaves[i], i >= len(self.call.inputs)
        if is_parameter and x.shape != leaf.value.shape:
            raise ValueError(f"the parameter {leaf.name} has shape {leaf.value.shape}: it takes no other")
        return np.ascontiguousarray(x).reshape(x.shape) if self.draws or is_parameter else x

    def output_dtypes(self, residuals: TorchResiduals) -> list[str]:
        """Return what torch calls the dtypes of the outputs."""
        return [name_of(y.dtype) for y in residuals.outputs]

    def value(self, *primals: Array, **settings: Any) -> Any:
        """Return the floating outputs, where nothing is recorded."""
        if self.needs_graph:
            return self.forward(*primals, **settings)[0]
        common = common_dtype(self.leaves, primals, self.narrow)
        with torch.no_grad():
            tensors = self.tensors(primals, common)
            outputs = self.outputs(tensors, self.call.settings(settings, common), common)
            return single_or_tuple(map(numbers, outputs))

    def outputs(self, tensors: Sequence[torch.Tensor], held: Any, common: Any) -> list[torch.Tensor]:
        """Return the floating outputs for some tensors, and those that are not differentiated.

        Raises
        ------
        LinAlgError, ValueError
            In place of what torch raises.
        TypeError
            If there are none.
        """
        # what NumPy's functions raise outside a domain, and without an inverse
        try:
            returned = self.call.run(tensors, held, common)
        except torch.linalg.LinAlgError as error:
            raise np.linalg.LinAlgError(first_line(error)) from error
        except RuntimeError as error:
            raise ValueError(first_line(error)) from error
        one = isinstance(returned, torch.Tensor)
        outputs = [returned] if one else [y for _, y in each_tensor(returned)]
        # a complex output is two real ones, each with a cotangent of its own, and in any layout: no view takes that
        outputs = [torch.stack([y.real, y.imag], -1) if y.is_complex() else y for y in outputs]
        floating = [y for y in outputs if y.is_floating_point()]
        if not floating:
            cure = "return tensors of floats, alone or in tuples, lists and dicts"
            raise TypeError(f"{self.name} returned {_described(returned)}, nothing to differentiate: {cure}")
        if len(floating) != len(self.live):
            return floating
        return [y for y, counts in zip(floating, self.live, strict=True) if counts]

    def backward(self, residuals: TorchResiduals, g: Any) -> tuple[Any, ...]:
        """Return the gradients, each as it came: where a Function's own has another shape, that one."""
        cotangents = [
            tensor_of(np.asarray(part), y.dtype, y.device)
            for part, y in zip(as_tuple(g), residuals.outputs, strict=True)
        ]
        watched = [*cotangents, *residuals.leaves]
        with torch.no_grad():
            before = [t.clone() for t in watched]
        gradients = self.pulled(residuals, cotangents)
        _write_back((*as_tuple(g), *residuals.primals), watched, before)
        taken = {t.untyped_storage().data_ptr() for t in watched}
        return tuple(
            numbers(torch.zeros_like(leaf)) if d is None else _owned(d, taken)
            for d, leaf in zip(gradients, residuals.leaves, strict=True)
        )

    def pulled(
        self, residuals: TorchResiduals, cotangents: Sequence[torch.Tensor | None]
    ) -> list[torch.Tensor | None]:
        """Return the gradients for the cotangents, those left out where one is None."""
        kept = [
            (y, d)
            for y, d in zip(residuals.outputs, cotangents, strict=True)
            if d is not None and y.requires_grad
        ]
        if not kept:
            return self._complete(residuals, [None] * len(residuals.leaves))
        outputs, given = [y for y, _ in kept], [d for _, d in kept]
        self.calls += 1
        # what backward draws is another number in each call: drawn from forward's state it would equal forward's
        self.call.seed_generators(self.call.seed + self.calls)
        with watched_functions(residuals.graph, residuals.leaves) as seen:
            found = self.call.with_state(
                lambda: _gradients(outputs, residuals.leaves, given, seen), residuals.leaves, residuals.common
            )
        if seen.reduced:
            cure = "return it in the input's shape, summed over what was broadcast"
            raise ValueError(f"{seen.reduced[0]}: {cure}")
        for i, raw in seen.raw.items():
            own = residuals.leaves[i].dtype
            if raw.dtype != own:
                self.recast[self.leaves[i].name] = f"{name_of(raw.dtype)}, and it is {name_of(own)}"
        return self._complete(residuals, [_as_it_came(d, seen.raw.get(i)) for i, d in enumerate(found)])

    def _complete(
        self, residuals: TorchResiduals, gradients: Sequence[torch.Tensor | None]
    ) -> list[torch.Tensor | None]:
        self.absent |= {leaf.name for leaf, d in zip(self.leaves, gradients, strict=True) if d is None}
        return list(gradients)


def _gradients(
    outputs: Sequence[torch.Tensor],
    leaves: Sequence[torch.Tensor],
    given: Sequence[torch.Tensor],
    seen: Returned,
) -> Sequence[torch.Tensor | None]:
    """Return the engine's gradients, or, where it refuses their shapes, those that the Functions returned."""
    try:
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            outputs, leaves, given, retain_graph=True, allow_unused=True
        )
        return found
    except torch.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(first_line(error)) from error
    except RuntimeError as error:
        if "use_reentrant" in str(error):
            return _by_backward(outputs, leaves, given)
        refused = any(d.shape != leaves[i].shape for i, d in seen.raw.items())
        if not refused or len(seen.raw) < len(leaves):
            raise
        return [seen.raw[i] for i in range(len(leaves))]


def _by_backward(
    outputs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor], given: Sequence[torch.Tensor]
) -> list[torch.Tensor | None]:
    """Return the gradients that backward leaves in the leaves: a re-entrant checkpoint gives none otherwise."""
    for leaf in leaves:
        leaf.grad = None
    torch.autograd.backward(outputs, given, retain_graph=True)
    return [leaf.grad for leaf in leaves]


def _as_it_came(d: torch.Tensor | None, raw: torch.Tensor | None) -> torch.Tensor | None:
    return d if d is None or raw is None or d.shape == raw.shape else raw


def _owned(d: torch.Tensor, taken: set[int]) -> Array:
    """Return a gradient in its own memory, or copied if it shares a cotangent's or an input's, as torch allows.

    In its own memory a check sees a buffer that a Function keeps and hands out again and again.
    """
    plain = d.detach()
    if plain.layout != torch.strided or is_without_data(plain):
        return numbers(plain)
    storage = plain.untyped_storage().data_ptr()
    direct = plain.is_cpu and plain.dtype in OF_NUMPY.values()
    if storage in taken or not direct or 0 in plain.stride():
        return numbers(plain)
    taken.add(storage)
    return np.asarray(plain.numpy())


def _write_back(
    arrays: Sequence[Any], tensors: Sequence[torch.Tensor], before: Sequence[torch.Tensor]
) -> None:
    """Write into arrays what has been written into the tensors that were made of them."""
    for x, t, old in zip(arrays, tensors, before, strict=True):
        if x is not None and x.flags.writeable and not same_numbers(t, old):
            x[...] = numbers(t)


def _described(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__} without floats"
