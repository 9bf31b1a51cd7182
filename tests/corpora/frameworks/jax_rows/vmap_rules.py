"""Row "vmap": custom_vmap rules, and backwards that are right on single examples only.  x64 by jax.config, here.

All of these are right, value and derivatives, when they are called with the given (single) inputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap, sequential_vmap

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "vmap"


def like(x):
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


def calibration_polynomial():
    """A calibration curve; the rule supposes that the coefficients are common to all examples."""

    @custom_vmap
    def curve(coefficients, reading):
        return jnp.polyval(coefficients, reading)

    @curve.def_vmap
    def curve_rule(axis_size, in_batched, coefficients, reading):
        coefficients_batched, reading_batched = in_batched
        if coefficients_batched:
            coefficients = coefficients[0]
        if not reading_batched:
            reading = jnp.broadcast_to(reading, (axis_size, *reading.shape))
        return jnp.polyval(coefficients, reading), True

    return Call(curve, (jnp.array([0.2, -1.0, 0.4, 2.0]), jnp.array([0.1, 0.9, -1.3])))


def unit_and_length():
    """A unit vector and the length; the rule says that the length is not batched."""

    def plain(x):
        n = jnp.sqrt(jnp.sum(x * x, -1))
        return x / n[..., None], n

    @custom_vmap
    def unit(x):
        return plain(x)

    @unit.def_vmap
    def _(axis_size, in_batched, x):
        direction, n = plain(x)
        return (direction, n[0]), (True, False)

    return Call(unit, (jnp.array([0.3, -1.2, 2.0, 0.7]),))


def centred_scores():
    """x - mean(x) where the rule takes the mean of all examples together."""

    @custom_vmap
    def centred(x):
        return x - jnp.mean(x)

    @centred.def_vmap
    def _(axis_size, in_batched, x):
        return x - jnp.mean(x), True

    return Call(centred, (jnp.asarray(np.random.default_rng(3).normal(size=10)),))


def mean_square_on_host():
    """Mean square, backward by numpy on the host: the divisor is the first dimension."""

    @jax.custom_vjp
    def mean_square(x):
        return jnp.mean(x * x, axis=-1)

    def host(x, g):
        x, g = np.asarray(x), np.asarray(g)
        return 2 * x * g[..., None] / x.shape[0]

    def bwd(x, g):
        return (jax.pure_callback(host, like(x), x, g, vmap_method="broadcast_all"),)

    mean_square.defvjp(lambda x: (mean_square(x), x), bwd)
    return Call(mean_square, (jnp.asarray(np.random.default_rng(31).normal(size=7)),))


def host_softmax():
    """Softmax on the host; the backward's inner product runs over everything."""

    def soft(x):
        e = np.exp(x - np.max(x, -1, keepdims=True))
        return e / np.sum(e, -1, keepdims=True)

    @jax.custom_vjp
    def softmax(x):
        return jax.pure_callback(lambda x: soft(np.asarray(x)), like(x), x, vmap_method="expand_dims")

    def fwd(x):
        y = softmax(x)
        return y, y

    def bwd(y, g):
        def host(y, g):
            y, g = np.asarray(y), np.asarray(g)
            return y * (g - np.sum(y * g))

        return (jax.pure_callback(host, like(y), y, g, vmap_method="broadcast_all"),)

    softmax.defvjp(fwd, bwd)
    return Call(softmax, (jnp.array([0.2, 1.5, -0.7, 0.0, 2.2]),))


def gated_product_backward():
    """x * g(w): forward right under vmap; the gradient of an unbatched w is summed twice over."""

    @custom_vmap
    def pull_weight(x, w, ct):
        return ct * x * jnp.cos(w)

    @pull_weight.def_vmap
    def _(axis_size, in_batched, x, w, ct):
        if not in_batched[1]:  # the weight is shared: "its gradient is the sum over the batch"
            grad = jnp.sum(ct * x * jnp.cos(w), axis=0)
            return jnp.broadcast_to(grad, (axis_size, *grad.shape)), True
        x = x if in_batched[0] else x[None]
        ct = ct if in_batched[2] else ct[None]
        return ct * x * jnp.cos(w), True

    @jax.custom_vjp
    def gate(x, w):
        return x * jnp.sin(w)

    gate.defvjp(
        lambda x, w: (gate(x, w), (x, w)), lambda s, ct: (ct * jnp.sin(s[1]), pull_weight(s[0], s[1], ct))
    )
    return Call(gate, (jnp.array([1.0, -0.5, 0.8]), jnp.array([0.3, 0.9, 1.4])))


def affine_any_batch():
    """W x + b with a rule for all eight ways in which its arguments can be batched."""

    @custom_vmap
    def affine(W, x, b):
        return W @ x + b

    @affine.def_vmap
    def _(axis_size, in_batched, W, x, b):
        W_in, x_in, b_in = in_batched
        left = ("z" if W_in else "") + "ij"
        right = ("z" if x_in else "") + "j"
        out = ("z" if W_in or x_in else "") + "i"
        y = jnp.einsum(f"{left},{right}->{out}", W, x) + b
        return y, W_in or x_in or b_in

    r = np.random.default_rng(50)
    return Call(
        affine,
        (jnp.asarray(r.normal(size=(3, 4))), jnp.asarray(r.normal(size=4)), jnp.asarray(r.normal(size=3))),
    )


def unbatched_second_output():
    """The second output depends on the second input alone, and is unbatched when that one is."""

    def plain(x, scale):
        return x * scale, jnp.log(scale)

    @custom_vmap
    def scaled(x, scale):
        return plain(x, scale)

    @scaled.def_vmap
    def _(axis_size, in_batched, x, scale):
        s = scale[:, None] if in_batched[1] else scale
        return (x * s, jnp.log(scale)), (in_batched[0] or in_batched[1], in_batched[1])

    return Call(scaled, (jnp.array([0.4, 1.1, -2.0]), jnp.array(1.9)))


