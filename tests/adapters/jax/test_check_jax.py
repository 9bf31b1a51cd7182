"""Functions of JAX, most of all those with a custom_vjp: what is found in them, and what is left alone."""

import numpy as np
import pytest

from gradlab import check_jax

jax = pytest.importorskip("jax", reason="check_jax is for JAX: pip install jax")
jnp = jax.numpy


def array(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def written(forward, backward):
    """Return a custom_vjp of a forward(x, ...) that returns output and residuals, and its backward."""

    def function(*args):
        return forward(*args)[0]

    function = jax.custom_vjp(function)
    function.defvjp(forward, backward)
    return function


def save_square(x):
    return x**2, x


square = written(save_square, lambda x, g: (2 * x * g,))
half_again = written(save_square, lambda x, g: (3 * x * g,))


def names(report):
    return [fault.name for fault in report.faults]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, jnp.bfloat16], ids=str)
def test_a_right_function_passes_and_a_wrong_factor_is_named(dtype):
    x = array(2, 3, dtype=dtype)
    assert not check_jax(square, x, explore=False).faults
    report = check_jax(half_again, x, explore=False)
    assert (report.ok, names(report)[0]) == (False, "constant-factor")


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: lambda x: f(x) + 0 * x])
def test_one_that_is_wrapped(wrap):
    assert check_jax(wrap(square), array(3), explore=False).ok
    assert names(check_jax(wrap(half_again), array(3), explore=False))[0] == "constant-factor"


def test_float32_runs_as_float32_and_is_judged_by_float64():
    seen = set()

    def backward(x, g):
        seen.add(str(g.dtype))
        return (2 * x * g,)

    report = check_jax(written(save_square, backward), array(2, 3, dtype=np.float32), explore=False)
    row = next(row for row in report.rows if row.check == "matches_numerical")
    assert (row.dtype, report.ok) == ("float32", True)
    assert row.reference_error < 1e-12
    assert "float32" in seen
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16], ids=str)
def test_half_precision_itself_runs_and_is_judged(dtype):
    own = written(save_square, lambda x, g: ((3 if g.dtype == dtype else 2) * x * g,))
    report = check_jax(own, array(2, 3, dtype=dtype), explore=False)
    assert [row.dtype for row in report.rows if row.verdict == "wrong"] == [np.dtype(dtype).name]


def test_what_takes_one_precision_alone_is_evaluated_in_it():
    def single(factor):
        def forward(x):
            if x.dtype != jnp.float32:
                raise TypeError("not in this precision")
            return x**2, x

        return written(forward, lambda x, g: (factor * x * g,))

    x = array(2, 3, dtype=np.float32)
    assert check_jax(single(2), x, explore=False).ok
    assert not check_jax(single(3), x, explore=False).ok


def test_arrays_in_pytrees_are_named_by_their_paths():
    constant = array(4, seed=3)

    def layer(params, x, *, scale):
        return {"y": jnp.tanh(x @ params["w"] + params["b"][0] + constant) * scale, "where": x.argmax(1)}

    params = {"w": array(3, 4), "b": [array(4, seed=1)]}
    report = check_jax(layer, params, array(2, 3, seed=2), settings={"scale": 2.0}, explore=False)
    assert report.ok
    found = [row.primal for row in report.rows if row.check == "matches_numerical"]
    assert found == ["params['b'][0]", "params['w']", "x"]


def test_integers_are_passed_on():
    def pick(x, i):
        return x[i]

    report = check_jax(pick, array(4, 2), np.array([0, 2, 2]), explore=False)
    assert [row.primal for row in report.rows if row.check == "matches_numerical"] == ["x"]
    assert report.ok


def test_arrays_are_not_made_too_short_for_their_indices():
    # JAX moves an index that is out of bounds in forward, and drops it in backward
    @jax.custom_vjp
    def same(x):
        return 1 * x

    same.defvjp(lambda x: (same(x), None), lambda _, g: (g,))
    # and every row counts, or a batch of more is none
    report = check_jax(lambda x: same(x)[jnp.array([0, 3])] + same(x).sum(axis=0), array(4, 2))
    assert report.ok
    assert "batch doubled" in report.explored[0].derived
    assert "batch cut to 1" not in report.explored[0].derived


