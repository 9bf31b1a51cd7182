"""Row "sparse": BCOO inputs and outputs, embeddings with repeated ids.  x64 is switched on here, by jax.config."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "sparse"


def bcoo(seed, shape, nse, repeated=False):
    r = np.random.default_rng(seed)
    if repeated:
        flat = r.integers(0, shape[0] * shape[1], nse)
        flat[1] = flat[0]
        flat[-1] = flat[2]
    else:
        flat = np.sort(r.permutation(shape[0] * shape[1])[:nse])
    indices = np.stack(np.unravel_index(flat, shape), -1)
    return sparse.BCOO((jnp.asarray(r.normal(size=nse)), jnp.asarray(indices)), shape=shape)


def cotangent(M, data):
    """A cotangent for M: `data`, and float0 for the indices."""
    return jax.tree.unflatten(jax.tree.structure(M), [data, np.zeros(M.indices.shape, jax.dtypes.float0)])


def word_vectors():
    """An embedding whose backward overwrites where an id is repeated."""

    @jax.custom_vjp
    def embed(table, ids):
        return table[ids]

    def bwd(saved, g):
        table, ids = saved
        return jnp.zeros_like(table).at[ids].set(g), None

    embed.defvjp(lambda table, ids: (embed(table, ids), (table, ids)), bwd)
    ids = jnp.array([4, 1, 4, 0, 9, 4, 1])
    return Call(embed, (jnp.asarray(np.random.default_rng(1).normal(size=(300, 8))), ids))


def graph_diffusion():
    """Sparse times dense; the dense operand's gradient keeps one entry of each column."""

    @jax.custom_vjp
    def spmv(M, v):
        return M @ v

    def bwd(saved, g):
        M, v = saved
        row, col = M.indices[:, 0], M.indices[:, 1]
        return cotangent(M, g[row] * v[col]), jnp.zeros_like(v).at[col].set(M.data * g[row])

    spmv.defvjp(lambda M, v: (M @ v, (M, v)), bwd)
    return Call(spmv, (bcoo(2, (8, 6), 20), jnp.asarray(np.random.default_rng(3).normal(size=6))))


def coalesced_by_mistake():
    """Repeated indices: the gradient goes to the first of the duplicates alone."""

    @jax.custom_vjp
    def rows(M):
        row = M.indices[:, 0]
        return jnp.zeros(M.shape[0], M.data.dtype).at[row].add(M.data * M.data)

    def bwd(M, g):
        flat = M.indices[:, 0] * M.shape[1] + M.indices[:, 1]
        first = jnp.argmax(flat[:, None] == flat[None, :], axis=1) == jnp.arange(flat.shape[0])
        return (cotangent(M, jnp.where(first, 2 * M.data * g[M.indices[:, 0]], 0.0)),)

    rows.defvjp(lambda M: (rows(M), M), bwd)
    return Call(rows, (bcoo(5, (5, 7), 14, repeated=True),))


def bag_of_ids():
    """Mean embedding of bags of different sizes; the backward divides by nothing."""

    @jax.custom_vjp
    def bags(table, ids, bag):
        total = jnp.zeros((4, table.shape[1]), table.dtype).at[bag].add(table[ids])
        return total / jnp.bincount(bag, length=4)[:, None]

    def bwd(saved, g):
        table, ids, bag = saved
        return jnp.zeros_like(table).at[ids].add(g[bag]), None, None

    bags.defvjp(lambda t, i, b: (bags(t, i, b), (t, i, b)), bwd)
    ids = jnp.array([0, 3, 3, 5, 2, 0, 7, 3, 1])
    bag = jnp.array([0, 0, 0, 1, 1, 2, 2, 2, 3])
    return Call(bags, (jnp.asarray(np.random.default_rng(6).normal(size=(9, 3))), ids, bag))


