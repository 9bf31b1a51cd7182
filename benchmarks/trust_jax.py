"""JAX: functions with the rules that JAX has for them, a part of the catalogue of ``trust_libraries``."""

from collections.abc import Iterator

import numpy as np
from trust_pairs import Pair


def jax_pair(name, fun, *arrays):
    return Pair(f"jax {name}", fun, None, tuple(np.array(a, dtype=float) for a in arrays), "jax")


def jax_start():
    import jax

    # The pairs hold float64 arrays, which JAX would round to float32 otherwise.
    jax.config.update("jax_enable_x64", True)


def jax_nn() -> Iterator[Pair]:
    jax_start()
    from jax import nn

    rng = np.random.default_rng(401)
    z = np.array([-6.2, -2.4, -0.9, -0.2, 0.15, 0.8, 1.7, 4.1, 7.3])
    for name, fun in (
        ("relu", nn.relu),
        ("relu6", nn.relu6),
        ("gelu tanh", nn.gelu),
        ("gelu erf", lambda v: nn.gelu(v, approximate=False)),
        ("silu", nn.silu),
        ("elu", nn.elu),
        ("elu alpha=0.5", lambda v: nn.elu(v, 0.5)),
        ("celu alpha=0.7", lambda v: nn.celu(v, 0.7)),
        ("selu", nn.selu),
        ("softplus", nn.softplus),
        ("log_sigmoid", nn.log_sigmoid),
        ("sigmoid", nn.sigmoid),
        ("soft_sign", nn.soft_sign),
        ("leaky_relu", nn.leaky_relu),
        ("hard_tanh", nn.hard_tanh),
        ("hard_sigmoid", nn.hard_sigmoid),
        ("hard_silu", nn.hard_silu),
        ("squareplus", nn.squareplus),
        ("squareplus b=0.3", lambda v: nn.squareplus(v, 0.3)),
        ("mish", nn.mish),
        ("sparse_plus", nn.sparse_plus),
        ("sparse_sigmoid", nn.sparse_sigmoid),
        ("tanh", nn.tanh),
        ("standardize", nn.standardize),
        ("softmax", nn.softmax),
        ("log_softmax", nn.log_softmax),
        ("logsumexp", nn.logsumexp),
        ("logmeanexp", nn.logmeanexp),
    ):
        yield jax_pair(f"nn.{name}", fun, z)
    yield jax_pair("nn.glu", nn.glu, rng.standard_normal((3, 6)))
    yield jax_pair("nn.log1mexp", nn.log1mexp, [0.02, 0.4, 0.9, 3.0, 12.0])
    yield jax_pair("nn.softmax with where", lambda v: nn.softmax(v, where=np.arange(9) % 3 > 0), z)
    yield jax_pair("nn.softmax, unsafe, axis 0", lambda v: nn.softmax(v, axis=0), rng.standard_normal((4, 3)))
    # At their kinks these rules pick one of the subgradients.
    yield jax_pair("nn.relu at 0", nn.relu, [-1.0, 0.0, 2.0])
    yield jax_pair("nn.hard_tanh at 1", nn.hard_tanh, [-0.4, 1.0, 2.0])