def test_other_shapes_are_tried_where_a_derivative_was_written_by_hand():
    """Each shape takes the compiler, and JAX's own derivatives take any."""
    assert "batch doubled" not in check_jax(jnp.sin, array(4, 2)).explored[0].derived
    assert "batch doubled" in check_jax(jnp.sin, array(4, 2), explore="all").explored[0].derived


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_key_for_random_numbers_is_passed_on(dtype):
    def noisy(key, x):
        return x * jax.random.uniform(key, x.shape)

    assert check_jax(noisy, jax.random.key(0), array(2, 3, dtype=dtype), explore=False).ok


def test_a_function_that_looks_at_its_numbers():
    def branching(x):
        return x**2 if x.sum() > 0 else x**3

    assert check_jax(branching, np.array([1.0, 2.0]), explore=False).ok


def test_a_stale_cache():
    cache = {}

    def forward(x):
        cache["x"] = x
        return x**2, x

    stale = written(forward, lambda x, g: (2 * cache["x"] * g,))
    report = check_jax(stale, array(2, 3), explore=False)
    assert (report.ok, names(report)[0]) == (False, "stale-residuals")


def test_a_forward_that_gives_something_else_where_it_is_differentiated():
    function = jax.custom_vjp(lambda x: x**2)
    function.defvjp(lambda x: (x**2 + 1, x), lambda x, g: (2 * x * g,))
    report = check_jax(function, array(3), explore=False)
    wrong = next(row for row in report.rows if row.verdict == "wrong")
    assert wrong.check == "matches_reference"
    assert "differentiated" in wrong.note


def test_a_gradient_of_another_shape():
    added = written(lambda x, b: (x + b, None), lambda _, g: (g, g))
    report = check_jax(added, array(2, 3), array(3))
    assert (report.ok, names(report)[0]) == (False, "missing-broadcast-sum")
    # both are given arrays of JAX's own
    added = written(lambda x, b: (x + b.at[0].add(1), None), lambda _, g: (g, g.at[0].add(0)))
    report = check_jax(added, array(2, 3), array(3))
    assert (report.ok, names(report)[0]) == (False, "missing-broadcast-sum")


def test_a_gradient_that_is_forgotten():
    forgotten = written(lambda x, w: (x * w, (x, w)), lambda r, g: (g * r[1], None))
    report = check_jax(forgotten, array(2, 3), array(2, 3, seed=1), explore=False)
    assert (names(report)[0], report.faults[0].primal) == ("zero-gradient", "args1")


def test_a_second_derivative_that_is_wrong_in_silence():
    def backward(y, g):
        return (jax.lax.stop_gradient(y) * g,)

    silent = written(lambda x: (jnp.exp(x), jnp.exp(x)), backward)
    report = check_jax(silent, array(3), explore=False)
    assert report.ok
    assert {row.check for row in report.rows if row.verdict == "warning"} == {"second_derivative"}
    assert not check_jax(silent, array(3), explore=False, strict=True).ok
    right = written(lambda x: (jnp.exp(x), jnp.exp(x)), lambda y, g: (y * g,))
    assert not check_jax(right, array(3), explore=False).faults


def test_large_arrays_are_checked_along_directions():
    def backward(x, g):
        return ((2 * x * g).at[7, 11].multiply(1.5),)

    x = array(200, 100)
    assert check_jax(square, x, explore=False).ok
    report = check_jax(written(save_square, backward), x, checks=["matches_numerical"], explore=False)
    assert report.rows[0].worst_index == (7, 11)


def raises(x):
    raise RuntimeError("no such kernel\nand much more")


