"""Rows "second order" and "third order".  x64 is switched on here, by jax.config."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import lax

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

SECOND = "second order"
THIRD = "third order"


def depressed_cubic():
    """The real root of u^3 + a u = b, by Newton; its derivative by the implicit function theorem."""

    def newton(a, b):
        def body(_, u):
            return u - (u**3 + a * u - b) / (3 * u**2 + a)

        return lax.fori_loop(0, 40, body, jnp.cbrt(b))

    @jax.custom_vjp
    def root(a, b):
        return newton(a, b)

    def fwd(a, b):
        u = root(a, b)
        return u, (a, u)

    def bwd(saved, ct):
        a, u = saved
        u = lax.stop_gradient(u)  # "the solution is a constant here"
        lam = ct / (3 * u**2 + a)
        return -u * lam, lam

    root.defvjp(fwd, bwd)
    return Call(root, (jnp.array([0.8, 1.5, 2.2, 0.3]), jnp.array([1.0, -2.0, 0.7, 3.0])))


def log_cosh_helper():
    """log cosh, whose slope is a helper with a derivative of its own."""

    @jax.custom_jvp
    def slope(x):
        return jnp.tanh(x)

    @slope.defjvp
    def _(p, t):
        y = slope(p[0])
        return y, (1 - y) * t[0]  # 1 - y^2

    @jax.custom_jvp
    def log_cosh(x):
        a = jnp.abs(x)
        return a + jnp.log1p(jnp.exp(-2 * a)) - jnp.log(2.0)

    log_cosh.defjvp(lambda p, t: (log_cosh(p[0]), slope(p[0]) * t[0]))
    return Call(log_cosh, (jnp.asarray(np.random.default_rng(0).normal(0, 1.4, (3, 5))),))


def kinetic_energy():
    """m v^2 / 2, summed over the bodies: only the mixed second derivative is lost."""

    def value(mass, velocity):
        return 0.5 * jnp.sum(mass[:, None] * velocity**2)

    energy = jax.custom_vjp(value)

    def forward(mass, velocity):
        return value(mass, velocity), (mass, velocity)

    def backward(saved, g):
        mass, velocity = saved
        return 0.5 * g * jnp.sum(lax.stop_gradient(velocity) ** 2, 1), g * mass[:, None] * velocity

    energy.defvjp(forward, backward)
    r = np.random.default_rng(61)
    return Call(energy, (jnp.asarray(r.uniform(1, 3, 6)), jnp.asarray(r.normal(size=(6, 3)))))


def bent_identity_cotangent():
    """The backward cuts its own cotangent off."""

    @jax.custom_vjp
    def bent(x):
        return (jnp.sqrt(x * x + 1) - 1) / 2 + x

    def bwd(x, g):
        g = lax.stop_gradient(g)
        return (g * (x / (2 * jnp.sqrt(x * x + 1)) + 1),)

    bent.defvjp(lambda x: (bent(x), x), bwd)
    return Call(
        lambda x: jnp.sum(bent(x) ** 3, axis=-1),
        (jnp.asarray(np.random.default_rng(14).normal(size=(4, 3))),),
    )


def swish_gate():
    """x s(x): the slope is s + x s (1 - s), of which one s is a saved constant."""

    @jax.custom_jvp
    def swish(x):
        return x * jax.nn.sigmoid(x)

    @swish.defjvp
    def swish_jvp(primals, tangents):
        (x,), (dx,) = primals, tangents
        s = jax.nn.sigmoid(x)
        y = x * s
        return y, (s + lax.stop_gradient(y) * (1 - s)) * dx

    return Call(swish, (jnp.linspace(-4.0, 4.0, 60).reshape(3, 4, 5),))


def spring_chain_units():
    """Springs in a chain; the backward has the unit vectors from the forward, as constants."""

    @jax.custom_vjp
    def stretch(position):
        d = position[1:] - position[:-1]
        length = jnp.sqrt(jnp.sum(d * d, -1))
        return jnp.sum((length - 1.0) ** 2)

    def fwd(position):
        d = position[1:] - position[:-1]
        length = jnp.sqrt(jnp.sum(d * d, -1))
        return stretch(position), (d, lax.stop_gradient(d / length[:, None]), length)

    def bwd(saved, g):
        d, unit, length = saved
        pull = 2 * g * (length - 1.0)[:, None] * unit
        zero = jnp.zeros_like(pull[:1])
        return (jnp.concatenate([zero, pull]) - jnp.concatenate([pull, zero]),)

    stretch.defvjp(fwd, bwd)
    return Call(stretch, (jnp.asarray(np.random.default_rng(77).normal(0, 1.5, (5, 2))),))


def signed_square():
    """x|x|: the second derivative jumps at 0, from -2 to 2, where no input is."""

    @jax.custom_vjp
    def drag(v):
        return v * jnp.abs(v)

    drag.defvjp(lambda v: (v * jnp.abs(v), v), lambda v, g: (2 * jnp.abs(v) * g,))
    return Call(drag, (jnp.array([-3.0, -0.4, 0.5, 2.0, -0.07, 0.09]),))


def exponential_of_itself():
    """The residual is the function's own output, taken from the custom function itself."""

    @jax.custom_vjp
    def grow(x, rate):
        return jnp.exp(rate * x)

    def fwd(x, rate):
        return grow(x, rate), (x, rate)

    def bwd(saved, g):
        x, rate = saved
        y = grow(x, rate)
        return g * rate * y, jnp.sum(g * x * y)

    grow.defvjp(fwd, bwd)
    return Call(grow, (jnp.linspace(-1.0, 1.5, 11), jnp.array(0.8)))


