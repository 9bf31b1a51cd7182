"""Products that add up over blocks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "matmul"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
F32 = jnp.float32
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def entry(name, wrong, why, function, reference, inputs, dtypes=ALL):
    function = jax.jit(function)

    def make(dtype=getattr(jnp, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def dense(x, w, b):
    return x @ w + b


def product(forward, backward):
    @jax.custom_vjp
    def f(x, w, b):
        return forward(x, w, b)

    f.defvjp(lambda x, w, b: (forward(x, w, b), (x, w)), backward)
    return f


def once(x, w, b):
    return (lax.dot(x, w, preferred_element_type=F32) + b.astype(F32)).astype(x.dtype)


def inner_blocks(x, w, b):
    """a float32 carry over blocks of 128 of the inner dimension, zero padded"""
    k = x.shape[1]
    pad = -k % 128
    xs = jnp.pad(x, ((0, 0), (0, pad))).reshape(len(x), -1, 128).swapaxes(0, 1)
    ws = jnp.pad(w, ((0, pad), (0, 0))).reshape(-1, 128, w.shape[1])
    start = jnp.broadcast_to(b.astype(F32), (len(x), w.shape[1]))
    acc, _ = lax.scan(lambda a, xw: (a + lax.dot(*xw, preferred_element_type=F32), None), start, (xs, ws))
    return acc.astype(x.dtype)


def by_rows(size, accumulator, *, bias=True):
    def backward(saved, g):
        x, w = saved
        n = len(x)
        blocks = -(-n // size)
        xs = jnp.pad(x, ((0, blocks * size - n), (0, 0))).reshape(blocks, size, -1)
        gs = jnp.pad(g, ((0, blocks * size - n), (0, 0))).reshape(blocks, size, -1)

        def step(carry, piece):
            xb, gb = piece[0].astype(F32), piece[1].astype(F32)
            dw, db = carry
            return (dw + (xb.T @ gb).astype(dw.dtype), db + gb.sum(0)), None

        init = (jnp.zeros(w.shape, accumulator or w.dtype), jnp.zeros(w.shape[1], F32))
        (dw, db), _ = lax.scan(step, init, (xs, gs))
        return (g.astype(F32) @ w.astype(F32).T).astype(x.dtype), dw.astype(w.dtype), db.astype(w.dtype)

    return backward


def layer(dtype, rows=1300, width=14, out=9, mean=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = mean + rng.standard_normal((rows, width))
    w = rng.standard_normal((width, out)) / width**0.5
    return jnp.asarray(x, dtype), jnp.asarray(w, dtype), jnp.asarray(rng.standard_normal(out), dtype)


entry(
    "jax_mm_inner_blocks",
    False,
    "A float32 carry over an inner dimension of 2,000, with a padded tail.",
    product(inner_blocks, by_rows(64, F32)),
    dense,
    lambda dtype: layer(dtype, 12, 2000, 8),
)
entry(
    "jax_mm_rows",
    False,
    "The weight's gradient is a float32 carry over 1,300 rows.",
    product(once, by_rows(100, F32)),
    dense,
    lambda dtype: layer(dtype, mean=1.0),
)


def clamped_slices(saved, g):
    """blocks of 256 rows by dynamic_slice, whose last start is clamped"""
    x, w = saved

    def step(i, dw):
        xb = lax.dynamic_slice_in_dim(x, 256 * i, 256).astype(F32)
        gb = lax.dynamic_slice_in_dim(g, 256 * i, 256).astype(F32)
        return dw + xb.T @ gb

    dw = lax.fori_loop(0, -(-len(x) // 256), step, jnp.zeros(w.shape, F32))
    return (
        (g.astype(F32) @ w.astype(F32).T).astype(x.dtype),
        dw.astype(w.dtype),
        g.astype(F32).sum(0).astype(w.dtype),
    )


entry(
    "jax_mm_last_slice_clamped",
    True,
    "mathematically: w: the tail's dynamic_slice is moved back to fit, and some rows count twice.",
    product(once, clamped_slices),
    dense,
    layer,
)


def no_bias_sum(saved, g):
    dx, dw, _ = by_rows(100, F32)(saved, g)
    return dx, dw, g.mean(0)


entry(
    "jax_mm_bias_mean",
    True,
    "mathematically: b: the mean over the rows where it should be the sum (a missing factor).",
    product(once, no_bias_sum),
    dense,
    layer,
)
entry(
    "jax_mm_weight_gradient_low_carry",
    True,
    "precision: bfloat16, float16: w: the carry over 1,300 rows, one at a time, has the weight's dtype; clear with a cotangent of one sign.",
    product(once, by_rows(1, None)),
    dense,
    lambda dtype: layer(dtype, mean=2.0, seed=2),
    LOW,
)


def low_inner(x, w, b):
    acc, _ = lax.scan(
        lambda a, xw: (a + xw[0][:, None] * xw[1], None), jnp.zeros((len(x), w.shape[1]), x.dtype), (x.T, w)
    )
    return acc + b


entry(
    "jax_mm_forward_low_carry",
    True,
    "precision: bfloat16, float16: output: 4,000 terms of one sign are added in the inputs' dtype.",
    product(low_inner, by_rows(64, F32)),
    dense,
    lambda dtype: tuple(jnp.abs(t) for t in layer(dtype, 4, 4000, 4, seed=3)),
    LOW,
)


def rounded_cotangent(saved, g):
    return by_rows(100, F32)(saved, g.astype(jnp.bfloat16).astype(g.dtype))


entry(
    "jax_mm_cotangent_in_bfloat16",
    True,
    "precision: float32: x, w, b: the cotangent passes through bfloat16 on its way, which float32 notices.",
    product(once, rounded_cotangent),
    dense,
    layer,
    ("float32",),
)


# ---- squared ReLU as an epilogue


def squared_relu(x, w, b):
    return jnp.square(jax.nn.relu(x @ w + b))


def epilogue(factor):
    @jax.custom_vjp
    def f(x, w, b):
        z = lax.dot(x, w, preferred_element_type=F32) + b.astype(F32)
        return jnp.square(jnp.maximum(z, 0)).astype(x.dtype)

    def bwd(saved, g):
        x, w, b = saved
        z = lax.dot(x, w, preferred_element_type=F32) + b.astype(F32)
        dz = factor * jnp.maximum(z, 0) * g.astype(F32)
        return (
            (dz @ w.astype(F32).T).astype(x.dtype),
            (x.astype(F32).T @ dz).astype(w.dtype),
            dz.sum(0).astype(b.dtype),
        )

    f.defvjp(lambda *a: (f(*a), a), bwd)
    return f


def small(dtype):
    return layer(dtype, 100, 30, 20, seed=6)


entry(
    "jax_mm_squared_relu",
    False,
    "The pre-activation is never rounded: better than the eager version.",
    epilogue(2.0),
    squared_relu,
    small,
)
entry(
    "jax_mm_squared_relu_factor",
    True,
    "mathematically: x, w, b: a missing factor 2 of the square.",
    epilogue(1.0),
    squared_relu,
    small,
)
