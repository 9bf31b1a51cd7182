"""Row "told as it is": right functions that are easily taken for wrong ones.  x64 is switched on here, by jax.config."""

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "told as it is"


def shaped(x):
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


def arithmetic_geometric_mean():
    """By a while_loop, without a rule: forward mode works, reverse cannot."""

    def agm(a, b):
        def go_on(ab):
            return jnp.any(jnp.abs(ab[0] - ab[1]) > 1e-15 * ab[0])

        def step(ab):
            return 0.5 * (ab[0] + ab[1]), jnp.sqrt(ab[0] * ab[1])

        a, b = jax.lax.while_loop(go_on, step, (a, b))
        return 0.5 * (a + b)

    return Call(agm, (jnp.array([1.0, 3.0, 0.2]), jnp.array([2.0, 0.5, 0.9])))


def dominant_eigenvalue():
    """Power iteration in a while_loop with a bound, a custom_jvp around it of which reverse is refused: the tangent has a while_loop too."""

    def iterate(A):
        def go_on(state):
            _, change, n = state
            return (change > 1e-14) & (n < 500)

        def step(state):
            v, _, n = state
            w = A @ v
            w = w / jnp.linalg.norm(w)
            return w, jnp.max(jnp.abs(w - v)), n + 1

        v = jax.lax.while_loop(go_on, step, (jnp.ones(A.shape[0]) / A.shape[0] ** 0.5, jnp.array(1.0), 0))[0]
        return v

    @jax.custom_jvp
    def radius(A):
        v = iterate(A)
        return v @ A @ v

    @radius.defjvp
    def _(primals, tangents):
        (A,), (dA,) = primals, tangents
        A, dA = jnp.asarray(A), jnp.asarray(dA)
        right, left = iterate(A), iterate(A.T)

        def weigh(carry):  # row by row
            i, total = carry
            return i + 1, total + left[i] * (dA[i] @ right)

        top = jax.lax.while_loop(lambda c: c[0] < A.shape[0], weigh, (0, jnp.zeros(())))[1]
        return right @ A @ right, top / (left @ right)

    return Call(radius, (jnp.asarray(np.random.default_rng(700).uniform(0.1, 1.0, (4, 4))),))


def cholesky_lower():
    """Cholesky, which reads the lower triangle alone; its gradient is spread over both triangles."""

    @jax.custom_vjp
    def factor(A):
        return jnp.linalg.cholesky(A, symmetrize_input=False)

    def fwd(A):
        L = factor(A)
        return L, L

    def bwd(L, g):
        P = jnp.tril(L.T @ jnp.tril(g))
        P = P - 0.5 * jnp.diag(jnp.diag(P))
        S = jax.scipy.linalg.solve_triangular(L, P, lower=True, trans=1)
        S = jax.scipy.linalg.solve_triangular(L, S.T, lower=True, trans=1).T
        return (0.5 * (S + S.T),)

    factor.defvjp(fwd, bwd)
    B = np.random.default_rng(701).normal(size=(5, 5))
    return Call(factor, (jnp.asarray(B @ B.T + 2 * np.eye(5)),))


def degenerate_spectrum():
    """sum of exp(eigenvalues) of a symmetric matrix with a double eigenvalue."""

    @jax.custom_vjp
    def partition(H):
        return jnp.sum(jnp.exp(jnp.linalg.eigvalsh(0.5 * (H + H.T))))

    def fwd(H):
        return partition(H), jax.scipy.linalg.expm(0.5 * (H + H.T))

    partition.defvjp(fwd, lambda expH, g: (g * expH,))
    Q = np.linalg.qr(np.random.default_rng(702).normal(size=(4, 4)))[0]
    H = Q @ np.diag([-1.0, 0.5, 0.5, 1.2]) @ Q.T
    return Call(partition, (jnp.asarray(0.5 * (H + H.T)),))


def masked_attention():
    """Attention with a row that may look at nothing: zeros there, in the gradient too."""

    @jax.custom_vjp
    def masked_softmax(scores, allowed):
        s = jnp.where(allowed, scores, -jnp.inf)
        m = jnp.max(s, -1, keepdims=True)
        e = jnp.exp(s - jnp.where(jnp.isfinite(m), m, 0.0))
        total = jnp.sum(e, -1, keepdims=True)
        return e / jnp.where(total == 0, 1.0, total)

    def fwd(scores, allowed):
        p = masked_softmax(scores, allowed)
        return p, p

    masked_softmax.defvjp(fwd, lambda p, g: (p * (g - jnp.sum(p * g, -1, keepdims=True)), None))
    allowed = jnp.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    return Call(masked_softmax, (jnp.asarray(np.random.default_rng(703).normal(size=(3, 4))), allowed))


def bfloat16_layer():
    """float32 in and out, bfloat16 products inside: off by 1e-2 or so from float32, value and gradient."""

    @jax.custom_vjp
    def layer(x, w):
        y = x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)
        return jnp.tanh(y.astype(jnp.float32))

    def fwd(x, w):
        y = layer(x, w)
        return y, (x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), y)

    def bwd(saved, g):
        x, w, y = saved
        h = (g * (1 - y * y)).astype(jnp.bfloat16)
        return (h @ w.T).astype(jnp.float32), (x.T @ h).astype(jnp.float32)

    layer.defvjp(fwd, bwd)
    r = np.random.default_rng(704)
    return Call(
        layer,
        (
            jnp.asarray(r.normal(size=(6, 8)), jnp.float32),
            jnp.asarray(0.3 * r.normal(size=(8, 5)), jnp.float32),
        ),
    )


