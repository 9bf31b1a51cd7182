"""Fake quantisation with straight-through gradients; inputs are away from where rounding changes its mind."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "quantiser"
ALL = ("float32", "bfloat16", "float16")
F32 = jnp.float32
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def entry(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(jnp, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def fake(x, scale):
    """scale (rows,), 5 bits"""
    u = jnp.clip(x / scale[:, None], -16, 15)
    return (u + lax.stop_gradient(jnp.round(u) - u)) * scale[:, None]


def _parts(x, scale):
    u = x.astype(F32) / scale.astype(F32)[:, None]
    return u, jnp.clip(jnp.round(u), -16, 15), (u > -16) & (u < 15)


def kernel(dx, dscale):
    @jax.custom_vjp
    def quantise(x, scale):
        return (_parts(x, scale)[1] * scale.astype(F32)[:, None]).astype(x.dtype)

    def bwd(saved, g):
        x, scale = saved
        u, q, inside = _parts(x, scale)
        terms = g.astype(F32) * jnp.where(inside, q - u, q)
        return dx(g, inside), dscale(terms, scale).astype(scale.dtype)

    quantise.defvjp(lambda x, scale: (quantise(x, scale), (x, scale)), bwd)
    return quantise


def masked(g, inside):
    return jnp.where(inside, g, 0)


def row_sum(terms, scale):
    return terms.sum(1)


def low_sum(terms, scale):
    return lax.scan(lambda s, t: (s + t.astype(s.dtype), None), jnp.zeros_like(scale), terms.T)[0]


def rows(dtype, first=-22, last=22, size=(10, 800), seed=0):
    rng = np.random.default_rng(seed)
    fraction = rng.choice([-1, 1], size) * rng.uniform(0.1, 0.35, size)
    steps = rng.integers(first, last, size) + fraction
    scale = jnp.asarray(rng.uniform(0.02, 0.2, size[0]), dtype)
    x = jnp.asarray(steps * np.asarray(scale.astype(F32), float)[:, None], dtype)
    u = np.asarray(x.astype(F32), float) / np.asarray(scale.astype(F32), float)[:, None]
    assert (
        (abs(u - np.floor(u) - 0.5) > 0.04).all()
        and (abs(u + 16) > 0.02).all()
        and (abs(u - 15) > 0.02).all()
    )
    return x, scale


entry(
    "jax_quant_rows",
    False,
    "A scale for each row; a staircase with the gradient of a clipped identity.",
    kernel(masked, row_sum),
    fake,
    rows,
)
entry(
    "jax_quant_no_mask",
    True,
    "mathematically: x: the straight-through gradient is not masked where the quantiser clips.",
    kernel(lambda g, inside: g, row_sum),
    fake,
    rows,
)
entry(
    "jax_quant_mean_for_sum",
    True,
    "mathematically: scale: a missing factor, the length: mean instead of sum.",
    kernel(masked, lambda terms, scale: terms.mean(1)),
    fake,
    rows,
)
entry(
    "jax_quant_tail_lost",
    True,
    "mathematically: scale: 800 columns in blocks of 300, the last 200 are left out.",
    kernel(masked, lambda terms, scale: terms[:, : 800 // 300 * 300].sum(1)),
    fake,
    rows,
)
entry(
    "jax_quant_scale_gradient_in_low_precision",
    True,
    "precision: bfloat16: scale: 2,000 terms are added one by one in the scale's dtype; clear with a cotangent of one sign (most are clipped at 15).",
    kernel(masked, low_sum),
    fake,
    lambda dtype: rows(dtype, first=13, last=22, size=(5, 2000)),
    ("bfloat16",),
)


# ---- scale from the rows' maxima, with its gradient; eager by stop_gradient


def dynamic(x):
    """8 bits; the scale is max|x| / 127 of each row, and its gradient goes to the largest entry"""
    scale = jnp.max(jnp.abs(x), axis=1, keepdims=True) / 127
    q = lax.stop_gradient(jnp.round(x / scale))
    return q * scale + (x - lax.stop_gradient(x))


@jax.custom_vjp
def dynamic_kernel(x):
    x32 = x.astype(F32)
    scale = jnp.abs(x32).max(1, keepdims=True) / 127
    return (jnp.round(x32 / scale) * scale).astype(x.dtype)


def dynamic_bwd(x, g):
    x32, g32 = x.astype(F32), g.astype(F32)
    size = jnp.abs(x32)
    scale = size.max(1, keepdims=True) / 127
    dscale = (g32 * jnp.round(x32 / scale)).sum(1, keepdims=True)
    largest = size == size.max(1, keepdims=True)
    return ((g32 + jnp.where(largest, jnp.sign(x32) * dscale / 127, 0)).astype(x.dtype),)


dynamic_kernel.defvjp(lambda x: (dynamic_kernel(x), x), dynamic_bwd)


@jax.custom_vjp
def dynamic_unsigned(x):
    return dynamic_kernel(x)


def dynamic_unsigned_bwd(x, g):
    x32, g32 = x.astype(F32), g.astype(F32)
    size = jnp.abs(x32)
    top = jnp.argmax(size, 1)
    scale = size.max(1, keepdims=True) / 127
    dscale = (g32 * jnp.round(x32 / scale)).sum(1)
    return (g32.at[jnp.arange(len(x)), top].add(dscale / 127).astype(x.dtype),)


dynamic_unsigned.defvjp(lambda x: (dynamic_unsigned(x), x), dynamic_unsigned_bwd)


def coarse(dtype):
    rng = np.random.default_rng(9)
    x = rng.integers(-24, 25, (30, 60)) * 2.0 + rng.choice(
        [-0.25, 0.25], (30, 60)
    )  # /127 * 127: exact in every dtype
    x[np.arange(30), rng.integers(0, 60, 30)] = np.where(np.arange(30) % 3, -127.0, 127.0)
    return (jnp.asarray(x, dtype),)


entry(
    "jax_quant_dynamic_scale",
    False,
    "Straight through for all entries, and the scale's gradient on top for the largest, of either sign.",
    dynamic_kernel,
    dynamic,
    coarse,
)
entry(
    "jax_quant_sign_of_the_maximum",
    True,
    "mathematically: x: the scale's gradient reaches the largest entry without its sign, where that entry is negative.",
    dynamic_unsigned,
    dynamic,
    coarse,
)
