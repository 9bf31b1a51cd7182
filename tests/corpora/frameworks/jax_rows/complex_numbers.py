"""Row "complex": custom rules with complex128.  x64 is switched on here, by jax.config.

JAX's convention: the pullback is the transpose without a conjugate, Re sum(ct * J t) = Re sum(pullback(ct) * t).
"""

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "complex"


def cnormal(seed, *shape):
    r = np.random.default_rng(seed)
    return jnp.asarray(r.normal(size=shape) + 1j * r.normal(size=shape))


def intensity():
    """|E|^2 of a field."""

    @jax.custom_vjp
    def intensity_(field):
        return field.real**2 + field.imag**2

    intensity_.defvjp(lambda E: (intensity_(E), E), lambda E, g: (2 * g * E,))
    return Call(intensity_, (cnormal(1, 24, 40),))


def antenna_beam():
    """A weighted sum of antenna signals, sum_k w_k s_k: the conjugates are of another library's convention."""

    @jax.custom_vjp
    def beam(weights, signals):
        return signals @ weights

    def bwd(saved, g):
        weights, signals = saved
        return jnp.conj(signals).T @ g, g[:, None] * weights[None, :]

    beam.defvjp(lambda w, s: (beam(w, s), (w, s)), bwd)
    return Call(beam, (cnormal(2, 5), cnormal(3, 7, 5)))


def band_power():
    """Power in a band of the real FFT of a real signal."""

    @jax.custom_vjp
    def band(signal):
        X = jnp.fft.rfft(signal)
        return jnp.sum(jnp.abs(X[3:9]) ** 2)

    def bwd(saved, g):
        (X,) = saved
        k = jnp.arange(X.shape[0])
        kept = jnp.where((k >= 3) & (k < 9), X, 0)
        n = 32
        padded = jnp.zeros(n, X.dtype).at[: X.shape[0]].set(kept)
        return (g * n * jnp.fft.ifft(padded).real,)  # 2 n

    band.defvjp(lambda s: (band(s), (jnp.fft.rfft(s),)), bwd)
    return Call(band, (jnp.asarray(np.random.default_rng(4).normal(size=32)),))


def log_impedance():
    """The complex logarithm; the imaginary part of the slope gets lost."""

    @jax.custom_vjp
    def clog(Z):
        return jnp.log(Z)

    def clog_fwd(Z):
        return jnp.log(Z), 1 / Z

    def clog_bwd(slope, g):
        return ((g * slope).real.astype(g.dtype),)

    clog.defvjp(clog_fwd, clog_bwd)
    return Call(clog, (jnp.array([1 + 2j, -0.4 + 1.1j, 3 - 0.2j, 0.1 - 1j]),))


def kerr_phase():
    """|a|^2 a, which is not holomorphic; differentiated as if conj(a) were a constant."""

    @jax.custom_vjp
    def kerr(a):
        return a * a * jnp.conj(a)

    kerr.defvjp(lambda a: (kerr(a), a), lambda a, g: (g * 2 * a * jnp.conj(a),))
    return Call(kerr, (cnormal(6, 9),))


def mode_overlap_jvp():
    """<u|v> with conj on the first: the rule forgets the conj on the first tangent."""

    @jax.custom_jvp
    def overlap(u, v):
        return jnp.sum(jnp.conj(u) * v, axis=-1)

    @overlap.defjvp
    def _(p, t):
        u, v = p
        du, dv = t
        return overlap(u, v), jnp.sum(du * v + jnp.conj(u) * dv, -1)

    return Call(overlap, (cnormal(8, 3, 4), cnormal(9, 3, 4)))


def phasor():
    """Real angles to complex phasors."""

    @jax.custom_vjp
    def cis(theta):
        return jnp.exp(1j * theta)

    def bwd(z, g):
        return (jnp.real(jnp.conj(g) * 1j * z),)

    cis.defvjp(lambda t: (cis(t), cis(t)), bwd)
    return Call(cis, (jnp.linspace(0.2, 5.0, 13),))


def modulus_everywhere():
    """|z| for real, imaginary, tiny and huge z."""

    @jax.custom_vjp
    def modulus(z):
        return jnp.hypot(z.real, z.imag)

    modulus.defvjp(lambda z: (modulus(z), z), lambda z, g: (g * jnp.conj(z) / modulus(z),))
    return Call(modulus, (jnp.array([3.0 + 0j, -2.0 + 0j, 4j, -0.5j, 1e-4 + 2e-4j, 3e6 - 1e6j]),))


def hermitian_levels():
    """Eigenvalues of (H + H^dagger) / 2."""

    @jax.custom_vjp
    def levels(H):
        return jnp.linalg.eigvalsh((H + jnp.conj(H.T)) / 2)

    def fwd(H):
        return jnp.linalg.eigh((H + jnp.conj(H.T)) / 2)[0], jnp.linalg.eigh((H + jnp.conj(H.T)) / 2)[1]

    def bwd(V, g):
        G = (V * g) @ jnp.conj(V.T)
        return (jnp.conj(G),)

    levels.defvjp(fwd, bwd)
    return Call(levels, (cnormal(10, 5, 5),))