def jax_special() -> Iterator[Pair]:
    jax_start()
    from jax.scipy import special as sp

    wide = [-3.1, -1.2, -0.3, 0.2, 0.9, 2.4]
    positive = [0.07, 0.6, 1.461, 3.7, 12.0]
    unit = [0.03, 0.2, 0.45, 0.7, 0.96]
    for name, fun, *arrays in (
        ("erf", sp.erf, wide),
        ("erfc", sp.erfc, wide),
        ("erfcx", sp.erfcx, wide),
        ("erfinv", sp.erfinv, [-0.9, 0.2, 0.7]),
        ("dawsn", sp.dawsn, wide),
        ("digamma", sp.digamma, positive),
        ("gamma", sp.gamma, positive),
        ("gammaln", sp.gammaln, positive),
        ("gammaln, negative axis", sp.gammaln, [-3.4, -1.7, -0.4]),
        ("polygamma(1)", lambda x: sp.polygamma(1, x), positive),
        ("polygamma(2)", lambda x: sp.polygamma(2, x), positive),
        ("zeta in q", lambda q: sp.zeta(2.5, q), positive),
        ("betaln", sp.betaln, positive[:3], [0.4, 1.0, 2.2]),
        ("beta", sp.beta, positive[:3], [0.4, 1.0, 2.2]),
        ("betainc in x", lambda x: sp.betainc(2.4, 0.8, x), unit),
        ("gammainc in x", lambda x: sp.gammainc(2.4, x), positive),
        ("gammainc in a and x", sp.gammainc, positive, [0.1, 0.9, 1.0, 4.0, 10.0]),
        ("gammaincc in a and x", sp.gammaincc, positive, [0.1, 0.9, 1.0, 4.0, 10.0]),
        ("i0", sp.i0, wide),
        ("i0e", sp.i0e, wide),
        ("i1", sp.i1, wide),
        ("i1e", sp.i1e, wide),
        ("ndtr", sp.ndtr, wide),
        ("ndtri", sp.ndtri, unit),
        ("log_ndtr", sp.log_ndtr, [-25.0, -6.0, -1.1, 0.4, 3.0]),
        ("logit", sp.logit, unit),
        ("expit", sp.expit, wide),
        ("entr", sp.entr, positive),
        ("rel_entr", sp.rel_entr, positive, [0.4, 0.3, 1.0, 2.0, 9.0]),
        ("kl_div", sp.kl_div, positive, [0.4, 0.3, 1.0, 2.0, 9.0]),
        ("xlogy", sp.xlogy, [0.4, 1.2, -0.3], [0.2, 1.4, 3.0]),
        ("xlog1py", sp.xlog1py, [0.4, 1.2, -0.3], [0.2, 1.4, 3.0]),
        ("exp1", sp.exp1, positive),
        ("expi", sp.expi, [-2.0, 0.3, 1.5, 6.0]),
        ("expn(3)", lambda x: sp.expn(3, x), positive),
        ("spence", sp.spence, [0.1, 0.6, 2.5, 5.0]),
        ("multigammaln", lambda a: sp.multigammaln(a, 3), [1.4, 2.5, 9.0]),
        ("hyp1f1 in x", lambda x: sp.hyp1f1(0.8, 1.7, x), [-2.0, 0.4, 3.0]),
        ("hyp1f1 in all", sp.hyp1f1, [0.8, 1.2], [1.7, 2.1], [0.4, 1.3]),
        ("hyp2f1 in x", lambda x: sp.hyp2f1(0.8, 0.4, 1.7, x), [-0.6, 0.1, 0.5]),
        ("poch", sp.poch, [0.7, 2.2], [0.3, 1.4]),
        ("sici", lambda x: sp.sici(x)[0] + 2 * sp.sici(x)[1], [0.4, 3.0, 9.0]),
        ("fresnel", lambda x: sp.fresnel(x)[0] + 2 * sp.fresnel(x)[1], [0.4, 1.1, 3.0]),
        ("owens_t", sp.owens_t, [-0.4, 0.6, 1.3], [0.5, 0.9, 2.0]),
        ("boxcox", sp.boxcox, positive, [0.3, -0.5, 1.0, 2.0, 0.1]),
        ("boxcox1p", sp.boxcox1p, positive, [0.3, -0.5, 1.0, 2.0, 0.1]),
        ("bessel_jn", lambda z: sp.bessel_jn(z, v=3), [0.7, 2.0, 5.0]),
        ("logsumexp with b", lambda a, b: sp.logsumexp(a, b=b), wide, [0.3, 1.2, 0.7, 2.0, 0.1, 1.0]),
        ("softmax", sp.softmax, wide),
        ("log_softmax", sp.log_softmax, wide),
        ("factorial", sp.factorial, [0.4, 2.2, 5.1]),
    ):
        yield jax_pair(f"special.{name}", fun, *arrays)


def jax_linalg() -> Iterator[Pair]:
    jax_start()
    import jax
    import jax.numpy as jnp
    from jax.scipy import linalg as sl

    la = jnp.linalg
    rng = np.random.default_rng(402)
    n = 4
    a, b = rng.standard_normal((n, n)), rng.standard_normal((n, 2))
    spd = a @ a.T + n * np.eye(n)
    tall = rng.standard_normal((5, 3))

    def sym(m):
        return (m + m.T) / 2

    for name, fun, *arrays in (
        ("inv", la.inv, spd),
        ("det", la.det, a),
        ("slogdet", lambda m: la.slogdet(m)[1], a),
        ("cholesky", la.cholesky, spd),
        ("qr, R", lambda m: la.qr(m)[1], tall),
        ("qr, Q", lambda m: la.qr(m)[0], tall),
        ("svdvals", la.svdvals, tall),
        ("svd, rank-one part", rank_one, tall),
        ("eigvalsh", lambda m: la.eigvalsh(sym(m)), spd),
        ("eigh, projector", projector, spd),
        ("eigvals, sum of squares", lambda m: jnp.sum(la.eigvals(m) ** 2).real, a),
        ("norm fro", la.norm, a),
        ("norm 2", lambda m: la.norm(m, 2), a),
        ("norm nuc", lambda m: la.norm(m, "nuc"), a),
        ("norm ord 1", lambda m: la.norm(m, 1), a),
        ("vector_norm ord 3", lambda v: la.vector_norm(v, ord=3), b[:, 0]),
        ("vector_norm ord -2", lambda v: la.norm(v, -2), b[:, 0]),
        ("solve", la.solve, spd, b),
        ("lstsq", lambda m, y: la.lstsq(m, y)[0], tall, rng.standard_normal(5)),
        ("pinv", la.pinv, tall),
        ("matrix_power 3", lambda m: la.matrix_power(m, 3), a),
        ("matrix_power -2", lambda m: la.matrix_power(m, -2), spd),
        ("multi_dot", lambda p, q, r: la.multi_dot([p, q, r]), a, b, b.T),
        ("cond", la.cond, a),
        ("tensorsolve", lambda m, y: la.tensorsolve(m, y), spd, b[:, 0]),
        ("vecdot", la.vecdot, a, a.T),
        ("cross", la.cross, tall[:, :3], tall[::-1, :3]),
        ("scipy expm", sl.expm, a),
        ("scipy expm, large norm", sl.expm, 3 * a),
        ("scipy expm_frechet", lambda m, e: sl.expm_frechet(m, e, compute_expm=False), a, a.T),
        ("scipy lu, U", lambda m: sl.lu(m)[2], a),
        ("scipy lu_solve", lambda m, y: sl.lu_solve(sl.lu_factor(m), y), a, b),
        ("scipy cho_solve, symmetrised", lambda m, y: sl.cho_solve(sl.cho_factor(sym(m)), y), spd, b),
        ("scipy solve_triangular", lambda m, y: sl.solve_triangular(m, y, lower=True), spd, b),
        ("scipy solve, assume pos, symmetrised", lambda m, y: sl.solve(sym(m), y, assume_a="pos"), spd, b),
        ("scipy polar by svd", lambda m: sl.polar(m, method="svd")[0], a),
        ("scipy toeplitz", sl.toeplitz, b[:, 0], b[:, 1]),
        ("scipy block_diag", sl.block_diag, a[:2, :2], b[:2]),
        ("scipy eigh", lambda m: sl.eigh(sym(m), eigvals_only=True), spd),
        (
            "lax tridiagonal_solve",
            jax.lax.linalg.tridiagonal_solve,
            [0.0, 0.3, -0.2, 0.4],
            [2.0, 2.5, 3.0, 2.2],
            [0.5, -0.3, 0.2, 0.0],
            b,
        ),
        (
            "lax triangular_solve, transposed",
            lambda m, y: jax.lax.linalg.triangular_solve(m, y, left_side=True, lower=True, transpose_a=True),
            spd,
            b,
        ),
    ):
        yield jax_pair(f"linalg.{name}", fun, *arrays)
    # These read one triangle of the matrix, and their rule takes the tangent as symmetric: in the entries of
    # a general matrix it puts half of each slope where the function does not look.
    yield jax_pair(
        "linalg.scipy cho_solve, all entries free",
        lambda m, y: sl.cho_solve(sl.cho_factor(m), y),
        spd,
        b,
    )
    yield jax_pair(
        "linalg.scipy solve, assume pos, all entries free",
        lambda m, y: sl.solve(m, y, assume_a="pos"),
        spd,
        b,
    )


