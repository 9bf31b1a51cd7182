"""The checks for torch alone: saved tensors, outputs that nobody used, second derivatives."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from gradlab.adapters.framework.batched import NAME as BATCHED
from gradlab.adapters.framework.batched import batched
from gradlab.adapters.framework.forward_mode import NAME as FORWARD_MODE
from gradlab.adapters.framework.forward_mode import forward_mode
from gradlab.adapters.framework.higher_derivatives import higher_derivatives
from gradlab.adapters.framework.transformed import NAME as TRANSFORMS
from gradlab.adapters.framework.transformed import chosen_transforms, transformed
from gradlab.adapters.framework.unused_outputs import NAME as UNUSED
from gradlab.adapters.framework.unused_outputs import unused_outputs
from gradlab.adapters.torch.batches import batches_of
from gradlab.adapters.torch.forward_mode import has_own_jvp, tangents_of
from gradlab.adapters.torch.gradient_function import gradient_function, numbers_or_zeros
from gradlab.adapters.torch.pair import TorchPair, TorchResiduals
from gradlab.adapters.torch.tensors import tensor_of
from gradlab.adapters.torch.transforms import transforms_of
from gradlab.checks import Check, Trial
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict


def torch_checks(pair: TorchPair, order: int | None, transforms: Any) -> dict[str, Check]:
    """Return the checks for torch alone, by name."""
    asked = chosen_transforms(transforms, transforms_of(pair))
    return {
        **({TRANSFORMS: transformed(asked)} if asked else {}),
        "saves_for_backward": _each(lambda trial: _saves_for_backward(pair, trial)),
        UNUSED: unused_outputs(partial(_gradients_of_one, pair)),
        FORWARD_MODE: forward_mode(partial(tangents_of, pair)),
        BATCHED: batched(batches_of(pair)),
        **higher_derivatives(partial(gradient_function, pair), pair.narrow or bool(pair.output_eps), order),
    }


def unasked(pair: TorchPair) -> list[str]:
    """Return the checks that nobody needs who has not written what they look at, unless they are asked for."""
    return [
        *([] if has_own_jvp(pair) else [FORWARD_MODE]),
        *([] if pair.functions else [BATCHED]),
    ]


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


def _gradients_of_one(pair: TorchPair, trial: Trial, used: int, g: Array) -> list[Array]:
    """Return the gradients where no cotangent comes for any output but one."""
    residuals = pair.record(trial.primals(), trial.settings())
    y = residuals.outputs[used]
    given: list[torch.Tensor | None] = [None] * len(residuals.outputs)
    given[used] = tensor_of(g, y.dtype, y.device)
    pairs = zip(pair.pulled(residuals, given), trial.primals(), strict=True)
    return [numbers_or_zeros(d, x) for d, x in pairs]
