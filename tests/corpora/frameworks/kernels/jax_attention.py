"""Causal attention with soft-capped scores: lax.scan over blocks of keys."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "softcap attention"
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


CAP = 15.0
BLOCK = 40


def attend(q, k, v):
    """q, k, v (length, heads, width)"""
    scores = jnp.einsum("qhd,khd->hqk", q, k) * q.shape[-1] ** -0.5
    scores = CAP * jnp.tanh(scores / CAP)
    scores = jnp.where(jnp.tril(jnp.ones((len(q), len(k)), bool)), scores, -jnp.inf)
    return jnp.einsum("hqk,khd->qhd", jax.nn.softmax(scores, axis=-1), v)


def _pad(x):
    n = len(x)
    x = jnp.pad(x.astype(F32), ((0, -n % BLOCK), (0, 0), (0, 0)))
    return x.reshape(-1, BLOCK, *x.shape[1:])


def _scores(q, k, start, length, ahead=0):
    """(heads, queries, keys of a block), and the tanh"""
    t = jnp.tanh(jnp.einsum("qhd,khd->hqk", q, k) * (q.shape[-1] ** -0.5 / CAP))
    j = start + jnp.arange(k.shape[0])
    seen = (j[None] <= jnp.arange(len(q))[:, None] + ahead) & (j < length)
    return jnp.where(seen, CAP * t, -jnp.inf), t


def forward(q, k, v, *, rescale=True, ahead=0):
    q32 = q.astype(F32)
    blocks = (_pad(k), _pad(v), BLOCK * jnp.arange(-(-len(k) // BLOCK)))

    def step(state, block):
        m, total, acc = state
        kb, vb, start = block
        s, _ = _scores(q32, kb, start, len(k), ahead)
        new = jnp.maximum(m, s.max(-1))
        shrink = jnp.exp(m - new)
        p = jnp.exp(s - new[..., None])
        total = total * (shrink if rescale else 1.0) + p.sum(-1)
        acc = acc * shrink[..., None] + jnp.einsum("hqk,khd->hqd", p, vb)
        return (new, total, acc), None

    n, h, d = q.shape
    init = (jnp.full((h, n), -1e30, F32), jnp.zeros((h, n), F32), jnp.zeros((h, n, d), F32))
    (m, total, acc), _ = lax.scan(step, init, blocks)
    return (acc / total[..., None]).swapaxes(0, 1).astype(q.dtype), m, total


def backward(saved, g, *, slope=lambda t: 1 - t * t):
    q, k, v, m, total = saved
    q32, g32 = q.astype(F32), g.astype(F32)
    blocks = (_pad(k), _pad(v), BLOCK * jnp.arange(-(-len(k) // BLOCK)))

    def probabilities(kb, start):
        s, t = _scores(q32, kb, start, len(k))
        return jnp.exp(s - m[..., None]) / total[..., None], t

    def first(delta, block):
        kb, vb, start = block
        p, _ = probabilities(kb, start)
        return delta + (p * jnp.einsum("qhd,khd->hqk", g32, vb)).sum(-1), None

    delta, _ = lax.scan(first, jnp.zeros(m.shape, F32), blocks)

    def step(dq, block):
        kb, vb, start = block
        p, t = probabilities(kb, start)
        dp = jnp.einsum("qhd,khd->hqk", g32, vb)
        ds = p * (dp - delta[..., None]) * slope(t) * q.shape[-1] ** -0.5
        dk, dv = jnp.einsum("hqk,qhd->khd", ds, q32), jnp.einsum("hqk,qhd->khd", p, g32)
        return dq + jnp.einsum("hqk,khd->qhd", ds, kb), (dk, dv)

    dq, (dk, dv) = lax.scan(step, jnp.zeros(q.shape, F32), blocks)
    flat = lambda x: x.reshape(-1, *x.shape[2:])[: len(k)]
    return dq.astype(q.dtype), flat(dk).astype(k.dtype), flat(dv).astype(v.dtype)


def kernel(run=forward, back=backward):
    @jax.custom_vjp
    def attention(q, k, v):
        return run(q, k, v)[0]

    def fwd(q, k, v):
        _, m, total = forward(q, k, v)
        return run(q, k, v)[0], (q, k, v, m, total)

    attention.defvjp(fwd, back)
    return attention


def qkv(dtype, n=110, heads=2, width=12, size=1.2, rising=False, seed=0, mean=0.0, spread=1.0):
    rng = np.random.default_rng(seed)
    q, k, v = rng.standard_normal((3, n, heads, width))
    if rising:
        k = k * np.linspace(0.2, 2.0, n)[:, None, None]
    return jnp.asarray(size * q, dtype), jnp.asarray(size * k, dtype), jnp.asarray(mean + spread * v, dtype)


entry(
    "jax_attn_scan",
    False,
    "Blocks of 40 of 110 keys, padded and masked; the probabilities are made anew from the maximum and the sum.",
    kernel(),
    attend,
    qkv,
)
entry(
    "jax_attn_sum_not_rescaled",
    True,
    "mathematically: output: where the maximum rises the accumulator is rescaled and the denominator is not.",
    kernel(run=lambda q, k, v: forward(q, k, v, rescale=False)),
    attend,
    lambda dtype: qkv(dtype, rising=True),
)
entry(
    "jax_attn_sees_the_next_key",
    True,
    "mathematically: output: the forward pass's mask is off by one, a query sees the key after its own; the backward pass is right.",
    kernel(run=lambda q, k, v: forward(q, k, v, ahead=1)),
    attend,
    qkv,
)
entry(
    "jax_attn_softcap_slope",
    True,
    "mathematically: q, k: the derivative of the soft cap is 1 - |tanh| where it should be 1 - tanh^2.",
    kernel(back=lambda saved, g: backward(saved, g, slope=lambda t: 1 - jnp.abs(t))),
    attend,
    lambda dtype: qkv(dtype, size=2.0),
)


def low_value_gradient(saved, g):
    q, k, v, m, total = saved
    dq, dk, _ = backward(saved, g)
    s, _ = _scores(q.astype(F32), k.astype(F32), 0, len(k))
    p = jnp.exp(s - m[..., None]) / total[..., None]

    def step(dv, row):
        pr, gr = row  # (heads, keys), (heads, width)
        return dv + (pr.T[..., None] * gr.astype(F32)).astype(dv.dtype), None

    dv, _ = lax.scan(step, jnp.zeros_like(v), (p.swapaxes(0, 1), g))
    return dq, dk, dv


entry(
    "jax_attn_value_gradient_low_carry",
    True,
    "precision: bfloat16, float16: v: the values' gradient sums over 600 queries in a carry of its own dtype; clear with a cotangent of one sign.",
    kernel(back=low_value_gradient),
    attend,
    lambda dtype: qkv(dtype, n=600, heads=1, width=6, size=0.05, seed=2),
    LOW,
)


def low_numerator(q, k, v):
    """The accumulator p @ v in the dtype of v."""
    _, m, total = forward(q, k, v)
    s, _ = _scores(q.astype(F32), k.astype(F32), 0, len(k))
    p = jnp.exp(s - m[..., None]).astype(v.dtype)

    def step(acc, key):
        pk, vk = key  # (heads, queries), (heads, width)
        return acc + pk[..., None] * vk[:, None], None

    acc, _ = lax.scan(step, jnp.zeros((q.shape[1], len(q), q.shape[2]), v.dtype), (p.transpose(2, 0, 1), v))
    return (acc.astype(F32) / total[..., None]).swapaxes(0, 1).astype(q.dtype), m, total


entry(
    "jax_attn_accumulator_in_low_precision",
    True,
    "precision: bfloat16: output: the accumulator of 600 flat probabilities times values has the dtype of the values; their mean is 1.",
    kernel(run=low_numerator),
    attend,
    lambda dtype: qkv(dtype, n=600, heads=1, width=6, size=0.3, seed=3, mean=1.0, spread=0.3),
    ("bfloat16",),
)


# ---- with a sink: a logit in the denominator alone


def attend_sink(q, k, v, sink):
    """sink (heads, length), a logit for each query"""
    s = jnp.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
    s = jnp.tanh(s / CAP) * CAP
    s = jnp.where(jnp.arange(len(k)) <= jnp.arange(len(q))[:, None], s, -jnp.inf)
    s = jnp.concatenate([s, sink[..., None]], -1)
    return jnp.einsum("hqk,khd->qhd", jax.nn.softmax(s, -1)[..., :-1], v)


def _with_sink(q, k, sink):
    s, t = _scores(q.astype(F32), k.astype(F32), 0, len(k))
    sink = sink.astype(F32)[..., None]
    m = jnp.maximum(s.max(-1, keepdims=True), sink)
    p = jnp.exp(s - m)
    rest = jnp.exp(sink - m)
    total = p.sum(-1, keepdims=True) + rest
    return p / total, rest / total, t


def sink_kernel(sign):
    @jax.custom_vjp
    def f(q, k, v, sink):
        p, _, _ = _with_sink(q, k, sink)
        return jnp.einsum("hqk,khd->qhd", p, v.astype(F32)).astype(q.dtype)

    def bwd(saved, g):
        q, k, v, sink = saved
        p, rest, t = _with_sink(q, k, sink)
        g = g.astype(F32)
        dp = jnp.einsum("qhd,khd->hqk", g, v.astype(F32))
        delta = (p * dp).sum(-1, keepdims=True)
        ds = p * (dp - delta) * (1 - t * t) * q.shape[-1] ** -0.5
        dq = jnp.einsum("hqk,khd->qhd", ds, k.astype(F32))
        dk = jnp.einsum("hqk,qhd->khd", ds, q.astype(F32))
        dv = jnp.einsum("hqk,qhd->khd", p, g)
        dsink = sign * (rest * delta)[..., 0]
        return tuple(d.astype(x.dtype) for d, x in zip((dq, dk, dv, dsink), saved))

    f.defvjp(lambda *a: (f(*a), a), bwd)
    return f


def sunk(dtype):
    return *qkv(dtype, n=80, seed=4), jnp.asarray(
        2 + np.random.default_rng(40).standard_normal((2, 80)), dtype
    )


entry(
    "jax_attn_sink",
    False,
    "A logit of each query takes part in the denominator alone, so that the probabilities sum to less than 1.",
    sink_kernel(-1.0),
    attend_sink,
    sunk,
)
entry(
    "jax_attn_sink_sign",
    True,
    "mathematically: sink: its gradient has the wrong sign.",
    sink_kernel(1.0),
    attend_sink,
    sunk,
)