def rank_one(m):
    import jax.numpy as jnp

    u, s, vt = jnp.linalg.svd(m, full_matrices=False)
    return s[0] * jnp.outer(u[:, 0], vt[0])


def projector(m):
    import jax.numpy as jnp

    vectors = jnp.linalg.eigh((m + m.T) / 2)[1]
    return vectors[:, :2] @ vectors[:, :2].T


def jax_numpy() -> Iterator[Pair]:
    jax_start()
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(403)
    v, w = rng.standard_normal(7), rng.standard_normal(7)
    m = rng.standard_normal((4, 5))
    knots = np.linspace(-2, 2, 6)
    for name, fun, *arrays in (
        ("sort", jnp.sort, v),
        ("sort, axis 0, descending", lambda x: jnp.sort(x, axis=0, descending=True), m),
        ("max", jnp.max, v),
        ("min over rows", lambda x: x.min(axis=1), m),
        ("ptp", jnp.ptp, v),
        ("median", jnp.median, v),
        ("median, even", jnp.median, v[:6]),
        ("quantile", lambda x: jnp.quantile(x, np.array([0.13, 0.5, 0.81])), v),
        ("cumsum", jnp.cumsum, v),
        ("cumprod", jnp.cumprod, v),
        ("prod", jnp.prod, v),
        ("prod with a zero", jnp.prod, [1.3, 0.0, -0.7, 2.1]),
        ("cumprod with a zero", jnp.cumprod, [1.3, 0.0, -0.7, 2.1]),
        ("logaddexp", jnp.logaddexp, v, w),
        ("logaddexp2", jnp.logaddexp2, v, w),
        ("convolve full", jnp.convolve, v, w[:3]),
        ("convolve same", lambda x, y: jnp.convolve(x, y, mode="same"), v, w[:3]),
        ("correlate", lambda x, y: jnp.correlate(x, y, mode="full"), v, w[:3]),
        ("interp in x and fp", lambda x, fp: jnp.interp(x, knots, fp), [-1.7, -0.3, 0.9, 1.5], w[:6]),
        ("interp in xp", lambda xp: jnp.interp(np.array([-1.7, -0.3, 0.9]), xp, w[:6]), knots),
        ("fft, real part", lambda x: jnp.fft.fft(x).real, v),
        ("fft, imaginary part", lambda x: jnp.fft.fft(x).imag, v),
        ("rfft, power", lambda x: jnp.abs(jnp.fft.rfft(x)) ** 2, v),
        ("fft2, power", lambda x: jnp.abs(jnp.fft.fft2(x)) ** 2, m),
        ("irfft of rfft", lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * jnp.arange(4), n=7), v),
        ("ifft, modulus", lambda x, y: jnp.abs(jnp.fft.ifft(x + 1j * y)), v, w),
        ("trapezoid", jnp.trapezoid, v, np.sort(w)),
        ("gradient", jnp.gradient, v),
        ("diff n=2", lambda x: jnp.diff(x, n=2), v),
        ("outer", jnp.outer, v[:3], w[:4]),
        ("kron", jnp.kron, m[:2, :2], m[2:, :2]),
        ("einsum", lambda x, y: jnp.einsum("ij,kj->ik", x, y), m[:2], m[2:]),
        ("var ddof=1", lambda x: jnp.var(x, ddof=1), v),
        ("std over columns", lambda x: jnp.std(x, axis=0), m),
        ("cov", jnp.cov, m[:3]),
        ("corrcoef", jnp.corrcoef, m[:3]),
        ("clip", lambda x: jnp.clip(x, -0.8, 0.6), v),
        ("maximum", jnp.maximum, v, w),
        ("hypot", jnp.hypot, v, w),
        ("arctan2", jnp.arctan2, v, w),
        ("sinc", jnp.sinc, v),
        ("sinc at 0", jnp.sinc, [0.0, 0.4, -1.3]),
        ("power", jnp.power, np.abs(v) + 0.1, w),
        ("float_power", jnp.float_power, np.abs(v) + 0.1, w),
        ("mod", jnp.mod, v, np.abs(w) + 0.3),
        ("fmod", jnp.fmod, v, np.abs(w) + 0.3),
        ("polyval", jnp.polyval, v[:4], w[:3]),
        ("nanmean", jnp.nanmean, v),
        ("i0", jnp.i0, v),
        ("abs", jnp.abs, v),
        ("cbrt", jnp.cbrt, v),
        ("exp2", jnp.exp2, v),
        ("arccosh", jnp.arccosh, np.abs(v) + 1.2),
        ("arctanh", jnp.arctanh, v / 4),
        ("arcsin", jnp.arcsin, v / 4),
        ("log1p", jnp.log1p, np.abs(v)),
        ("expm1", jnp.expm1, v),
        ("unwrap", jnp.unwrap, np.linspace(0, 9, 6) % 6.1),
        ("pad reflect", lambda x: jnp.pad(x, 2, mode="reflect"), v),
        ("pad linear_ramp", lambda x: jnp.pad(x, 2, mode="linear_ramp"), v),
        ("roll", lambda x: jnp.roll(x, 2), v),
        ("average with weights", lambda x, y: jnp.average(x, weights=y), v, np.abs(w)),
        ("tensordot", lambda x, y: jnp.tensordot(x, y, 2), m, m[::-1]),
        ("vander", lambda x: jnp.vander(x, 4), v[:4]),
        ("piecewise", jax.jit(lambda x: jnp.piecewise(x, [x < 0, x >= 0], [jnp.sin, lambda y: y**2])), v),
        ("nan_to_num", jnp.nan_to_num, v),
        ("take_along_axis of argsort", lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=1), axis=1), m),
        ("round", jnp.round, v),
        ("sign", jnp.sign, v),
        ("floor", jnp.floor, v),
        ("where, guarded log", lambda x: jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), x), v),
        ("apply_along_axis", lambda x: jnp.apply_along_axis(lambda r: jnp.cumsum(r) ** 2, 1, x), m),
        ("nanmedian", jnp.nanmedian, v),
        ("cumulative_sum", jnp.cumulative_sum, v),
        ("trace", jnp.trace, m[:, :4]),
        ("real of a complex product", lambda x, y: ((x + 1j * y) ** 3).real, v, w),
        ("angle", lambda x, y: jnp.angle(x + 1j * y), v, w),
        ("lexsort gather", lambda x: x[jnp.lexsort((x,))], v),
        ("at[].add", lambda x, y: jnp.asarray(x).at[np.array([0, 2, 2])].add(y), v, w[:3]),
        ("at[].mul", lambda x, y: jnp.asarray(x).at[np.array([0, 2])].mul(y, unique_indices=True), v, w[:2]),
        ("at[].set", lambda x, y: jnp.asarray(x).at[np.array([0, 2])].set(y), v, w[:2]),
        ("at[].max", lambda x, y: jnp.asarray(x).at[np.array([0, 2])].max(y), v, w[:2]),
        ("at[].get, repeated", lambda x: x[np.array([0, 2, 2, 5])] ** 2, v),
    ):
        yield jax_pair(f"numpy {name}", fun, *arrays)
    # Ties: JAX shares the gradient of a maximum among them, and takes one order of a sort.
    yield jax_pair("numpy max with a tie", jnp.max, [0.4, 1.3, 1.3, -0.2])
    yield jax_pair("numpy sort with a tie", jnp.sort, [0.4, 1.3, 1.3, -0.2])
    yield jax_pair("numpy abs at 0", jnp.abs, [0.0, 1.3])
    yield jax_pair("numpy clip at its bound", lambda x: jnp.clip(x, -0.8, 0.6), [0.6, 0.1])


