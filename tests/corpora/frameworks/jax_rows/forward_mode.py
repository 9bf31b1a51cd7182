"""Row "forward mode": jax.custom_jvp rules, right and wrong.  x64 is switched on here, by jax.config."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero, linear_call

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "forward mode"


def slant_range():
    """Distance from a radar to targets, with three primals."""

    @jax.custom_jvp
    def slant(east, north, up):
        return jnp.sqrt(east**2 + north**2 + up**2)

    @slant.defjvp
    def slant_jvp(primals, tangents):
        east, north, up = primals
        d_east, d_north, _ = tangents
        out = slant(east, north, up)
        return out, (east * d_east + north * d_north) / out

    rng = np.random.default_rng(11)
    east, north = rng.uniform(-40, 40, (2, 800))
    return Call(slant, (jnp.asarray(east), jnp.asarray(north), jnp.asarray(rng.uniform(2, 30, 800))))


def chebyshev_degree():
    """T_n(x), n an integer setting."""

    def recur(x, degree):
        before, now = jnp.ones_like(x), x
        if degree == 0:
            return before
        for _ in range(degree - 1):
            before, now = now, 2 * x * now - before
        return now

    def second_kind(x, degree):
        before, now = jnp.ones_like(x), 2 * x
        if degree == 0:
            return before
        for _ in range(degree - 1):
            before, now = now, 2 * x * now - before
        return now

    def cheb(x, degree):
        return recur(x, degree)

    cheb = jax.custom_jvp(cheb, nondiff_argnums=(1,))

    @cheb.defjvp
    def rule(degree, primals, tangents):
        (x,), (xdot,) = primals, tangents
        return cheb(x, degree), second_kind(x, degree - 1) * xdot

    return Call(cheb, (jnp.linspace(-0.9, 0.95, 33),), {"degree": 4})


def tempered_softmax():
    """Softmax with a temperature; the tangent of the temperature has the other sign."""

    @jax.custom_jvp
    def tempered(logits, tau):
        z = logits / tau
        z = z - jax.lax.stop_gradient(z.max(-1, keepdims=True))
        e = jnp.exp(z)
        return e / e.sum(-1, keepdims=True)

    def rule(primals, tangents):
        logits, tau = primals
        dl, dtau = tangents
        p = tempered(logits, tau)
        dz = dl / tau + logits * dtau / tau**2
        return p, p * (dz - (p * dz).sum(-1, keepdims=True))

    tempered.defjvp(rule)
    r = np.random.RandomState(3)
    return Call(tempered, (jnp.array(r.randn(6, 9)), jnp.array(0.7)))


def truss_displacements():
    """K u = f; the stiffness' tangent enters with a plus."""

    @jax.custom_jvp
    def displacements(K, f):
        return jnp.linalg.solve(K, f)

    @displacements.defjvp
    def _(primals, tangents):
        K, f = primals
        dK, df = tangents
        u = displacements(K, f)
        return u, jnp.linalg.solve(K, df + dK @ u)

    rng = np.random.default_rng(70)
    B = rng.normal(size=(7, 7))
    return Call(displacements, (jnp.asarray(B @ B.T + 4 * np.eye(7)), jnp.asarray(rng.normal(size=7))))


def ema_decay():
    """Exponential moving average along time."""

    def run(series, alpha):
        def step(level, value):
            level = (1 - alpha) * level + alpha * value
            return level, level

        return jax.lax.scan(step, jnp.zeros_like(series[0]), series)[1]

    ema = jax.custom_jvp(run)

    @ema.defjvp
    def ema_jvp(primals, tangents):
        series, alpha = primals
        dseries, dalpha = tangents
        levels = ema(series, alpha)
        previous = jnp.concatenate([jnp.zeros_like(levels[:1]), levels[:-1]])
        from_alpha = (series - previous) * dalpha  # of this step alone: what came before is not carried on
        return levels, run(dseries, alpha) + from_alpha

    rng = np.random.default_rng(5)
    return Call(ema, (jnp.asarray(np.cumsum(rng.normal(size=(30, 2)), 0)), jnp.asarray(0.35)))


