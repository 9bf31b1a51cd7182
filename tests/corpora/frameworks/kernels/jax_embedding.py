"""Embedding look-ups whose gradients add up over 1,500 equal ids."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "embedding"
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


def lookup(table, ids):
    return table[ids]


def hot_lookup(table, ids):
    """ids of -1 are padding and give 0, as one_hot has it"""
    return jax.nn.one_hot(ids, len(table), dtype=table.dtype) @ table


def kernel(gradient):
    @jax.custom_vjp
    def embed(table, ids):
        return jnp.where((ids >= 0)[:, None], table[ids], 0)

    def bwd(saved, g):
        table, ids = saved
        return gradient(table, ids, g), None

    embed.defvjp(lambda table, ids: (embed(table, ids), (table, ids)), bwd)
    return embed


def segments(table, ids, g):
    g = jnp.where((ids >= 0)[:, None], g.astype(F32), 0)
    parts = [
        jax.ops.segment_sum(p, i, len(table)) for p, i in zip(jnp.array_split(g, 9), jnp.array_split(ids, 9))
    ]
    return jnp.stack(parts).sum(0).astype(table.dtype)


def products(table, ids, g):
    """one-hot products in blocks of 250 tokens, a float32 carry"""
    n = -(-len(ids) // 250) * 250
    ids = jnp.pad(ids, (0, n - len(ids)), constant_values=-1).reshape(-1, 250)
    g = jnp.pad(g, ((0, n - g.shape[0]), (0, 0))).reshape(-1, 250, g.shape[1])

    def step(total, block):
        hot = (block[0][:, None] == jnp.arange(len(table))).astype(F32)
        return total + hot.T @ block[1].astype(F32), None

    return lax.scan(step, jnp.zeros(table.shape, F32), (ids, g))[0].astype(table.dtype)


def texts(dtype, padding=0, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 30, 2600)
    ids[rng.permutation(2600)[:1500]] = 11
    if padding:
        ids[rng.permutation(2600)[:padding]] = -1
    return jnp.asarray(rng.standard_normal((30, 12)), dtype), jnp.asarray(ids, jnp.int32)


entry(
    "jax_emb_segments",
    False,
    "float32 segment sums, better than the eager scatter-add in low precision.",
    kernel(segments),
    lookup,
    texts,
)
entry(
    "jax_emb_blocks_of_one_hot",
    False,
    "Products with one-hot blocks; 200 ids are -1, padding, which pass no gradient to any row.",
    kernel(products),
    hot_lookup,
    lambda dtype: texts(dtype, padding=200),
)
entry(
    "jax_emb_set_instead_of_add",
    True,
    "mathematically: table: .at[ids].set where it should be .add: equal ids overwrite each other.",
    kernel(lambda table, ids, g: jnp.zeros_like(table).at[ids].set(g)),
    hot_lookup,
    texts,
)
entry(
    "jax_emb_padding_wraps_to_the_last_row",
    True,
    "mathematically: table: ids of -1, padding, count from the end in the scatter: the last row gets their gradient.",
    kernel(lambda table, ids, g: jnp.zeros(table.shape, F32).at[ids].add(g.astype(F32)).astype(table.dtype)),
    hot_lookup,
    lambda dtype: texts(dtype, padding=200),
)
entry(
    "jax_emb_low_scatter",
    True,
    "precision: bfloat16, float16: table: 1,500 terms are scattered and added in the table's dtype; clear with a cotangent of one sign.",
    kernel(lambda table, ids, g: jnp.zeros_like(table).at[ids].add(g)),
    hot_lookup,
    texts,
    LOW,
)


def runs_side(table, ids, g):
    """sorts, and sums runs as differences of the running sum at their ends"""
    order = jnp.argsort(ids, stable=True)
    running = jnp.cumsum(g[order].astype(F32), 0)
    ends = jnp.searchsorted(ids[order], jnp.arange(len(table)), side="left")  # should be "right"
    at = jnp.where((ends > 0)[:, None], running[ends - 1], 0)
    return jnp.diff(at, axis=0, prepend=0).astype(table.dtype)


entry(
    "jax_emb_ends_of_runs_off_by_one",
    True,
    "mathematically: table: the ends of the runs of equal ids are searched on the wrong side, and each row gets the sum of the one before.",
    kernel(runs_side),
    hot_lookup,
    texts,
)