def jax_lax() -> Iterator[Pair]:
    jax_start()
    import jax
    import jax.numpy as jnp
    from jax import lax

    rng = np.random.default_rng(404)
    v, w = rng.standard_normal(7), rng.standard_normal(7)
    image, kernel = rng.standard_normal((1, 2, 5, 5)), rng.standard_normal((2, 2, 3, 3))

    def rnn(state, weight, inputs):
        def step(h, u):
            h = jnp.tanh(weight @ h + u)
            return h, h.sum()

        return lax.scan(step, state, inputs)[1]

    def recurrence(decay, drive):
        def combine(left, right):
            return left[0] * right[0], right[0] * left[1] + right[1]

        return lax.associative_scan(combine, (decay, drive))[1]

    def newton_root(c):
        def solve(f, x0):
            return lax.fori_loop(0, 40, lambda i, x: x - f(x) / jax.grad(f)(x), x0)

        return lax.custom_root(lambda x: x**3 + c * x - 2.0, 1.0, solve, lambda g, y: y / g(1.0))

    def linear_solve(matrix, rhs):
        return lax.custom_linear_solve(
            lambda x: matrix @ x,
            rhs,
            lambda mv, y: jnp.linalg.solve(matrix, y),
            transpose_solve=lambda vm, y: jnp.linalg.solve(matrix.T, y),
        )

    window = {"window_dimensions": (3,), "window_strides": (2,), "padding": "VALID"}
    segments = np.array([0, 0, 1, 2, 2, 2, 1])
    spd = np.eye(3) * 3 + 0.3 * rng.standard_normal((3, 3))
    for name, fun, *arrays in (
        ("conv", lambda x, k: lax.conv(x, k, (1, 1), "VALID"), image, kernel[:, :, :2, :2]),
        ("conv, stride 2, same", lambda x, k: lax.conv(x, k, (2, 2), "SAME"), image[:, :, :4, :4], kernel),
        (
            "conv_general_dilated, dilated and grouped",
            lambda x, k: lax.conv_general_dilated(
                x, k, (1, 1), "VALID", rhs_dilation=(2, 2), feature_group_count=2
            ),
            image,
            kernel[:, :1, :2, :2],
        ),
        (
            "conv_transpose",
            lambda x, k: lax.conv_transpose(x, k, (2,), "SAME", dimension_numbers=("NCH", "OIH", "NCH")),
            image[0, :, :4][:1],
            rng.standard_normal((2, 4, 3)),
        ),
        ("scan, RNN", jax.jit(rnn), v[:3], rng.standard_normal((3, 3)), rng.standard_normal((4, 3))),
        (
            "scan, reversed",
            jax.jit(lambda x: lax.scan(lambda c, u: (c * 0.7 + jnp.sin(u), c * u), 0.3, x, reverse=True)[1]),
            v,
        ),
        ("associative_scan, linear recurrence", recurrence, v, w),
        (
            "fori_loop, static bounds",
            jax.jit(lambda x: lax.fori_loop(0, 5, lambda i, y: jnp.sin(y) + 0.3 * x, x)),
            v,
        ),
        ("map", jax.jit(lambda x: lax.map(lambda u: jnp.exp(-(u**2)), x)), v),
        ("cond", jax.jit(lambda x: lax.cond(x.sum() > 0, lambda y: y**2, jnp.sin, x)), v),
        ("switch", jax.jit(lambda x: lax.switch(2, [jnp.sin, jnp.cos, jnp.tanh], x)), v),
        ("cumlogsumexp", lax.cumlogsumexp, v),
        ("cummax", lax.cummax, v),
        ("cummin, reversed", lambda x: lax.cummin(x, reverse=True), v),
        ("cumprod, reversed", lambda x: lax.cumprod(x, reverse=True), v),
        ("reduce_window, mean pool", lambda x: lax.reduce_window(x, 0.0, lax.add, **window) / 3, v),
        ("reduce_window, max pool", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, **window), v),
        ("top_k", lambda x: lax.top_k(x, 3)[0], v),
        ("dynamic_slice", lambda x: lax.dynamic_slice(x, (2,), (3,)) ** 2, v),
        ("dynamic_update_slice", lambda x, y: lax.dynamic_update_slice(x, y, (2,)), v, w[:3]),
        ("pad with interior", lambda x: lax.pad(x, 0.5, ((1, 2, 1),)), v),
        ("rev", lambda x: lax.rev(x, (0,)) * x, v),
        ("sort_key_val", lambda x, y: jnp.stack(lax.sort_key_val(x, y)), v, w),
        ("reduce_prod", lambda x: lax.reduce_prod(x, (0,)), v),
        ("integer_pow 5", lambda x: lax.integer_pow(x, 5), v),
        ("integer_pow -3", lambda x: lax.integer_pow(x, -3), v),
        ("rsqrt", lax.rsqrt, np.abs(v) + 0.2),
        ("atan2", lax.atan2, v, w),
        ("erf_inv", lax.erf_inv, v / 4),
        ("lgamma", lax.lgamma, np.abs(v) + 0.2),
        ("igamma", lax.igamma, np.abs(v) + 0.2, np.abs(w) + 0.2),
        ("igammac", lax.igammac, np.abs(v) + 0.2, np.abs(w) + 0.2),
        ("bessel_i1e", lax.bessel_i1e, v),
        ("logistic", lax.logistic, v),
        ("select_n", lambda x, y: lax.select_n(np.arange(7) % 2 > 0, x, y), v, w),
        ("clamp", lambda x: lax.clamp(-0.8, x, 0.6), v),
        ("rem", lax.rem, v, np.abs(w) + 0.3),
        ("custom_root", jax.jit(newton_root), 0.7),
        ("custom_linear_solve", linear_solve, spd, v[:3]),
        ("batch_matmul", lax.batch_matmul, rng.standard_normal((2, 2, 3)), rng.standard_normal((2, 3, 2))),
        ("reduce_precision, 52 bits", lambda x: lax.reduce_precision(x, 11, 52) ** 2, v),
        ("checkpoint", jax.checkpoint(lambda x: jnp.sin(jnp.sin(x) * x)), v),
        ("vmap of a dot", jax.vmap(jnp.dot), spd, spd.T),
        ("grad of a grad", lambda x: jax.grad(lambda y: jnp.sum(jnp.sin(y) * y**2))(x), v),
        (
            "hessian-vector product",
            lambda x: jax.jvp(jax.grad(lambda y: jnp.sum(jnp.exp(y) * y[::-1])), (x,), (jnp.asarray(w),))[1],
            v,
        ),
        ("ops.segment_sum", lambda x: jax.ops.segment_sum(x, segments, 3), v),
        ("ops.segment_max", lambda x: jax.ops.segment_max(x, segments, 3), v),
    ):
        yield jax_pair(f"lax.{name}", fun, *arrays)