def line_profile_elif():
    """A Gaussian line; the rule takes symbolic zeros and an elif where there should be an if."""

    @jax.custom_jvp
    def profile(centre, width):
        nu = jnp.linspace(-2.0, 2.0, 41)
        return jnp.exp(-0.5 * ((nu - centre) / width) ** 2)

    def rule(primals, tangents):
        centre, width = primals
        dc, dw = tangents
        nu = jnp.linspace(-2.0, 2.0, 41)
        u = (nu - centre) / width
        y = profile(centre, width)
        dy = jnp.zeros_like(y)
        if not isinstance(dc, SymbolicZero):
            dy = dy + y * u / width * dc
        elif not isinstance(dw, SymbolicZero):
            dy = dy + y * u**2 / width * dw
        return y, dy

    profile.defjvp(rule, symbolic_zeros=True)
    return Call(profile, (jnp.array(0.31), jnp.array(0.6)))


def scatter_matrix():
    """X -> X X^T; the tangent is not symmetrised."""

    @jax.custom_jvp
    def scatter_mat(X):
        return X @ X.T

    scatter_mat.defjvp(lambda p, t: (p[0] @ p[0].T, 2.0 * (t[0] @ p[0].T)))
    return Call(scatter_mat, (jnp.asarray(np.random.default_rng(8).standard_normal((5, 12))),))


def damped_cosine_linear_call():
    """Forward and reverse have rules of their own (linear_call): only the forward one is wrong."""

    @jax.custom_jvp
    def damped(t, rate):
        return jnp.exp(-rate * t) * jnp.cos(3.0 * t)

    @damped.defjvp
    def damped_jvp(primals, tangents):
        t, rate = primals
        by_t = -jnp.exp(-rate * t) * (rate * jnp.cos(3.0 * t) + 3.0 * jnp.sin(3.0 * t))
        by_rate = -t * jnp.exp(-rate * t) * jnp.cos(3.0 * t)

        def push(res, dots):
            a, b = res
            return a * dots[0] - b * dots[1]

        def pull(res, bar):
            a, b = res
            return a * bar, (b * bar).sum()

        return damped(t, rate), linear_call(push, pull, (by_t, by_rate), (tangents[0], tangents[1]))

    return Call(damped, (jnp.linspace(0.1, 2.0, 17), jnp.array(0.4)))


def cardinal_sine():
    """sin(x)/x with exact zeros and tiny numbers among the inputs."""

    def value(x):
        safe = jnp.where(x == 0, 1.0, x)
        return jnp.where(x == 0, 1.0, jnp.sin(safe) / safe)

    @jax.custom_jvp
    def sinc(x):
        return value(x)

    @sinc.defjvp
    def _(p, t):
        (x,) = p
        small = jnp.abs(x) < 0.02
        safe = jnp.where(small, 1.0, x)
        series = x * (-1 / 3 + x**2 * (1 / 30 - x**2 / 840))
        slope = jnp.where(small, series, (jnp.cos(safe) - jnp.sin(safe) / safe) / safe)
        return sinc(x), slope * t[0]

    x = [0.0, -0.0, 1e-9, -3e-5, 0.015, 0.4, -1.0, np.pi, 12.0, -40.0]
    return Call(sinc, (jnp.array(x),))


def power_mean():
    """A power mean: a callable and an integer which are not differentiated, in front of and behind what is."""

    def mean_of(transform, x, weights, order):
        y = transform(x)
        return (weights * y**order).sum(-1) / weights.sum(-1)

    power = jax.custom_jvp(mean_of, nondiff_argnums=(0, 3))

    def power_jvp(transform, order, primals, tangents):
        x, w = primals
        dx, dw = tangents
        y, dy = jax.jvp(transform, (x,), (dx,))
        m = power(transform, x, w, order)
        top = (w * order * y ** (order - 1) * dy).sum(-1) + (dw * (y**order - m[..., None])).sum(-1)
        return m, top / w.sum(-1)

    power.defjvp(power_jvp)

    def of_logs(x, w, order):
        return power(jnp.log1p, x, w, order)

    rng = np.random.default_rng(40)
    return Call(
        of_logs,
        (jnp.asarray(rng.gamma(2.0, size=(4, 8))), jnp.asarray(rng.uniform(0.2, 1, (4, 8)))),
        {"order": 3},
    )


