"""A gradient that torch computes, as a function of primals and cotangents that can be differentiated again."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.forward_mode import NotForwardError
from gradlab.adapters.framework.function_pair import single_or_tuple
from gradlab.adapters.framework.higher_derivatives import GradientFunction, NotTwiceError
from gradlab.adapters.framework.leaves import common_dtype, first_line
from gradlab.adapters.torch.forward_mode import dual, dual_level, tangent_of
from gradlab.adapters.torch.pair import TorchPair
from gradlab.adapters.torch.returned_gradients import nodes
from gradlab.adapters.torch.tensors import numbers, tensor_of
from gradlab.node import Array, as_tuple

# The nodes that raise when a second backward comes to them, which no gradient of a single tensor does.
REFUSALS = ("Error", "NotImplemented")
Tensors = Sequence[torch.Tensor | None]
Move = Callable[[list[torch.Tensor], int], list[torch.Tensor]]


def gradient_function(pair: TorchPair, counts: Sequence[int]) -> GradientFunction:
    """Return the gradient of the gradient ... of a pair, differentiated as often as there are counts of cotangents."""
    ends = list(np.cumsum(counts))

    def differentiated(
        leaves: list[torch.Tensor], outputs: Tensors, arguments: Sequence[Array], move: Move
    ) -> tuple[Tensors, list[torch.Tensor]]:
        """Return the gradients with their graph, and the tensors that they depend on."""
        found = outputs
        for start, stop in pairwise(ends):
            # a gradient that is not there has its leaf's shape
            like = [leaves[i] if y is None else y for i, y in enumerate(found)]
            given = zip(arguments[start:stop], like, strict=True)
            cotangents = move([_like(g, y) for g, y in given], start)
            found = _gradients(found, leaves, cotangents)
            leaves = [*leaves, *cotangents]
        return found, leaves

    def forward(*arguments: Array, **settings: Any) -> tuple[Any, Any]:
        residuals = pair.record(arguments[: ends[0]], settings)
        if any(y.layout != torch.strided for y in residuals.outputs):
            raise NotTwiceError(
                "the cotangent of a sparse output is given dense, which has no second derivative"
            )
        found, leaves = pair.call.with_state(
            lambda: differentiated(
                list(residuals.leaves), residuals.outputs, arguments, lambda tensors, start: tensors
            ),
            residuals.leaves,
            residuals.common,
        )
        shown = [numbers_or_zeros(d, x) for d, x in zip(found, arguments, strict=False)]
        return single_or_tuple(shown), (found, leaves, residuals)

    def backward(residuals: Any, v: Any) -> tuple[Array, ...]:
        found, leaves, first = residuals
        pairs = zip(found, as_tuple(v), strict=True)
        kept = [(d, part) for d, part in pairs if d is not None and d.requires_grad]
        if not kept:
            return tuple(np.zeros_like(numbers(leaf)) for leaf in leaves)
        given = [tensor_of(np.asarray(part), d.dtype, d.device) for d, part in kept]
        try:
            second = pair.call.with_state(
                lambda: torch.autograd.grad(
                    [d for d, _ in kept], leaves, given, retain_graph=True, allow_unused=True
                ),
                first.leaves,
                first.common,
            )
        except RuntimeError as error:
            raise NotTwiceError(first_line(error)) from error
        return tuple(numbers_or_zeros(d, numbers(leaf)) for d, leaf in zip(second, leaves, strict=True))

    def tangents(arguments: Sequence[Array], moves: Sequence[Array], settings: Any) -> Any:
        def move(tensors: list[torch.Tensor], start: int) -> list[torch.Tensor]:
            return list(map(dual, tensors, moves[start : start + len(tensors)]))

        common = common_dtype(pair.leaves, arguments[: ends[0]], pair.narrow)
        leaves = [t.requires_grad_() for t in pair.tensors(arguments[: ends[0]], common)]
        with dual_level(), torch.enable_grad():
            duals = move(leaves, 0)
            try:
                outputs = pair.outputs(duals, pair.call.settings(settings, common), common)
                found, _ = differentiated(duals, outputs, arguments, move)
            except (NotImplementedError, RuntimeError, ValueError) as error:
                raise NotForwardError(first_line(error)) from error
            parts = [None if d is None else tangent_of(d) for d in found]
            return single_or_tuple(numbers_or_zeros(t, x) for t, x in zip(parts, arguments, strict=False))

    return GradientFunction(forward, backward, tangents)


def _like(g: Array, y: torch.Tensor) -> torch.Tensor:
    return tensor_of(np.asarray(g), y.dtype, y.device).requires_grad_()


def numbers_or_zeros(d: torch.Tensor | None, like: Array) -> Array:
    """Return a tensor's numbers, or zeros for none."""
    return np.zeros_like(like) if d is None else numbers(d)


def _gradients(found: Tensors, leaves: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor]) -> Tensors:
    kept = [(y, g) for y, g in zip(found, cotangents, strict=True) if y is not None and y.requires_grad]
    if not kept:
        return [None] * len(leaves)
    try:
        once: Tensors = torch.autograd.grad(
            [y for y, _ in kept], leaves, [g for _, g in kept], create_graph=True, allow_unused=True
        )
    except RuntimeError as error:
        raise NotTwiceError(first_line(error)) from error
    if any(type(node).__name__ in REFUSALS for node in nodes([d.grad_fn for d in once if d is not None])):
        raise NotTwiceError("backward is marked once_differentiable")
    return once
