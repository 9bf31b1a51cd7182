"""RMSNorm kernels with custom_vjp."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "rmsnorm"
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


EPS = 1e-6


def rms_norm(x, scale):
    return x / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + EPS) * scale


def _forward(x, scale):
    x32 = x.astype(F32)
    inv = lax.rsqrt(jnp.mean(jnp.square(x32), -1, keepdims=True) + EPS)
    return (x32 * inv * scale.astype(F32)).astype(x.dtype), inv


def _dx(x, scale, inv, g):
    x32, gs = x.astype(F32), g.astype(F32) * scale.astype(F32)
    return (inv * gs - x32 * inv**3 * jnp.mean(gs * x32, -1, keepdims=True)).astype(x.dtype)


def kernel(backward):
    @jax.custom_vjp
    def norm(x, scale):
        return _forward(x, scale)[0]

    def fwd(x, scale):
        y, inv = _forward(x, scale)
        return y, (x, scale, inv)

    norm.defvjp(fwd, backward)
    return norm


def right(saved, g):
    x, scale, inv = saved
    dscale = (g.astype(F32) * (x.astype(F32) * inv)).reshape(-1, x.shape[-1]).sum(0)
    return _dx(x, scale, inv, g), dscale.astype(scale.dtype)


def activations(dtype, shape=(90, 130), mean=0.0, size=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(size * (mean + rng.standard_normal(shape)), dtype), jnp.asarray(
        rng.uniform(0.5, 1.5, shape[-1]), dtype
    )


entry(
    "jax_rms",
    False,
    "x of three axes; everything in float32.",
    kernel(right),
    rms_norm,
    lambda dtype: activations(dtype, (4, 30, 100)),
)


@jax.custom_vjp
def from_output(x, scale):
    return _forward(x, scale)[0]


def from_output_fwd(x, scale):
    y, inv = _forward(x, scale)
    return y, (x, scale, lax.reciprocal(inv), y)


def from_output_bwd(saved, g):
    """dscale by blocks of 16 rows, which are added as a tree."""
    x, scale, rms, _ = saved
    unit, g32 = x.astype(F32) / rms, g.astype(F32)
    parts = (g32 * unit).reshape(-1, 16, x.shape[-1]).sum(1)
    while len(parts) > 1:
        if len(parts) % 2:
            parts = jnp.concatenate([parts, jnp.zeros_like(parts[:1])])
        parts = parts[0::2] + parts[1::2]
    gs = g32 * scale.astype(F32)
    dx = (gs - unit * (gs * unit).mean(-1, keepdims=True)) / rms
    return dx.astype(x.dtype), parts[0].astype(scale.dtype)


from_output.defvjp(from_output_fwd, from_output_bwd)
entry(
    "jax_rms_tree",
    False,
    "The scale's gradient is added up as a tree over 1,040 rows: another order of rounding.",
    from_output,
    rms_norm,
    lambda dtype: activations(dtype, (1040, 20), mean=0.5, seed=1),
)


@jax.custom_vjp
def one_row(row, scale):
    return _forward(row, scale)[0]


def one_row_bwd(saved, g):
    row, scale = saved
    inv = _forward(row, scale)[1]
    return _dx(row, scale, inv, g), (g.astype(F32) * row.astype(F32) * inv).astype(scale.dtype)


one_row.defvjp(lambda row, scale: (one_row(row, scale), (row, scale)), one_row_bwd)


def mapped_rows(x, scale):
    return jax.vmap(one_row, (0, None))(x, scale)


entry(
    "jax_rms_row_under_vmap",
    False,
    "A kernel for one row under vmap, which sums the rows' gradients of the scale, rounded as they are: as good as the eager version.",
    mapped_rows,
    rms_norm,
    lambda dtype: activations(dtype, (700, 24), mean=0.5, seed=6),
)


def power(saved, g):
    x, scale, inv = saved
    x32, gs = x.astype(F32), g.astype(F32) * scale.astype(F32)
    dx = inv * gs - x32 * inv**2 * jnp.mean(gs * x32, -1, keepdims=True)
    return dx.astype(x.dtype), right(saved, g)[1]


entry(
    "jax_rms_power_of_the_inverse",
    True,
    "mathematically: x: a missing factor, 1/rms once more in the second term.",
    kernel(power),
    rms_norm,
    lambda dtype: activations(dtype, (150, 16), mean=0.7, size=0.4, seed=2),
)


def raw(saved, g):
    x, scale, inv = saved
    return _dx(x, scale, inv, g), (g.astype(F32) * x.astype(F32)).sum(0).astype(scale.dtype)


entry(
    "jax_rms_scale_gradient_with_raw_x",
    True,
    "mathematically: scale: its gradient has x where it should have x / rms.",
    kernel(raw),
    rms_norm,
    lambda dtype: activations(dtype, size=3.0, seed=3),
)


def low_rows(saved, g):
    x, scale, inv = saved

    def step(total, row):
        xr, ir, gr = row
        return total + (gr.astype(F32) * xr.astype(F32) * ir).astype(total.dtype), None

    dscale, _ = lax.scan(step, jnp.zeros_like(scale), (x, inv, g))
    return _dx(x, scale, inv, g), dscale


entry(
    "jax_rms_scale_gradient_low_carry",
    True,
    "precision: bfloat16, float16: scale: 1,500 rows are added in a carry of the scale's dtype; clear with a cotangent of one sign.",
    kernel(low_rows),
    rms_norm,
    lambda dtype: activations(dtype, (1500, 16), mean=3.0, seed=4),
    LOW,
)


@jax.custom_vjp
def overflowing(x, scale):
    mean_square = jnp.sum(x * x, -1, keepdims=True) / x.shape[-1]
    return (x.astype(F32) * lax.rsqrt(mean_square.astype(F32) + EPS) * scale.astype(F32)).astype(x.dtype)


overflowing.defvjp(lambda x, scale: (overflowing(x, scale), (x, scale, _forward(x, scale)[1])), right)
entry(
    "jax_rms_sum_of_squares_overflows",
    True,
    "precision: float16: output: the sum of 2,000 squares of about 64 is beyond float16 (and the output 0), where the eager mean is not.",
    overflowing,
    rms_norm,
    lambda dtype: activations(dtype, (10, 2000), size=8.0, seed=5),
    ("float16",),
)
