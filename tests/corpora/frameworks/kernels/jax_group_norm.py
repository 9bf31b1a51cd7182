"""Group normalisation, channels last."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "group norm"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
F32 = jnp.float32
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def entry(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(jnp, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


EPS = 1e-5
GROUPS = 4


def group_norm(x, scale, shift):
    """x (batch, length, channels)"""
    n, length, c = x.shape
    g = x.reshape(n, length, GROUPS, -1)
    mean = g.mean((1, 3), keepdims=True)
    var = jnp.square(g - mean).mean((1, 3), keepdims=True)
    return ((g - mean) * lax.rsqrt(var + EPS)).reshape(x.shape) * scale + shift


def wide_group_norm(x, scale, shift):
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return group_norm(x.astype(wide), scale.astype(wide), shift.astype(wide)).astype(x.dtype)


def _split(x):
    return x.astype(F32).reshape(*x.shape[:2], GROUPS, -1)


def two_pass(x):
    g = _split(x)
    mean = g.mean((1, 3), keepdims=True)
    return mean, lax.rsqrt(jnp.square(g - mean).mean((1, 3), keepdims=True) + EPS)


def squares(x):
    """moments in the dtype of x"""
    g = x.reshape(*x.shape[:2], GROUPS, -1)
    mean = g.mean((1, 3), keepdims=True)
    var = jnp.square(g).mean((1, 3), keepdims=True) - jnp.square(mean)
    return mean.astype(F32), lax.rsqrt(jnp.maximum(var.astype(F32), 0) + EPS)


def blocks(x):
    """moments of blocks of 25 positions about a shift, the first entry; float32"""
    g = _split(x)
    first = g[:, :1, :, :1]
    d = (g - first).reshape(len(x), -1, 25, GROUPS, g.shape[-1])
    s1, s2 = d.sum((2, 4)).sum(1), jnp.square(d).sum((2, 4)).sum(1)
    count = g.shape[1] * g.shape[3]
    m = s1 / count
    rstd = lax.rsqrt(s2 / count - m * m + EPS)
    return first + m[:, None, :, None], rstd[:, None, :, None]


def kernel(stats=two_pass, less=0, shift_sum=None):
    def run(x, scale, shift):
        mean, rstd = stats(x)
        xhat = ((_split(x) - mean) * rstd).reshape(x.shape)
        return (xhat * scale.astype(F32) + shift.astype(F32)).astype(x.dtype)

    @jax.custom_vjp
    def norm(x, scale, shift):
        return run(x, scale, shift)

    def bwd(saved, dy):
        x, scale = saved
        mean, rstd = two_pass(x)
        g, xhat = dy.astype(F32), (_split(x) - mean) * rstd
        gs = (g * scale.astype(F32)).reshape(xhat.shape)
        count = xhat.shape[1] * xhat.shape[3] - less
        c1 = gs.sum((1, 3), keepdims=True) / count
        c2 = (gs * xhat).sum((1, 3), keepdims=True) / count
        dx = (gs - c1 - xhat * c2) * rstd
        dscale = (g * xhat.reshape(x.shape)).sum(1).sum(0)
        dshift = shift_sum(dy) if shift_sum else g.sum(1).sum(0)
        return dx.reshape(x.shape).astype(x.dtype), dscale.astype(scale.dtype), dshift.astype(scale.dtype)

    norm.defvjp(lambda x, scale, shift: (run(x, scale, shift), (x, scale)), bwd)
    return norm


def maps(dtype, shape=(3, 100, 12), mean=0.0, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = mean + spread * rng.standard_normal(shape)
    c = shape[-1]
    return (
        jnp.asarray(x, dtype),
        jnp.asarray(rng.uniform(0.5, 1.5, c), dtype),
        jnp.asarray(rng.standard_normal(c), dtype),
    )


entry(
    "jax_gn",
    False,
    "Two passes in float32; statistics are made anew in the backward pass.",
    kernel(),
    group_norm,
    maps,
)
entry(
    "jax_gn_shifted_blocks",
    False,
    "One pass about the first entry of each group at a mean of 40: better than the eager version in low precision.",
    kernel(stats=blocks),
    group_norm,
    lambda dtype: maps(dtype, (2, 250, 16), mean=40.0, spread=2.0, seed=1),
)
entry(
    "jax_gn_count_less_one",
    True,
    "mathematically: x: the backward pass divides by the count less one (the unbiased variance), the forward pass does not; small groups.",
    kernel(less=1),
    group_norm,
    lambda dtype: maps(dtype, (60, 2, 8), seed=2),
)
entry(
    "jax_gn_shift_gradient_of_one_batch",
    True,
    "mathematically: shift: the sum over the length is there, the one over the batch is missing.",
    kernel(shift_sum=lambda dy: dy[0].astype(F32).sum(0)),
    group_norm,
    maps,
)
entry(
    "jax_gn_squares_in_low_precision",
    True,
    "precision: bfloat16, float16: output: E[x^2] - E[x]^2 from moments in the dtype of x, at a mean of 12; the reference computes in float32.",
    kernel(stats=squares),
    wide_group_norm,
    lambda dtype: maps(dtype, (3, 100, 12), mean=12.0, seed=3),
    LOW,
)


def low_shift(dy):
    flat = dy.reshape(-1, dy.shape[-1])
    return lax.scan(lambda s, g: (s + g, None), jnp.zeros_like(flat[0]), flat)[0]


entry(
    "jax_gn_shift_gradient_low_carry",
    True,
    "precision: bfloat16, float16: shift: 1,600 cotangents are added one by one in their dtype; clear with a cotangent of one sign.",
    kernel(shift_sum=low_shift),
    wide_group_norm,
    lambda dtype: maps(dtype, (4, 400, 8), seed=4),
    LOW,
)
