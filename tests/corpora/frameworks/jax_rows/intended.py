"""Row "intended": gradients that differ on purpose from the true ones.  x64 is switched on here, by jax.config."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "intended"


def quantiser_outside_range():
    """An 8-level quantiser, whose gradient is meant to stop outside its range."""

    @jax.custom_vjp
    def quantise(x):
        return jnp.round(jnp.clip(x, -1.0, 1.0) * 3.5) / 3.5

    quantise.defvjp(lambda x: (quantise(x), None), lambda _, g: (g,))
    x = np.random.default_rng(500).uniform(-1.8, 1.8, 30)
    x = x[np.abs(np.abs(x) - 1) > 0.05]
    return Call(quantise, (jnp.asarray(x),), intended=lambda x: jnp.clip(x, -1.0, 1.0))


def reversal_without_strength():
    """Gradient reversal whose strength is forgotten."""

    @jax.custom_vjp
    def reverse(h, strength):
        return h

    reverse.defvjp(lambda h, strength: (h, strength), lambda strength, g: (-g, jnp.zeros_like(strength)))

    def function(h, strength):
        return reverse(h, jnp.asarray(strength))

    return Call(
        function,
        (jnp.asarray(np.random.default_rng(501).normal(size=(4, 3))),),
        {"strength": 0.3},
        intended=lambda h, strength: -strength * h,
    )


def spike_slope():
    """A spiking neuron with the fast sigmoid as its surrogate; the factor of the slope is missing."""
    beta = 5.0

    @jax.custom_jvp
    def spike(v, threshold):
        return jnp.where(v > threshold, 1.0, 0.0)

    @spike.defjvp
    def _(p, t):
        u = p[0] - p[1]
        return spike(*p), (t[0] - t[1]) / (1 + beta * jnp.abs(u)) ** 2

    def meant(v, threshold):
        u = beta * (v - threshold)
        return u / (1 + jnp.abs(u))

    v = jnp.asarray(np.random.default_rng(502).normal(0.8, 0.5, (5, 4)))
    return Call(spike, (v, jnp.array(1.0)), intended=meant)


def codebook_leak():
    """Nearest entry of a codebook, straight through to x; the codebook is meant to get nothing."""

    def quantise(x, codebook):
        i = jnp.argmin(jnp.sum((x[:, None] - codebook) ** 2, -1), -1)
        q = codebook[i]
        return x + q - lax.stop_gradient(x)

    r = np.random.default_rng(503)
    return Call(
        quantise,
        (jnp.asarray(r.normal(size=(6, 2))), jnp.asarray(r.normal(size=(4, 2)))),
        intended=lambda x, codebook: x + 0 * codebook.sum(),
    )


def bounded_slope_quartic():
    """A loss whose slope is meant to be cut at 2 from both sides; it is cut above only."""

    @jax.custom_vjp
    def quartic(x):
        return x**4 / 4

    quartic.defvjp(lambda x: (quartic(x), x), lambda x, g: (g * jnp.minimum(x**3, 2.0),))
    edge = 2.0 ** (1 / 3)

    def meant(x):
        outside = 2 * jnp.abs(x)
        return jnp.where(jnp.abs(x) < edge, x**4 / 4, outside)

    return Call(quartic, (jnp.array([-2.0, -1.6, -0.9, 0.3, 1.1, 1.5, 2.5]),), intended=meant)


def rounding_straight_through():
    """x + stop_gradient(round(x) - x), by a step that is a setting: the identity's gradient."""

    def to_grid(x, step):
        return x + lax.stop_gradient(step * jnp.round(x / step) - x)

    return Call(
        to_grid,
        (jnp.asarray(np.random.default_rng(510).normal(size=(3, 4, 2))),),
        {"step": 0.25},
        intended=lambda x, step: x,
    )


def reversal_layer():
    """Gradient reversal between two layers, by custom_vjp, the strength by nondiff_argnums."""

    def identity(h, strength):
        return h

    reverse = jax.custom_vjp(identity, nondiff_argnums=(1,))
    reverse.defvjp(lambda h, strength: (h, None), lambda strength, _, g: (-strength * g,))

    def adversary(features, head, strength):
        return jnp.tanh(reverse(features, strength) @ head)

    r = np.random.default_rng(511)
    features, head = jnp.asarray(r.normal(size=(4, 3))), jnp.asarray(r.normal(size=(3, 2)))

    def meant(f, h, strength):
        # at the given features and head: the head's gradient is the true one, the features' the true one times -strength
        return jnp.tanh((features - strength * (f - features)) @ h)

    return Call(adversary, (features, head), {"strength": 0.7}, intended=meant)


