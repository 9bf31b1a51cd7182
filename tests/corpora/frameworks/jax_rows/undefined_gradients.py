"""Row "undefined gradients": unused outputs, symbolic zeros, float0.  x64 is switched on here, by jax.config."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "undefined gradients"


def is_zero(ct):
    return isinstance(ct, SymbolicZero)


def polar_form():
    """(x, y) -> (radius, angle); the backward forgets the second output."""

    @jax.custom_vjp
    def polar(x, y):
        return jnp.hypot(x, y), jnp.arctan2(y, x)

    def bwd(saved, cts):
        x, y, r = saved
        g_r, _ = cts
        return g_r * x / r, g_r * y / r

    polar.defvjp(lambda x, y: (polar(x, y), (x, y, jnp.hypot(x, y))), bwd)
    a = np.random.default_rng(4).normal(size=(2, 6))
    return Call(polar, (jnp.asarray(a[0]), jnp.asarray(a[1])))


def mean_and_variance():
    """Two moments; the short cut for an unused variance forgets the 1/n."""

    @jax.custom_vjp
    def moments(x):
        m = jnp.mean(x)
        return m, jnp.mean((x - m) ** 2)

    def fwd(x):
        return moments(x.value), x.value

    def bwd(x, cts):
        g_mean, g_var = cts
        n = x.size
        if is_zero(g_var):
            if is_zero(g_mean):
                return (jnp.zeros_like(x),)
            return (jnp.full_like(x, 1.0) * g_mean,)
        out = 2 * (x - jnp.mean(x)) * g_var / n
        if not is_zero(g_mean):
            out = out + g_mean / n
        return (out,)

    moments.defvjp(fwd, bwd, symbolic_zeros=True)
    return Call(moments, (jnp.asarray(np.random.default_rng(41).gamma(3.0, size=20)),))


def likelihood_missing_as_one():
    """Three terms of a loss; a term that nobody uses is taken with cotangent 1."""

    @jax.custom_vjp
    def terms(mu, log_sigma, y):
        z = (y - mu) * jnp.exp(-log_sigma)
        return 0.5 * z * z, log_sigma * jnp.ones_like(z), jnp.abs(z)

    def fwd(mu, log_sigma, y):
        mu, log_sigma, y = mu.value, log_sigma.value, y.value
        return terms(mu, log_sigma, y), (mu, log_sigma, y)

    def bwd(saved, cts):
        mu, ls, y = saved
        fit, width, size = (jnp.ones_like(y) if is_zero(g) else g for g in cts)
        s = jnp.exp(-ls)
        z = (y - mu) * s
        by_z = fit * z + size * jnp.sign(z)
        return (-by_z * s), jnp.sum(width - by_z * z), by_z * s

    terms.defvjp(fwd, bwd, symbolic_zeros=True)
    r = np.random.default_rng(19)
    return Call(terms, (jnp.asarray(r.normal(size=5)), jnp.array(0.3), jnp.asarray(r.normal(size=5) * 2)))


def lens_pair_frozen_second():
    """custom_jvp with symbolic zeros: where the second distance is a constant, the second output's tangent is dropped."""

    @jax.custom_jvp
    def lens(object_distance, focal):
        image = 1 / (1 / focal - 1 / object_distance)
        return image, image / object_distance

    def rule(primals, tangents):
        o, f = primals
        do, df = tangents
        image, magnification = lens(o, f)
        if is_zero(do):
            do = jnp.zeros_like(o)
        if is_zero(df):
            dimage = -((image / o) ** 2) * do
            return (image, magnification), (dimage, jnp.zeros_like(dimage))
        dimage = (image / f) ** 2 * df - (image / o) ** 2 * do
        return (image, magnification), (dimage, dimage / o - image / o**2 * do)

    lens.defjvp(rule, symbolic_zeros=True)

    def function(object_distance):
        return lens(object_distance, jnp.asarray(0.05))

    return Call(function, (jnp.array([0.4, 0.75, 2.0]),))


def top_two_gap():
    """Values, their places (integers) and a margin, of which only the values and the margin have cotangents."""

    @jax.custom_vjp
    def top_two(scores):
        i = jnp.argsort(-scores)[:2]
        best = scores[i]
        return best, i, best[0] - best[1]

    def fwd(scores):
        out = top_two(scores.value)
        return out, (out[1], scores.value)

    def bwd(saved, cts):
        i, like = saved
        g_best, _, g_margin = cts
        out = jnp.zeros_like(like)
        if is_zero(g_best):  # "nobody uses the values"
            return (out,)
        out = out.at[i].add(g_best)
        if not is_zero(g_margin):
            out = out.at[i[0]].add(g_margin).at[i[1]].add(-g_margin)
        return (out,)

    top_two.defvjp(fwd, bwd, symbolic_zeros=True)
    return Call(top_two, (jnp.array([0.3, 2.0, -1.0, 1.4, 0.9, 0.1]),))


