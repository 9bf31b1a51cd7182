"""The functions that a loss's gradient may belong to: another functional, other variables, no epsilon."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.convention import Backward, Behind, Convention, Epsilon, Factor, Forward
from gradlab.checks.trial import Trial
from gradlab.node import Array

WITHOUT = "without epsilon"
# How near to 1 probabilities must add up.
SUM_TO_ONE = 1e-6


def conventions_of_losses(trial: Trial) -> Iterator[Convention]:
    """Yield the conventions of losses, the plainest first."""
    epsilons = (("", False), ("of forward without its epsilon", True))
    for (variable, (behind, values)), (eps, without), (scale, factor) in product(
        _variables(trial), epsilons, _factors(trial)
    ):
        said = [s for s in (scale, variable, eps) if s]
        if said:
            asked = "logits" if variable else scale.split()[2] if scale else WITHOUT
            rest = None
            if without and scale and not variable:
                rest = Convention(
                    eps, WITHOUT, False, partial(_changed, behind, True, lambda xs: 1.0), values
                )
            apply = partial(_changed, behind, without, factor)
            yield Convention(", ".join(said), asked, bool(scale) and not variable, apply, values, rest)


def _changed(
    behind: Behind, without: bool, factor: Factor, forward: Forward, backward: Backward, epsilon: Epsilon
) -> tuple[Forward, Backward]:
    """Return a loss as a function of something else, without its epsilons, times a factor."""

    def other(*primals: Array, **settings: Any) -> tuple[Any, Any]:
        inner = behind(primals)
        output, residuals = forward(*inner, **settings)
        if without:
            with epsilon():
                output, _ = forward(*inner, **settings)
        return np.asarray(output * factor(primals)), residuals

    return other, backward


def _factors(trial: Trial) -> Iterator[tuple[str, Factor]]:
    """Yield factors that go with the shape of the first primal."""
    first = trial.sample.primals[0]
    yield "", lambda primals: 1.0
    # where axis 0 is the batch, which a loss is averaged over, the length of another is no convention but a mistake
    averaged = _is_averaged_over_batch(trial)
    single = range(min(first.ndim, 1 if averaged else first.ndim))
    counts: dict[str, tuple[int, ...]] = {f"axis {axis}": (axis,) for axis in single if first.shape[axis] > 1}
    counts |= {"all elements": tuple(range(first.ndim))} if first.ndim > 1 else {}
    counts |= {"all rows": tuple(range(first.ndim - 1))} if first.ndim > 2 else {}
    for over, axes in counts.items():
        name = f"{over} of {trial.names[0]}"
        yield f"of the sum over {name}, where forward takes the mean", partial(_count, axes, 1)
        if not averaged:
            yield f"of the mean over {name}, where forward takes the sum", partial(_count, axes, -1)


def _is_averaged_over_batch(trial: Trial) -> bool:
    """Return whether a loss stays the same for a batch with every example twice; not where that cannot be told."""
    primals = trial.sample.primals
    if not primals[0].ndim or primals[0].shape[0] < 2:
        return False

    def twice(x: Any) -> Any:
        same = isinstance(x, np.ndarray) and x.ndim and len(x) == len(primals[0])
        return np.concatenate([x, x]) if same else x

    settings = {name: twice(value) for name, value in trial.sample.settings.items()}
    doubled = trial.at("every example twice", tuple(map(twice, primals)), settings)
    if not doubled.accepted or not np.size(doubled.output) == np.size(trial.output) == 1:
        return False
    return bool(np.allclose(doubled.output, trial.output, 1e-6))


def _count(axes: tuple[int, ...], power: int, primals: Sequence[Array]) -> float:
    return float(np.prod([primals[0].shape[axis] for axis in axes])) ** power


def _variables(trial: Trial) -> Iterator[tuple[str, tuple[Behind, tuple[Array, ...]]]]:
    """Yield the variables that a gradient may be taken by: forward's own input, or the logits behind probabilities."""
    primals = trial.primals()
    yield "", (lambda xs: xs, primals)
    p = primals[0]
    if p.ndim and p.size and bool(((p > 0) & (p < 1)).all()):
        for axis in (-1, 0)[: p.ndim]:
            if np.allclose(p.sum(axis=axis), 1, atol=SUM_TO_ONE):
                said = f"with respect to the logits whose softmax over axis {axis} is {trial.names[0]}"
                yield said, (partial(_through, partial(_softmax, axis=axis)), (np.log(p), *primals[1:]))
        said = f"with respect to the logits whose sigmoid is {trial.names[0]}"
        yield said, (partial(_through, _sigmoid), (np.log(p) - np.log1p(-p), *primals[1:]))


def _through(function: Callable[[Array], Array], primals: Sequence[Array]) -> tuple[Array, ...]:
    return (function(primals[0]), *primals[1:])


def _softmax(z: Array, axis: int) -> Array:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))
