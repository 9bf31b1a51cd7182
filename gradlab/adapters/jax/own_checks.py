"""The checks for JAX alone: forward mode, and the second derivative, where the first was written by hand."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from gradlab.adapters.framework.forward_mode import NAME as FORWARD_MODE
from gradlab.adapters.framework.forward_mode import NotForwardError, forward_mode
from gradlab.adapters.framework.function_pair import single_or_tuple
from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.second_derivative import NAME, second_derivative
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.checks import Check
from gradlab.node import Array, as_tuple


def jax_checks(pair: JaxPair) -> dict[str, Check]:
    """Return the checks for JAX alone, by name."""
    return {
        NAME: second_derivative(lambda count: _gradient(pair, count), pair.narrow),
        FORWARD_MODE: forward_mode(partial(_tangents, pair)),
    }


def unasked(pair: JaxPair) -> list[str]:
    """Return the checks that nobody needs who has not written what they look at, unless they are asked for."""
    return [*([] if pair.by_hand else [NAME]), *([] if pair.own_jvp else [FORWARD_MODE])]


def _tangents(
    pair: JaxPair, primals: Sequence[Array], tangents: Sequence[Array], settings: dict[str, Any]
) -> Any:
    """Return the tangents of the floating outputs for those of the primals.

    Raises
    ------
    NotForwardError
        If JAX says that there is no forward mode.
    """
    common, double = pair.precision(primals)
    with double_precision(double):
        held = pair.call.settings(settings, common)
        arrays = list(map(jax.numpy.asarray, pair.call.arrays(primals, common)))
        moves = [jax.numpy.asarray(t, x.dtype) for t, x in zip(tangents, arrays, strict=True)]
        try:
            _, found = jax.jvp(lambda *xs: pair.call.run(xs, held), arrays, moves)
        except TypeError as error:
            if "forward-mode" in str(error) or "custom_vjp" in str(error):
                raise NotForwardError(f"no forward mode, and it says so: {first_line(error)}") from error
            raise
        return single_or_tuple(map(numbers, found))


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