def peak_and_place():
    """The largest value and where it is: an integer output with a float0 tangent."""

    @jax.custom_jvp
    def peak(signal):
        i = jnp.argmax(signal, axis=-1)
        return jnp.take_along_axis(signal, i[..., None], -1)[..., 0], i

    @peak.defjvp
    def peak_jvp(primals, tangents):
        top, i = peak(*primals)
        dtop = jnp.take_along_axis(tangents[0], i[..., None], -1)[..., 0]
        return (top, i), (dtop, np.zeros(i.shape, jax.dtypes.float0))

    signal = np.random.default_rng(2).permutation(60).reshape(5, 12) * 0.1
    return Call(peak, (jnp.asarray(signal),))


def barometric_height():
    """Height from pressure: inputs of 1e5, 1e2 and 1e-3, gradients from 1e-2 to 1e7."""
    g_over_r = 9.80665 / 287.053

    @jax.custom_jvp
    def height(pressure, temperature, lapse):
        return temperature / lapse * (1.0 - (pressure / 101325.0) ** (lapse / g_over_r))

    @height.defjvp
    def height_jvp(primals, tangents):
        p, t, lapse = primals
        dp, dt, dl = tangents
        k = lapse / g_over_r
        ratio = p / 101325.0
        r = ratio**k
        h = t / lapse * (1.0 - r)
        dh = h / t * dt - t / lapse * r * k / p * dp
        dh = dh + (-h / lapse - t / lapse * r * jnp.log(ratio) / g_over_r) * dl
        return h, dh

    return Call(
        height, (jnp.array([98000.0, 70120.0, 26500.0]), jnp.array([288.15, 290.0, 271.3]), jnp.array(0.0065))
    )


def counted_relative_growth():
    """(1 + x)^n - 1 over x with integer counts n; symbolic zeros; the counts' tangent is always one."""

    @jax.custom_jvp
    def annuity(rate, periods):
        return jnp.expm1(periods * jnp.log1p(rate)) / rate

    def annuity_jvp(primals, tangents):
        rate, n = primals
        drate, dn = tangents
        assert isinstance(dn, SymbolicZero) or dn.dtype == jax.dtypes.float0
        y = annuity(rate, n)
        if isinstance(drate, SymbolicZero):
            return y, jnp.zeros_like(y)
        return y, (n * jnp.exp((n - 1) * jnp.log1p(rate)) - y) / rate * drate

    annuity.defjvp(annuity_jvp, symbolic_zeros=True)
    return Call(annuity, (jnp.array([0.01, 0.045, 0.2, 0.003]), jnp.array([12, 30, 7, 360])))


def eccentric_anomaly():
    """Kepler's equation by a while_loop of Newton steps; the tangents by the implicit function theorem."""

    @jax.custom_jvp
    def anomaly(mean, ecc):
        def go_on(state):
            E, change, n = state
            return (jnp.max(jnp.abs(change)) > 1e-15) & (n < 60)

        def newton(state):
            E, _, n = state
            change = (E - ecc * jnp.sin(E) - mean) / (1 - ecc * jnp.cos(E))
            return E - change, change, n + 1

        start = mean + ecc * jnp.sin(mean) / (1 - jnp.sin(mean + ecc) + jnp.sin(mean))
        return jax.lax.while_loop(go_on, newton, (start, jnp.ones_like(start), 0))[0]

    @anomaly.defjvp
    def _(primals, tangents):
        mean, ecc = primals
        E = anomaly(mean, ecc)
        return E, (tangents[0] + jnp.sin(E) * tangents[1]) / (1 - ecc * jnp.cos(E))

    return Call(anomaly, (jnp.linspace(0.3, 2.6, 9), jnp.array(0.62)))