def jax_stats() -> Iterator[Pair]:
    jax_start()
    import jax.numpy as jnp
    from jax.scipy import stats as st

    rng = np.random.default_rng(405)
    x, positive, unit = rng.standard_normal(5), rng.gamma(2.0, 1.0, 5), rng.uniform(0.1, 0.9, 5)
    root = rng.standard_normal((3, 3))
    counts = np.array([0, 1, 3, 2, 6])
    sample = rng.standard_normal(8)
    for name, fun, *arrays in (
        ("norm.logpdf", st.norm.logpdf, x, 0.3, 1.4),
        ("norm.logcdf", st.norm.logcdf, 3 * x, 0.3, 1.4),
        ("norm.logsf", st.norm.logsf, 3 * x),
        ("norm.cdf", st.norm.cdf, x),
        ("norm.ppf", st.norm.ppf, unit),
        ("t.logpdf", st.t.logpdf, x, 4.2, 0.1, 1.3),
        ("gamma.logpdf", st.gamma.logpdf, positive, 2.2),
        ("gamma.logcdf", st.gamma.logcdf, positive, 2.2),
        ("gamma.sf", st.gamma.sf, positive, 2.2),
        ("beta.logpdf", st.beta.logpdf, unit, 2.0, 1.4),
        ("beta.cdf in x", lambda u: st.beta.cdf(u, 2.0, 1.4), unit),
        ("chi2.logpdf", st.chi2.logpdf, positive, 3.3),
        ("chi2.logcdf", st.chi2.logcdf, positive, 3.3),
        ("laplace.logpdf", st.laplace.logpdf, x, 0.05, 1.3),
        ("logistic.logpdf", st.logistic.logpdf, x),
        ("cauchy.logpdf", st.cauchy.logpdf, x, 0.2, 1.4),
        ("cauchy.cdf", st.cauchy.cdf, x),
        ("expon.logpdf", st.expon.logpdf, positive, 0.0, 1.3),
        ("pareto.logpdf", st.pareto.logpdf, positive + 1.1, 2.3),
        ("gumbel_r.logpdf", st.gumbel_r.logpdf, x),
        ("gennorm.logpdf", st.gennorm.logpdf, x, 1.6),
        ("truncnorm.logpdf", lambda u, a, b: st.truncnorm.logpdf(u, a, b), x / 4, -1.2, 1.9),
        ("truncnorm.logcdf", lambda u: st.truncnorm.logcdf(u, -1.2, 1.9), x / 4),
        ("vonmises.logpdf", st.vonmises.logpdf, x, 1.3),
        ("wrapcauchy.logpdf", st.wrapcauchy.logpdf, 6 * unit, 0.4),
        ("dirichlet.logpdf", lambda a: st.dirichlet.logpdf(jnp.array([0.2, 0.5, 0.3]), a), [0.7, 2.0, 1.5]),
        (
            "multivariate_normal.logpdf",
            lambda u, m, r: st.multivariate_normal.logpdf(u, m, r @ r.T + jnp.eye(3)),
            x[:3],
            x[2:],
            root,
        ),
        ("poisson.logpmf", lambda m: st.poisson.logpmf(counts, m), positive),
        ("poisson.cdf", lambda m: st.poisson.cdf(counts, m), positive),
        ("bernoulli.logpmf", lambda p: st.bernoulli.logpmf(counts % 2, p), unit),
        ("binom.logpmf", lambda p: st.binom.logpmf(counts, 8, p), unit),
        ("nbinom.logpmf", lambda n, p: st.nbinom.logpmf(counts, n, p), positive, unit),
        ("geom.logpmf", lambda p: st.geom.logpmf(counts + 1, p), unit),
        ("betabinom.logpmf", lambda a, b: st.betabinom.logpmf(counts, 8, a, b), 1.4, 2.3),
        ("multinomial.logpmf", lambda p: st.multinomial.logpmf(counts, 12, p), np.full(5, 0.2)),
        ("gaussian_kde.logpdf", lambda u: st.gaussian_kde(jnp.asarray(sample)).logpdf(u), x[:3]),
    ):
        yield jax_pair(f"stats.{name}", fun, *arrays)


