"""What torch makes of batches: torch.func.vmap over primals and over cotangents, and is_grads_batched."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.batched import Axes, Batches
from gradlab.adapters.framework.leaves import common_dtype
from gradlab.adapters.torch.pair import TorchPair
from gradlab.adapters.torch.tensors import numbers, tensor_of
from gradlab.node import Array


def batches_of(pair: TorchPair) -> Batches:
    """Return what torch makes of batches of a function."""

    def outputs(
        stacked: Sequence[Array], axes: Axes, cotangents: Sequence[Array], settings: Any
    ) -> tuple[list[Array], list[Array]]:
        common = common_dtype(pair.leaves, stacked, pair.narrow)
        tensors = [t.requires_grad_() for t in pair.call.tensors(stacked, common)]
        held = pair.call.settings(settings, common)
        with torch.enable_grad():
            of = torch.func.vmap(
                lambda *xs: tuple(pair.outputs(xs, held, common)), in_dims=axes, randomness="different"
            )
            found = of(*tensors)
        given = [tensor_of(g, y.dtype, y.device) for g, y in zip(cotangents, found, strict=True)]
        kept = [(y, g) for y, g in zip(found, given, strict=True) if y.requires_grad]
        slopes = torch.autograd.grad([y for y, _ in kept], tensors, [g for _, g in kept], allow_unused=True)
        return list(map(numbers, found)), _filled(slopes, tensors)

    def pulled(
        primals: Sequence[Array], cotangents: Sequence[Array], settings: Any, legacy: bool
    ) -> list[Array]:
        residuals = pair.record(primals, settings)
        leaves = residuals.leaves
        given = [tensor_of(g, y.dtype, y.device) for g, y in zip(cotangents, residuals.outputs, strict=True)]

        def of_one(*g: torch.Tensor) -> Any:
            found = torch.autograd.grad(residuals.outputs, leaves, g, retain_graph=True, allow_unused=True)
            return tuple(torch.zeros_like(x) if d is None else d for d, x in zip(found, leaves, strict=True))

        if not legacy:
            return list(map(numbers, torch.func.vmap(of_one)(*given)))
        found = torch.autograd.grad(
            residuals.outputs, leaves, given, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
        batch = len(cotangents[0])
        return [
            np.zeros((batch, *x.shape)) if d is None else numbers(d)
            for d, x in zip(found, leaves, strict=True)
        ]

    return Batches(
        outputs,
        {
            "autograd.grad(is_grads_batched=True)": lambda xs, g, settings: pulled(xs, g, settings, True),
            "vmap over autograd.grad": lambda xs, g, settings: pulled(xs, g, settings, False),
        },
    )


def _filled(gradients: Sequence[torch.Tensor | None], leaves: Sequence[torch.Tensor]) -> list[Array]:
    return [
        numbers(torch.zeros_like(leaf) if d is None else d) for d, leaf in zip(gradients, leaves, strict=True)
    ]