def attention_on_edges():
    """(U V^T) on the pattern of a sparse matrix; U's gradient is gathered by the columns."""

    @jax.custom_vjp
    def sampled(pattern, U, V):
        row, col = pattern.indices[:, 0], pattern.indices[:, 1]
        return pattern.data * jnp.sum(U[row] * V[col], -1)

    def bwd(saved, g):
        pattern, U, V = saved
        row, col = pattern.indices[:, 0], pattern.indices[:, 1]
        w = (g * pattern.data)[:, None]
        dU = jnp.zeros_like(U).at[col].add(w * V[col])
        dV = jnp.zeros_like(V).at[col].add(w * U[row])
        return cotangent(pattern, g * jnp.sum(U[row] * V[col], -1)), dU, dV

    sampled.defvjp(lambda p, U, V: (sampled(p, U, V), (p, U, V)), bwd)
    r = np.random.default_rng(8)
    return Call(
        sampled, (bcoo(9, (6, 6), 13), jnp.asarray(r.normal(size=(6, 4))), jnp.asarray(r.normal(size=(6, 4))))
    )


def stiffness_product():
    """K u with K in BCOO, a rule by hand, and numbers that are not sorted."""

    @jax.custom_vjp
    def product(K, u):
        return sparse.bcoo_dot_general(K, u, dimension_numbers=(((1,), (0,)), ((), ())))

    def fwd(K, u):
        return product(K, u), (K, u)

    def bwd(saved, g):
        K, u = saved
        i, j = K.indices.T
        return cotangent(K, jnp.sum(g[i] * u[j], -1)), jnp.zeros_like(u).at[j].add(K.data[:, None] * g[i])

    product.defvjp(fwd, bwd)
    K = bcoo(20, (7, 9), 25)
    turned = jnp.asarray(np.random.default_rng(21).permutation(25))
    K = sparse.BCOO((K.data[turned], K.indices[turned]), shape=K.shape)
    return Call(product, (K, jnp.asarray(np.random.default_rng(22).normal(size=(9, 2)))))


def duplicates_each_count():
    """Indices that occur twice: each of the stored numbers has the same gradient."""

    @jax.custom_vjp
    def quadratic(M, v):
        return v[: M.shape[0]] @ (M @ v)

    def bwd(saved, g):
        M, v = saved
        i, j = M.indices[:, 0], M.indices[:, 1]
        dv = jnp.zeros_like(v).at[j].add(M.data * v[i]).at[i].add(M.data * v[j])
        return cotangent(M, g * v[i] * v[j]), g * dv

    quadratic.defvjp(lambda M, v: (quadratic(M, v), (M, v)), bwd)
    return Call(
        quadratic,
        (bcoo(24, (6, 6), 16, repeated=True), jnp.asarray(np.random.default_rng(25).normal(size=6))),
    )


def padded_bcoo():
    """BCOO padded with indices out of bounds, which count for nothing and have zero gradient."""

    @jax.custom_vjp
    def spmm(M, B):
        row, col = M.indices[:, 0], M.indices[:, 1]
        B = jnp.asarray(B)
        picked = B.at[col].get(mode="fill", fill_value=0.0)
        return jnp.zeros((M.shape[0], B.shape[1]), B.dtype).at[row].add(M.data[:, None] * picked, mode="drop")

    def bwd(saved, g):
        M, B = saved
        B, g = jnp.asarray(B), jnp.asarray(g)
        row, col = M.indices[:, 0], M.indices[:, 1]
        g_row = g.at[row].get(mode="fill", fill_value=0.0)
        by_data = jnp.sum(g_row * B.at[col].get(mode="fill", fill_value=0.0), -1)
        return cotangent(M, by_data), jnp.zeros_like(B).at[col].add(M.data[:, None] * g_row, mode="drop")

    spmm.defvjp(lambda M, B: (spmm(M, B), (M, B)), bwd)
    M = bcoo(27, (5, 4), 8)
    data = jnp.concatenate([M.data, jnp.zeros(3)])
    indices = jnp.concatenate([M.indices, jnp.full((3, 2), jnp.array([5, 4]))])
    return Call(
        spmm,
        (
            sparse.BCOO((data, indices), shape=(5, 4)),
            jnp.asarray(np.random.default_rng(28).normal(size=(4, 3))),
        ),
    )


