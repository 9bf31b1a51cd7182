"""The check for JAX alone: the second derivative, where the first was written by hand."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradlab.adapters.framework.function_pair import single_or_tuple
from gradlab.adapters.framework.second_derivative import NAME, second_derivative
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.checks import Check
from gradlab.node import Array, as_tuple


def jax_checks(pair: JaxPair) -> dict[str, Check]:
    """Return the checks for JAX alone, by name."""
    return (
        {NAME: second_derivative(lambda count: _gradient(pair, count), pair.narrow)} if pair.by_hand else {}
    )


def _gradient(pair: JaxPair, count: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the gradient as a function of primals and cotangents, and JAX's gradient of that."""

    def forward(*arguments: Array, **settings: Any) -> tuple[Any, Any]:
        common, double = pair.precision(arguments[:count])
        with double_precision(double):
            held = pair.call.settings(settings, common)

            def gradients(*both: Any) -> Any:
                _, pull = jax.vjp(lambda *xs: pair.call.run(xs, held), *both[:count])
                return pull(tuple(both[count:]))

            arrays = map(jax.numpy.asarray, pair.call.arrays(arguments[:count], common))
            cotangents = [jax.numpy.asarray(np.asarray(g)) for g in arguments[count:]]
            found, pull = jax.vjp(gradients, *arrays, *cotangents)
        return single_or_tuple(map(numbers, found)), (pull, found, double)

    def backward(residuals: Any, v: Any) -> tuple[Array, ...]:
        pull, found, double = residuals
        with double_precision(double):
            given = tuple(
                jax.numpy.asarray(part, d.dtype) for part, d in zip(as_tuple(v), found, strict=True)
            )
            return tuple(map(numbers, pull(given)))

    return forward, backward