def binary_network_sign():
    """sign(x), with the gradient of the hard tanh; a zero at the fixed inputs is not among them."""

    @jax.custom_vjp
    def binarise(x):
        return jnp.where(x >= 0, 1.0, -1.0)

    binarise.defvjp(lambda x: (binarise(x), x), lambda x, g: (jnp.where(jnp.abs(x) <= 1, g, 0.0),))
    x = np.random.default_rng(512).normal(0, 1.2, (40, 50))
    x = np.where(np.abs(np.abs(x) - 1) < 0.05, 0.5, x)
    return Call(binarise, (jnp.asarray(x),), intended=lambda x: jnp.clip(x, -1, 1))


def learned_step_size():
    """A quantiser with a learned step s: dy/dx = 1 inside, dy/ds = round(x/s) - x/s inside and +-bound outside."""

    @jax.custom_vjp
    def quantise(x, s):
        return s * jnp.round(jnp.clip(x / s, -4, 3))

    def bwd(saved, g):
        x, s = saved
        v = x / s
        inside = (v > -4) & (v < 3)
        by_s = jnp.where(inside, jnp.round(v) - v, jnp.clip(v, -4, 3))
        return jnp.where(inside, g, 0.0), jnp.sum(g * by_s)

    quantise.defvjp(lambda x, s: (quantise(x, s), (x, s)), bwd)
    r = np.random.default_rng(513)
    x0, s0 = jnp.asarray(r.normal(size=20)), jnp.array(0.31)
    v0 = x0 / s0
    rest = jnp.round(v0) - v0

    def meant(x, s):
        inside = (v0 > -4) & (v0 < 3)
        return jnp.where(inside, x + s * rest, s * jnp.clip(v0, -4, 3))

    return Call(quantise, (x0, s0), intended=meant)


def target_network():
    """A temporal difference error whose bootstrapped target is a constant by intention."""

    def error(theta, states, following, rewards):
        value = jnp.tanh(states @ theta)
        target = rewards + 0.95 * lax.stop_gradient(jnp.tanh(following @ theta))
        return 0.5 * jnp.mean((target - value) ** 2)

    r = np.random.default_rng(514)
    theta = jnp.asarray(r.normal(size=4))
    states, following = (jnp.asarray(a) for a in r.normal(size=(2, 7, 4)))
    rewards = jnp.asarray(r.normal(size=7))
    frozen = jnp.tanh(following @ theta)

    def meant(theta, states, following, rewards):
        return 0.5 * jnp.mean((rewards + 0.95 * frozen - jnp.tanh(states @ theta)) ** 2)

    return Call(error, (theta, states, following, rewards), intended=meant)


def exponential_with_bounded_slope():
    """exp(x) forward; backward the slope is no more than 1."""

    @jax.custom_jvp
    def rate(x):
        return jnp.exp(x)

    rate.defjvp(lambda p, t: (rate(p[0]), jnp.minimum(jnp.exp(p[0]), 1.0) * t[0]))
    return Call(
        rate,
        (jnp.array([-3.0, -0.2, 0.4, 2.0, 30.0]),),
        intended=lambda x: jnp.where(x < 0, jnp.exp(jnp.minimum(x, 0.0)), 1 + x),
    )


ENTRIES = [
    Entry(
        "quantiser_outside_range",
        ROW,
        True,
        "passes the gradient outside the range too, where the intended one (of clip) is zero",
        quantiser_outside_range,
    ),
    Entry("reversal_without_strength", ROW, True, "-g in place of -strength g", reversal_without_strength),
    Entry("spike_slope", ROW, True, "the surrogate's slope lacks the factor beta", spike_slope),
    Entry(
        "codebook_leak",
        ROW,
        True,
        "the stop_gradient is around x alone and not around q - x: the codebook gets a gradient, which is meant to be nought",
        codebook_leak,
    ),
    Entry("bounded_slope_quartic", ROW, True, "the slope is cut at +2 and not at -2", bounded_slope_quartic),
    Entry(
        "rounding_straight_through",
        ROW,
        False,
        "the true gradient is zero, the intended one that of the identity; both modes",
        rounding_straight_through,
    ),
    Entry(
        "reversal_layer",
        ROW,
        False,
        "the head's gradient is the true one, the features' is reversed and scaled by 0.7; `intended` is meant at the given inputs",
        reversal_layer,
    ),
    Entry(
        "binary_network_sign",
        ROW,
        False,
        "the true gradient is zero, the intended one that of clip",
        binary_network_sign,
    ),
    Entry(
        "learned_step_size",
        ROW,
        False,
        "LSQ: `intended` has the roundings frozen at the given inputs",
        learned_step_size,
    ),
    Entry(
        "target_network",
        ROW,
        False,
        "`intended` has the target frozen at the given inputs; zero gradient for `following`",
        target_network,
    ),
    Entry(
        "exponential_with_bounded_slope",
        ROW,
        False,
        "the slope is cut at 1; one input of 30, where the true one is 1e13",
        exponential_with_bounded_slope,
    ),
]