def jax_elsewhere() -> Iterator[Pair]:
    jax_start()
    import jax
    import jax.numpy as jnp
    from jax.experimental.ode import odeint
    from jax.scipy import integrate, interpolate, ndimage, signal
    from jax.scipy.sparse import linalg as sparse

    rng = np.random.default_rng(407)
    v, w = rng.standard_normal(7), rng.standard_normal(7)
    m = rng.standard_normal((4, 4))
    spd = m @ m.T + 4 * np.eye(4)
    grid = np.linspace(0.0, 3.0, 4)

    def lotka(y0, p):
        def rhs(y, t, p):
            return jnp.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[1] * y[0] * y[1] - p[2] * y[1]])

        return odeint(rhs, y0, jnp.array([0.0, 0.7, 1.5]), p, rtol=1e-10, atol=1e-10)[1:]

    for name, fun, *arrays in (
        ("scipy signal.convolve", signal.convolve, m, m[:2, :2]),
        ("scipy signal.fftconvolve", signal.fftconvolve, v, w[:3]),
        ("scipy signal.correlate2d", signal.correlate2d, m, m[:2, :2]),
        ("scipy signal.detrend", signal.detrend, v),
        (
            "scipy ndimage.map_coordinates",
            lambda c: ndimage.map_coordinates(jnp.asarray(m), [c[:3], c[3:]], 1),
            rng.uniform(0.2, 2.8, 6),
        ),
        (
            "scipy ndimage.map_coordinates in the image",
            lambda i: ndimage.map_coordinates(i, [jnp.array([0.4, 1.7]), jnp.array([2.2, 0.3])], 1),
            m,
        ),
        ("scipy integrate.trapezoid", integrate.trapezoid, v, np.sort(w)),
        (
            "scipy interpolate.RegularGridInterpolator",
            lambda p: interpolate.RegularGridInterpolator((grid, grid), jnp.asarray(m))(p),
            rng.uniform(0.2, 2.8, (3, 2)),
        ),
        (
            "scipy sparse.linalg.cg",
            jax.jit(lambda a, b: sparse.cg((a + a.T) / 2, b, tol=1e-14)[0]),
            spd,
            v[:4],
        ),
        ("scipy sparse.linalg.gmres", jax.jit(lambda a, b: sparse.gmres(a, b, tol=1e-12)[0]), spd, v[:4]),
        (
            "scipy sparse.linalg.bicgstab",
            jax.jit(lambda a, b: sparse.bicgstab(a, b, tol=1e-14)[0]),
            spd,
            v[:4],
        ),
        ("image.resize bilinear", lambda i: jax.image.resize(i, (6, 3), "bilinear"), m),
        ("image.resize cubic", lambda i: jax.image.resize(i, (6, 5), "cubic"), m),
        ("experimental odeint", jax.jit(lotka), [1.2, 0.8], [0.9, 0.6, 0.7]),
        (
            "random.normal, reparametrised",
            lambda mu, s: mu + s * jax.random.normal(jax.random.key(0), (4,)),
            0.3,
            1.2,
        ),
        (
            "random.truncated_normal in its bounds",
            lambda a, b: jax.random.truncated_normal(jax.random.key(1), a, b, (4,), dtype=jnp.float64),
            -1.0,
            1.5,
        ),
    ):
        yield jax_pair(name, fun, *arrays)
    # The rule differentiates the distribution (implicitly), not the rejection sampler that the key drives;
    # the two have the same expectation and differ for each draw.
    yield jax_pair(
        "random.gamma in alpha, key fixed",
        lambda a: jax.random.gamma(jax.random.key(2), a),
        [1.4, 2.2, 3.7],
    )
    yield jax_pair(
        "random.beta in a and b, key fixed",
        lambda a, b: jax.random.beta(jax.random.key(3), a, b),
        [1.4, 2.2, 3.7],
        [2.0, 1.1, 0.8],
    )


