"""Which function a gradient belongs to: not always the one that forward returns.

A loss may return the mean of what its gradient is the sum of, or take probabilities and give the gradient of the
logits behind them; a layer may divide its parameters' gradients by the batch size. Each such convention is tried
before a gradient is called wrong, and said.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.convention import NUMERICAL, Backward, Convention, Epsilon, Forward
from gradlab.adapters.foreign_pair.loss_conventions import WITHOUT, conventions_of_losses
from gradlab.checks import CHECKS
from gradlab.checks.exploration.line_judgement import judge_primal_along_lines, may_be_a_factor_off
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.large_primals import large_mistakes
from gradlab.checks.trial.line_slopes import agrees_along_lines, is_right_along_lines
from gradlab.diagnosis import diagnose
from gradlab.diagnosis.point_evidence import evidence_at
from gradlab.node import Array
from gradlab.verdict import Verdict

# What `loss=` may ask for.
LOSSES = ("sum", "mean", "logits", WITHOUT)
FACTOR = "constant-factor"
# What a gradient is called that is nearly right, as by an epsilon.
NEARLY = frozenset({"rounded-constants", "epsilon-mismatch", "other-approximation"})
# A convention is taken, beside a mistake, that leaves no more than this share of the mismatch, or makes this share of
# the elements right.
NEARER, MANY = 0.01, 0.25


def find_convention(
    trial: Trial, *, loss: bool, parameters: Sequence[int], epsilon: Epsilon
) -> Convention | None:
    """Return the convention of a wrong gradient: the first under which every gradient is right; None if there is none.

    Of a loss beside which there is a mistake, it is the one that makes fewer gradients wrong, or leaves hardly
    anything of the mismatch, or under which the mistake has a name: otherwise the convention would hide it.

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
    found = fitting_convention(trial, loss=loss, parameters=parameters, epsilon=epsilon)
    if found is not None or not loss:
        return found
    # what names are tried for may take minutes, and a mistake is one under whatever convention
    beside = partial(_beside_a_mistake, trial, list(conventions_of_losses(trial)), epsilon)
    return within(trial.budget, beside, None)


def fitting_convention(
    trial: Trial, *, loss: bool, parameters: Sequence[int], epsilon: Epsilon, surely: bool = False
) -> Convention | None:
    """Return the first convention under which every gradient is right; None if there is none.

    With `surely`, only one under which directions confirm every gradient.
    """
    candidates = conventions_of_losses(trial) if loss else _of_layers(trial, parameters)
    fits = _is_surely_right if surely else is_right
    return next((c for c in candidates if fits(c.trial(trial, epsilon))), None)


def convention_beside_factors(trial: Trial, epsilon: Epsilon) -> Convention | None:
    """Return the first convention of a loss under which directions confirm all gradients, but for a factor in some."""
    for convention in conventions_of_losses(trial):
        there = convention.trial(trial, epsilon)
        told = there.confirmed if _may_fit_beside_factors(there) else (None,)
        known = [one for one in told if one and not one.put_right]
        if len(known) == len(told) and any(one.is_as_claimed for one in known):
            return convention
    return None


def _may_fit_beside_factors(trial: Trial) -> bool:
    """Return whether a few lines leave it open that all gradients are right, but for a factor in some."""
    if not trial.accepted or not all(may_be_a_factor_off(trial, name) for name in trial.names):
        return False
    wrong = (judge_primal_along_lines(trial, name).verdict is Verdict.WRONG for name in trial.names)
    return not all(wrong)


def _beside_a_mistake(trial: Trial, candidates: Sequence[Convention], epsilon: Epsilon) -> Convention | None:
    names = _names(trial)
    if names - {FACTOR}:
        return None
    # to rank them two steps an element are enough
    trial = replace(trial, method="central")
    there = [c.trial(trial, epsilon) for c in candidates]
    wrong, off = _mismatch(trial)
    if not np.isfinite(off):
        return None  # backward raises, or gives no numbers: no convention explains that
    found = [_mismatch(t) for t in there]
    plain = next(i for i, c in enumerate(candidates) if c.asked == WITHOUT)
    if found[plain][0] < wrong:
        return candidates[plain]
    nearest = min(range(len(found)), key=lambda i: found[i][1])
    if found[nearest][1] <= NEARER * off:
        return candidates[nearest]
    if trial.is_large:
        return None  # of many elements the shares and names below would ask for each
    shares = [_share_right(t) for t in there]
    best = int(np.argmax(shares))
    if shares[best] >= MANY > _share_right(trial):
        return candidates[best]
    if names:
        return None
    simple = [c for c in candidates if not (c.scales and c.unscaled)]
    # a factor would be told of any convention that is off by one
    return next((c for c in simple if _names(c.trial(trial, epsilon)) - {FACTOR}), None)


def _mismatch(trial: Trial) -> tuple[int, float]:
    """Return how many gradients are wrong at a trial, and the largest relative error."""
    with quiet():
        try:
            results = [r for _, r in CHECKS[NUMERICAL].run([trial])]
        except Exception:
            return len(trial.names), np.inf
    errors = [np.inf if r.relative_error is None else r.relative_error for r in results]
    return sum(r.verdict is Verdict.WRONG for r in results), max(errors, default=0.0)


def _share_right(trial: Trial) -> float:
    """Return the share of the elements, of all gradients, that are right at a trial."""
    with quiet():
        there = evidence_at(trial) if trial.accepted else None
        if there is None:
            return 0.0
        wrong = np.concatenate([there.wrong(i).ravel() for i in range(len(there.gradients))])
    return float(1 - wrong.mean()) if wrong.size else 1.0


def _names(trial: Trial) -> set[str]:
    """Return the names that the diagnosis has for what is wrong at a trial."""
    if not trial.accepted:
        return set()
    if trial.is_large:
        return {mistake.name for mistake in large_mistakes(trial)}
    return {finding.name for finding in diagnose([trial], {NUMERICAL})} - NEARLY


def asked_convention(trial: Trial, loss: Any, epsilon: Epsilon) -> Convention | None:
    """Return the convention that ``loss=`` names: the first of its kind that fits, or the first of all."""
    if callable(loss):
        return Convention("of what loss= gives", "", False, partial(_composed, loss), trial.primals())
    kind = [c for c in conventions_of_losses(trial) if c.asked == loss]
    return next((c for c in kind if is_right(c.trial(trial, epsilon))), kind[0] if kind else None)


def _composed(
    functional: Callable[[Any], Any], forward: Forward, backward: Backward, epsilon: Epsilon
) -> tuple[Forward, Backward]:
    """Return forward followed by a function of its output, and the backward that belongs to the two together."""

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
            return all(r.verdict in (Verdict.PASS, Verdict.KINK) for _, r in CHECKS[NUMERICAL].run([trial]))
        except Exception:
            return False


def _is_surely_right(trial: Trial) -> bool:
    """Return whether directions confirm every gradient at a trial."""
    return is_right_along_lines(trial) and trial.is_confirmed


def is_wrong(trial: Trial) -> bool:
    """Return whether a gradient is wrong at a trial, or backward raises there."""
    return _mismatch(trial)[0] > 0


def _of_layers(trial: Trial, parameters: Sequence[int]) -> Iterator[Convention]:
    """Yield the conventions of layers: a mean over the batch inside, in the gradient of every parameter."""
    first = trial.sample.primals[0]
    if not parameters or 0 in parameters:
        return
    # the batch comes first, or second, behind the features or the steps of time
    for axis in range(min(first.ndim, 2)):
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
