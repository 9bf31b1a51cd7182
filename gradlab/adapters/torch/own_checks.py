"""The checks for torch alone: saved tensors, outputs that nobody used, second derivatives."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.forward_mode import NAME as FORWARD_MODE
from gradlab.adapters.framework.forward_mode import forward_mode
from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.second_derivative import NAME, NotTwiceError, second_derivative
from gradlab.adapters.torch.forward_mode import has_own_jvp, tangents_of
from gradlab.adapters.torch.pair import TorchPair, TorchResiduals
from gradlab.adapters.torch.returned_gradients import nodes
from gradlab.adapters.torch.tensors import numbers, tensor_of
from gradlab.checks import Check, Trial
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict

# The nodes that raise when a second backward comes to them, which no gradient of a single tensor does.
REFUSALS = ("Error", "NotImplemented")


def torch_checks(pair: TorchPair) -> dict[str, Check]:
    """Return the checks for torch alone, by name."""
    return {
        "saves_for_backward": _each(lambda trial: _saves_for_backward(pair, trial)),
        "unused_outputs": _each(lambda trial: _unused_outputs(pair, trial)),
        NAME: second_derivative(lambda count: _gradient(pair, count), pair.narrow),
        FORWARD_MODE: forward_mode(partial(tangents_of, pair)),
    }


def unasked(pair: TorchPair) -> list[str]:
    """Return the checks that nobody needs who has not written what they look at, unless they are asked for."""
    return [] if has_own_jvp(pair) else [FORWARD_MODE]


def _each(check: Callable[[Trial], Iterator[CheckResult]]) -> Check:
    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        return ((trial, result) for trial in trials for result in check(trial))

    return Check(run, needs_all_samples=False)


def _saves_for_backward(pair: TorchPair, trial: Trial) -> Iterator[CheckResult]:
    """Write into inputs and outputs after forward: backward must raise, or not care.

    Torch counts what is written into a tensor that was saved by ``ctx.save_for_backward``, and raises; one that is
    kept as an attribute is another tensor then, and nobody notices.
    """
    expected = trial.own_gradients
    residuals = pair.record(trial.primals(), trial.settings())
    outputs = [
        f"output {i}" if len(residuals.outputs) > 1 else "the output" for i in range(len(residuals.outputs))
    ]
    for which, what in enumerate([*trial.names, *outputs]):
        residuals = pair.record(trial.primals(), trial.settings())
        changed = (*residuals.leaves, *residuals.outputs)[which]
        found = _gradients_after(pair, trial, residuals, changed)
        results = [
            compare_two_gradients(trial, i, a, b)
            for i, (a, b) in enumerate(zip(found, expected, strict=False))
        ]
        if any(result.verdict is Verdict.WRONG for result in results):
            note = f"{what} was written into after forward, and backward used the new numbers in silence"
            yield CheckResult(trial.breach, note=f"{note}: keep it by ctx.save_for_backward")
            return
    yield CheckResult(Verdict.PASS)


def _gradients_after(
    pair: TorchPair, trial: Trial, residuals: TorchResiduals, changed: torch.Tensor
) -> tuple[Array, ...]:
    """Return the gradients after a tensor was written into; nothing where torch says so."""
    try:
        with torch.no_grad():
            changed.mul_(1.25).add_(0.5)
        return trial.well_formed(pair.backward(residuals, trial.cotangent()))
    except Exception:
        return ()


def _unused_outputs(pair: TorchPair, trial: Trial) -> Iterator[CheckResult]:
    """Leave out the cotangents of all outputs but one: they count as zero."""
    cotangents = as_tuple(trial.cotangent())
    if len(cotangents) < 2:
        return
    for used in range(len(cotangents)):
        parts = tuple(g if i == used else np.zeros_like(g) for i, g in enumerate(cotangents))
        expected = trial.gradients(parts)
        residuals = pair.record(trial.primals(), trial.settings())
        y = residuals.outputs[used]
        given: list[torch.Tensor | None] = [None] * len(cotangents)
        given[used] = tensor_of(cotangents[used], y.dtype, y.device)
        where = f"only output {used} is used"
        try:
            found = [_numbers(d, x) for d, x in zip(pair.pulled(residuals, given), expected, strict=True)]
        except Exception as error:
            cure = "allow for None among the cotangents, or leave them to be materialized as zeros"
            yield CheckResult(Verdict.WRONG, note=f"raised {first_line(error)} where {where}: {cure}")
            return
        results = [
            compare_two_gradients(trial, i, a, b)
            for i, (a, b) in enumerate(zip(found, expected, strict=True))
        ]
        wrong = [result for result in results if result.verdict is Verdict.WRONG]
        if wrong:
            note = f"another gradient than for a cotangent of zeros where {where}: allow for None among the cotangents"
            yield CheckResult(Verdict.WRONG, wrong[0].primal, note=note)
            return
    yield CheckResult(Verdict.PASS)


def _numbers(d: torch.Tensor | None, like: Array) -> Array:
    return np.zeros_like(like) if d is None else numbers(d)


def _gradient(pair: TorchPair, count: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the gradient as a function of primals and cotangents, and torch's gradient of that."""

    def forward(*arguments: Array, **settings: Any) -> tuple[Any, Any]:
        residuals = pair.record(arguments[:count], settings)
        cotangents = [
            tensor_of(np.asarray(g), y.dtype, y.device).requires_grad_()
            for g, y in zip(arguments[count:], residuals.outputs, strict=True)
        ]
        found = _with_graph(residuals, cotangents)
        shown = tuple(_numbers(d, x) for d, x in zip(found, arguments[:count], strict=True))
        return shown if len(shown) > 1 else shown[0], (found, (*residuals.leaves, *cotangents))

    def backward(residuals: Any, v: Any) -> tuple[Array, ...]:
        found, leaves = residuals
        kept = [
            (d, part) for d, part in zip(found, as_tuple(v), strict=True) if d is not None and d.requires_grad
        ]
        if not kept:
            return tuple(np.zeros_like(numbers(leaf)) for leaf in leaves)
        given = [tensor_of(np.asarray(part), d.dtype, d.device) for d, part in kept]
        try:
            second = torch.autograd.grad(
                [d for d, _ in kept], leaves, given, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            raise NotTwiceError(f"no second derivative, and it says so: {first_line(error)}") from error
        return tuple(_numbers(d, numbers(leaf)) for d, leaf in zip(second, leaves, strict=True))

    return forward, backward


def _with_graph(
    residuals: TorchResiduals, cotangents: Sequence[torch.Tensor]
) -> Sequence[torch.Tensor | None]:
    kept = [(y, g) for y, g in zip(residuals.outputs, cotangents, strict=True) if y.requires_grad]
    if not kept:
        return [None] * len(residuals.leaves)
    try:
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            [y for y, _ in kept], residuals.leaves, [g for _, g in kept], create_graph=True, allow_unused=True
        )
    except RuntimeError as error:
        raise NotTwiceError(f"no second derivative, and it says so: {first_line(error)}") from error
    if any(type(node).__name__ in REFUSALS for node in nodes([d.grad_fn for d in found if d is not None])):
        raise NotTwiceError("no second derivative, and it says so: backward is marked once_differentiable")
    return found
