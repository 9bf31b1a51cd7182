"""Transforms of torch: checkpointing, torch.func, and the compiler."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from gradlab.adapters.framework.leaves import common_dtype
from gradlab.adapters.framework.transformed import Look, Transform, same_under
from gradlab.adapters.torch.execution_mode import torch_pair
from gradlab.adapters.torch.pair import TorchPair
from gradlab.adapters.torch.tensors import numbers, tensor_of
from gradlab.checks import CHECKS, Trial
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict


def transforms_of(pair: TorchPair) -> Mapping[str, Look]:
    """Return the transforms of a function, by name: those under which it is the same, and a module's other mode."""

    def under(change: Callable[..., Any]) -> Transform:
        def transform(
            primals: Sequence[Array], cotangents: Sequence[Array], settings: Any
        ) -> tuple[list[Array], list[Array]]:
            common = common_dtype(pair.leaves, primals, pair.narrow)
            held = pair.call.settings(settings, common)
            leaves = [t.requires_grad_() for t in pair.tensors(primals, common)]

            def function(*xs: torch.Tensor) -> Any:
                return tuple(pair.outputs(xs, held, common))

            with torch.enable_grad():
                outputs, pull = change(function, leaves)
                given = tuple(
                    tensor_of(g, y.dtype, y.device) for g, y in zip(cotangents, outputs, strict=True)
                )
                found = pull(given)
            zeros = [torch.zeros_like(x) if d is None else d for d, x in zip(found, leaves, strict=True)]
            return list(map(numbers, outputs)), list(map(numbers, zeros))

        return transform

    same = {"checkpoint": _checkpointed, "torch.func.vjp": _functional, "compile": _compiled}
    looks: dict[str, Look] = {name: same_under(name, under(change)) for name, change in same.items()}
    module: Any = pair.call.function
    if isinstance(module, torch.nn.Module):
        looks["eval" if module.training else "train"] = partial(_in_the_other_mode, pair)
    return looks


def _in_the_other_mode(pair: TorchPair, trial: Trial) -> CheckResult:
    """Look at a module's gradients in eval mode where it was given in train mode, or the other way round."""
    module: Any = deepcopy(pair.call.function)
    other = torch_pair(replace(pair.call, function=module.train(not module.training)))
    node = replace(trial.node, forward=other.forward, backward=other.backward, reference=other.value)
    there: Any = replace(trial, node=node, value=other.value)  # type: ignore[call-arg]
    results = [result for _, result in CHECKS["matches_numerical"].run([there])]
    wrong = next((result for result in results if result.verdict is Verdict.WRONG), None)
    mode = "train" if module.training else "eval"
    note = f"in {mode} mode the gradient is wrong, where it is right in the other one"
    return replace(wrong, note=note) if wrong else CheckResult(Verdict.PASS)


def _pull(outputs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]) -> Callable[..., Any]:
    def pull(given: Sequence[torch.Tensor]) -> Any:
        kept = [(y, g) for y, g in zip(outputs, given, strict=True) if y.requires_grad]
        return torch.autograd.grad(
            [y for y, _ in kept], leaves, [g for _, g in kept], allow_unused=True, retain_graph=True
        )

    return pull


def _checkpointed(function: Callable[..., Any], leaves: Sequence[torch.Tensor]) -> tuple[Any, Any]:
    outputs = checkpoint(function, *leaves, use_reentrant=False)
    return outputs, _pull(outputs, leaves)


def _functional(function: Callable[..., Any], leaves: Sequence[torch.Tensor]) -> tuple[Any, Any]:
    outputs, pull = torch.func.vjp(function, *(x.detach() for x in leaves))
    return outputs, lambda given: pull(tuple(given))


def _compiled(function: Callable[..., Any], leaves: Sequence[torch.Tensor]) -> tuple[Any, Any]:
    # what was compiled before counts against a limit, beyond which nothing is
    torch.compiler.reset()
    # traced and run by torch itself: a compiler of C++ need not be there
    outputs = torch.compile(function, backend="aot_eager")(*leaves)
    return outputs, _pull(outputs, leaves)