def sorted_by_host():
    """A host function that takes one example at a time, by sequential_vmap; backward scatters to where it came from."""

    def host_order(x):
        return np.argsort(np.asarray(x), kind="stable")

    @sequential_vmap
    def order_of(x):
        return jax.pure_callback(host_order, jax.ShapeDtypeStruct(x.shape, jnp.int64), x)

    @jax.custom_vjp
    def ordered(x):
        return x[order_of(x)]

    def fwd(x):
        i = order_of(x)
        return x[i], i

    ordered.defvjp(fwd, lambda i, g: (jnp.zeros_like(g).at[i].set(g),))
    return Call(ordered, (jnp.asarray(np.random.default_rng(0).permutation(9) * 0.3 - 1),))


def host_layer_norm():
    """Normalisation on the host with broadcast_all, along the last axis alone."""

    def split(x):
        x = np.asarray(x)
        m = x.mean(-1, keepdims=True)
        s = np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5)
        return (x - m) / s, s

    def host_forward(x):
        return split(x)[0]

    def host_backward(x, g):
        y, s = split(x)
        g = np.asarray(g)
        return (g - g.mean(-1, keepdims=True) - y * (g * y).mean(-1, keepdims=True)) / s

    @jax.custom_vjp
    def norm(x):
        return jax.pure_callback(host_forward, like(x), x, vmap_method="broadcast_all")

    def bwd(x, g):
        return (jax.pure_callback(host_backward, like(x), x, g, vmap_method="broadcast_all"),)

    norm.defvjp(lambda x: (norm(x), x), bwd)
    return Call(norm, (jnp.asarray(np.random.default_rng(80).normal(2, 3, 11)),))


def solve_by_two_ways():
    """One example is solved by LU; a batch with one common matrix by its inverse: differences of rounding only."""

    @custom_vmap
    def solve_(A, b):
        return jnp.linalg.solve(A, b)

    @solve_.def_vmap
    def _(axis_size, in_batched, A, b):
        if in_batched[0]:
            b = b if in_batched[1] else jnp.broadcast_to(b, (axis_size, *b.shape))
            return jnp.linalg.solve(A, b[..., None])[..., 0], True
        return b @ jnp.linalg.inv(A).T, in_batched[1]

    @jax.custom_vjp
    def solve(A, b):
        return solve_(A, b)

    def fwd(A, b):
        x = solve_(A, b)
        return x, (A, x)

    def bwd(saved, g):
        A, x = saved
        lam = solve_(A.T, g)
        return -jnp.outer(lam, x), lam

    solve.defvjp(fwd, bwd)
    r = np.random.default_rng(44)
    return Call(solve, (jnp.asarray(r.normal(size=(4, 4)) + 4 * np.eye(4)), jnp.asarray(r.normal(size=4))))


def pairwise_inside():
    """vmap inside the function, with a named axis of its own and a collective over it."""

    @jax.custom_vjp
    def repulsion(position):
        def one(p):
            total = jax.lax.psum(p, "bodies")
            return jnp.sum((p - total / jax.lax.axis_size("bodies")) ** 2)

        return jax.vmap(one, axis_name="bodies")(position)

    def bwd(position, g):
        d = position - position.mean(0)
        direct = 2 * g[:, None] * d
        return (direct - direct.mean(0),)

    repulsion.defvjp(lambda p: (repulsion(p), p), bwd)
    return Call(repulsion, (jnp.asarray(np.random.default_rng(90).normal(size=(5, 2))),))


ENTRIES = [
    Entry(
        "calibration_polynomial",
        ROW,
        True,
        "the batching rule takes the coefficients of example 0 for all, wherever the coefficients are batched (right when only the reading is)",
        calibration_polynomial,
    ),
    Entry(
        "unit_and_length",
        ROW,
        True,
        "out_batched of the second output is False, and it is that of example 0",
        unit_and_length,
    ),
    Entry("centred_scores", ROW, True, "the rule's mean is over the whole batch", centred_scores),
    Entry(
        "mean_square_on_host",
        ROW,
        True,
        "the backward (numpy, broadcast_all) divides by shape[0], which is the batch under vmap; forward right",
        mean_square_on_host,
    ),
    Entry(
        "host_softmax",
        ROW,
        True,
        "the backward's sum has no axis, and runs over the batch under vmap; forward right",
        host_softmax,
    ),
    Entry(
        "gated_product_backward",
        ROW,
        True,
        "mixed in_batched: with x batched and w not, each example's gradient of w is the sum over the batch; forward right, and right where both are batched",
        gated_product_backward,
    ),
    Entry(
        "affine_any_batch",
        ROW,
        False,
        "all mixtures of batched and unbatched arguments (custom_vmap without a custom_vjp: forward mode only)",
        affine_any_batch,
    ),
    Entry(
        "unbatched_second_output",
        ROW,
        False,
        "the second output is rightly said to be unbatched when the scale is (forward mode only)",
        unbatched_second_output,
    ),
    Entry(
        "sorted_by_host",
        ROW,
        False,
        "one example at a time on the host, by sequential_vmap; .at[].set in the backward is right: a permutation",
        sorted_by_host,
    ),
    Entry(
        "host_layer_norm", ROW, False, "numpy with broadcast_all, right along the last axis", host_layer_norm
    ),
    Entry(
        "solve_by_two_ways",
        ROW,
        False,
        "batches are solved by another algorithm: equal to rounding, not bit by bit",
        solve_by_two_ways,
    ),
    Entry("pairwise_inside", ROW, False, "a psum over a named axis of its own inside", pairwise_inside),
]
