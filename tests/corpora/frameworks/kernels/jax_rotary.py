"""Rotary embeddings from integer positions; trained frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "rotary"
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


def _wide(dtype):
    return jnp.promote_types(dtype, jnp.float32)


def _angles(positions, width, wide):
    freq = 10000.0 ** (-jnp.arange(0, width, 2, dtype=wide) / width)
    return positions.astype(wide)[:, None] * freq


def rotate(x, positions):
    """x (heads, length, width), interleaved pairs"""
    angle = _angles(positions, x.shape[-1], _wide(x.dtype))
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def _turn(x, angle):
    even, odd = x[..., 0::2].astype(F32), x[..., 1::2].astype(F32)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    out = jnp.zeros(x.shape, x.dtype)
    out = out.at[..., 0::2].set((even * cos - odd * sin).astype(x.dtype))
    return out.at[..., 1::2].set((odd * cos + even * sin).astype(x.dtype))


def kernel(forward_angle, backward_angle):
    @jax.custom_vjp
    def rope(x, positions):
        return _turn(x, forward_angle(positions, x))

    rope.defvjp(
        lambda x, positions: (rope(x, positions), positions),
        lambda positions, g: (_turn(g, backward_angle(positions, g)), None),
    )
    return rope


def exact(positions, x):
    return _angles(positions, x.shape[-1], F32)


def low(positions, x):
    return _angles(positions.astype(x.dtype), x.shape[-1], x.dtype).astype(F32)


def heads(dtype, first=0, length=60, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((4, length, 20)), dtype), jnp.arange(
        first, first + length, dtype=jnp.int32
    )


entry(
    "jax_rope",
    False,
    "Writes even and odd entries in place; integer positions have no gradient.",
    kernel(exact, lambda p, g: -exact(p, g)),
    rotate,
    heads,
)
entry(
    "jax_rope_turned_twice",
    True,
    "mathematically: x: the backward pass turns by the angle where it should turn back (the sine's sign).",
    kernel(exact, exact),
    rotate,
    heads,
)
entry(
    "jax_rope_backward_one_position_late",
    True,
    "mathematically: x: the backward pass is off by one position.",
    kernel(exact, lambda p, g: -exact(p + 1, g)),
    rotate,
    heads,
)
entry(
    "jax_rope_low_angles",
    True,
    "precision: bfloat16, float16: output: the forward pass multiplies positions of about 2,600 and frequencies in the dtype of x.",
    kernel(low, lambda p, g: -exact(p, g)),
    rotate,
    lambda dtype: heads(dtype, first=2600),
    LOW,
)


# ---- trained frequencies


def spin(x, freq):
    """x (sequences, length, 2 pairs): halves; the angle is position * frequency"""
    wide = _wide(x.dtype)
    angle = jnp.arange(x.shape[1]).astype(wide)[:, None] * freq.astype(wide)
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def _spin(x, freq):
    angle = jnp.arange(x.shape[1]).astype(F32)[:, None] * freq.astype(F32)
    a, b = jnp.split(x.astype(F32), 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def trained(freq_gradient):
    @jax.custom_vjp
    def f(x, freq):
        return _spin(x, freq).astype(x.dtype)

    def bwd(saved, g):
        x, freq = saved
        return _spin(g, -freq).astype(x.dtype), freq_gradient(x, freq, g)

    f.defvjp(lambda x, freq: (f(x, freq), (x, freq)), bwd)
    return f


def _terms(x, freq, g):
    """gradient of the angles: (sequences, length, pairs)"""
    a, b = jnp.split(_spin(x, freq), 2, axis=-1)
    u, v = jnp.split(g.astype(F32), 2, axis=-1)
    return a * v - b * u


def freq_right(x, freq, g):
    by_position = _terms(x, freq, g).sum(0)
    return (by_position * jnp.arange(x.shape[1]).astype(F32)[:, None]).sum(0).astype(freq.dtype)


def freq_no_position(x, freq, g):
    return _terms(x, freq, g).sum((0, 1)).astype(freq.dtype)


def freq_low(x, freq, g):
    terms = _terms(x, freq, g) * jnp.arange(x.shape[1]).astype(F32)[:, None]
    flat = terms.reshape(-1, freq.shape[0])
    return lax.scan(lambda total, t: (total + t.astype(total.dtype), None), jnp.zeros_like(freq), flat)[0]


def spun(dtype):
    rng = np.random.default_rng(7)
    x = np.concatenate(
        [1 + 0.2 * rng.standard_normal((300, 8, 4)), 0.2 * rng.standard_normal((300, 8, 4))], -1
    )
    return jnp.asarray(x, dtype), jnp.asarray([0.05, 0.03, 0.02, 0.01], dtype)


entry(
    "jax_rope_trained_frequencies",
    False,
    "The frequencies are parameters, with a gradient that sums over 2,400 tokens in float32.",
    trained(freq_right),
    spin,
    spun,
)
entry(
    "jax_rope_frequency_gradient_without_position",
    True,
    "mathematically: freq: a missing factor, the position, in the derivative of the angle.",
    trained(freq_no_position),
    spin,
    spun,
)
entry(
    "jax_rope_frequency_gradient_in_low_precision",
    True,
    "precision: bfloat16, float16: freq: 2,400 terms are added one by one in the dtype of the frequencies; clear with a cotangent of one sign.",
    trained(freq_low),
    spin,
    spun,
    LOW,
)