BAD = {
    "no floats": (lambda x: x, (np.array([1, 2]),), "is given no array of floats"),
    "raises": (raises, (array(2),), "raises raised RuntimeError: no such kernel: "),
    "returns None": (lambda x: None, (array(2),), "returned None, nothing to differentiate: return arrays"),
    "returns integers": (jnp.argmax, (array(2),), "nothing to differentiate: return arrays"),
    "no function": (3, (array(2),), "fn is int, which is no function: pass a function"),
    "float8": (jnp.abs, (jnp.ones(2, jnp.float8_e5m2),), "gradients are not checked in: pass it as"),
    "objects": (lambda x: x, (np.array([{}]),), "is an array of objects: pass it as floats"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gets_one_line(kind):
    function, arrays, message = BAD[kind]
    with pytest.raises((TypeError, ValueError)) as caught:
        check_jax(function, *arrays)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_sparse_array(factor):
    """Its values are differentiated, at the places that it has."""
    from jax.experimental import sparse

    @jax.custom_vjp
    def product(m, x):
        return m @ x

    def backward(saved, g):
        m, x = saved
        rows, columns = m.indices[:, 0], m.indices[:, 1]
        parts = [factor * g[rows] * x[columns], np.zeros(m.indices.shape, jax.dtypes.float0)]
        return jax.tree.unflatten(jax.tree.structure(m), parts), m.T @ g

    product.defvjp(lambda m, x: (product(m, x), (m, x)), backward)
    dense = array(4, 3) * (np.arange(12).reshape(4, 3) % 3 > 0)
    report = check_jax(product, sparse.BCOO.fromdense(dense), array(3))
    assert report.ok == (factor == 1.0)
    row = next(row for row in report.rows if row.check == "matches_numerical")
    assert row.primal == "m.data"


@jax.custom_vjp
def fixed_point(x):
    """The z with z = 0.3 x z + 1, by iteration; where |x| > 3.3 it never ends, and nothing could interrupt it."""
    apart = lambda state: jnp.abs(state[0] - state[1]).max() > 1e-11
    return jax.lax.while_loop(
        apart, lambda state: (0.3 * state[0] * x + 1, state[0]), (jnp.ones_like(x), 0 * x)
    )[0]


fixed_point.defvjp(lambda x: (fixed_point(x), x), lambda x, g: (0.3 / (1 - 0.3 * x) ** 2 * g,))


def test_a_loop_that_may_not_end_is_not_looked_at_elsewhere():
    x = np.array([0.5, -1.2])
    report = check_jax(fixed_point, x, rtol=1e-6)
    report.raise_if_failed()
    assert "pass" in {row.verdict for row in report.rows if row.check == "matches_numerical"}
    (places,) = report.explored
    assert places.derived == ()
    assert places.cut.startswith("without exploring, finite_where_expected, repeatable, as it holds")
    assert "as it holds a loop that may not end elsewhere: check it at other primals, too" in str(report)
    (untold,) = check_jax(fixed_point, x, rtol=1e-6, explore=False).explored
    assert untold.cut.startswith("without finite_where_expected, repeatable, as it holds")
    wrong = jax.custom_vjp(lambda x: fixed_point(x))
    wrong.defvjp(lambda x: (fixed_point(x), x), lambda x, g: (0.6 / (1 - 0.3 * x) ** 2 * g,))
    # nor by the diagnosis
    assert names(check_jax(wrong, x))[0] == "constant-factor"


@pytest.mark.parametrize(
    ("function", "may_not_end"),
    [
        (jnp.exp, False),
        (lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y * x, x), False),
        (jax.jit(lambda x: jax.lax.while_loop(lambda y: y.sum() < 9, lambda y: 2 * y, x)), True),
        (lambda x: jax.lax.cond(x.sum() > 0, jnp.exp, fixed_point, x), True),
    ],
    ids=["none", "counted", "in a jit", "in a branch"],
)
def test_which_functions_hold_a_loop_that_may_not_end(function, may_not_end):
    from gradlab.adapters.jax.call import call_of
    from gradlab.adapters.jax.pair import jax_pair

    assert jax_pair(call_of(function, (np.array([1.0, 2.0]),), {}, None)).may_not_end is may_not_end
