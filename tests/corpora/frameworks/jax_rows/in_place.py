"""Row "in place on purpose": donated buffers, and numpy buffers written in callbacks.  x64 by jax.config, here.

Calls of the functions with donated arguments delete what they are given: copy the inputs for each call.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "in place on purpose"


def shaped(x):
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


def cache_write():
    """A key goes into a row of a donated cache, whose old row has no influence any more."""

    @jax.custom_vjp
    def write(cache, row, key):
        return cache.at[row].set(key)

    write.defvjp(lambda c, r, k: (write(c, r, k), r), lambda r, g: (g, None, g[r]))
    f = jax.jit(lambda cache, row, key: write(cache, row, key), donate_argnums=(0,))
    r = np.random.default_rng(400)
    return Call(f, (jnp.asarray(r.normal(size=(6, 8))), jnp.array(2), jnp.asarray(r.normal(size=8))))


def silu_workspace():
    """The sigmoid is computed in a workspace and is to be saved, but the workspace is multiplied by x in place before."""

    def host(x):
        x = np.asarray(x)
        work = np.empty_like(x)
        np.negative(x, out=work)
        np.exp(work, out=work)
        work += 1
        np.reciprocal(work, out=work)
        saved = work  # a name, not a copy
        work *= x
        return work.copy(), saved.copy()

    def both(x):
        return jax.pure_callback(host, (shaped(x), shaped(x)), x, vmap_method="broadcast_all")

    @jax.custom_vjp
    def silu(x):
        return both(x)[0]

    def fwd(x):
        y, s = both(x)
        return y, (x, s)

    silu.defvjp(fwd, lambda saved, g: (g * saved[1] * (1 + saved[0] * (1 - saved[1])),))
    return Call(silu, (jnp.asarray(np.random.default_rng(401).normal(size=(30, 70))),))


def one_buffer_for_two():
    """The host returns both gradients in one and the same buffer."""

    def host(x, y, g):
        x, y, g = (np.asarray(a) for a in (x, y, g))
        buffer = np.empty_like(x)
        by_x = np.multiply(g, np.exp(y), out=buffer)
        by_y = np.multiply(g * x, np.exp(y), out=buffer)
        return by_x, by_y

    @jax.custom_vjp
    def discount(x, y):
        return x * jnp.exp(y)

    def bwd(saved, g):
        x, y = saved
        return jax.pure_callback(host, (shaped(x), shaped(y)), x, y, g, vmap_method="broadcast_all")

    discount.defvjp(lambda x, y: (discount(x, y), (x, y)), bwd)
    a = np.random.default_rng(402).normal(size=(2, 9))
    return Call(discount, (jnp.asarray(a[0]), jnp.asarray(a[1])))


def swapped_rows():
    """A pivoting step: rows p and q change places; the backward swaps views."""

    @jax.custom_vjp
    def pivot(A, p, q):
        A = jnp.asarray(A)
        return A.at[jnp.array([p, q])].set(A[jnp.array([q, p])])

    def host(g, p, q):
        out = np.array(g)
        out[p], out[q] = out[q], out[p]
        return out

    def bwd(saved, g):
        p, q = saved
        return jax.pure_callback(host, shaped(g), g, p, q, vmap_method="sequential"), None, None

    pivot.defvjp(lambda A, p, q: (pivot(A, p, q), (jnp.asarray(p), jnp.asarray(q))), bwd)
    return Call(
        pivot, (jnp.asarray(np.random.default_rng(403).normal(size=(5, 4))), jnp.array(1), jnp.array(3))
    )


def ring_buffer_write():
    """A donated ring buffer that fades by a tenth, with a slot written anew; right, though a call deletes its input."""

    @jax.custom_vjp
    def write(buffer, slot, sample):
        return (0.9 * buffer).at[slot % buffer.shape[0]].set(sample)

    def bwd(saved, g):
        slot, n = saved
        i = slot % n
        return 0.9 * g.at[i].set(0.0), None, g[i]

    write.defvjp(lambda b, s, x: (write(b, s, x), (s, b.shape[0])), bwd)
    f = jax.jit(lambda buffer, slot, sample: write(buffer, slot, sample), donate_argnums=(0,))
    r = np.random.default_rng(410)
    return Call(f, (jnp.asarray(r.normal(size=(7, 2))), jnp.array(9), jnp.asarray(r.normal(size=2))))


def momentum_step():
    """An optimiser's step with donated weights and momenta (a dict), no rule of its own."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(weights, momenta, gradients, rate):
        momenta = jax.tree.map(lambda m, g: 0.9 * m + g, momenta, gradients)
        weights = jax.tree.map(lambda w, m: w - rate * m, weights, momenta)
        return weights, momenta

    r = np.random.default_rng(411)

    def tree():
        return {"w": jnp.asarray(r.normal(size=(3, 4))), "b": jnp.asarray(r.normal(size=4))}

    return Call(step, (tree(), tree(), tree(), jnp.array(0.05)))


