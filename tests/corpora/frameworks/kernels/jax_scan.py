"""Linear recurrences: associative scans and chunked loops."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "scan"
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


def recurrence(a, b):
    """a, b (time, channels); the state has their dtype"""

    def step(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    return lax.scan(step, jnp.zeros_like(b[0]), (a, b))[1]


def wide_recurrence(a, b):
    wide = jnp.promote_types(b.dtype, jnp.float32)
    return recurrence(a.astype(wide), b.astype(wide)).astype(b.dtype)


def combine(left, right):
    return left[0] * right[0], left[1] * right[0] + right[1]


def states(a, b, reverse=False):
    return lax.associative_scan(combine, (a.astype(F32), b.astype(F32)), reverse=reverse)[1]


def later(a):
    return jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])


def earlier(h):
    return jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])


def kernel(back, run=None):
    run = run or (lambda a, b: states(a, b).astype(b.dtype))

    @jax.custom_vjp
    def scan(a, b):
        return run(a, b)

    scan.defvjp(lambda a, b: (scan(a, b), (a, b)), back)
    return scan


def right(saved, g):
    a, b = saved
    db = states(later(a), g, reverse=True)
    return (db * earlier(states(a, b))).astype(a.dtype), db.astype(b.dtype)


def unshifted(saved, g):
    a, b = saved
    db = states(a, g, reverse=True)
    return (db * earlier(states(a, b))).astype(a.dtype), db.astype(b.dtype)


def of_inputs(saved, g):
    a, b = saved
    db = states(later(a), g, reverse=True)
    return (db * earlier(b.astype(F32))).astype(a.dtype), db.astype(b.dtype)


def signals(dtype, low=0.3, high=0.97, length=400, channels=20, seed=0, positive=False):
    rng = np.random.default_rng(seed)
    b = rng.standard_normal((length, channels))
    return jnp.asarray(rng.uniform(low, high, b.shape), dtype), jnp.asarray(abs(b) if positive else b, dtype)


entry(
    "jax_scan_associative",
    False,
    "lax.associative_scan in float32: better than the low-precision loop, another order than the float32 one.",
    kernel(right),
    recurrence,
    signals,
)
entry(
    "jax_scan_factor_not_shifted",
    True,
    "mathematically: a, b: the scan back in time multiplies by a_t where it should be a_{t+1}.",
    kernel(unshifted),
    recurrence,
    signals,
)
entry(
    "jax_scan_input_instead_of_state",
    True,
    "mathematically: a: its gradient has the input b_{t-1} where it should have the state h_{t-1}.",
    kernel(of_inputs),
    recurrence,
    signals,
)


def low_states(a, b):
    return lax.associative_scan(combine, (a, b))[1]


def low_loop(a, b):
    return recurrence(a, b)


entry(
    "jax_scan_state_in_low_precision",
    True,
    "precision: bfloat16, float16: output: the state is kept in the dtype of b over 800 steps with factors near 1; the reference keeps float32.",
    kernel(right, low_loop),
    wide_recurrence,
    lambda dtype: signals(dtype, 0.992, 0.999, length=800, channels=8, seed=1, positive=True),
    LOW,
)


def divided(a, b):
    """h_t = A_t sum_j b_j / A_j with A the cumulative product"""
    whole = jnp.cumprod(a.astype(F32), 0)
    return (whole * jnp.cumsum(b.astype(F32) / whole, 0)).astype(b.dtype)


entry(
    "jax_scan_cumulative_product_underflows",
    True,
    "precision: float32, bfloat16, float16: output: divides by the cumulative product of the factors, which underflows float32 after some 200 steps.",
    kernel(right, divided),
    wide_recurrence,
    signals,
)


# ---- chunks, with an initial state and shared decays


def shared_decay(decay, x, h0):
    """decay (channels,) is squashed; x (batch, time, channels), h0 (batch, channels); also returns the last state"""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    a = jax.nn.sigmoid(decay.astype(wide))

    def step(h, xt):
        h = a * h + xt
        return h, h

    last, hs = lax.scan(step, h0.astype(wide), x.astype(wide).swapaxes(0, 1))
    return hs.swapaxes(0, 1).astype(x.dtype), last.astype(x.dtype)


def chunked(decay_sum, last_counts=True):
    chunk = 50

    def run(a, x, h0):
        pieces = x.astype(F32).reshape(x.shape[0], -1, chunk, x.shape[2]).transpose(1, 2, 0, 3)

        def inner(h, xt):
            h = a * h + xt
            return h, h

        last, hs = lax.scan(lambda h, piece: lax.scan(inner, h, piece), h0.astype(F32), pieces)
        return hs.reshape(-1, *hs.shape[2:]).swapaxes(0, 1), last

    @jax.custom_vjp
    def f(decay, x, h0):
        hs, last = run(jax.nn.sigmoid(decay.astype(F32)), x, h0)
        return hs.astype(x.dtype), last.astype(x.dtype)

    def bwd(saved, gs):
        decay, x, h0 = saved
        a = jax.nn.sigmoid(decay.astype(F32))
        hs, _ = run(a, x, h0)
        g = gs[0].astype(F32).at[:, -1].add(gs[1].astype(F32))
        back, _ = run(a, g[:, ::-1], jnp.zeros_like(h0))
        dx = back[:, ::-1]
        before = jnp.concatenate([h0.astype(F32)[:, None], hs[:, :-1]], 1)
        da = decay_sum(dx * before, decay)
        if not last_counts:
            dx = run(a, gs[0][:, ::-1], jnp.zeros_like(h0))[0][:, ::-1]
        return (da * a * (1 - a)).astype(decay.dtype), dx.astype(x.dtype), (a * back[:, -1]).astype(h0.dtype)

    f.defvjp(lambda *args: (f(*args), args), bwd)
    return f


def wide_sum(terms, decay):
    return terms.sum(1).sum(0)


def low_sum(terms, decay):
    flat = terms.reshape(-1, terms.shape[-1])
    return lax.scan(lambda s, t: (s + t.astype(s.dtype), None), jnp.zeros_like(decay), flat)[0].astype(F32)


def batches(dtype):
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, (3, 500, 10))
    return (
        jnp.asarray(rng.uniform(-1, 1.5, 10), dtype),
        jnp.asarray(x, dtype),
        jnp.asarray(rng.uniform(0, 2, (3, 10)), dtype),
    )


entry(
    "jax_scan_shared_decay",
    False,
    "Two outputs, the states and the last state, which both pass a gradient on; the decay's sums over 1,500 terms.",
    chunked(wide_sum),
    shared_decay,
    batches,
)
entry(
    "jax_scan_last_states_cotangent_dropped",
    True,
    "mathematically: x: the cotangent of the second output, the last state, reaches decay and h0 but not x.",
    chunked(wide_sum, last_counts=False),
    shared_decay,
    batches,
)
entry(
    "jax_scan_decay_gradient_in_low_precision",
    True,
    "precision: bfloat16, float16: decay: 1,500 terms are added one by one in its dtype; clear with a cotangent of one sign.",
    chunked(low_sum),
    shared_decay,
    batches,
    LOW,
)