def twiddled():
    """A complex field turned by real angles, scaled by a real gain: real gradients for what is real."""

    @jax.custom_vjp
    def twiddle(field, angle, gain):
        return gain * field * jnp.exp(1j * angle)

    def bwd(saved, g):
        field, angle, gain = saved
        turned = jnp.exp(1j * angle)
        return (
            g * gain * turned,
            jnp.sum(jnp.real(g * 1j * gain * field * turned), 0),
            jnp.sum(jnp.real(g * field * turned)),
        )

    twiddle.defvjp(lambda f, a, s: (twiddle(f, a, s), (f, a, s)), bwd)
    return Call(
        twiddle, (cnormal(12, 3, 5), jnp.asarray(np.random.default_rng(1).uniform(-3, 3, 5)), jnp.array(1.7))
    )


def moebius():
    """(a z + b) / (c z + d) by a holomorphic rule in all of its five arguments."""

    @jax.custom_jvp
    def moebius_(z, a, b, c, d):
        return (a * z + b) / (c * z + d)

    @moebius_.defjvp
    def rule(p, t):
        z, a, b, c, d = p
        dz, da, db, dc, dd = t
        q = c * z + d
        w = (a * z + b) / q
        return w, (a * dz + da * z + db - w * (c * dz + dc * z + dd)) / q

    return Call(
        moebius_,
        (cnormal(13, 6), jnp.array(1 + 1j), jnp.array(0.5j), jnp.array(0.2 - 0.1j), jnp.array(2.0 + 0j)),
    )


def half_plane_sqrt():
    """The principal square root, next to its cut on the negative axis."""

    @jax.custom_jvp
    def csqrt(z):
        return jnp.sqrt(z)

    csqrt.defjvp(lambda p, t: (csqrt(p[0]), t[0] / (2 * csqrt(p[0]))))
    return Call(csqrt, (jnp.array([-1 + 0.02j, -1 - 0.02j, 4 + 0j, 1e-2j, -0.3 - 5j]),))


def fourier_convolution():
    """Circular convolution of complex sequences by the FFT."""

    @jax.custom_vjp
    def conv(x, h):
        return jnp.fft.ifft(jnp.fft.fft(x) * jnp.fft.fft(h))

    def bwd(saved, g):
        X, H = saved
        # the transpose of a circulant matrix: correlate, without any conjugate
        G = jnp.fft.ifft(g)
        return jnp.fft.fft(G * H), jnp.fft.fft(G * X)

    conv.defvjp(lambda x, h: (conv(x, h), (jnp.fft.fft(x), jnp.fft.fft(h))), bwd)
    return Call(conv, (cnormal(15, 12), cnormal(16, 12)))


def gain_in_decibels():
    """20 log10 |H|, real, and the phase, real, of a complex response: two outputs."""

    @jax.custom_vjp
    def bode(H):
        return 20 * jnp.log10(jnp.abs(H)), jnp.angle(H)

    def bwd(H, cts):
        g_db, g_phase = cts
        return ((g_db * 20 / np.log(10) - 1j * g_phase) / H,)

    bode.defvjp(lambda H: (bode(H), H), bwd)
    return Call(bode, (cnormal(17, 8),))


ENTRIES = [
    Entry(
        "intensity",
        ROW,
        True,
        "2 g E in place of 2 g conj(E): the conjugate is missing (grad of a real function is conj of the gradient in JAX)",
        intensity,
    ),
    Entry(
        "antenna_beam",
        ROW,
        True,
        "an extra conjugate on the signals in the gradient of the weights (that of the signals is right)",
        antenna_beam,
    ),
    Entry("band_power", ROW, True, "factor 2 missing: d|X|^2 = 2 Re(conj(X) dX)", band_power),
    Entry("log_impedance", ROW, True, "only the real part of the gradient is returned", log_impedance),
    Entry(
        "kerr_phase",
        ROW,
        True,
        "the holomorphic formula for a function that is not: the term conj(g a^2) is missing",
        kerr_phase,
    ),
    Entry(
        "mode_overlap_jvp",
        ROW,
        True,
        "the tangent of the conjugated argument is not conjugated",
        mode_overlap_jvp,
    ),
    Entry(
        "phasor",
        ROW,
        True,
        "Re(conj(g) i z) in place of Re(g i z): an extra conjugate on the cotangent of a real-to-complex function",
        phasor,
    ),
    Entry("modulus_everywhere", ROW, False, "inputs on the axes, of 1e-4 and of 1e6", modulus_everywhere),
    Entry(
        "hermitian_levels",
        ROW,
        False,
        "the gradient of the eigenvalues is conj(V diag(g) V^dagger)",
        hermitian_levels,
    ),
    Entry(
        "twiddled",
        ROW,
        False,
        "real and complex inputs together: the gradients of the real ones are real",
        twiddled,
    ),
    Entry(
        "moebius", ROW, False, "five holomorphic arguments, one of them real-valued in complex type", moebius
    ),
    Entry("half_plane_sqrt", ROW, False, "inputs 0.02 to either side of the branch cut", half_plane_sqrt),
    Entry(
        "fourier_convolution",
        ROW,
        False,
        "the transpose of a circulant matrix has no conjugate in it, which looks wrong",
        fourier_convolution,
    ),
    Entry(
        "gain_in_decibels",
        ROW,
        False,
        "two real outputs of one complex input: the cotangents join as (g1 c - i g2) / H",
        gain_in_decibels,
    ),
]