def nothing_for_the_buffers():
    """Normalisation by given statistics; what cannot matter gets None or zeros."""

    @jax.custom_vjp
    def standardise(x, seen, unused_bias, names):
        return x / (1.0 + seen.astype(x.dtype))[:, None]

    def bwd(saved, g):
        seen, bias = saved
        return (
            g / (1.0 + seen.astype(g.dtype))[:, None],
            None,
            jnp.zeros_like(bias),
            {"ids": None, "flag": None},
        )

    standardise.defvjp(lambda x, s, b, n: (standardise(x, s, b, n), (s, b)), bwd)
    x = jnp.asarray(np.random.default_rng(705).normal(size=(3, 4)))
    return Call(
        standardise,
        (x, jnp.array([0, 4, 9]), jnp.zeros(4), {"ids": jnp.arange(3), "flag": jnp.array([True, False])}),
    )


def predator_prey_adjoint():
    """An ODE by RK4 in steps; the gradient by the adjoint equation, integrated backwards in steps of its own."""
    steps, T = 12, 3.0

    def rates(y, theta):
        a, b, c, d = theta
        return jnp.stack([a * y[0] - b * y[0] * y[1], c * y[0] * y[1] - d * y[1]])

    def rk4(f, y, h):
        k1 = f(y)
        k2 = f(jax.tree.map(lambda u, k: u + 0.5 * h * k, y, k1))
        k3 = f(jax.tree.map(lambda u, k: u + 0.5 * h * k, y, k2))
        k4 = f(jax.tree.map(lambda u, k: u + h * k, y, k3))
        return jax.tree.map(lambda u, p, q, r, s: u + h / 6 * (p + 2 * q + 2 * r + s), y, k1, k2, k3, k4)

    @jax.custom_vjp
    def solve(y0, theta):
        return jax.lax.fori_loop(0, steps, lambda _, y: rk4(lambda u: rates(u, theta), y, T / steps), y0)

    def fwd(y0, theta):
        y = solve(y0, theta)
        return y, (y, theta)

    def bwd(saved, g):
        y, theta = saved

        def backwards(state):
            y, lam, _ = state
            _, pull = jax.vjp(rates, y, theta)
            by_y, by_theta = pull(lam)
            return -rates(y, theta), by_y, by_theta

        state = (y, g, jnp.zeros_like(theta))
        state = jax.lax.fori_loop(0, steps, lambda _, s: rk4(backwards, s, T / steps), state)
        return state[1], state[2]

    solve.defvjp(fwd, bwd)
    return Call(solve, (jnp.array([1.2, 0.8]), jnp.array([1.1, 0.6, 0.5, 0.9])))


def host_entropy_with_warnings():
    """-p log p on the host, by np.where over both sides: numpy warns of a division by zero and of 0 * inf."""

    def host_value(p):
        p = np.asarray(p)
        return np.where(p > 0, -p * np.log(p), 0.0)

    def host_slope(p, g):
        p, g = np.asarray(p), np.asarray(g)
        return np.where(p > 1e-300, -(np.log(p) + 1), 0.0) * g

    @jax.custom_vjp
    def entropy(p, present):
        q = jnp.where(present, p, 0.0)
        return jax.pure_callback(host_value, shaped(q), q, vmap_method="broadcast_all")

    def bwd(saved, g):
        p, present = saved
        q = jnp.where(present, p, 0.0)
        slope = jax.pure_callback(host_slope, shaped(q), q, g, vmap_method="broadcast_all")
        return jnp.where(present, slope, 0.0), None

    entropy.defvjp(lambda p, present: (entropy(p, present), (p, present)), bwd)
    return Call(entropy, (jnp.array([0.2, 0.5, 0.1, 0.3]), jnp.array([True, True, False, True])))


ENTRIES = [
    Entry(
        "arithmetic_geometric_mean",
        ROW,
        False,
        "cannot be differentiated in reverse (while_loop); forward mode is right",
        arithmetic_geometric_mean,
    ),
    Entry(
        "dominant_eigenvalue",
        ROW,
        False,
        "custom_jvp whose tangent has a while_loop: reverse is refused, forward mode is right (the matrix is not symmetric)",
        dominant_eigenvalue,
    ),
    Entry(
        "cholesky_lower",
        ROW,
        False,
        "reads the lower triangle of a symmetric matrix alone, and returns a symmetric gradient: equal to differences along symmetric directions only",
        cholesky_lower,
    ),
    Entry(
        "degenerate_spectrum",
        ROW,
        False,
        "a symmetric matrix with a double eigenvalue; the function of the spectrum is smooth there",
        degenerate_spectrum,
    ),
    Entry(
        "masked_attention",
        ROW,
        False,
        "a row that is masked altogether: values and gradients are zeros there, and not nan",
        masked_attention,
    ),
    Entry(
        "bfloat16_layer",
        ROW,
        False,
        "bfloat16 inside, float32 outside: value and gradient are off by about 1e-2, differences in float32 see stairs",
        bfloat16_layer,
    ),
    Entry(
        "nothing_for_the_buffers",
        ROW,
        False,
        "None for integers and booleans (in a dict too), zeros for a float input that does not matter",
        nothing_for_the_buffers,
    ),
    Entry(
        "predator_prey_adjoint",
        ROW,
        False,
        "a continuous adjoint: off from the derivative of the steps by the solver's error, about 2e-4 of the largest entry",
        predator_prey_adjoint,
    ),
    Entry(
        "host_entropy_with_warnings",
        ROW,
        False,
        "numpy raises RuntimeWarnings (divide by zero, invalid value) in the callback, on the side that np.where does not take",
        host_entropy_with_warnings,
    ),
]
