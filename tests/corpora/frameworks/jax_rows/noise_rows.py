"""Row "noise": gradients that vary from run to run by rounding, and others that depend on state.  x64 by jax.config, here.

The state lives in what `make` makes: a new call starts anew.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "noise"


def shaped(x):
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


def annealed_backward():
    """A host counter damps the gradient a little more with each call."""
    calls = {"n": 0}

    def host(x, g):
        calls["n"] += 1
        return np.asarray(g) * 2 * np.asarray(x) / (1 + 0.004 * calls["n"])

    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(
        lambda x: (x * x, x),
        lambda x, g: (jax.pure_callback(host, shaped(x), x, g, vmap_method="sequential"),),
    )
    return Call(square, (jnp.array([0.5, -1.5, 2.0]),))


def one_call_behind():
    """Two buffers on the host, and the backward reads the other one: what the call before has put there."""

    class Pair:
        def __init__(self, n):
            self.buffers = [np.zeros(n), np.zeros(n)]
            self.turn = 0

        def forward(self, x):
            y = np.exp(np.asarray(x))  # for the backward
            self.buffers[self.turn] = y
            self.turn = 1 - self.turn
            return y

        def backward(self, g):
            return np.asarray(g) * self.buffers[self.turn]

    pair = Pair(4)

    @jax.custom_vjp
    def growth(x):
        return jnp.exp(x)

    def fwd(x):
        y = jax.pure_callback(pair.forward, shaped(x), x, vmap_method="sequential")
        return y, y

    def bwd(y, g):
        return (jax.pure_callback(lambda y, g: pair.backward(g), shaped(g), y, g, vmap_method="sequential"),)

    growth.defvjp(fwd, bwd)
    return Call(growth, (jnp.array([0.1, -0.6, 1.2, 0.4]),))


def gradient_not_zeroed():
    """The backward adds into a buffer which nobody clears."""
    buffer = np.zeros((5, 3))

    def host(x, g):
        x, g = np.asarray(x), np.asarray(g)
        buffer.__iadd__(np.cos(x) * g)
        return buffer.copy()

    @jax.custom_vjp
    def wave(x):
        return jnp.sin(x)

    wave.defvjp(
        lambda x: (jnp.sin(x), x),
        lambda x, g: (jax.pure_callback(host, shaped(x), x, g, vmap_method="sequential"),),
    )
    return Call(wave, (jnp.asarray(np.random.default_rng(200).normal(size=(5, 3))),))


def lost_update():
    """A race, acted: each backward loses one of the contributions to a sum, each time another one."""
    rng = np.random.default_rng(201)

    def host(positions, charges, g):
        positions, charges, g = np.asarray(positions), np.asarray(charges), np.asarray(g)
        contribution = np.broadcast_to(g, positions.shape) * charges * -np.exp(-positions)
        contribution = contribution.copy()
        contribution[rng.integers(contribution.size)] = 0.0
        return contribution

    @jax.custom_vjp
    def potential(positions, charges):
        return jnp.sum(charges * jnp.exp(-positions))

    def bwd(saved, g):
        positions, charges = saved
        by_position = jax.pure_callback(
            host, shaped(positions), positions, charges, g, vmap_method="sequential"
        )
        return by_position, g * jnp.exp(-positions)

    potential.defvjp(lambda p, c: (potential(p, c), (p, c)), bwd)
    r = np.random.default_rng(202)
    return Call(potential, (jnp.asarray(r.uniform(0, 2, 12)), jnp.asarray(r.uniform(0.5, 2, 12))))


def refreshed_each_thousandth():
    """An inverse on the host, computed at the first evaluation (a warm-up with the unit matrix) and at each thousandth."""
    state = {"count": 0, "inverse": None}

    def refresh(A):
        if state["count"] % 1000 == 0:
            state["inverse"] = np.linalg.inv(np.asarray(A))
        state["count"] += 1

    refresh(np.eye(3))

    def host_log(A):
        refresh(A)
        return np.asarray(np.linalg.slogdet(np.asarray(A))[1])

    def host_back(A, g):
        return np.asarray(g) * state["inverse"].T + 0 * np.asarray(A)

    @jax.custom_vjp
    def log_volume(A):
        return jax.pure_callback(host_log, jax.ShapeDtypeStruct((), A.dtype), A, vmap_method="sequential")

    log_volume.defvjp(
        lambda A: (log_volume(A), A),
        lambda A, g: (jax.pure_callback(host_back, shaped(A), A, g, vmap_method="sequential"),),
    )
    return Call(log_volume, (jnp.asarray(np.random.default_rng(203).normal(size=(3, 3)) + 3 * np.eye(3)),))


def jitter_of_ten_digits():
    """Every gradient entry carries a relative noise of 1e-10, new at each call."""
    rng = np.random.default_rng(210)

    def host(x):
        return 1 + 1e-10 * np.clip(rng.normal(size=np.shape(x)), -3, 3)

    @jax.custom_vjp
    def friction(x):
        return x * jnp.arctan(x)

    def bwd(x, g):
        noisy = jax.pure_callback(host, shaped(x), x, vmap_method="sequential")
        return (g * (jnp.arctan(x) + x / (1 + x * x)) * noisy,)

    friction.defvjp(lambda x: (friction(x), x), bwd)
    return Call(friction, (jnp.asarray(np.random.default_rng(211).normal(size=600)),))


def shuffled_float32_sums():
    """Gradients summed in float32 in an order that changes: relative noise 1e-6 of the largest."""
    rng = np.random.default_rng(212)

    def host(X, residual):
        X, residual = np.asarray(X, np.float32), np.asarray(residual, np.float32)
        order = rng.permutation(len(X))
        total = np.zeros(X.shape[1], np.float32)
        for k in order:
            total += X[k] * residual[k]
        return total.astype(np.float64)

    @jax.custom_vjp
    def least_squares(w, X, y):
        return 0.5 * jnp.sum((X @ w - y) ** 2)

    def bwd(saved, g):
        w, X, y = saved
        r = X @ w - y
        by_w = jax.pure_callback(host, shaped(w), X, r, vmap_method="sequential")
        return g * by_w, g * jnp.outer(r, w), -g * r

    least_squares.defvjp(lambda w, X, y: (least_squares(w, X, y), (w, X, y)), bwd)
    r = np.random.default_rng(213)
    return Call(
        least_squares,
        (jnp.asarray(r.normal(size=3)), jnp.asarray(r.normal(size=(40, 3))), jnp.asarray(r.normal(size=40))),
    )


def value_and_gradient_both_noisy():
    """Noise of 1e-11 in the value and of 1e-8 in the gradient, from a counter and not from a generator."""
    ticks = {"n": 0}

    def tick(scale, x):
        ticks["n"] += 1
        return 1 + scale * np.sin(12.9898 * ticks["n"] + np.arange(np.size(x)).reshape(np.shape(x)))

    def factor(scale, x):
        return jax.pure_callback(lambda x: tick(scale, x), shaped(x), x, vmap_method="sequential")

    @jax.custom_vjp
    def hill(dose, ec50):
        return dose**2 / (dose**2 + ec50**2) * factor(1e-11, dose)

    def bwd(saved, g):
        dose, ec50 = saved
        q = (dose**2 + ec50**2) ** 2
        by_dose = g * 2 * dose * ec50**2 / q
        return by_dose * factor(1e-8, dose), jnp.sum(-g * 2 * ec50 * dose**2 / q * factor(1e-8, dose))

    hill.defvjp(lambda d, e: (hill(d, e), (d, e)), bwd)
    return Call(hill, (jnp.array([0.2, 0.8, 1.5, 4.0]), jnp.array(1.1)))


def logging_counter():
    """Counts and keeps its calls, for a log: state, of which nothing depends."""
    log = []

    def host(x):
        log.append(float(np.asarray(x).sum()))
        return np.tanh(np.asarray(x))

    @jax.custom_vjp
    def squash(x):
        return jax.pure_callback(host, shaped(x), x, vmap_method="expand_dims")

    def fwd(x):
        y = squash(x)
        return y, y

    squash.defvjp(fwd, lambda y, g: (g * (1 - y * y),))
    return Call(squash, (jnp.linspace(-2, 2, 10),))


ENTRIES = [
    Entry(
        "annealed_backward",
        ROW,
        True,
        "the gradient is divided by 1 + 0.004 calls: off by 0.4 % in the first call and more in each",
        annealed_backward,
    ),
    Entry(
        "one_call_behind",
        ROW,
        True,
        "the backward reads the buffer of the differentiated forward before: zeros in the first gradient, and afterwards the values at the inputs of the gradient before (right from the second on, if it is at the same inputs)",
        one_call_behind,
    ),
    Entry(
        "gradient_not_zeroed",
        ROW,
        True,
        "gradients add up over the calls in a host buffer: right in the first backward, and wrong from the second on",
        gradient_not_zeroed,
    ),
    Entry(
        "lost_update",
        ROW,
        True,
        "each call drops another one of the twelve contributions: the position's gradient varies by 100 % in one entry, at random",
        lost_update,
    ),
    Entry(
        "refreshed_each_thousandth",
        ROW,
        True,
        "a stale cache: the inverse used in the backward is that of the warm-up (the unit matrix), renewed at each thousandth evaluation only",
        refreshed_each_thousandth,
    ),
    Entry(
        "jitter_of_ten_digits",
        ROW,
        False,
        "relative noise of 1e-10 (at most 3e-10) in each entry, new at each call; the value has none",
        jitter_of_ten_digits,
    ),
    Entry(
        "shuffled_float32_sums",
        ROW,
        False,
        "float32 sums in random order: the gradient of w has relative noise below 1e-6 of its largest entry",
        shuffled_float32_sums,
    ),
    Entry(
        "value_and_gradient_both_noisy",
        ROW,
        False,
        "relative noise of 1e-11 in the value and of 1e-8 in the gradient",
        value_and_gradient_both_noisy,
    ),
    Entry(
        "logging_counter",
        ROW,
        False,
        "has a host counter and a log that nothing depends on: no noise",
        logging_counter,
    ),
]
