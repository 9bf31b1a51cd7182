"""Backward gives what finite differences of forward give, for a random cotangent."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradlab.checks._trial import Trial
from gradlab.compare import CheckResult, compare
from gradlab.estimate import exact
from gradlab.finite_difference import numerical_vjp
from gradlab.node import Array


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradient of every primal with its numerical estimate."""
    gradients = trial.gradients(trial.cotangent())
    textbook = _textbook_errors(trial, gradients)
    for name, gradient, estimate, error in zip(
        trial.names, gradients, trial.estimates, textbook, strict=True
    ):
        result = compare(gradient, estimate, rtol=trial.rtol, atol=trial.atol, primal=name)
        yield replace(result, textbook_error=error)


def _textbook_errors(trial: Trial, gradients: tuple[Array, ...]) -> list[float | None]:
    """Return each gradient's relative error against plain central differences, None where they have no value."""
    primals = [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.primals()]
    try:
        plain = numerical_vjp(trial.function, primals, trial.cotangent())
    except (ValueError, TypeError, ArithmeticError):
        return [None] * len(gradients)
    return [compare(a, exact(n)).relative_error for a, n in zip(gradients, plain, strict=True)]