def saved_only_if_perturbed():
    """y = W x; the input is saved for the backward only if x itself is differentiated (it is W that needs it)."""

    @jax.custom_vjp
    def dense(W, x):
        return W @ x

    def fwd(W, x):
        keep_x = x.value if x.perturbed else jnp.ones_like(x.value)
        return W.value @ x.value, (W.value, keep_x)

    def bwd(saved, g):
        W, x = saved
        if is_zero(g):
            return jnp.zeros_like(W), jnp.zeros_like(x)
        return jnp.outer(g, x), W.T @ g

    dense.defvjp(fwd, bwd, symbolic_zeros=True)
    data = jnp.asarray(np.random.default_rng(55).normal(size=6))

    def function(W):
        return jnp.tanh(dense(W, data))

    return Call(function, (jnp.asarray(np.random.default_rng(56).normal(size=(4, 6))),))


def three_moments_one_used():
    """Mean, variance, skewness; the function returns the second alone, and the others' cotangents are symbolic zeros."""

    @jax.custom_vjp
    def moments(x):
        m = x.mean()
        d = x - m
        return m, (d**2).mean(), (d**3).mean()

    def fwd(x):
        assert x.perturbed
        return moments(x.value), x.value

    def bwd(x, cts):
        n = x.size
        d = x - x.mean()
        slopes = (jnp.ones_like(x) / n, 2 * d / n, 3 * (d**2 - (d**2).mean()) / n)
        out = jnp.zeros_like(x)
        for g, slope in zip(cts, slopes):
            if not is_zero(g):
                out = out + g * slope
        return (out,)

    moments.defvjp(fwd, bwd, symbolic_zeros=True)

    def variance(x):
        _, v, _ = moments(x)
        return v

    return Call(variance, (jnp.asarray(np.random.default_rng(7).normal(3, 2, 15)),))


def codon_lookup():
    """Integer inputs, whose cotangent is float0; a table with rows that nobody asks for."""

    @jax.custom_vjp
    def lookup(table, codons, frame):
        return table[(codons + frame) % table.shape[0]]

    def fwd(table, codons, frame):
        return lookup(table, codons, frame), (table, codons, frame)

    def bwd(saved, g):
        table, codons, frame = saved
        by_table = jnp.zeros_like(table).at[(codons + frame) % table.shape[0]].add(g)
        return by_table, np.zeros(codons.shape, jax.dtypes.float0), np.zeros((), jax.dtypes.float0)

    lookup.defvjp(fwd, bwd)
    table = jnp.asarray(np.random.default_rng(64).normal(size=(64, 3)))
    return Call(lookup, (table, jnp.array([[3, 60, 3], [17, 3, 0]]), jnp.array(2)))


def sorted_with_ranks():
    """A sorted array and an integer array of ranks: float0 comes in for the second output."""

    @jax.custom_vjp
    def rank(x):
        order = jnp.argsort(x, axis=-1)
        return jnp.take_along_axis(x, order, -1), jnp.argsort(order, axis=-1)

    def fwd(x):
        y, ranks = rank(x)
        return (y, ranks), ranks

    def bwd(ranks, cts):
        g, nothing = cts
        assert nothing.dtype == jax.dtypes.float0
        return (jnp.take_along_axis(g, ranks, -1),)

    rank.defvjp(fwd, bwd)
    return Call(rank, (jnp.asarray(np.random.default_rng(65).permutation(12).reshape(3, 4) / 4.0),))


def dead_input():
    """An input that the output does not depend on: None for it, which is a gradient of zeros."""

    @jax.custom_vjp
    def batch_norm(x, running_mean, gain):
        m = x.mean(0)
        s = jnp.sqrt(x.var(0) + 1e-3)
        return gain * (x - m) / s, jax.lax.stop_gradient(jnp.sum(m) > 0)

    def fwd(x, running_mean, gain):
        m = x.mean(0)
        s = jnp.sqrt(x.var(0) + 1e-3)
        return batch_norm(x, running_mean, gain), ((x - m) / s, s, gain)

    def bwd(saved, cts):
        z, s, gain = saved
        g = cts[0]
        gz = g * gain
        return (gz - gz.mean(0) - z * (gz * z).mean(0)) / s, None, (g * z).sum(0)

    batch_norm.defvjp(fwd, bwd)

    def function(x, running_mean, gain):
        return batch_norm(x, running_mean, gain)[0]

    r = np.random.default_rng(70)
    return Call(function, (jnp.asarray(r.normal(size=(9, 3))), jnp.zeros(3), jnp.asarray(r.uniform(1, 2, 3))))


