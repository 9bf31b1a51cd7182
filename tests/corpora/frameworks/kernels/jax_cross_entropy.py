"""Cross-entropy over blocks of the vocabulary, and fused with the last layer."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "cross-entropy"
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


BLOCK = 128


def token_loss(logits, targets):
    logp = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.take_along_axis(logp, targets[:, None], axis=1)[:, 0]


def blocks_of(logits, fill):
    rows, vocab = logits.shape
    padded = jnp.pad(logits, ((0, 0), (0, -vocab % BLOCK)), constant_values=fill)
    return padded.reshape(rows, -1, BLOCK).swapaxes(0, 1)


def online(logits, fill=-jnp.inf):
    def step(state, block):
        m, total = state
        block = block.astype(F32)
        new = jnp.maximum(m, block.max(1))
        return (new, total * jnp.exp(m - new) + jnp.exp(block - new[:, None]).sum(1)), None

    start = (jnp.full(len(logits), -jnp.inf, F32), jnp.zeros(len(logits), F32))
    (m, total), _ = lax.scan(step, start, blocks_of(logits, fill))
    return m, jnp.log(total)


def picked(logits, targets):
    return jnp.take_along_axis(logits, targets[:, None], 1)[:, 0].astype(F32)


@jax.custom_vjp
def blockwise(logits, targets):
    return blockwise_fwd(logits, targets)[0]


def blockwise_fwd(logits, targets):
    m, log_total = online(logits)
    return (log_total - (picked(logits, targets) - m)).astype(logits.dtype), (logits, targets, m, log_total)


def blockwise_bwd(saved, g):
    logits, targets, m, log_total = saved

    def one(block, start):
        hot = targets[:, None] == start + jnp.arange(BLOCK)
        p = jnp.exp(block.astype(F32) - m[:, None] - log_total[:, None])
        return ((p - hot) * g.astype(F32)[:, None]).astype(logits.dtype)

    pieces = blocks_of(logits, -jnp.inf)
    out = lax.map(lambda a: one(*a), (pieces, BLOCK * jnp.arange(len(pieces))))
    return out.swapaxes(0, 1).reshape(len(logits), -1)[:, : logits.shape[1]], None


blockwise.defvjp(blockwise_fwd, blockwise_bwd)


def words(dtype, vocab=700, rows=30, spread=2.5, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = shift + spread * rng.standard_normal((rows, vocab))
    return jnp.asarray(logits, dtype), jnp.asarray(rng.integers(0, vocab, rows), jnp.int32)


entry(
    "jax_ce_blockwise",
    False,
    "lax.scan over blocks of 128, padded with -inf; the integer targets have no gradient.",
    blockwise,
    token_loss,
    words,
)


@jax.custom_vjp
def zero_padded(logits, targets):
    m, log_total = online(logits, 0.0)
    return (log_total - (picked(logits, targets) - m)).astype(logits.dtype)


def zero_padded_fwd(logits, targets):
    return zero_padded(logits, targets), (logits, targets, *online(logits))


zero_padded.defvjp(zero_padded_fwd, blockwise_bwd)

entry(
    "jax_ce_padding_counted",
    True,
    "mathematically: output: the vocabulary is padded with 0 where it should be -inf, and the padding counts in the log-sum-exp.",
    zero_padded,
    token_loss,
    lambda dtype: words(dtype, spread=0.7, shift=-3.0),
)


def smoothed(logits, targets, eps=0.4):
    logp = jax.nn.log_softmax(logits, axis=-1)
    nll = -jnp.take_along_axis(logp, targets[:, None], axis=1)[:, 0]
    return ((1 - eps) * nll - eps * logp.mean(-1)).mean()


@jax.custom_vjp
def smoothed_kernel(logits, targets):
    x = logits.astype(F32)
    lse = jax.nn.logsumexp(x, axis=1)
    return (lse - 0.6 * picked(logits, targets) - 0.4 * x.mean(1)).mean().astype(logits.dtype)


def smoothed_fwd(logits, targets):
    return smoothed_kernel(logits, targets), (logits, targets)


def smoothed_bwd(saved, g):
    logits, targets = saved
    p = jax.nn.softmax(logits.astype(F32), axis=1)
    d = p - 0.6 * jax.nn.one_hot(targets, p.shape[1], dtype=F32)  # - 0.4 / vocabulary
    return (d * (g.astype(F32) / len(p))).astype(logits.dtype), None


smoothed_kernel.defvjp(smoothed_fwd, smoothed_bwd)

entry(
    "jax_ce_smoothing_forgotten_in_backward",
    True,
    "mathematically: logits: the uniform part of the smoothed target is not subtracted in the backward pass.",
    smoothed_kernel,
    smoothed,
    lambda dtype: words(dtype, vocab=5, rows=200, spread=1.0, seed=3),
)


@jax.custom_vjp
def low_sum(logits, targets):
    m = logits.max(1)

    def add(k, total):
        return total + jnp.exp(logits[:, k] - m)

    total = lax.fori_loop(0, logits.shape[1], add, jnp.zeros_like(m))
    return (jnp.log(total.astype(F32)) + m.astype(F32) - picked(logits, targets)).astype(logits.dtype)


low_sum.defvjp(
    lambda logits, targets: (low_sum(logits, targets), (logits, targets, *online(logits))), blockwise_bwd
)

entry(
    "jax_ce_sum_in_low_precision",
    True,
    "precision: bfloat16, float16: output: 4,096 exponentials are added one by one in the dtype of the logits; flat logits.",
    low_sum,
    token_loss,
    lambda dtype: words(dtype, vocab=4096, rows=6, spread=0.2, seed=4),
    LOW,
)


# ---- with the last layer


def last_layer(hidden, weight, targets):
    logp = jax.nn.log_softmax(hidden @ weight, axis=-1)
    return -jnp.take_along_axis(logp, targets[:, None], axis=1).mean()


def _linear(chunk, accumulator):
    def chunks(hidden, targets):
        return hidden.reshape(-1, chunk, hidden.shape[1]), targets.reshape(-1, chunk)

    @jax.custom_vjp
    def loss(hidden, weight, targets):
        w = weight.astype(F32)

        def step(total, piece):
            h, t = piece
            logits = h.astype(F32) @ w
            return total + (jax.nn.logsumexp(logits, axis=1) - picked(logits, t)).sum(), None

        total, _ = lax.scan(step, jnp.zeros((), F32), chunks(hidden, targets))
        return (total / len(hidden)).astype(hidden.dtype)

    def fwd(hidden, weight, targets):
        return loss(hidden, weight, targets), (hidden, weight, targets)

    def bwd(saved, g):
        hidden, weight, targets = saved
        w, scale = weight.astype(F32), g.astype(F32) / len(hidden)

        def step(dweight, piece):
            h, t = piece
            d = jax.nn.softmax(h.astype(F32) @ w, axis=1) - jax.nn.one_hot(t, w.shape[1], dtype=F32)
            d = d * scale
            return dweight + (h.astype(F32).T @ d).astype(dweight.dtype), (d @ w.T).astype(hidden.dtype)

        start = jnp.zeros(weight.shape, accumulator or weight.dtype)
        dweight, dhidden = lax.scan(step, start, chunks(hidden, targets))
        return dhidden.reshape(hidden.shape), dweight.astype(weight.dtype), None

    loss.defvjp(fwd, bwd)
    return loss


def sentences(dtype, rows=1200, seed=5):
    rng = np.random.default_rng(seed)
    hidden = rng.uniform(0.2, 1.2, (rows, 10))
    weight = 0.3 * rng.standard_normal((10, 60))
    return (
        jnp.asarray(hidden, dtype),
        jnp.asarray(weight, dtype),
        jnp.asarray(rng.integers(0, 30, rows), jnp.int32),
    )


entry(
    "jax_ce_last_layer_in_chunks",
    False,
    "The logits of 60 tokens at a time are made and forgotten, twice; the weight's gradient is a float32 carry.",
    _linear(60, F32),
    last_layer,
    sentences,
)
entry(
    "jax_ce_last_layer_low_carry",
    True,
    "precision: bfloat16, float16: weight: the carry that adds up the weight's gradient over 600 chunks has the weight's dtype.",
    _linear(2, None),
    last_layer,
    sentences,
    LOW,
)