def bessel_by_quadrature():
    """J_n, n an integer setting; J_n' = (J_(n-1) - J_(n+1)) / 2, by the function itself."""
    tau = np.pi * (np.arange(48) + 0.5) / 48

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def J(n, x):
        return jnp.mean(jnp.cos(n * tau - x[..., None] * np.sin(tau)), -1)

    @J.defjvp
    def _(n, primals, tangents):
        (x,), (dx,) = primals, tangents
        return J(n, x), 0.5 * (J(n - 1, x) - J(n + 1, x)) * dx

    def bessel(x, order):
        return J(order, x)

    return Call(bessel, (jnp.array([0.0, 0.3, 2.40, 5.5, -7.0]),), {"order": 2})


def shifted_logsumexp():
    """log sum exp with a stop_gradient on the maximum, as it should be."""

    @jax.custom_vjp
    def lse(x):
        m = lax.stop_gradient(jnp.max(x, -1, keepdims=True))
        return (jnp.log(jnp.sum(jnp.exp(x - m), -1, keepdims=True)) + m)[..., 0]

    def bwd(x, g):
        m = lax.stop_gradient(jnp.max(x, -1, keepdims=True))
        e = jnp.exp(x - m)
        return (g[..., None] * e / jnp.sum(e, -1, keepdims=True),)

    lse.defvjp(lambda x: (lse(x), x), bwd)
    x = np.random.default_rng(21).normal(0, 3, (4, 6)) + 700.0
    return Call(lse, (jnp.asarray(x),))


def log_determinant():
    """log|det A| of a matrix which is not symmetric, with the inverse as the residual."""

    @jax.custom_vjp
    def logdet(A):
        return jnp.linalg.slogdet(A)[1]

    def fwd(A):
        return jnp.linalg.slogdet(A)[1], jnp.linalg.inv(A)

    logdet.defvjp(fwd, lambda inv, g: (g[..., None, None] * jnp.swapaxes(inv, -1, -2),))
    A = np.random.default_rng(6).normal(size=(2, 4, 4)) + 3 * np.eye(4)
    A[1, 0] *= -1
    return Call(logdet, (jnp.asarray(A),))