def logdet_and_inverse_lazily():
    """Two outputs with costly cotangents, each computed only if it is not a symbolic zero; any output may go unused."""

    @jax.custom_vjp
    def log_parts(A):
        return jnp.linalg.slogdet(A)[1], jnp.linalg.inv(A)

    def fwd(A):
        out = log_parts(A.value)
        return out, out[1]

    def bwd(inverse, cts):
        g_log, g_inv = cts
        total = None
        if not is_zero(g_log):
            total = g_log * inverse.T
        if not is_zero(g_inv):
            part = -inverse.T @ g_inv @ inverse.T
            total = part if total is None else total + part
        return (jnp.zeros_like(inverse) if total is None else total,)

    log_parts.defvjp(fwd, bwd, symbolic_zeros=True)
    return Call(log_parts, (jnp.asarray(np.random.default_rng(71).normal(size=(4, 4)) + 2 * np.eye(4)),))


def jvp_with_constant_and_counts():
    """custom_jvp with symbolic zeros: one argument closed over, one of integers, two outputs."""

    @jax.custom_jvp
    def decay(amount, half_life, steps):
        left = amount * 0.5 ** (steps / half_life)
        return left, amount - left

    def rule(primals, tangents):
        amount, half_life, steps = primals
        da, dh, ds = tangents
        assert is_zero(ds)
        left, gone = decay(amount, half_life, steps)
        da = jnp.zeros_like(amount) if is_zero(da) else da
        dleft = left / amount * da
        if not is_zero(dh):
            dleft = dleft + left * np.log(2.0) * steps / half_life**2 * dh
        return (left, gone), (dleft, da - dleft)

    decay.defjvp(rule, symbolic_zeros=True)

    def function(amount, steps):
        return decay(amount, jnp.asarray([3.0, 5.27, 1.1]), steps)

    return Call(function, (jnp.array([1.0, 0.2, 6.0]), jnp.array([1, 4, 2])))


ENTRIES = [
    Entry("polar_form", ROW, True, "the cotangent of the second output (the angle) is ignored", polar_form),
    Entry(
        "mean_and_variance",
        ROW,
        True,
        "where the variance's cotangent is a symbolic zero (only the first output used), the factor 1/n is missing; right with both used, with dense zeros, and with the variance alone",
        mean_and_variance,
    ),
    Entry(
        "likelihood_missing_as_one",
        ROW,
        True,
        "a symbolic zero cotangent is replaced by ones in place of zeros: wrong as soon as one of the three outputs is unused, right with dense cotangents",
        likelihood_missing_as_one,
    ),
    Entry(
        "lens_pair_frozen_second",
        ROW,
        True,
        "custom_jvp: where the focal length's tangent is a symbolic zero (it is a constant here) the tangent of the second output is dropped",
        lens_pair_frozen_second,
    ),
    Entry(
        "top_two_gap",
        ROW,
        True,
        "where the values are unused (a symbolic zero) the backward returns zeros though the margin, the third output after an integer one, is used; right with dense cotangents",
        top_two_gap,
    ),
    Entry(
        "saved_only_if_perturbed",
        ROW,
        True,
        "the residual x is replaced by ones if x is not perturbed, which is so here: the gradient of W is wrong",
        saved_only_if_perturbed,
    ),
    Entry(
        "three_moments_one_used",
        ROW,
        False,
        "two of three cotangents are symbolic zeros",
        three_moments_one_used,
    ),
    Entry(
        "codon_lookup",
        ROW,
        False,
        "an integer array and an integer scalar among the inputs, with float0 cotangents; repeated ids, 62 of 64 rows with zero gradient or so",
        codon_lookup,
    ),
    Entry("sorted_with_ranks", ROW, False, "an integer output, with a float0 cotangent", sorted_with_ranks),
    Entry(
        "dead_input",
        ROW,
        False,
        "the backward returns None for an input of which the output does not depend; a boolean output goes unused",
        dead_input,
    ),
    Entry(
        "logdet_and_inverse_lazily",
        ROW,
        False,
        "either of the two cotangents may be a symbolic zero",
        logdet_and_inverse_lazily,
    ),
    Entry(
        "jvp_with_constant_and_counts",
        ROW,
        False,
        "custom_jvp with symbolic zeros for a constant and for integers",
        jvp_with_constant_and_counts,
    ),
]