def fourier_shift_linear_call():
    """A linear map whose forward and transpose are both given by hand, and agree."""

    @jax.custom_jvp
    def delayed(pulse, delay):
        k = 2 * jnp.pi * jnp.fft.rfftfreq(pulse.shape[0])
        return jnp.fft.irfft(jnp.fft.rfft(pulse) * jnp.exp(-1j * k * delay), n=pulse.shape[0])

    @delayed.defjvp
    def _(primals, tangents):
        pulse, delay = primals
        n = pulse.shape[0]
        k = 2 * np.pi * np.fft.rfftfreq(n)
        slope = jnp.fft.irfft(-1j * k * jnp.fft.rfft(pulse) * jnp.exp(-1j * k * delay), n=n)

        def shift(x, by):
            return jnp.fft.irfft(jnp.fft.rfft(x) * jnp.exp(-1j * k * by), n=n)

        def push(res, dots):
            by, s = res
            return shift(dots[0], by) + s * dots[1]

        def pull(res, bar):
            by, s = res
            return shift(bar, -by), jnp.vdot(s, bar)

        return delayed(pulse, delay), linear_call(push, pull, (delay, slope), (tangents[0], tangents[1]))

    return Call(delayed, (jnp.asarray(np.random.default_rng(9).standard_normal(15)), jnp.array(2.3)))


ENTRIES = [
    Entry("slant_range", ROW, True, "the tangent of the third primal (up) is left out", slant_range),
    Entry(
        "chebyshev_degree",
        ROW,
        True,
        "the derivative of T_n is n U_(n-1), and the factor n (the integer setting, 4 here) is forgotten",
        chebyshev_degree,
    ),
    Entry(
        "tempered_softmax",
        ROW,
        True,
        "the tangent of the temperature has the wrong sign; that of the logits is right",
        tempered_softmax,
    ),
    Entry(
        "truss_displacements",
        ROW,
        True,
        "the tangent of the matrix is added where it is to be subtracted; that of the right-hand side is right",
        truss_displacements,
    ),
    Entry(
        "ema_decay",
        ROW,
        True,
        "the tangent of alpha is that of the last step alone, and is not carried through the recursion; that of the series is right",
        ema_decay,
    ),
    Entry(
        "line_profile_elif",
        ROW,
        True,
        "with symbolic_zeros, an elif leaves out the second tangent wherever the first one is not a symbolic zero: each alone (the other one symbolic) is right",
        line_profile_elif,
    ),
    Entry(
        "scatter_matrix",
        ROW,
        True,
        "2 dX X^T in place of dX X^T + X dX^T (the diagonal is right)",
        scatter_matrix,
    ),
    Entry(
        "damped_cosine_linear_call",
        ROW,
        True,
        "the tangent of the rate has the wrong sign in the forward rule alone: linear_call has its own transpose, which is right, so that reverse mode is right (linear_call has no batching rule and no second derivatives: those are refused)",
        damped_cosine_linear_call,
    ),
    Entry(
        "cardinal_sine",
        ROW,
        False,
        "exact zeros, minus zero, 1e-9 and large numbers: the slope at 0 is 0",
        cardinal_sine,
    ),
    Entry(
        "power_mean",
        ROW,
        False,
        "nondiff_argnums with a callable in front and an integer setting behind, and the weights' tangent through a quotient",
        power_mean,
    ),
    Entry(
        "peak_and_place",
        ROW,
        False,
        "the second output is an integer, whose tangent is float0",
        peak_and_place,
    ),
    Entry(
        "barometric_height",
        ROW,
        False,
        "badly scaled: pressures of 1e5 with gradients of 1e-1, a lapse rate of 6e-3 with gradients of 1e5",
        barometric_height,
    ),
    Entry(
        "counted_relative_growth",
        ROW,
        False,
        "symbolic_zeros, and an integer primal which has no tangent",
        counted_relative_growth,
    ),
    Entry(
        "eccentric_anomaly",
        ROW,
        False,
        "the primal has a while_loop; the implicit rule makes both modes work",
        eccentric_anomaly,
    ),
    Entry(
        "fourier_shift_linear_call",
        ROW,
        False,
        "tangent map and transpose are given separately by linear_call, and agree (linear_call has no batching rule and no second derivatives: those are refused)",
        fourier_shift_linear_call,
    ),
]
