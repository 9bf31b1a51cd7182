"""Transforms of JAX: the compiler, checkpointing, linearization, and a scan around it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax

from gradlab.adapters.framework.batched import same_arrays
from gradlab.adapters.framework.transformed import Look, Transform, same_under
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.checks import Trial
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict


def transforms_of(pair: JaxPair) -> Mapping[str, Look]:
    """Return the transforms of a function, by name; of one with forward mode alone there is one."""
    if not pair.reverse:
        return {"linearize": partial(_linear_map_again, pair)}

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

    same = {
        "jit": lambda f, xs: jax.vjp(jax.jit(f), *xs),
        "jit of the gradient": _jitted_gradient,
        "checkpoint": lambda f, xs: jax.vjp(jax.checkpoint(f), *xs),
        "linearize": _linearized,
        "scan": lambda f, xs: jax.vjp(_scanned(f), *xs),
    }
    return {name: same_under(name, under(change)) for name, change in same.items()}


def _linear_map_again(pair: JaxPair, trial: Trial) -> CheckResult:
    """Compare what a linearized function gives, each time that it is called, with its tangents."""
    common, double = pair.precision(trial.primals())
    with double_precision(double):
        held = pair.call.settings(trial.settings(), common)
        arrays = list(map(jax.numpy.asarray, pair.call.arrays(trial.primals(), common)))

        def run(*xs: Any) -> Any:
            return pair.call.run(xs, held)

        _, linear = jax.linearize(run, *arrays)
        for scale in (1.0, -0.5, 2.0):
            moves = [scale * jax.numpy.ones_like(x) for x in arrays]
            wanted = list(map(numbers, jax.jvp(run, arrays, moves)[1]))
            if not same_arrays(list(map(numbers, linear(*moves))), wanted, trial.noise):
                note = "under linearize there are other tangents than without it, or than at the call before"
                return CheckResult(Verdict.WRONG, note=note)
    return CheckResult(Verdict.PASS)


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
