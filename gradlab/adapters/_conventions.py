"""Which function a gradient belongs to: not always the one that forward returns.

A loss may return the mean of what its gradient is the sum of, or take probabilities and give the gradient of the
logits behind them; a layer may divide its parameters' gradients by the batch size. Each such convention is tried
before a gradient is called wrong, and said.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters._convention import Backward, Convention, Epsilon, Forward
from gradlab.adapters._losses import WITHOUT, conventions_of_losses
from gradlab.checks import CHECKS
from gradlab.checks._lines import agrees_along_lines
from gradlab.checks._trial import Trial, quiet
from gradlab.compare import Verdict
from gradlab.node import Array


def find_convention(
    trial: Trial, *, loss: bool, parameters: Sequence[int], epsilon: Epsilon
) -> Convention | None:
    """Return the first convention under which every gradient is right; None if there is none.

    An epsilon is also left out where that makes fewer gradients wrong: beside a mistake it would show as another.

    Parameters
    ----------
    trial : Trial
        A trial that is wrong as it stands.
    loss : bool
        Whether it is a loss.
    parameters : sequence of int
        Which of its primals are parameters.
    epsilon : callable
        ``epsilon()`` is a context in which forward runs without its epsilons.
    """
    candidates = list(conventions_of_losses(trial) if loss else _of_layers(trial, parameters))
    found = next((c for c in candidates if is_right(c.trial(trial, epsilon))), None)
    if found is None and loss and len(trial.names) > 1:
        plain = next(c for c in candidates if c.asked == WITHOUT)
        if _wrong(plain.trial(trial, epsilon)) < _wrong(trial):
            return plain
    return found


def _wrong(trial: Trial) -> int:
    """Return how many gradients are wrong at a trial."""
    with quiet():
        try:
            results = [r for _, r in CHECKS["matches_numerical"].run([trial])]
        except Exception:
            return len(trial.names)
    return sum(r.verdict is Verdict.WRONG for r in results)


def asked_convention(trial: Trial, loss: Any, epsilon: Epsilon) -> Convention | None:
    """Return the convention that ``loss=`` names: the first of its kind that fits, or the first of all."""
    if callable(loss):
        return Convention("of what loss= gives", "", False, partial(_composed, loss), trial.primals())
    kind = [c for c in conventions_of_losses(trial) if c.asked == loss]
    return next((c for c in kind if is_right(c.trial(trial, epsilon))), kind[0] if kind else None)


LOSSES = ("sum", "mean", "logits", WITHOUT)


def _composed(
    functional: Callable[[Any], Any], forward: Forward, backward: Backward, epsilon: Epsilon
) -> tuple[Forward, Backward]:
    """Return forward followed by a function of its output; what backward returns belongs to the two together."""

    def both(*primals: Array, **settings: Any) -> tuple[Any, Any]:
        output, residuals = forward(*primals, **settings)
        return np.asarray(functional(output)), (np.ones_like(output), residuals)

    def pulled(residuals: Any, g: Any) -> tuple[Any, ...]:
        ones, inner = residuals
        return tuple(d if d is None else d * g for d in backward(inner, ones))

    return both, pulled


def is_right(trial: Trial) -> bool:
    """Return whether every gradient is right at a trial."""
    with quiet():
        try:
            if not trial.accepted or not agrees_along_lines(trial, trial.gradients(trial.cotangent())):
                return False
            return all(
                r.verdict in (Verdict.PASS, Verdict.KINK) for _, r in CHECKS["matches_numerical"].run([trial])
            )
        except Exception:
            return False


def _of_layers(trial: Trial, parameters: Sequence[int]) -> Iterator[Convention]:
    """Yield the conventions of layers: a mean over the batch inside, in the gradient of every parameter."""
    first = trial.sample.primals[0]
    if not parameters or 0 in parameters:
        return
    for axis in range(first.ndim):
        if first.shape[axis] > 1:
            name = f"axis {axis} of {trial.names[0]}, the batch"
            sentence = (
                f"the parameters' gradients are divided by the length of {name}: a mean inside the layer"
            )
            yield Convention(sentence, "", True, partial(_averaged, parameters, axis), trial.primals())


def _averaged(
    parameters: Sequence[int], axis: int, forward: Forward, backward: Backward, epsilon: Epsilon
) -> tuple[Forward, Backward]:
    """Return a layer with the mean that it takes over its batch undone."""

    def keeping(*primals: Array, **settings: Any) -> tuple[Any, Any]:
        output, residuals = forward(*primals, **settings)
        return output, (primals[0].shape[axis], residuals)

    def multiplied(residuals: Any, g: Any) -> tuple[Any, ...]:
        n, inner = residuals
        return tuple(
            d * n if i in parameters and d is not None else d for i, d in enumerate(backward(inner, g))
        )

    return keeping, multiplied