def workspace_kept_apart():
    """A workspace that lives as long as the function, overwritten at each call; what leaves it is copied."""
    work = np.zeros(16)

    def host(x):
        np.copyto(work, np.asarray(x))
        np.tanh(work, out=work)
        saved = work.copy()
        np.multiply(work, work, out=work)
        return work.copy(), saved

    @jax.custom_vjp
    def squared_tanh(x):
        return jax.pure_callback(host, (shaped(x), shaped(x)), x, vmap_method="sequential")[0]

    def fwd(x):
        return jax.pure_callback(host, (shaped(x), shaped(x)), x, vmap_method="sequential")

    squared_tanh.defvjp(fwd, lambda t, g: (2 * g * t * (1 - t * t),))
    return Call(squared_tanh, (jnp.asarray(np.random.default_rng(412).normal(size=16)),))


def running_products_in_place():
    """Products along an axis by np.multiply.accumulate in place; one factor is zero, so there is no dividing."""

    def host_forward(x):
        out = np.array(x)
        np.multiply.accumulate(out, axis=-1, out=out)
        return out

    def host_backward(x, g):
        x, g = np.asarray(x), np.asarray(g)
        x = np.broadcast_to(x, g.shape)
        out = np.zeros(g.shape)
        left = np.ones(g.shape[:-1])
        for i in range(x.shape[-1]):
            right = left.copy()
            for k in range(i, x.shape[-1]):
                if k > i:
                    right *= x[..., k]
                out[..., i] += g[..., k] * right
            left *= x[..., i]
        return out

    @jax.custom_vjp
    def products(x):
        return jax.pure_callback(host_forward, shaped(x), x, vmap_method="broadcast_all")

    def bwd(x, g):
        return (jax.pure_callback(host_backward, shaped(x), x, g, vmap_method="broadcast_all"),)

    products.defvjp(lambda x: (products(x), x), bwd)
    return Call(products, (jnp.array([[0.5, -1.2, 2.0, 0.8], [1.5, 0.0, -0.7, 1.1]]),))


def donated_scratch():
    """Copies its input into a scratch array, which is donated to the next step; the input stays."""

    @partial(jax.jit, donate_argnums=(0,))
    def relax(scratch, source):
        return (
            0.25
            * (
                jnp.roll(scratch, 1, 0)
                + jnp.roll(scratch, -1, 0)
                + jnp.roll(scratch, 1, 1)
                + jnp.roll(scratch, -1, 1)
            )
            + source
        )

    def smooth(field, source, sweeps):
        scratch = jnp.array(field, copy=True)
        for _ in range(sweeps):
            scratch = relax(scratch, source)
        return scratch

    r = np.random.default_rng(414)
    return Call(
        smooth, (jnp.asarray(r.normal(size=(5, 6))), jnp.asarray(r.normal(size=(5, 6)))), {"sweeps": 3}
    )


ENTRIES = [
    Entry(
        "cache_write",
        ROW,
        True,
        "the gradient of the donated cache is not set to zero in the row that was overwritten",
        cache_write,
    ),
    Entry(
        "silu_workspace",
        ROW,
        True,
        "what is saved for the backward is the workspace, which is multiplied in place afterwards",
        silu_workspace,
    ),
    Entry(
        "one_buffer_for_two",
        ROW,
        True,
        "both gradients are returned in one buffer: the first is overwritten by the second",
        one_buffer_for_two,
    ),
    Entry(
        "swapped_rows",
        ROW,
        True,
        "numpy rows swapped as views: both become row q of the cotangent, row p is lost",
        swapped_rows,
    ),
    Entry(
        "ring_buffer_write",
        ROW,
        False,
        "a donated argument: calling the function deletes the buffer it was given",
        ring_buffer_write,
    ),
    Entry("momentum_step", ROW, False, "two donated dicts, four inputs, no custom rule", momentum_step),
    Entry(
        "workspace_kept_apart",
        ROW,
        False,
        "a host workspace is overwritten at each call, what leaves it is a copy",
        workspace_kept_apart,
    ),
    Entry(
        "running_products_in_place",
        ROW,
        False,
        "accumulates in place on the host; one factor is 0",
        running_products_in_place,
    ),
    Entry(
        "donated_scratch",
        ROW,
        False,
        "donates a copy of the input; the input itself is not deleted",
        donated_scratch,
    ),
]