def jax_custom_rules() -> Iterator[Pair]:
    """Rules written with custom_jvp and custom_vjp: JAX's documentation, and losses in optax's manner."""
    jax_start()
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(408)
    z, target = rng.standard_normal(6), (rng.random(6) < 0.5).astype(float)
    logits, labels = rng.standard_normal((3, 4)), rng.dirichlet(np.ones(4), 3)

    @jax.custom_jvp
    def log1pexp(x):
        return jnp.log1p(jnp.exp(x))

    @log1pexp.defjvp
    def log1pexp_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        return log1pexp(x), (1 - 1 / (1 + jnp.exp(x))) * t

    @jax.custom_jvp
    def divide(x, y):
        return x / y

    divide.defjvps(lambda t, out, x, y: t / y, lambda t, out, x, y: -out / y * t)

    @jax.custom_vjp
    def sine_times(x, y):
        return jnp.sin(x) * y

    sine_times.defvjp(
        lambda x, y: (sine_times(x, y), (jnp.cos(x), jnp.sin(x), y)),
        lambda saved, g: (saved[0] * g * saved[2], saved[1] * g),
    )

    @jax.custom_vjp
    def fixed_point(a):
        return jax.lax.fori_loop(0, 120, lambda i, x: jnp.cos(a * x), jnp.full_like(a, 0.5))

    def fixed_point_forward(a):
        x = fixed_point(a)
        return x, (a, x)

    def fixed_point_backward(saved, g):
        a, x = saved
        slope = -jnp.sin(a * x)
        return (g * slope * x / (1 - slope * a),)

    fixed_point.defvjp(fixed_point_forward, fixed_point_backward)

    @jax.custom_jvp
    def safe_norm(x):
        return jnp.sqrt(jnp.sum(x**2))

    @safe_norm.defjvp
    def safe_norm_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        norm = safe_norm(x)
        return norm, jnp.sum(x * t) / jnp.where(norm > 0, norm, 1.0)

    @jax.custom_jvp
    def softmax_cross_entropy(x, p):
        return -jnp.sum(p * jax.nn.log_softmax(x), axis=-1)

    @softmax_cross_entropy.defjvp
    def softmax_cross_entropy_jvp(primals, tangents):
        (x, p), (dx, dp) = primals, tangents
        change = jnp.sum((jax.nn.softmax(x) * p.sum(-1, keepdims=True) - p) * dx, axis=-1)
        return softmax_cross_entropy(x, p), change - jnp.sum(jax.nn.log_softmax(x) * dp, axis=-1)

    @jax.custom_jvp
    def sigmoid_cross_entropy(x, y):
        return jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x)))

    sigmoid_cross_entropy.defjvps(
        lambda t, out, x, y: (jax.nn.sigmoid(x) - y) * t, lambda t, out, x, y: -x * t
    )

    @jax.custom_jvp
    def huber(x, delta):
        r = jnp.abs(x)
        return jnp.where(r < delta, 0.5 * r**2, delta * (r - 0.5 * delta))

    huber.defjvps(
        lambda t, out, x, d: jnp.clip(x, -d, d) * t,
        lambda t, out, x, d: jnp.where(jnp.abs(x) < d, 0.0, jnp.abs(x) - d) * t,
    )

    @jax.custom_jvp
    def log_cosh(x):
        return jnp.logaddexp(x, -x) - jnp.log(2.0)

    log_cosh.defjvps(lambda t, out, x: jnp.tanh(x) * t)

    def focal(x, y, gamma=2.0):
        p = jax.nn.sigmoid(x)
        pt = p * y + (1 - p) * (1 - y)
        return (1 - pt) ** gamma * sigmoid_cross_entropy(x, y)

    for name, fun, *arrays in (
        ("docs log1pexp", log1pexp, 4 * z),
        ("docs defjvps, divide", divide, z, np.abs(z) + 0.4),
        ("docs custom_vjp, sine times", sine_times, z, z[::-1]),
        ("docs fixed_point, implicit", jax.jit(fixed_point), [0.3, 0.7, 1.1]),
        ("safe_norm", safe_norm, z),
        ("softmax_cross_entropy", softmax_cross_entropy, logits, labels),
        (
            "sigmoid_cross_entropy in the logits",
            lambda x: sigmoid_cross_entropy(x, jnp.asarray(target)),
            4 * z,
        ),
        ("huber", huber, 2 * z, np.full(6, 0.9)),
        ("log_cosh", log_cosh, 3 * z),
        ("focal loss", lambda x: focal(x, jnp.asarray(target)), z),
        ("smoothed labels", lambda x: softmax_cross_entropy(x, 0.9 * jnp.asarray(labels) + 0.025), logits),
        (
            "kl_divergence",
            lambda x, t: jnp.sum(t * (jnp.log(t) - jax.nn.log_softmax(x)), axis=-1),
            logits,
            labels,
        ),
        (
            "poly_loss",
            lambda x: (
                softmax_cross_entropy(x, jnp.asarray(labels))
                + 2.0 * (1 - jnp.sum(jax.nn.softmax(x) * jnp.asarray(labels), axis=-1))
            ),
            logits,
        ),
        (
            "cosine_distance",
            lambda x, y: 1 - jnp.sum(x * y) / (safe_norm(x) * safe_norm(y)),
            z,
            z[::-1] + 0.3,
        ),
        ("squared_hinge", lambda x: jnp.maximum(0.0, 1 - x * jnp.asarray(2 * target - 1)) ** 2, z),
    ):
        yield jax_pair(f"custom {name}", fun, *arrays)

    # These rules differ from the derivative on purpose: that is what they are for.
    @jax.custom_vjp
    def clip_gradient(x):
        return x

    clip_gradient.defvjp(lambda x: (x, ()), lambda saved, g: (jnp.clip(g, -0.5, 0.5),))

    @jax.custom_vjp
    def reverse_gradient(x):
        return x

    reverse_gradient.defvjp(lambda x: (x, ()), lambda saved, g: (-g,))
    yield jax_pair("custom docs clip_gradient", lambda x: jnp.sum(jnp.sin(clip_gradient(x)) * 2), z)
    yield jax_pair("custom gradient reversal", lambda x: jnp.sum(reverse_gradient(x) ** 2), z)
    yield jax_pair(
        "custom straight-through round",
        lambda x: x + jax.lax.stop_gradient(jnp.round(x) - x),
        3 * z,
    )
    yield jax_pair("custom stop_gradient of a factor", lambda x: jax.lax.stop_gradient(x) * x, z)
    # optax's clipping by value inside a loss: the gradient of a clipped activation is that of the clip.
    yield jax_pair("custom clip, then square", lambda x: jnp.clip(x, -0.5, 0.5) ** 2, z)


BUILDERS = (
    jax_nn,
    jax_special,
    jax_linalg,
    jax_numpy,
    jax_lax,
    jax_stats,
    jax_elsewhere,
    jax_custom_rules,
)
