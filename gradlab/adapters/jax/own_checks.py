"""The checks for JAX alone: forward mode, and the second derivative, where the first was written by hand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np

from gradlab.adapters.framework.batched import NAME as BATCHED
from gradlab.adapters.framework.batched import batched
from gradlab.adapters.framework.forward_mode import NAME as FORWARD_MODE
from gradlab.adapters.framework.forward_mode import NotForwardError, forward_mode
from gradlab.adapters.framework.function_pair import single_or_tuple
from gradlab.adapters.framework.higher_derivatives import GradientFunction, NotTwiceError, higher_derivatives
from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.refusal import says_no
from gradlab.adapters.framework.transformed import NAME as TRANSFORMS
from gradlab.adapters.framework.transformed import chosen_transforms, transformed
from gradlab.adapters.framework.unused_outputs import NAME as UNUSED
from gradlab.adapters.framework.unused_outputs import unused_outputs
from gradlab.adapters.jax.batches import batches_of
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.adapters.jax.transforms import transforms_of
from gradlab.checks import Check, Trial
from gradlab.node import Array, as_tuple


def jax_checks(pair: JaxPair, order: int | None, transforms: Any) -> dict[str, Check]:
    """Return the checks for JAX alone, by name."""
    asked = chosen_transforms(transforms, transforms_of(pair))
    return {
        **({TRANSFORMS: transformed(asked)} if asked else {}),
        FORWARD_MODE: forward_mode(partial(_tangents, pair)),
        BATCHED: batched(batches_of(pair)),
        UNUSED: unused_outputs(partial(_gradients_of_one, pair)),
        **higher_derivatives(partial(_gradient_function, pair), pair.narrow or bool(pair.output_eps), order),
    }


def _gradients_of_one(pair: JaxPair, trial: Trial, used: int, g: Array) -> list[Array]:
    """Return the gradients of one output: what its rule is told of the others is that nobody differentiates them."""
    common, double = pair.precision(trial.primals())
    with double_precision(double):
        held = pair.call.settings(trial.settings(), common)
        arrays = list(map(jax.numpy.asarray, pair.call.arrays(trial.primals(), common)))
        y, pull = jax.vjp(lambda *xs: pair.call.run(xs, held)[used], *arrays)
        return list(map(numbers, pull(jax.numpy.asarray(g, y.dtype))))


def has_forward_mode(pair: JaxPair) -> bool:
    """Return whether JAX gives tangents of a function."""
    given = [leaf.value for leaf in pair.leaves]
    try:
        _tangents(pair, given, given, dict(pair.settings))
        return True
    except Exception:
        return False


def unasked(pair: JaxPair, order: int | None) -> list[str]:
    """Return the checks that nobody needs who has not written what they look at, unless they are asked for."""
    by_hand = pair.by_hand or pair.own_jvp
    return [
        *(["second_derivative"] if order is None and not by_hand else []),
        *([] if pair.own_jvp else [FORWARD_MODE]),
        *([] if by_hand or pair.own_vmap else [BATCHED]),
        *([] if by_hand else [UNUSED]),
    ]


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
        found = _tangents_of(lambda *xs: pair.call.run(xs, held), arrays, moves)
        return single_or_tuple(map(numbers, found))


def _gradient_function(pair: JaxPair, counts: Sequence[int]) -> GradientFunction:
    """Return the gradient of the gradient ... of a pair, differentiated as often as there are counts of cotangents."""
    ends = list(np.cumsum(counts))

    def gradients(depth: int, held: Any) -> Callable[..., Any]:
        """Return the function of the arguments, differentiated so often."""
        if not depth:
            return lambda *xs: pair.call.run(xs, held)
        before = gradients(depth - 1, held)

        def of(*arguments: Any) -> Any:
            _, pull = jax.vjp(before, *arguments[: ends[depth - 1]])
            return pull(tuple(arguments[ends[depth - 1] :]))

        return of

    def of_all(held: Any, *arguments: Any) -> Any:
        return gradients(len(ends) - 1, held)(*arguments)

    def pulled(held: Any, arguments: Sequence[Any], v: Any) -> Any:
        return jax.vjp(partial(of_all, held), *arguments)[1](v)

    def moved(held: Any, arguments: Sequence[Any], moves: Sequence[Any]) -> Any:
        return _tangents_of(partial(of_all, held), arguments, moves)

    # what is differentiated twice runs through ten times as many operators, each of which Python would call
    value, pull, move = (_compiled_if_possible(function) for function in (of_all, pulled, moved))

    def prepared(arguments: Sequence[Array], settings: Any) -> tuple[Any, list[Any], bool]:
        common, double = pair.precision(arguments[: ends[0]])
        with double_precision(double):
            arrays = list(map(jax.numpy.asarray, pair.call.arrays(arguments[: ends[0]], common)))
            arrays += [jax.numpy.asarray(np.asarray(g)) for g in arguments[ends[0] :]]
            return pair.call.settings(settings, common), arrays, double

    def forward(*arguments: Array, **settings: Any) -> tuple[Any, Any]:
        held, arrays, double = prepared(arguments, settings)
        with double_precision(double), _said_aloud():
            found = value(held, *arrays)
        return single_or_tuple(map(numbers, found)), (held, arrays, found, double)

    def backward(residuals: Any, v: Any) -> tuple[Array, ...]:
        held, arrays, found, double = residuals
        with double_precision(double), _said_aloud():
            pairs = zip(as_tuple(v), found, strict=True)
            given = tuple(jax.numpy.asarray(part, d.dtype) for part, d in pairs)
            return tuple(map(numbers, pull(held, arrays, given)))

    def tangents(arguments: Sequence[Array], moves: Sequence[Array], settings: Any) -> Any:
        held, arrays, double = prepared(arguments, settings)
        with double_precision(double), _said_aloud():
            along = [jax.numpy.asarray(t, x.dtype) for t, x in zip(moves, arrays, strict=True)]
            return single_or_tuple(map(numbers, move(held, arrays, along)))

    return GradientFunction(forward, backward, tangents)


@contextmanager
def _said_aloud() -> Iterator[None]:
    """Take what JAX itself raises for what it does not differentiate again."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NotForwardError) or not says_no("jax", error):
            raise
        raise NotTwiceError(first_line(error)) from error


def _compiled_if_possible(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled = jax.jit(function)
    plain = False

    def run(*arguments: Any) -> Any:
        nonlocal plain
        if not plain:
            try:
                return compiled(*arguments)
            except Exception:  # what cannot be traced runs as Python
                plain = True
        return function(*arguments)

    return run


def _tangents_of(function: Callable[..., Any], arrays: Sequence[Any], moves: Sequence[Any]) -> Any:
    """Return the tangents of a function's outputs.

    Raises
    ------
    NotForwardError
        If JAX says that there is no forward mode.
    """
    try:
        return jax.jvp(function, list(arrays), list(moves))[1]
    except TypeError as error:
        if "forward-mode" in str(error) or "custom_vjp" in str(error):
            raise NotForwardError(f"no forward mode, and it says so: {first_line(error)}") from error
        raise
