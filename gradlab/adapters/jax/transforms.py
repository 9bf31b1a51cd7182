"""Transforms of JAX: the compiler, checkpointing, linearization, and a scan around it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from gradlab.adapters.framework.transformed import Transform
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.node import Array


def transforms_of(pair: JaxPair) -> Mapping[str, Transform]:
    """Return the transforms of a function, by name."""

    def under(change: Callable[..., Any]) -> Transform:
        def transform(
            primals: Sequence[Array], cotangents: Sequence[Array], settings: Any
        ) -> tuple[list[Array], list[Array]]:
            common, double = pair.precision(primals)
            with double_precision(double):
                held = pair.call.settings(settings, common)
                arrays = list(map(jax.numpy.asarray, pair.call.arrays(primals, common)))
                outputs, pull = change(lambda *xs: pair.call.run(xs, held), arrays)
                given = tuple(jax.numpy.asarray(g, y.dtype) for g, y in zip(cotangents, outputs, strict=True))
                return list(map(numbers, outputs)), list(map(numbers, pull(given)))

        return transform

    return {
        "jit": under(lambda f, xs: jax.vjp(jax.jit(f), *xs)),
        "jit of the gradient": under(_jitted_gradient),
        "checkpoint": under(lambda f, xs: jax.vjp(jax.checkpoint(f), *xs)),
        "linearize": under(_linearized),
        "scan": under(lambda f, xs: jax.vjp(_scanned(f), *xs)),
    }


def _jitted_gradient(f: Callable[..., Any], xs: Sequence[Any]) -> tuple[Any, Any]:
    outputs = jax.jit(f)(*xs)
    return outputs, lambda g: jax.jit(lambda ys, g: jax.vjp(f, *ys)[1](g))(list(xs), g)


def _linearized(f: Callable[..., Any], xs: Sequence[Any]) -> tuple[Any, Any]:
    outputs, tangents = jax.linearize(f, *xs)
    transposed = jax.linear_transpose(tangents, *xs)

    def pull(g: Any) -> Any:
        transposed(g)
        return transposed(g)

    return outputs, pull


def _scanned(f: Callable[..., Any]) -> Callable[..., Any]:
    def once(*xs: Any) -> Any:
        _, stacked = jax.lax.scan(lambda carry, _: (carry, f(*xs)), 0, None, length=1)
        return tuple(y[0] for y in stacked)

    return once
