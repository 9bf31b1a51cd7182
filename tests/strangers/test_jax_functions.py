"""Functions of JAX in the forms that strangers write them in: right ones are not accused, wrong ones are found."""

import functools

import numpy as np
import pytest

from gradlab import Verdict, check_jax

jax = pytest.importorskip("jax", reason="check_jax is for JAX: pip install jax")
jnp = jax.numpy

X = np.random.default_rng(47).standard_normal((3, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def unoptimised():
    # the compiler takes most of the time
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def wrongs(report):
    return [row for row in report.rows if row.verdict == "wrong"]


def assert_not_accused(function, *arguments, **more):
    report = check_jax(function, *arguments, **more)
    report.raise_if_failed()
    assert not wrongs(report)


def log_sum(of_tangent):
    """Return a log of a sum of exponentials, with its own rule for the forward mode."""

    @jax.custom_jvp
    def function(v):
        return jax.nn.logsumexp(v)

    function.defjvp(lambda p, t: (function(p[0]), of_tangent(p[0]) @ t[0]))
    return function


def test_a_rule_of_the_forward_mode():
    assert_not_accused(log_sum(jax.nn.softmax), X[0])
    assert wrongs(check_jax(log_sum(jnp.exp), X[0], explore=False))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def applied(f, v):
    return f(v)


applied.defvjp(lambda f, v: (f(v), v), lambda f, v, g: (jax.vjp(f, v)[1](g)[0],))


def test_a_function_among_the_arguments():
    assert_not_accused(applied, jnp.sin, X, explore=False)


def test_a_gradient_that_is_clipped_on_its_way():
    clip = jax.custom_vjp(lambda v, low, high: v)
    clip.defvjp(lambda v, low, high: (v, (low, high)), lambda r, g: (jnp.clip(g, *r), None, None))
    assert wrongs(check_jax(clip, X, -0.1, 0.1, explore=False))


def tree(wrong):
    function = jax.custom_vjp(lambda p, q: {"s": p["w"] @ q[0], "n": (q[1] * p["b"]).sum()})

    def backward(residuals, g):
        p, q = residuals
        dp = {"w": jnp.outer(g["s"], q[0]), "b": g["n"] * q[1]}
        return dp, (p["w"].T @ g["s"], g["n"] * (q[1] if wrong else p["b"]))

    function.defvjp(lambda p, q: (function(p, q), (p, q)), backward)
    return function


def test_trees_of_arrays():
    p = {"w": X, "b": np.ones(2, np.float32)}
    q = (np.arange(4, dtype=np.float32), np.array([0.5, -1.0], np.float32))
    assert_not_accused(tree(wrong=False), p, q, explore=False)
    assert wrongs(check_jax(tree(wrong=True), p, q, explore=False, checks=["matches_numerical"]))


def fixed_point(implicit):
    step = lambda y, a, z: jnp.tanh(a @ y + z)

    @jax.custom_vjp
    def function(a, z):
        far = lambda s: jnp.abs(s[0] - s[1]).max() > 1e-6
        return jax.lax.while_loop(far, lambda s: (step(s[0], a, z), s[0]), (jnp.tanh(z), jnp.zeros_like(z)))[
            0
        ]

    def forward(a, z):
        y = function(a, z)
        return y, (a, z, y)

    def backward(residuals, g):
        a, z, y = residuals
        _, pull = jax.vjp(step, y, a, z)
        inner = jax.jacobian(step)(y, a, z) if implicit else jnp.zeros_like(a)
        return pull(jnp.linalg.solve((jnp.eye(len(y)) - inner).T, g))[1:]

    function.defvjp(forward, backward)
    return function


def test_a_loop_that_ends_where_it_converges():
    a, z = 0.2 * X[:, :3], X[0, :3]
    # compiled code hears of no limit: primals at which it would not end are left alone
    assert_not_accused(jax.jit(fixed_point(implicit=True)), a, z)
    assert wrongs(check_jax(jax.jit(fixed_point(implicit=False)), a, z, explore=False))


def test_a_loop_that_has_no_reverse_mode_is_told_as_such():
    loop = lambda v: jax.lax.while_loop(lambda s: s.sum() < 3, lambda s: s * 1.1, jnp.abs(v) + 0.1)
    report = check_jax(loop, X[0])
    assert report.ok
    assert "JAX has no reverse mode of it, and forward mode alone was checked" in str(report)


def test_a_scan():
    def run(h, xs):
        return jax.lax.scan(lambda h, x: (jnp.tanh(h + x),) * 2, h, xs)[1]

    assert_not_accused(jax.jit(run), X[0], X, explore=False)


def test_what_is_no_array_of_floats_is_passed_on():
    def function(v, nothing, places, key):
        assert nothing is None
        return v[places] * jax.random.uniform(key)

    assert_not_accused(function, X, None, jnp.array([0, 2]), jax.random.PRNGKey(0), explore=False)


def test_kinks_and_ties():
    assert_not_accused(lambda v: jax.nn.relu(v) + v.max(), np.array([0.0, 1.0, 1.0], np.float32))


@pytest.mark.parametrize(
    "function",
    [
        lambda v: v * jax.lax.stop_gradient(v),
        lambda v: v + jax.lax.stop_gradient(jnp.round(v) - v),
    ],
    ids=["a path that is cut", "rounding that is passed straight through"],
)
def test_what_only_looks_like_a_gradient_is_found(function):
    assert wrongs(check_jax(function, X, explore=False, checks=["matches_numerical"]))


def called_back(factor):
    shape = lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype)
    function = jax.custom_vjp(lambda v: jax.pure_callback(lambda u: np.sin(u), shape(v), v))
    function.defvjp(lambda v: (function(v), v), lambda v, g: (factor * g * jnp.cos(v),))
    return function


def test_numpy_called_from_within():
    only = {"explore": False, "checks": ["matches_numerical"]}
    assert_not_accused(called_back(1), X[0], **only)
    assert wrongs(check_jax(called_back(2), X[0], **only))


def test_an_incomplete_gamma_function_is_not_accused_at_the_edge_of_its_domain():
    # beside 0 its slope is a small power of the distance
    assert_not_accused(lambda x: jax.lax.igamma(jnp.full_like(x, 1.3), x), np.array([0.7, 1.3], np.float32))


def rates(y, t, p):
    return jnp.array([p[0] * y[0] - y[0] * y[1], p[1] * y[1]])


def test_the_adjoint_of_an_equation_that_is_solved_to_a_tolerance():
    from jax.experimental.ode import odeint

    @jax.jit
    def end(p):
        start, times = jnp.asarray(X[0, :2], p.dtype), jnp.linspace(0, 2, 3, dtype=p.dtype)
        return odeint(rates, start, times, p)[-1]

    names = ["matches_numerical", "linear_in_cotangent"]
    report = check_jax(end, np.array([0.7, -0.4]), explore=False, checks=names)
    assert all(row.verdict is not Verdict.WRONG for row in report.rows)


@pytest.mark.parametrize(
    ("off", "rtol", "verdict"),
    [
        (1e-2, None, Verdict.WRONG),
        # a solver's tolerance, for all that is known, unless it is said
        (1e-7, None, Verdict.INCONCLUSIVE),
        (1e-7, 1e-8, Verdict.WRONG),
        (1e-7, 1e-6, Verdict.PASS),
    ],
)
def test_a_gradient_behind_a_loop_that_is_off_without_noise(off, rtol, verdict):
    @jax.custom_vjp
    def halved(x):
        return jax.lax.while_loop(lambda y: jnp.abs(y).sum() > 0.1, lambda y: y / 2, x)

    halved.defvjp(lambda x: (halved(x), x), lambda x, g: (g * halved(x) / x * (1 + off),))
    report = check_jax(halved, np.array([0.7, -0.4]), rtol=rtol, explore=False, checks=["matches_numerical"])
    row = report.rows[0]
    assert row.verdict is verdict
    assert ("rtol=" in row.note) == (verdict is Verdict.INCONCLUSIVE)
