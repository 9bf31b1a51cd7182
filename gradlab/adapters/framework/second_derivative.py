"""The second derivative: the gradient as a function of its own, and the framework's gradient of that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.adapters.framework.pair_report import ValueTrial
from gradlab.checks import Check, Trial, quiet
from gradlab.checks.trial.large_primals import directional_outcome
from gradlab.checks.trial.line_slopes import agrees_along_lines, are_right
from gradlab.node import Node, Sample, as_tuple
from gradlab.verdict import CheckResult, Verdict

NAME = "second_derivative"
# ``forward(*primals, *cotangents) -> (gradients, residuals)`` and its backward, at a trial.
Gradient = tuple[Callable[..., Any], Callable[..., Any]]


class NotTwiceError(Exception):
    """The function does not claim to have a second derivative."""


def second_derivative(gradient: Callable[[int], Gradient], narrow: bool) -> Check:
    """Return the check of second derivatives: right, or refused aloud.

    Parameters
    ----------
    gradient : callable
        ``gradient(count)`` returns forward and backward of the gradient for `count` primals; either raises
        `NotTwiceError` where the function does not claim to be differentiable twice.
    narrow : bool
        Whether the function takes no other precision than its own.
    """

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            doubles = trial if not narrow else None
            if any(x.dtype != np.float64 for x in trial.sample.primals):
                primals = [x.astype(np.float64) for x in trial.primals()]
                doubles = None if narrow else trial.at("second derivative", primals)
            if doubles is not None and _has_right_gradients(doubles):
                yield from ((trial, result) for result in _judged(doubles, gradient))

    return Check(run, needs_all_samples=False)


def _has_right_gradients(trial: Trial) -> bool:
    with quiet():
        try:
            # once more: one that adds up over calls is right the first time
            return are_right(trial, trial.gradients(trial.cotangent()))
        except Exception:
            return False


def _judged(trial: Trial, gradient: Callable[[int], Gradient]) -> Iterator[CheckResult]:
    """Compare the second derivative along random directions, and yield nothing where these cannot decide."""
    there = _of_the_gradient(trial, gradient)
    try:
        with quiet():
            # a few evaluations tell most of what is right; what they do not tell, a ladder along each direction does
            if there.accepted and agrees_along_lines(there, there.own_gradients):
                yield CheckResult(Verdict.PASS)
                return
            results = directional_outcome(there).results
    except NotTwiceError as error:
        yield CheckResult(Verdict.PASS, note=str(error))
        return
    wrong = [result for result in results if result.verdict is Verdict.WRONG]
    cure = "compute in backward what can be differentiated, from saved inputs and outputs, or refuse it"
    for result in wrong:
        note = f"the gradient is right and its derivative is wrong, in silence: {cure} (once_differentiable)"
        yield replace(result, verdict=trial.breach, note="; ".join(filter(None, [note, result.note])))
    if not wrong and all(result.verdict is Verdict.PASS for result in results):
        yield CheckResult(Verdict.PASS)


def _of_the_gradient(trial: Trial, gradient: Callable[[int], Gradient]) -> ValueTrial:
    count = len(trial.sample.primals)
    forward, backward = gradient(count)
    cotangents = as_tuple(trial.cotangent())

    def of_both(*primals: Any, **settings: Any) -> tuple[Any, Any]:
        returned: tuple[Any, Any] = forward(*primals, **settings)
        return returned

    names = [f"g{i}" if len(cotangents) > 1 else "g" for i in range(len(cotangents))]
    of_both.primal_names = [*trial.names, *names]  # type: ignore[attr-defined] # where a trial looks for them
    sample = Sample(trial.sample.name, (*trial.primals(), *cotangents), trial.sample.settings)
    node = Node(trial.node.name, "own", of_both, backward, lambda rng: iter([sample]))
    return ValueTrial(
        node,
        sample,
        trial.seed,
        method=trial.method,
        registered=False,
        full_below=0,
        value=lambda *primals, **settings: forward(*primals, **settings)[0],
    )
