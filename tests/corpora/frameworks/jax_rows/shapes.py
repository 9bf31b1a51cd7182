"""Row "shapes": functions of any rank or size, and controls with integer indices.  x64 is switched on here, by jax.config."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "shapes"


def mean_cauchy_loss():
    """Mean of log(1 + r^2 / 2) over all elements."""

    @jax.custom_vjp
    def cauchy(r):
        return jnp.mean(jnp.log1p(0.5 * r * r))

    cauchy.defvjp(lambda r: (cauchy(r), r), lambda r, g: (g * r / (1 + 0.5 * r * r) / r.shape[0],))
    return Call(cauchy, (jnp.asarray(np.random.default_rng(600).normal(size=14)),))


def log_softmax_second_axis():
    """log softmax along the last axis; the backward sums over axis 1."""

    @jax.custom_vjp
    def log_softmax(x):
        m = jax.lax.stop_gradient(x.max(-1, keepdims=True))
        return x - m - jnp.log(jnp.sum(jnp.exp(x - m), -1, keepdims=True))

    def fwd(x):
        y = log_softmax(x)
        return y, y

    log_softmax.defvjp(fwd, lambda y, g: (g - jnp.exp(y) * jnp.sum(g, axis=1, keepdims=True),))
    return Call(log_softmax, (jnp.asarray(np.random.default_rng(601).normal(size=(4, 5))),))


def pair_pooling():
    """Root mean square of neighbours, two by two; an odd one at the end is left out."""

    @jax.custom_vjp
    def pool(x):
        n = x.shape[-1] // 2
        return jnp.sqrt(0.5 * jnp.sum(x[..., : 2 * n].reshape(*x.shape[:-1], n, 2) ** 2, -1) + 1e-3)

    def fwd(x):
        y = pool(x)
        return y, (x, y)

    def bwd(saved, g):
        x, y = saved
        h = jnp.repeat(0.5 * g / y, 2, axis=-1)
        missing = x.shape[-1] - h.shape[-1]
        h = jnp.pad(h, [(0, 0)] * (x.ndim - 1) + [(0, missing)], mode="edge")
        return (h * x,)

    pool.defvjp(fwd, bwd)
    return Call(pool, (jnp.asarray(np.random.default_rng(602).normal(size=(3, 8))),))


def blockwise_prefix_sum():
    """Prefix sums of squares in blocks of 64; the backward has no carry from block to block."""
    block = 64

    @jax.custom_vjp
    def prefix(x):
        return jnp.cumsum(x * x)

    def bwd(x, g):
        n = x.shape[0]
        padded = jnp.pad(g, (0, -n % block)).reshape(-1, block)
        tails = jnp.flip(jnp.cumsum(jnp.flip(padded, 1), 1), 1)
        return (2 * x * tails.reshape(-1)[:n],)

    prefix.defvjp(lambda x: (prefix(x), x), bwd)
    return Call(prefix, (jnp.asarray(np.random.default_rng(603).normal(size=50)),))


def one_sided_spectrum():
    """Energy in a one-sided spectrum: the bins but the first and the last count twice, which holds for even lengths."""

    def weights(n):
        k = np.arange(n // 2 + 1)
        return np.where((k == 0) | (2 * k == n), 1.0, 2.0)

    @jax.custom_vjp
    def log_energy(x):
        X = jnp.fft.rfft(x)
        return jnp.sum(weights(x.shape[-1]) * jnp.log1p(jnp.abs(X) ** 2), -1)

    def bwd(saved, g):
        X, like = saved
        n = like.shape[-1]
        w = jnp.full(X.shape[-1], 2.0).at[0].set(1.0).at[-1].set(1.0)
        full = w * 2 * X / (1 + jnp.abs(X) ** 2)
        # sum_k Re(conj(full_k) e^(-2 pi i k m / n)), by a padded inverse transform
        padded = jnp.zeros((*X.shape[:-1], n), X.dtype).at[..., : X.shape[-1]].set(full)
        return (g[..., None] * n * jnp.fft.ifft(padded).real,)

    log_energy.defvjp(lambda x: (log_energy(x), (jnp.fft.rfft(x), x)), bwd)
    return Call(log_energy, (jnp.asarray(np.random.default_rng(604).normal(size=(2, 10))),))


def rows_by_number():
    """take along the first axis, with the last row and a negative number among the indices."""

    @jax.custom_vjp
    def pick(table, numbers):
        return jnp.take(table, numbers, axis=0)

    def bwd(saved, g):
        numbers, table = saved
        return jnp.zeros_like(table).at[numbers].add(g), np.zeros(numbers.shape, jax.dtypes.float0)

    pick.defvjp(lambda t, n: (pick(t, n), (n, t)), bwd)
    return Call(
        pick, (jnp.asarray(np.random.default_rng(610).normal(size=(5, 3))), jnp.array([[4, 0], [-1, 4]]))
    )


def chosen_actions():
    """log-probabilities of the actions taken, by take_along_axis."""

    @jax.custom_jvp
    def chosen(logits, actions):
        logp = jax.nn.log_softmax(logits)
        return jnp.take_along_axis(logp, actions[..., None], -1)[..., 0]

    @chosen.defjvp
    def _(primals, tangents):
        logits, actions = primals
        p = jax.nn.softmax(logits)
        d = tangents[0]
        return chosen(logits, actions), jnp.take_along_axis(d, actions[..., None], -1)[..., 0] - jnp.sum(
            p * d, -1
        )

    return Call(
        chosen,
        (jnp.asarray(np.random.default_rng(611).normal(size=(2, 3, 4))), jnp.array([[3, 0, 2], [1, 3, 3]])),
    )


def totals_by_region():
    """Segment sums of squares; the number of segments is a setting, and the largest id is one less."""

    @partial(jax.custom_vjp, nondiff_argnums=(2,))
    def totals(values, region, count):
        return jax.ops.segment_sum(values * values, region, num_segments=count)

    def fwd(values, region, count):
        return totals(values, region, count), (values, region)

    def bwd(count, saved, g):
        values, region = saved
        return 2 * values * g[region], None

    totals.defvjp(fwd, bwd)
    return Call(
        totals,
        (jnp.asarray(np.random.default_rng(612).normal(size=(9, 2))), jnp.array([0, 5, 5, 2, 0, 5, 1, 2, 5])),
        {"count": 6},
    )


def norm_of_anything():
    """The root of one plus the sum of squares of an array of any rank, a scalar or an empty one too."""

    @jax.custom_vjp
    def norm(x):
        return jnp.sqrt(1 + jnp.sum(x * x))

    norm.defvjp(lambda x: (norm(x), x), lambda x, g: (g * x / norm(x),))
    return Call(norm, (jnp.asarray(np.random.default_rng(613).normal(size=(2, 1, 3))),))


def broadcast_ratio():
    """a / (1 + b^2) with any broadcasting, summed back in the backward."""

    def back(g, shape):
        extra = g.ndim - len(shape)
        g = g.sum(tuple(range(extra)))
        ones = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
        return g.sum(ones, keepdims=True)

    @jax.custom_vjp
    def ratio(a, b):
        return a / (1 + b * b)

    def bwd(saved, g):
        a, b = saved
        q = 1 + b * b
        return back(g / q, a.shape), back(-2 * g * a * b / q**2, b.shape)

    ratio.defvjp(lambda a, b: (ratio(a, b), (a, b)), bwd)
    r = np.random.default_rng(614)
    return Call(ratio, (jnp.asarray(r.normal(size=(3, 1, 4))), jnp.asarray(r.normal(size=(2, 1)))))


def last_valid_step():
    """The last valid step of each padded sequence, by lengths; numbers below 1 or above the length make no sense."""

    @jax.custom_vjp
    def last(sequences, lengths):
        i = (lengths - 1)[:, None, None]
        return jnp.take_along_axis(sequences, i, axis=1)[:, 0]

    def bwd(saved, g):
        lengths, like = saved
        hit = jnp.arange(like.shape[1])[None, :] == (lengths - 1)[:, None]
        return jnp.where(hit[..., None], g[:, None], 0.0), None

    last.defvjp(lambda s, n: (last(s, n), (n, s)), bwd)
    return Call(
        last, (jnp.asarray(np.random.default_rng(615).normal(size=(4, 6, 2))), jnp.array([6, 1, 3, 6]))
    )


ENTRIES = [
    Entry(
        "mean_cauchy_loss",
        ROW,
        True,
        "divides by shape[0]: right for one dimension, as given; wrong at rank 2 and more, as (3, 4)",
        mean_cauchy_loss,
    ),
    Entry(
        "log_softmax_second_axis",
        ROW,
        True,
        "sums over axis 1: right for rank 2, as given; wrong at rank 3, as (2, 3, 4), and an error at rank 1",
        log_softmax_second_axis,
    ),
    Entry(
        "pair_pooling",
        ROW,
        True,
        "right for even lengths, as given; at odd lengths, as (3, 7), the element that is left out gets a gradient",
        pair_pooling,
    ),
    Entry(
        "blockwise_prefix_sum",
        ROW,
        True,
        "right up to 64 elements, as given; wrong from 65 on (no carry between blocks)",
        blockwise_prefix_sum,
    ),
    Entry(
        "one_sided_spectrum",
        ROW,
        True,
        "right for even lengths, as given; at odd lengths, as (2, 9), the last bin should count twice",
        one_sided_spectrum,
    ),
    Entry(
        "rows_by_number",
        ROW,
        False,
        "the indices have the last row and -1 among them: with fewer rows they are out of bounds",
        rows_by_number,
    ),
    Entry(
        "chosen_actions",
        ROW,
        False,
        "take_along_axis with the largest action: with fewer logits out of bounds",
        chosen_actions,
    ),
    Entry(
        "totals_by_region",
        ROW,
        False,
        "segment ids up to count - 1; segments 3 and 4 are empty",
        totals_by_region,
    ),
    Entry("norm_of_anything", ROW, False, "any rank, a scalar and an empty array too", norm_of_anything),
    Entry(
        "broadcast_ratio",
        ROW,
        False,
        "broadcasts (3, 1, 4) with (2, 1); right for all pairs of shapes that can be broadcast",
        broadcast_ratio,
    ),
    Entry(
        "last_valid_step",
        ROW,
        False,
        "lengths that index: a shorter padding makes them out of bounds; most gradients are zero",
        last_valid_step,
    ),
]