def tokens_repeated():
    """An embedding by segment_sum: one id 300 times among 700."""

    @jax.custom_vjp
    def embed(table, ids):
        return table[ids]

    def bwd(saved, g):
        ids, rows = saved
        flat = g.reshape(-1, g.shape[-1])
        return jax.ops.segment_sum(flat, ids.ravel(), num_segments=rows.shape[0]), None

    embed.defvjp(lambda t, ids: (t[ids], (ids, jnp.empty(t.shape[0]))), bwd)
    ids = np.random.default_rng(30).integers(0, 40, (7, 100))
    ids.ravel()[::2][:300] = 11
    return Call(
        lambda table, ids: jnp.sum(jnp.tanh(embed(table, ids)), axis=1),
        (jnp.asarray(np.random.default_rng(31).normal(size=(40, 2))), jnp.asarray(ids)),
    )


def stochastic_rows():
    """Returns a BCOO: the rows of the given one divided by their sums; gradient by hand."""

    @jax.custom_vjp
    def normalise(M):
        row = M.indices[:, 0]
        total = jnp.zeros(M.shape[0], M.data.dtype).at[row].add(M.data)
        return sparse.BCOO((M.data / total[row], M.indices), shape=M.shape)

    def fwd(M):
        out = normalise(M)
        row = M.indices[:, 0]
        return out, (M, out.data, jnp.zeros(M.shape[0], M.data.dtype).at[row].add(M.data))

    def bwd(saved, g):
        M, p, total = saved
        row = M.indices[:, 0]
        inner = jnp.zeros_like(total).at[row].add(g.data * p)
        return (cotangent(M, (g.data - inner[row]) / total[row]),)

    normalise.defvjp(fwd, bwd)
    M = bcoo(33, (4, 6), 12)
    M = sparse.BCOO((jnp.abs(M.data) + 0.2, M.indices), shape=M.shape)
    return Call(normalise, (M,))


def sparsified_energy():
    """No rule of its own: sparse.sparsify of an ordinary function, an integer setting for the power."""

    @sparse.sparsify
    def energy(M, v):
        return v @ (M @ (M @ v))

    def function(M, v, power):
        return energy(M, v) ** power

    return Call(
        function,
        (bcoo(35, (5, 5), 9), jnp.asarray(np.random.default_rng(36).uniform(0.5, 1, 5))),
        {"power": 2},
    )


ENTRIES = [
    Entry(
        "word_vectors",
        ROW,
        True,
        "the gradients of repeated ids overwrite each other (.at[].set in place of .add)",
        word_vectors,
    ),
    Entry(
        "graph_diffusion",
        ROW,
        True,
        "the dense operand's gradient is .set in place of .add where a column occurs more than once; the sparse one's is right",
        graph_diffusion,
    ),
    Entry(
        "coalesced_by_mistake",
        ROW,
        True,
        "of entries with the same index only the first gets a gradient",
        coalesced_by_mistake,
    ),
    Entry(
        "bag_of_ids",
        ROW,
        True,
        "the mean's division by the size of the bag is missing in the backward",
        bag_of_ids,
    ),
    Entry(
        "attention_on_edges",
        ROW,
        True,
        "the gradient of U is summed by columns in place of rows (the pattern is square)",
        attention_on_edges,
    ),
    Entry(
        "stiffness_product",
        ROW,
        False,
        "a BCOO input, unsorted, whose cotangent has float0 indices",
        stiffness_product,
    ),
    Entry("duplicates_each_count", ROW, False, "BCOO with indices that occur twice", duplicates_each_count),
    Entry("padded_bcoo", ROW, False, "BCOO with padding out of bounds: zero gradient there", padded_bcoo),
    Entry("tokens_repeated", ROW, False, "one id occurs hundreds of times", tokens_repeated),
    Entry("stochastic_rows", ROW, False, "the output is a BCOO too, with integer indices", stochastic_rows),
    Entry("sparsified_energy", ROW, False, "JAX's own rules for BCOO through sparsify", sparsified_energy),
]