def root_with_function_theorem():
    """The solution y of y + e^y = x (by Newton), whose backward uses the custom function again."""

    @jax.custom_vjp
    def omega(x):
        def body(_, y):
            e = jnp.exp(y)
            return y - (y + e - x) / (1 + e)

        return lax.fori_loop(
            0, 30, body, jnp.where(x > 1, jnp.log(jnp.maximum(x, 1.0)), jnp.minimum(x, 1.0) - 0.5)
        )

    def bwd(x, g):
        return (g / (1 + jnp.exp(omega(x))),)

    omega.defvjp(lambda x: (omega(x), x), bwd)
    return Call(omega, (jnp.array([[-6.0, -1.0, 0.0], [1.0, 4.0, 50.0]]),))


def matern_five_halves():
    """Matern 5/2 in the scaled distance; the second derivative takes the exponential as a constant."""

    @jax.custom_jvp
    def first(r):
        return -(r + r**2) * jnp.exp(-r) / 3

    @jax.custom_jvp
    def second(r):
        return (r**2 - r - 1) * jnp.exp(-r) / 3

    first.defjvp(lambda p, t: (first(p[0]), second(p[0]) * t[0]))
    second.defjvp(lambda p, t: (second(p[0]), (2 * p[0] - 1) * jnp.exp(-p[0]) / 3 * t[0]))

    @jax.custom_jvp
    def kernel(r):
        return (1 + r + r**2 / 3) * jnp.exp(-r)

    kernel.defjvp(lambda p, t: (kernel(p[0]), first(p[0]) * t[0]))
    return Call(kernel, (jnp.array([0.2, 0.9, 1.7, 3.1]),))


def falling_powers():
    """x^n and its derivatives by hand, n an integer setting."""

    def power(x, n):
        @jax.custom_vjp
        def p0(x):
            return x**n

        @jax.custom_vjp
        def p1(x):
            return n * x ** (n - 1)

        @jax.custom_vjp
        def p2(x):
            return n * (n - 1) * x ** (n - 2)

        p0.defvjp(lambda x: (p0(x), x), lambda x, g: (g * p1(x),))
        p1.defvjp(lambda x: (p1(x), x), lambda x, g: (g * p2(x),))
        p2.defvjp(lambda x: (p2(x), x), lambda x, g: (g * n * (n - 1) * (n - 1) * x ** (n - 3),))
        return p0(x)

    return Call(power, (jnp.array([0.5, -1.2, 1.9]),), {"n": 5})


def normal_cdf_hermite():
    """The normal distribution function; the last polynomial has the wrong sign."""

    def phi(x):
        return jnp.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)

    @jax.custom_jvp
    def Phi(x):
        return 0.5 * (1 + lax.erf(x / np.sqrt(2.0)))

    @jax.custom_jvp
    def density(x):
        return phi(x)

    @jax.custom_jvp
    def density_slope(x):
        return -x * phi(x)

    Phi.defjvp(lambda p, t: (Phi(*p), density(*p) * t[0]))
    density.defjvp(lambda p, t: (density(*p), density_slope(*p) * t[0]))
    density_slope.defjvp(lambda p, t: (density_slope(*p), (p[0] ** 2 + 1) * phi(p[0]) * t[0]))
    return Call(Phi, (jnp.linspace(-2.2, 2.0, 8),))


