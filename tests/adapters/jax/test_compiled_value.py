"""The value of a function whose derivative was written by hand: where it is compiled, and where Python runs it."""

import numpy as np
import pytest

from gradlab import check_jax

jax = pytest.importorskip("jax", reason="check_jax is for JAX: pip install jax")
jnp = jax.numpy

from gradlab.adapters.jax.call import call_of  # noqa: E402 # imports JAX
from gradlab.adapters.jax.pair import COMPILED_FROM, jax_pair  # noqa: E402

X = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])


def counted(value, factor=2):
    """Return a custom_vjp of the square, and what Python gave it in each of its runs; ``value(x)`` is what it gives."""
    runs = []

    def function(x):
        runs.append(x)
        return value(x)

    function = jax.custom_vjp(function)
    function.defvjp(lambda x: (value(x), x), lambda x, g: (factor * x * g,))
    return function, runs


def pair_of(function, x=X):
    return jax_pair(call_of(function, (x,), {}, None))


def often(pair, x):
    return [pair.value(x) for _ in range(COMPILED_FROM + 10)]


def test_it_is_compiled_at_the_given_shapes_once_it_was_evaluated_often():
    function, runs = counted(jnp.square)
    pair = pair_of(function)
    often(pair, X)
    runs.clear()
    assert np.array_equal(pair.value(3 * X), (3 * X) ** 2)
    assert not runs
    # Python runs it still at other shapes, and in other precisions
    for x in (X[:1], X.astype(np.float32)) * 2:
        pair.value(x)
    assert len(runs) == 4


def test_it_is_compiled_where_an_estimate_begins():
    # or one end of a difference would be rounded otherwise than the other
    function, runs = counted(jnp.square)
    pair = pair_of(function)
    runs.clear()
    assert len(often(pair, X + 1e-3)) == len(runs)
    pair.value(X)
    runs.clear()
    pair.value(X + 1e-3)
    assert not runs


def test_a_forward_and_its_backward_are_not_compiled():
    seen = []

    def backward(x, g):
        seen.append(isinstance(x, jax.core.Tracer))
        return (2 * x * g,)

    function = jax.custom_vjp(jnp.square)
    function.defvjp(lambda x: (x**2, x), backward)
    pair = pair_of(function)
    often(pair, X)
    seen.clear()
    pair.backward(pair.forward(X)[1], np.ones_like(X))
    assert seen == [False]


def noisy():
    rng = np.random.default_rng(0)
    return lambda x: x**2 + 1e-3 * rng.standard_normal(x.shape)


def counting():
    calls = []
    return lambda x: calls.append(0) or x**2 * len(calls)


@pytest.mark.parametrize("make", [noisy, counting])
def test_what_depends_on_more_than_its_arrays_is_not_compiled(make):
    function, runs = counted(make())
    pair = pair_of(function)
    often(pair, X)
    runs.clear()
    a, b = pair.value(X), pair.value(X)
    assert len(runs) == 2
    assert not np.array_equal(a, b)


def test_what_a_function_keeps_of_its_last_run_are_numbers():
    # and not what the compiler had in their place, which nobody else may touch
    function, runs = counted(jnp.square)
    often(pair_of(function), X)
    assert isinstance(runs[-1], jax.Array)
    assert not isinstance(runs[-1], jax.core.Tracer)


def test_what_cannot_be_compiled_is_run_by_python():
    function, runs = counted(lambda x: x**2 if x.sum() > -9 else x**3)
    pair = pair_of(function)
    runs.clear()
    assert len(often(pair, X)) == len(runs)


def test_the_elements_of_a_wrong_gradient_are_looked_at_in_compiled_code(monkeypatch):
    python_runs = {}
    for compiled_from in (COMPILED_FROM, 10**9):
        monkeypatch.setattr("gradlab.adapters.jax.pair.COMPILED_FROM", compiled_from)
        function, runs = counted(jnp.square, factor=3)
        report = check_jax(function, np.arange(1.0, 41).reshape(8, 5) / 7, explore=False)
        assert (report.ok, report.faults[0].name) == (False, "constant-factor")
        python_runs[compiled_from] = len(runs)
    assert python_runs[COMPILED_FROM] < python_runs[10**9] / 2
