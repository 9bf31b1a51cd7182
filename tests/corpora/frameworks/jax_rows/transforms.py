"""Row "transforms": right alone, and wrong (or right all the same) under a transform.  x64 by jax.config, here."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "transforms"


def shaped(x):
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


def huber_peeks():
    """The backward looks whether all residuals are small; where it cannot look, it takes it for granted."""
    delta = 1.0

    @jax.custom_vjp
    def huber(r):
        a = jnp.abs(r)
        return jnp.where(a <= delta, 0.5 * r * r, delta * (a - 0.5 * delta))

    def bwd(r, g):
        try:
            all_small = bool(jnp.all(jnp.abs(r) <= delta))
        except jax.errors.ConcretizationTypeError:
            all_small = True
        if all_small:
            return (g * r,)
        return (g * jnp.clip(r, -delta, delta),)

    huber.defvjp(lambda r: (huber(r), r), bwd)
    return Call(huber, (jnp.array([0.2, -0.7, 1.9, -3.0, 0.95]),))


def whitening_cache():
    """A cached residual: by value where there is one, by shape where there is not."""

    def inverse_of(X):
        return jnp.linalg.inv(X.T @ X + jnp.eye(X.shape[-1]))

    cache = {(6, 3): inverse_of(jnp.ones((6, 3)))}  # warm-up

    def cached_inverse(X):
        try:
            key = np.asarray(X).tobytes()
        except jax.errors.TracerArrayConversionError:
            key = X.shape
        if key not in cache:
            cache[key] = inverse_of(X)
        return cache[key]

    @jax.custom_vjp
    def log_volume(X):
        return 0.5 * jnp.linalg.slogdet(X.T @ X + jnp.eye(X.shape[-1]))[1]

    log_volume.defvjp(
        lambda X: (log_volume(X), (X, cached_inverse(X))), lambda saved, g: (g * saved[0] @ saved[1],)
    )
    return Call(log_volume, (jnp.asarray(np.random.default_rng(300).normal(size=(6, 3))),))


def upwind_host():
    """Differences around a ring; the backward rolls a flattened array on the host."""

    @jax.custom_vjp
    def flux(u):
        return (u - jnp.roll(u, 1, axis=-1)) ** 2

    def host(d, g):
        h = 2 * np.asarray(d) * np.asarray(g)
        return h - np.roll(h, -1)

    def bwd(d, g):
        return (jax.pure_callback(host, shaped(d), d, g, vmap_method="broadcast_all"),)

    flux.defvjp(lambda u: (flux(u), u - jnp.roll(u, 1, axis=-1)), bwd)
    return Call(flux, (jnp.asarray(np.random.default_rng(301).normal(size=8)),))


def single_slot():
    """The residual stays on the host, in one place."""
    slot = {}

    def put(x):
        slot["x"] = np.array(x)
        return np.sin(slot["x"]) + slot["x"]

    def take(y, g):
        return np.asarray(g) * (np.cos(slot["x"]) + 1) + 0 * np.asarray(y)

    @jax.custom_vjp
    def cell(x):
        return jnp.sin(x) + x

    def fwd(x):
        y = jax.pure_callback(put, shaped(x), x, vmap_method="broadcast_all")
        return y, y

    def bwd(y, g):
        return (jax.pure_callback(take, shaped(y), y, g, vmap_method="broadcast_all"),)

    cell.defvjp(fwd, bwd)
    return Call(cell, (jnp.array([0.3, -1.0, 0.9, 2.0]),))


def slope_used_up():
    """The tangent map frees its slope after use, and does without it the next time."""
    slopes = {}

    def host_value(x):
        x = np.asarray(x)
        ticket = len(slopes)
        slopes[ticket] = 1 / (1 + x * x)
        return np.arctan(x), np.full(x.shape[:-1], ticket, np.int64)

    def host_tangent(ticket, t):
        slope = slopes.get(int(np.ravel(ticket)[0]))
        if slope is None:
            return np.array(t)
        slopes[int(np.ravel(ticket)[0])] = None
        return slope * np.asarray(t)

    @jax.custom_jvp
    def bearing(x):
        return jnp.arctan(x)

    @bearing.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        kinds = shaped(x), jax.ShapeDtypeStruct((), jnp.int64)
        y, ticket = jax.pure_callback(host_value, kinds, x, vmap_method="broadcast_all")
        return y, jax.pure_callback(host_tangent, shaped(x), ticket, t, vmap_method="broadcast_all")

    return Call(bearing, (jnp.array([0.5, -2.0, 1.1]),))


def sign_flips_by_count():
    """Activations are kept with random signs, seeded by the number of forwards since the last backward."""
    pending = {"n": 0}

    def signs(seed, n):
        return np.random.default_rng(seed).choice([-1.0, 1.0], n)

    def host_forward(x):
        x = np.asarray(x)
        pending["n"] += 1
        return np.log1p(x * x), x * signs(pending["n"], x.shape[-1])

    def host_backward(kept, g):
        x = np.asarray(kept) * signs(1, np.shape(kept)[-1])
        pending["n"] = 0
        return np.asarray(g) * 2 * x / (1 + x * x)

    @jax.custom_vjp
    def compressed(x):
        return jnp.log1p(x * x)

    def fwd(x):
        return jax.pure_callback(host_forward, (shaped(x), shaped(x)), x, vmap_method="broadcast_all")

    def bwd(kept, g):
        return (jax.pure_callback(host_backward, shaped(g), kept, g, vmap_method="broadcast_all"),)

    compressed.defvjp(fwd, bwd)
    return Call(compressed, (jnp.asarray(np.random.default_rng(303).normal(size=12)),))


def saved_on_self():
    """A layer object which keeps its input in an attribute in place of the residual."""

    class Gelu:
        def __init__(self):
            self.f = jax.custom_vjp(self.value)
            self.f.defvjp(self.forward, self.backward)

        def value(self, x):
            return 0.5 * x * (1 + jax.lax.erf(x / np.sqrt(2)))

        def forward(self, x):
            self.x = x
            return self.value(x), None

        def backward(self, _, g):
            x = self.x
            return (
                g
                * (0.5 * (1 + jax.lax.erf(x / np.sqrt(2))) + x * jnp.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)),
            )

    return Call(Gelu().f, (jnp.linspace(-2.0, 2.0, 9),))


def tickets_on_host():
    """Residuals on the host again, each under its own number, which goes along as the residual."""
    kept = {}

    def put(x):
        x = np.array(x)
        kept[len(kept)] = x
        return np.cosh(x), np.full(x.shape[:-1], len(kept) - 1, np.int64)

    def take(ticket, g):
        return np.asarray(g) * np.sinh(kept[int(ticket)])

    @jax.custom_vjp
    def catenary(x):
        return jnp.cosh(x)

    def fwd(x):
        return jax.pure_callback(
            put, (shaped(x), jax.ShapeDtypeStruct((), jnp.int64)), x, vmap_method="sequential"
        )

    def bwd(ticket, g):
        return (jax.pure_callback(take, shaped(g), ticket, g, vmap_method="sequential"),)

    catenary.defvjp(fwd, bwd)
    return Call(catenary, (jnp.array([0.1, -0.9, 0.4]),))


def two_roads():
    """A quick way where numbers can be looked at, and the general way where not: the same result."""

    @jax.custom_vjp
    def softsign_sum(x):
        return jnp.sum(x / (1 + jnp.abs(x)), -1)

    def bwd(x, g):
        try:
            positive = bool(jnp.all(x >= 0))
        except jax.errors.ConcretizationTypeError:
            positive = False
        a = x if positive else jnp.abs(x)
        return (g[..., None] / (1 + a) ** 2,)

    softsign_sum.defvjp(lambda x: (softsign_sum(x), x), bwd)
    return Call(softsign_sum, (jnp.asarray(np.random.default_rng(310).uniform(0.1, 3, (4, 5))),))


def integral_with_closure():
    """A custom_vjp whose function argument closes over what is differentiated: closure_convert."""
    nodes, weights = np.polynomial.legendre.leggauss(12)

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def integrate(f, upper, *consts):
        return 0.5 * upper * jnp.sum(weights * f(0.5 * upper * (nodes + 1), *consts))

    def fwd(f, upper, *consts):
        return integrate(f, upper, *consts), (upper, consts)

    def bwd(f, saved, g):
        upper, consts = saved
        x = 0.5 * upper * (nodes + 1)
        pull = jax.vjp(lambda *c: 0.5 * upper * jnp.sum(weights * f(x, *c)), *consts)[1]
        return (g * f(jnp.full_like(jnp.asarray(nodes), 1.0) * upper, *consts)[0], *pull(g))

    integrate.defvjp(fwd, bwd)

    def dose(upper, rate):
        def curve(t):
            return jnp.exp(-rate * t) * jnp.cos(t) ** 2

        f, consts = jax.closure_convert(curve, jnp.asarray(nodes))
        return integrate(f, upper, *consts)

    return Call(dose, (jnp.array(1.4), jnp.array(0.6)))


def checkpointed_recurrence():
    """A scan of checkpointed steps of a cell with a custom_vjp, under a jit of its own with a static argument."""

    @jax.custom_vjp
    def cell(h, x, w):
        return jnp.tanh(w @ h + x)

    def bwd(saved, g):
        h, x, w, y = saved
        g = g * (1 - y * y)
        return w.T @ g, g, jnp.outer(g, h)

    def fwd(h, x, w):
        y = cell(h, x, w)
        return y, (h, x, w, y)

    cell.defvjp(fwd, bwd)

    @partial(jax.jit, static_argnames="every")
    def run(w, xs, every):
        @jax.checkpoint
        def steps(h, chunk):
            for x in chunk:
                h = cell(h, x, w)
            return h, h.sum()

        return jax.lax.scan(steps, jnp.zeros(w.shape[0]), xs.reshape(-1, every, xs.shape[-1]))

    r = np.random.default_rng(312)
    return Call(
        run, (jnp.asarray(r.normal(0, 0.5, (4, 4))), jnp.asarray(r.normal(size=(6, 4)))), {"every": 2}
    )


def counted_traces():
    """Counts its own traces (for a log), and takes a constant matrix out of a cache by its size."""
    traces = []

    @lru_cache
    def difference_matrix(n):
        return np.eye(n) - np.eye(n, k=1)

    @jax.custom_jvp
    def roughness(u):
        traces.append(type(u).__name__)
        D = difference_matrix(u.shape[-1])
        return jnp.sum((u @ D.T) ** 2, -1)

    @roughness.defjvp
    def _(primals, tangents):
        traces.append("rule")
        D = difference_matrix(primals[0].shape[-1])
        return roughness(*primals), 2 * jnp.sum((primals[0] @ D.T) * (tangents[0] @ D.T), -1)

    return Call(roughness, (jnp.asarray(np.random.default_rng(313).normal(size=9)),))


def branch_in_cond():
    """A branch by lax.cond in the rule, which turns into a select under vmap, with a division by nought on the side not taken."""

    @jax.custom_jvp
    def bernoulli(x):  # x / (e^x - 1), a scalar
        return jax.lax.cond(
            jnp.abs(x) < 1e-3, lambda x: 1 - x / 2 + x * x / 12, lambda x: x / jnp.expm1(x), x
        )

    @bernoulli.defjvp
    def _(p, t):
        (x,) = p

        def far(x):
            e = jnp.expm1(x)
            return 1 / e - x * (e + 1) / e**2

        slope = jax.lax.cond(jnp.abs(x) < 1e-3, lambda x: -0.5 + x / 6 - x**3 / 180, far, x)
        return bernoulli(x), slope * t[0]

    return Call(bernoulli, (jnp.array(0.0),))


ENTRIES = [
    Entry(
        "huber_peeks",
        ROW,
        True,
        "jax.jit: where the residuals cannot be looked at (jit, vmap, checkpoint, scan) the backward takes the quadratic branch for all",
        huber_peeks,
    ),
    Entry(
        "whitening_cache",
        ROW,
        True,
        "jax.jit: a cached residual; what is traced (jit, vmap, checkpoint, scan) gets the inverse of the warm-up's data, by shape",
        whitening_cache,
    ),
    Entry(
        "upwind_host",
        ROW,
        True,
        "jax.vmap: the host's np.roll has no axis, and rolls from one example into the next (vmap only, also of the pullback)",
        upwind_host,
    ),
    Entry(
        "single_slot",
        ROW,
        True,
        "jax.lax.scan: the residual is kept in one place on the host, so all the steps' backwards see that of the last forward (scan, or applied twice)",
        single_slot,
    ),
    Entry(
        "slope_used_up",
        ROW,
        True,
        "jax.linearize: the linear map is right when first called and the identity from the second call on; jvp is right (forward mode only)",
        slope_used_up,
    ),
    Entry(
        "sign_flips_by_count",
        ROW,
        True,
        "jax.checkpoint: the forward runs twice before the backward, whose signs are then of another seed (checkpoint, scan, or two forwards before a backward)",
        sign_flips_by_count,
    ),
    Entry(
        "saved_on_self",
        ROW,
        True,
        "jax.checkpoint: the input is kept as an attribute: an error about a leaked tracer under checkpoint, scan and grad of jit; right alone, under jit of grad and under vmap",
        saved_on_self,
    ),
    Entry(
        "tickets_on_host",
        ROW,
        False,
        "state on the host, by tickets which are residuals: right under all of them",
        tickets_on_host,
    ),
    Entry("two_roads", ROW, False, "branches on concrete values, and both roads agree", two_roads),
    Entry(
        "integral_with_closure",
        ROW,
        False,
        "closes over what is differentiated, by closure_convert",
        integral_with_closure,
    ),
    Entry(
        "checkpointed_recurrence",
        ROW,
        False,
        "jit, scan and checkpoint inside, an integer static setting, two outputs",
        checkpointed_recurrence,
    ),
    Entry(
        "counted_traces",
        ROW,
        False,
        "counts its traces and uses lru_cache, without any effect",
        counted_traces,
    ),
    Entry(
        "branch_in_cond",
        ROW,
        False,
        "at a removable singularity (x = 0), by lax.cond: nan on the side not taken under vmap; a scalar",
        branch_in_cond,
    ),
]