def van_der_waals_energy():
    """F(V, T): the second derivative in V does not know that it depends on T."""
    a, b = 0.4, 0.05

    @jax.custom_vjp
    def stiffness(V, T):  # d2F/dV2
        return T / (V - b) ** 2 - 2 * a / V**3

    def stiffness_bwd(saved, g):
        V, T = saved
        return g * (-2 * T / (V - b) ** 3 + 6 * a / V**4), jnp.zeros_like(T)

    stiffness.defvjp(lambda V, T: (stiffness(V, T), (V, T)), stiffness_bwd)

    @jax.custom_vjp
    def pressure(V, T):  # -dF/dV
        return T / (V - b) - a / V**2

    def pressure_bwd(saved, g):
        V, T = saved
        return -g * stiffness(V, T), g / (V - b)

    pressure.defvjp(lambda V, T: (pressure(V, T), (V, T)), pressure_bwd)

    @jax.custom_vjp
    def free_energy(V, T):
        return -T * jnp.log(V - b) - a / V - T * jnp.log(T)

    def free_energy_bwd(saved, g):
        V, T = saved
        return -g * pressure(V, T), -g * (jnp.log(V - b) + jnp.log(T) + 1)

    free_energy.defvjp(lambda V, T: (free_energy(V, T), (V, T)), free_energy_bwd)
    return Call(free_energy, (jnp.array([0.6, 1.1, 2.0]), jnp.array([1.3, 0.9, 1.6])))


def normal_density_all_orders():
    """He_n(x) phi(x), each the derivative of the one before: d = -He_(n+1) phi."""

    def hermite(n, x):
        before, now = jnp.zeros_like(x), jnp.ones_like(x)
        for k in range(n):
            before, now = now, x * now - k * before
        return now

    @partial(jax.custom_jvp, nondiff_argnums=(1,))
    def term(x, n):
        return hermite(n, x) * jnp.exp(-0.5 * x * x)

    @term.defjvp
    def _(n, p, t):
        return term(p[0], n), -term(p[0], n + 1) * t[0]

    return Call(term, (jnp.linspace(-2.5, 2.5, 7),), {"n": 1})


def airy_by_scipy():
    """Ai by scipy on the host; Ai'' = x Ai closes all orders."""

    def host(which, x):
        return np.asarray(scipy.special.airy(np.asarray(x))[which], np.float64)

    def call(which, x):
        return jax.pure_callback(
            partial(host, which), jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims"
        )

    @jax.custom_jvp
    def airy(x):
        return call(0, x)

    @jax.custom_jvp
    def airy_slope(x):
        return call(1, x)

    airy.defjvp(lambda p, t: (airy(p[0]), airy_slope(p[0]) * t[0]))
    airy_slope.defjvp(lambda p, t: (airy_slope(p[0]), p[0] * airy(p[0]) * t[0]))
    return Call(airy, (jnp.array([-4.2, -1.0, 0.0, 0.6, 3.0]),))


def lambert_w():
    """W(x) by Halley's steps; W' = 1 / (e^W (1 + W)), with W from the custom function again."""

    @jax.custom_jvp
    def W(x):
        def body(_, w):
            e = jnp.exp(w)
            f = w * e - x
            return w - f / (e * (w + 1) - (w + 2) * f / (2 * w + 2))

        return lax.fori_loop(0, 20, body, jnp.log1p(x))

    @W.defjvp
    def _(p, t):
        w = W(p[0])
        return w, t[0] / (jnp.exp(w) * (1 + w))

    return Call(W, (jnp.array([-0.2, 0.0, 0.1, 1.0, 8.0, 200.0]),))


def cubic_ramp():
    """max(x - k, 0)^3 at three knots: the third derivative is a staircase."""
    knots = np.array([-1.0, 0.25, 1.0])

    def value(x):
        return jnp.sum(jnp.maximum(x[..., None] - knots, 0.0) ** 3, -1)

    ramp = jax.custom_vjp(value)

    def bwd(x, g):
        d = x[..., None] - knots
        return (g * 3 * jnp.sum(jnp.where(d > 0, d * d, 0.0), -1),)

    ramp.defvjp(lambda x: (value(x), x), bwd)
    return Call(ramp, (jnp.array([-1.6, -0.9, 0.2, 0.4, 0.93, 1.5]),))


