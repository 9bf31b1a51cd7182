"""The tangents that torch computes, by dual numbers."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch.autograd import forward_ad

from gradlab.adapters.framework.forward_mode import NotForwardError
from gradlab.adapters.framework.function_pair import single_or_tuple
from gradlab.adapters.framework.leaves import common_dtype, first_line
from gradlab.adapters.torch.pair import TorchPair
from gradlab.adapters.torch.tensors import numbers, tensor_of
from gradlab.node import Array
from gradlab.workers.threads import without_warnings

# What torch says where a function has no forward mode, or what it needs is none of it.
REFUSALS = ("forward AD", "forward mode", "forward-mode", "jvp")


def has_own_jvp(pair: TorchPair) -> bool:
    """Return whether a torch.autograd.Function in a graph has a forward mode written by hand."""
    return any(function.jvp is not torch.autograd.Function.jvp for function in pair.functions)


@cache
def _load_decompositions() -> None:
    """Have torch load what it needs for the first dual number: it warns of itself then."""
    with without_warnings(), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def dual_level() -> Any:
    """Return the context in which dual numbers can be made."""
    _load_decompositions()
    return forward_ad.dual_level()


def dual(x: torch.Tensor, tangent: Array) -> torch.Tensor:
    """Return a tensor with its tangent; as it is where it does not move, for which a jvp is given None, or zeros."""
    return forward_ad.make_dual(x, tensor_of(tangent, x.dtype, x.device)) if tangent.any() else x


def tangent_of(y: torch.Tensor) -> torch.Tensor | None:
    """Return the tangent of a tensor, None if it has none."""
    found: torch.Tensor | None = forward_ad.unpack_dual(y).tangent
    return found


def tangents_of(
    pair: TorchPair, primals: Sequence[Array], tangents: Sequence[Array], settings: dict[str, Any]
) -> Any:
    """Return the tangents of the floating outputs for those of the primals.

    Raises
    ------
    NotForwardError
        If torch says that there is no forward mode.
    """
    common = common_dtype(pair.leaves, primals, pair.narrow)
    held = pair.call.settings(settings, common)
    leaves = pair.tensors(primals, common)
    with dual_level():
        duals = list(map(dual, leaves, tangents))
        try:
            outputs = pair.outputs(duals, held, common)
        except (NotImplementedError, ValueError, RuntimeError) as error:
            said = first_line(error.__cause__ or error)
            if any(word in said for word in REFUSALS):
                raise NotForwardError(f"no forward mode, and it says so: {said}") from error
            raise
        parts = [(y, tangent_of(y)) for y in outputs]
        return single_or_tuple(numbers(torch.zeros_like(y) if t is None else t) for y, t in parts)
