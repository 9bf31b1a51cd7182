"""Higher derivatives: a gradient as a function of its own, and the framework's gradient of that, and so on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradlab.adapters.framework.forward_mode import NotForwardError
from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.pair_report import ValueTrial, has_right_gradients
from gradlab.checks import Check, Trial, quiet
from gradlab.checks.exploration.derived_inputs import smaller
from gradlab.checks.trial import map_arrays
from gradlab.checks.trial.large_primals import directional_outcome
from gradlab.checks.trial.line_slopes import agrees_along_lines
from gradlab.node import Array, Node, Sample, as_tuple, named_rng
from gradlab.running.tangents import judged_tangents
from gradlab.verdict import CheckResult, Verdict
from gradlab.workers.strange_objects import text_of

ORDINALS = ("second", "third", "fourth", "fifth")


class GradientFunction(NamedTuple):
    """A function whose values are the gradients of another, as a framework computes them.

    Attributes
    ----------
    forward : callable
        ``forward(*arguments, **settings) -> (gradients, residuals)``. The arguments are the primals and, for each time
        that it was differentiated, the cotangents of what was differentiated then.
    backward : callable
        ``backward(residuals, v)``: its own gradients, one for each argument.
    tangents : callable
        ``tangents(arguments, tangents, settings)``: forward mode over it.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    tangents: Callable[..., Any]


# ``gradient(counts)``: differentiated once for each count of cotangents; the first count is that of the primals.
Gradient = Callable[[Sequence[int]], GradientFunction]


class NotTwiceError(Exception):
    """The function does not claim to have a second derivative."""


def higher_derivatives(gradient: Gradient, narrow: bool, order: int | None) -> dict[str, Check]:
    """Return the checks of higher derivatives: right, or refused aloud.

    Parameters
    ----------
    gradient : callable
        What it returns raises `NotTwiceError` where the function does not claim to be differentiable so often.
    narrow : bool
        Whether the function takes no other precision than its own, or computes in half precision on the way.
    order : int, optional
        Up to which order; what is wrong is an error then. By default the second, and what is wrong is a breach.
    """
    return {
        f"{ORDINALS[k - 2]}_derivative": _derivative(gradient, narrow, k, order is not None)
        for k in range(2, (order or 2) + 1)
    }


def _derivative(gradient: Gradient, narrow: bool, order: int, asked: bool) -> Check:
    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            small = smaller(trial) or trial
            doubles = small if not narrow else None
            if any(x.dtype != np.float64 for x in trial.sample.primals):
                primals = [x.astype(np.float64) for x in small.primals()]
                doubles = None if narrow else small.at("second derivative", primals)
            if doubles is not None and has_right_gradients(doubles):
                results = _judged(doubles, gradient, order, asked)
                yield from ((trial, result) for result in results)

    return Check(run, needs_all_samples=False)


def _judged(trial: Trial, gradient: Gradient, order: int, asked: bool) -> Iterator[CheckResult]:
    """Compare a derivative along random directions, and yield nothing where these cannot decide."""
    what = f"{ORDINALS[order - 2]} derivative"
    try:
        there, function = _of_the_gradient(trial, gradient, order)
        with quiet():
            # a few evaluations tell most of what is right; what they do not tell, a ladder along each direction does
            if there.accepted and agrees_along_lines(there, there.own_gradients):
                results = [CheckResult(Verdict.PASS)]
            else:
                results = directional_outcome(there).results
    except NotTwiceError as error:
        yield CheckResult(Verdict.PASS, note=f"no {what}, and it says so: {text_of(error)}")
        return
    except Exception as error:
        # nobody who asked for none has been promised one
        if asked:
            raise
        yield CheckResult(Verdict.PASS, note=f"no {what}: it raises {first_line(error)}")
        return
    wrong = [result for result in results if result.verdict is Verdict.WRONG]
    cure = "compute in backward what can be differentiated, from saved inputs and outputs, or refuse it"
    verdict = Verdict.WRONG if asked else trial.breach
    for result in wrong:
        note = f"what comes before is right and the {what} is wrong, in silence: {cure} (once_differentiable)"
        yield replace(result, verdict=verdict, note="; ".join(filter(None, [note, result.note])))
    if not wrong and all(result.verdict is Verdict.PASS for result in results):
        yield CheckResult(Verdict.PASS)
        if asked:
            yield from _forward_over_reverse(there, function, verdict, what)


def _forward_over_reverse(
    there: Trial, function: GradientFunction, verdict: Verdict, what: str
) -> Iterator[CheckResult]:
    """Compare what forward mode gives over the gradients; nothing where there is no forward mode."""
    settings = there.settings()
    try:
        for result in judged_tangents(
            there, lambda xs, ts: function.tangents(xs, ts, settings), there.own_gradients
        ):
            if result.verdict is Verdict.WRONG:
                note = f"the {what} by forward mode over reverse mode is wrong, and by reverse over reverse right"
                yield replace(result, verdict=verdict, note="; ".join(filter(None, [note, result.note])))
    except (NotForwardError, NotTwiceError):
        return


def _of_the_gradient(trial: Trial, gradient: Gradient, order: int) -> tuple[ValueTrial, GradientFunction]:
    """Return the trial of a gradient as a function of the primals and of all cotangents before it."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "higher derivatives")
    arguments, names, counts = list(trial.primals()), list(trial.names), [len(trial.names)]
    cotangents: Sequence[Array] = as_tuple(trial.cotangent())
    for depth in range(1, order):
        mark = "g" * depth
        names += [f"{mark}{i}" if len(cotangents) > 1 else mark for i in range(len(cotangents))]
        arguments += cotangents
        counts.append(len(cotangents))
        function = gradient(counts)
        if depth < order - 1:
            found = as_tuple(function.forward(*arguments, **trial.settings())[0])
            cotangents = map_arrays(lambda y: rng.standard_normal(y.shape), found)

    def of_all(*primals: Any, **settings: Any) -> tuple[Any, Any]:
        returned: tuple[Any, Any] = function.forward(*primals, **settings)
        return returned

    of_all.primal_names = names  # type: ignore[attr-defined] # where a trial looks for them
    sample = Sample(trial.sample.name, tuple(arguments), trial.sample.settings)
    node = Node(trial.node.name, "own", of_all, function.backward, lambda rng: iter([sample]))
    there = ValueTrial(
        node,
        sample,
        trial.seed,
        trial.rtol,
        trial.atol,
        method=trial.method,
        registered=False,
        full_below=0,
        value=partial(_value_of, function),
    )
    return there, function


def _value_of(function: GradientFunction, *arguments: Array, **settings: Any) -> Any:
    return function.forward(*arguments, **settings)[0]