ENTRIES = [
    Entry(
        "depressed_cubic",
        SECOND,
        True,
        "stop_gradient on the root inside the backward: first derivative right, second one lacks the root's own derivative",
        depressed_cubic,
    ),
    Entry(
        "log_cosh_helper",
        SECOND,
        True,
        "the slope (tanh) is right, and its own tangent is (1 - y) in place of (1 - y^2)",
        log_cosh_helper,
    ),
    Entry(
        "kinetic_energy",
        SECOND,
        True,
        "the gradient with respect to the mass takes the velocity as a constant: of the second derivatives only the mixed one (mass, velocity) is wrong",
        kinetic_energy,
    ),
    Entry(
        "bent_identity_cotangent",
        SECOND,
        True,
        "stop_gradient on the cotangent in the backward: what lies behind the function is lost in the second derivative",
        bent_identity_cotangent,
    ),
    Entry(
        "swish_gate",
        SECOND,
        True,
        "one of the two terms of the slope uses stop_gradient(x s): the second derivative lacks a part",
        swish_gate,
    ),
    Entry(
        "spring_chain_units",
        SECOND,
        True,
        "the residual with the unit vectors is a stop_gradient: the second derivative lacks their turning",
        spring_chain_units,
    ),
    Entry(
        "signed_square",
        SECOND,
        False,
        "the second derivative is not continuous at 0, and inputs lie 0.07 from it",
        signed_square,
    ),
    Entry(
        "exponential_of_itself",
        SECOND,
        False,
        "the backward calls the custom function itself",
        exponential_of_itself,
    ),
    Entry(
        "bessel_by_quadrature",
        SECOND,
        False,
        "J_2 by a recursion in the order (an integer setting), one input at 0 and one next to an extremum or zero",
        bessel_by_quadrature,
    ),
    Entry(
        "shifted_logsumexp",
        SECOND,
        False,
        "a stop_gradient inside forward and backward that is right; inputs about 700, for which exp overflows without it",
        shifted_logsumexp,
    ),
    Entry(
        "log_determinant",
        SECOND,
        False,
        "the residual is the inverse, which is differentiated through; two matrices at once, one with a negative determinant",
        log_determinant,
    ),
    Entry(
        "root_with_function_theorem",
        SECOND,
        False,
        "implicit derivative of a root from an iteration; second derivatives from 1e-3 downwards at the ends",
        root_with_function_theorem,
    ),
    Entry(
        "matern_five_halves",
        THIRD,
        True,
        "first and second derivative right; the third one takes the exponential as a constant",
        matern_five_halves,
    ),
    Entry(
        "falling_powers",
        THIRD,
        True,
        "first and second derivative right; the third one has the factor n (n-1) (n-1) in place of n (n-1) (n-2)",
        falling_powers,
    ),
    Entry(
        "normal_cdf_hermite",
        THIRD,
        True,
        "first and second derivative right; the third one is (x^2 + 1) phi in place of (x^2 - 1) phi",
        normal_cdf_hermite,
    ),
    Entry(
        "van_der_waals_energy",
        THIRD,
        True,
        "first and second derivatives right; of the third ones d3F/dV2dT comes out as zero in one order of differentiation (V, V, T)",
        van_der_waals_energy,
    ),
    Entry(
        "normal_density_all_orders",
        THIRD,
        False,
        "a recursion in the order through nondiff_argnums; signs alternate",
        normal_density_all_orders,
    ),
    Entry(
        "airy_by_scipy",
        THIRD,
        False,
        "values come from scipy on the host, and all orders are right",
        airy_by_scipy,
    ),
    Entry(
        "lambert_w",
        THIRD,
        False,
        "implicit, from the custom function itself; derivatives from 10 down to 1e-7",
        lambert_w,
    ),
    Entry(
        "cubic_ramp",
        THIRD,
        False,
        "the third derivative is a staircase; the nearest input lies 0.05 from a knot",
        cubic_ramp,
    ),
]
