"""Every gradient is an array of its own: no later call writes into it, and writing into it spoils nothing else."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, map_arrays, same_bits
from gradlab.checks.trial.linearity import FIRST
from gradlab.checks.trial.observed_run import ObservedRun, observed
from gradlab.node import as_tuple
from gradlab.verdict import CheckResult, Verdict


def check(trial: Trial) -> Iterator[CheckResult]:
    """Look for memory that gradients share with arguments, with each other, or with later calls of backward."""
    run = observed(trial)
    if run and is_clear(run):
        yield CheckResult(Verdict.PASS)
        return
    primals, settings, g = trial.primals(), trial.settings(), map_arrays(np.array, trial.cotangent())
    _, residuals = trial.node.forward(*primals, **settings)
    returned = trial.node.backward(residuals, g)
    gradients = trial.well_formed(returned)
    arguments = [*zip(trial.names, primals, strict=True), *settings.items()]
    arguments += [("the cotangent", part) for part in as_tuple(g)]
    shared = _shared_memory(list(zip(trial.names, gradients, strict=True)), arguments)
    if not shared:
        shared = _held_gradients(trial, residuals, gradients)
    if shared:
        yield CheckResult(trial.breach, note="; ".join(shared) + ": return a copy")
    else:
        yield CheckResult(Verdict.PASS)


check_elsewhere = check


def is_clear(run: ObservedRun) -> bool:
    """Return whether in a run no gradient shares memory, changes at the next call, or changes that when it changes.

    The last shows as a combination of cotangents whose gradients do not combine.
    """
    named = list(zip(run.trial.names, run.returned, strict=True))
    arguments = [*run.arguments.items(), *(("the cotangent", g) for g in as_tuple(run.cotangents[FIRST]))]
    return run.kept and not _shared_memory(named, arguments) and run.combines


def _shared_memory(gradients: Sequence[tuple[str, Any]], arguments: Sequence[tuple[str, Any]]) -> list[str]:
    found = [
        f"the gradient of {name} shares memory with {other}"
        for name, gradient in gradients
        for other, argument in arguments
        if isinstance(argument, np.ndarray) and np.shares_memory(gradient, argument)
    ]
    found += [
        f"the gradients of {name} and {other} share memory"
        for (name, a), (other, b) in combinations(gradients, 2)
        if np.shares_memory(a, b)
    ]
    found += [
        f"the gradient of {name} is a view that cannot be written into"
        for name, gradient in gradients
        if not gradient.flags.writeable or (gradient.size > 1 and 0 in _strides(gradient))
    ]
    return list(dict.fromkeys(found))


def _strides(x: Any) -> list[int]:
    return [stride for stride, length in zip(x.strides, x.shape, strict=True) if length > 1]


def _held_gradients(trial: Trial, residuals: Any, gradients: Sequence[Any]) -> list[str]:
    """Return which gradients the backward still holds: a later call changes them, or is changed by changing them."""
    before = [gradient.copy() for gradient in gradients]
    trial.node.backward(residuals, map_arrays(np.array, trial.cotangent("another")))
    found = [
        f"a later call writes into the gradient of {name} that an earlier one returned"
        for name, gradient, old in zip(trial.names, gradients, before, strict=True)
        if not same_bits(gradient, old)
    ]
    expected = [gradient.copy() for gradient in trial.well_formed(_backward(trial, residuals))]
    once_more = trial.well_formed(_backward(trial, residuals))
    if found or not all(map(same_bits, expected, once_more)):
        return found  # a gradient that differs at each call is a matter of the check repeatable
    for gradient in once_more:
        gradient[...] += 1
    after = trial.well_formed(_backward(trial, residuals))
    return [
        f"writing into the gradient of {name} changes what backward gives the next time"
        for name, old, new in zip(trial.names, expected, after, strict=True)
        if not same_bits(old, new)
    ]


def _backward(trial: Trial, residuals: Any) -> Any:
    return trial.node.backward(residuals, map_arrays(np.array, trial.cotangent()))
