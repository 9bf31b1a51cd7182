"""SciPy: functions and the derivatives that SciPy has for them, a part of the catalogue of ``trust_libraries``."""

from collections.abc import Iterator

import numpy as np
from trust_pairs import Pair, diagonal, gradient_pair, jacobian_pair, pointwise_pairs


def skew(v):
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def scipy_rosenbrock() -> Iterator[Pair]:
    from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

    for n, seed in ((2, 1), (5, 2), (40, 3)):
        x = 1.0 + 0.3 * np.random.default_rng(seed).standard_normal(n)
        yield gradient_pair("scipy", f"rosen/rosen_der n={n}", rosen, rosen_der, x)
        yield jacobian_pair("scipy", f"rosen_der/rosen_hess n={n}", rosen_der, rosen_hess, x)
    yield gradient_pair("scipy", "rosen/rosen_der at the minimum", rosen, rosen_der, np.ones(6))
    yield gradient_pair("scipy", "rosen/rosen_der classic start", rosen, rosen_der, [-1.2, 1.0])
    p = np.random.default_rng(4).standard_normal(7)
    x = np.random.default_rng(5).standard_normal(7)
    yield gradient_pair(
        "scipy", "p.rosen_der/rosen_hess_prod", lambda z: p @ rosen_der(z), lambda z: rosen_hess_prod(z, p), x
    )


def scipy_least_squares_losses() -> Iterator[Pair]:
    from scipy.optimize._lsq.least_squares import IMPLEMENTED_LOSSES, construct_loss_function

    z = np.array([0.05, 0.4, 0.8, 1.7, 4.0, 25.0])

    def table(loss, row):
        def f(p):
            rho = np.empty((3, p.size))
            IMPLEMENTED_LOSSES[loss](p, rho, False)
            return rho[row].copy()

        return f

    for loss in ("huber", "soft_l1", "cauchy", "arctan"):
        yield jacobian_pair(
            "scipy", f"least_squares {loss} rho/rho'", table(loss, 0), diagonal(table(loss, 1)), z
        )
        yield jacobian_pair(
            "scipy", f"least_squares {loss} rho'/rho''", table(loss, 1), diagonal(table(loss, 2)), z
        )

    rng = np.random.default_rng(11)
    m, n = 12, 4
    a, b = rng.standard_normal((m, n)), rng.standard_normal(m)
    for loss in ("linear", "huber", "soft_l1", "cauchy", "arctan"):
        build = construct_loss_function(m, loss, 0.7)

        def cost(x, build=build):
            f = a @ x - b
            return 0.5 * f @ f if build is None else build(f, cost_only=True)

        def slope(x, build=build):
            f = a @ x - b
            return a.T @ (f if build is None else f * build(f)[1])

        yield gradient_pair(
            "scipy", f"least_squares cost with {loss}, f_scale 0.7", cost, slope, rng.standard_normal(n)
        )


def scipy_special_elementary() -> Iterator[Pair]:
    from scipy import special as sp

    two_pi = 2 / np.sqrt(np.pi)
    wide = [-3.1, -1.2, -0.3, 0.2, 0.9, 2.4]
    unit = [0.03, 0.2, 0.45, 0.7, 0.96]
    positive = [0.05, 0.4, 1.3, 3.7, 12.0]

    def phi(x):
        return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    yield from pointwise_pairs(
        "scipy",
        (
            ("special erf", sp.erf, lambda x: two_pi * np.exp(-(x**2)), wide),
            ("special erfc", sp.erfc, lambda x: -two_pi * np.exp(-(x**2)), wide),
            ("special erfcx", sp.erfcx, lambda x: 2 * x * sp.erfcx(x) - two_pi, [-1.2, 0.2, 2.0, 9.0, 40.0]),
            ("special erfi", sp.erfi, lambda x: two_pi * np.exp(x**2), wide),
            (
                "special erfinv",
                sp.erfinv,
                lambda x: np.exp(sp.erfinv(x) ** 2) / two_pi,
                [-0.9, -0.2, 0.3, 0.95],
            ),
            (
                "special erfcinv",
                sp.erfcinv,
                lambda x: -np.exp(sp.erfcinv(x) ** 2) / two_pi,
                [0.05, 0.4, 1.3, 1.9],
            ),
            ("special dawsn", sp.dawsn, lambda x: 1 - 2 * x * sp.dawsn(x), wide),
            ("special ndtr", sp.ndtr, phi, wide),
            (
                "special log_ndtr",
                sp.log_ndtr,
                lambda x: np.exp(-(x**2) / 2 - sp.log_ndtr(x)) / np.sqrt(2 * np.pi),
                [-25.0, -6.0, -1.1, 0.4, 3.0],
            ),
            ("special ndtri", sp.ndtri, lambda p: 1 / phi(sp.ndtri(p)), unit),
            (
                "special ndtri_exp",
                sp.ndtri_exp,
                lambda y: np.exp(y) / phi(sp.ndtri_exp(y)),
                [-20.0, -4.0, -1.0, -0.2],
            ),
            ("special expit", sp.expit, lambda x: sp.expit(x) * sp.expit(-x), [-30.0, -4.0, -0.5, 0.6, 5.0]),
            ("special log_expit", sp.log_expit, lambda x: sp.expit(-x), [-30.0, -4.0, -0.5, 0.6, 5.0]),
            ("special logit", sp.logit, lambda p: 1 / (p * (1 - p)), unit),
            ("special softplus", sp.softplus, sp.expit, [-20.0, -3.0, 0.4, 2.0, 30.0]),
            ("special entr", sp.entr, lambda x: -np.log(x) - 1, positive),
            ("special rel_entr in x", lambda x: sp.rel_entr(x, 0.7), lambda x: np.log(x / 0.7) + 1, positive),
            ("special rel_entr in y", lambda y: sp.rel_entr(0.7, y), lambda y: -0.7 / y, positive),
            ("special kl_div in x", lambda x: sp.kl_div(x, 0.7), lambda x: np.log(x / 0.7), positive),
            ("special kl_div in y", lambda y: sp.kl_div(0.7, y), lambda y: 1 - 0.7 / y, positive),
            ("special huber", lambda r: sp.huber(1.3, r), lambda r: np.clip(r, -1.3, 1.3), wide),
            (
                "special huber in delta",
                lambda d: sp.huber(d, 1.1),
                lambda d: np.where(d < 1.1, 1.1 - d, 0.0),
                [0.2, 0.8, 1.6, 3.0],
            ),
            (
                "special pseudo_huber",
                lambda r: sp.pseudo_huber(1.3, r),
                lambda r: r / np.sqrt(1 + (r / 1.3) ** 2),
                wide,
            ),
            ("special xlogy", lambda y: sp.xlogy(2.5, y), lambda y: 2.5 / y, positive),
            ("special xlog1py", lambda y: sp.xlog1py(2.5, y), lambda y: 2.5 / (1 + y), positive),
            ("special boxcox", lambda x: sp.boxcox(x, 0.3), lambda x: x ** (0.3 - 1), positive),
            (
                "special boxcox in lambda",
                lambda m: sp.boxcox(2.2, m),
                lambda m: (2.2**m * (m * np.log(2.2) - 1) + 1) / m**2,
                [-1.0, -0.2, 0.5, 2.0],
            ),
            (
                "special inv_boxcox",
                lambda y: sp.inv_boxcox(y, 0.3),
                lambda y: (0.3 * y + 1) ** (1 / 0.3 - 1),
                [-1.0, 0.2, 1.5, 4.0],
            ),
            (
                "special exprel",
                sp.exprel,
                lambda x: (x * np.exp(x) - np.expm1(x)) / x**2,
                [-3.0, -0.5, 0.7, 2.0],
            ),
            ("special cosm1", sp.cosm1, lambda x: -np.sin(x), wide),
            ("special expm1", sp.expm1, np.exp, [-5.0, -0.1, 1e-3, 0.9]),
            ("special log1p", sp.log1p, lambda x: 1 / (1 + x), [-0.9, -1e-3, 0.4, 30.0]),
            ("special exp10", sp.exp10, lambda x: np.log(10) * sp.exp10(x), wide),
            ("special cbrt", sp.cbrt, lambda x: 1 / (3 * sp.cbrt(x) ** 2), [-8.0, -0.3, 0.5, 27.0]),
            ("special spence", sp.spence, lambda z: np.log(z) / (1 - z), [0.1, 0.6, 1.4, 5.0]),
            ("special sindg", sp.sindg, lambda x: np.pi / 180 * sp.cosdg(x), [-100.0, 12.0, 95.0, 200.0]),
            (
                "special owens_t in h",
                lambda h: sp.owens_t(h, 0.7),
                lambda h: -phi(h) * (sp.ndtr(0.7 * h) - 0.5),
                wide,
            ),
            (
                "special owens_t in a",
                lambda a: sp.owens_t(0.9, a),
                lambda a: np.exp(-0.5 * 0.9**2 * (1 + a**2)) / (1 + a**2) / (2 * np.pi),
                wide,
            ),
            ("special sinc", np.sinc, lambda x: (np.cos(np.pi * x) - np.sinc(x)) / x, [-1.7, -0.4, 0.3, 2.2]),
            (
                "special wrightomega",
                sp.wrightomega,
                lambda z: sp.wrightomega(z) / (1 + sp.wrightomega(z)),
                [-4.0, -0.5, 1.0, 6.0],
            ),
            (
                "special lambertw",
                lambda z: sp.lambertw(z).real,
                lambda z: 1 / (np.exp(sp.lambertw(z).real) * (1 + sp.lambertw(z).real)),
                [-0.3, 0.2, 1.5, 20.0],
            ),
            (
                "special lambertw branch -1",
                lambda z: sp.lambertw(z, -1).real,
                lambda z: 1 / (np.exp(sp.lambertw(z, -1).real) * (1 + sp.lambertw(z, -1).real)),
                [-0.3, -0.2, -0.05],
            ),
            ("special voigt_profile", lambda x: sp.voigt_profile(x, 0.8, 0.5), voigt_slope, wide),
        ),
    )


def voigt_slope(x):
    from scipy.special import wofz

    z = (x + 0.5j) / (0.8 * np.sqrt(2))
    slope = -2 * z * wofz(z) + 2j / np.sqrt(np.pi)
    return slope.real / (0.8 * np.sqrt(2)) / (0.8 * np.sqrt(2 * np.pi))


def scipy_special_gamma() -> Iterator[Pair]:
    from scipy import special as sp

    positive = [0.05, 0.6, 1.461, 3.7, 25.0]
    yield from pointwise_pairs(
        "scipy",
        (
            ("special gammaln/psi", sp.gammaln, sp.psi, positive),
            ("special psi/polygamma(1)", sp.psi, lambda x: sp.polygamma(1, x), positive),
            (
                "special polygamma(1)/polygamma(2)",
                lambda x: sp.polygamma(1, x),
                lambda x: sp.polygamma(2, x),
                positive,
            ),
            (
                "special polygamma(3)/polygamma(4)",
                lambda x: sp.polygamma(3, x),
                lambda x: sp.polygamma(4, x),
                [0.6, 1.5, 3.0, 9.0],
            ),
            (
                "special psi, negative axis",
                sp.psi,
                lambda x: sp.zeta(2, x + 6) + sum(1 / (x + i) ** 2 for i in range(6)),
                [-3.4, -1.7, -0.4],
            ),
            ("special gamma", sp.gamma, lambda x: sp.gamma(x) * sp.psi(x), [-1.5, 0.4, 1.461, 5.2]),
            ("special rgamma", sp.rgamma, lambda x: -sp.rgamma(x) * sp.psi(x), [-1.5, 0.4, 1.461, 5.2]),
            ("special gammaln far out", sp.gammaln, sp.psi, [1e3, 5e4, 2e6]),
            (
                "special betaln in a",
                lambda a: sp.betaln(a, 2.3),
                lambda a: sp.psi(a) - sp.psi(a + 2.3),
                positive,
            ),
            (
                "special beta in a",
                lambda a: sp.beta(a, 2.3),
                lambda a: sp.beta(a, 2.3) * (sp.psi(a) - sp.psi(a + 2.3)),
                [0.3, 1.1, 4.0],
            ),
            (
                "special poch",
                lambda m: sp.poch(2.2, m),
                lambda m: sp.poch(2.2, m) * sp.psi(2.2 + m),
                [-1.0, 0.3, 2.4],
            ),
            (
                "special multigammaln",
                lambda a: sp.multigammaln(a, 3),
                lambda a: sp.psi(a) + sp.psi(a - 0.5) + sp.psi(a - 1),
                [1.4, 2.5, 9.0],
            ),
            (
                "special gammainc",
                lambda x: sp.gammainc(2.4, x),
                lambda x: np.exp((2.4 - 1) * np.log(x) - x - sp.gammaln(2.4)),
                [0.1, 1.0, 3.0, 8.0],
            ),
            (
                "special gammaincc",
                lambda x: sp.gammaincc(2.4, x),
                lambda x: -np.exp((2.4 - 1) * np.log(x) - x - sp.gammaln(2.4)),
                [0.1, 1.0, 3.0, 20.0],
            ),
            (
                "special betainc",
                lambda x: sp.betainc(2.4, 0.8, x),
                lambda x: x**1.4 * (1 - x) ** -0.2 / sp.beta(2.4, 0.8),
                [0.1, 0.4, 0.8],
            ),
            (
                "special betaincinv",
                lambda y: sp.betaincinv(2.4, 0.8, y),
                lambda y: (
                    sp.beta(2.4, 0.8)
                    * sp.betaincinv(2.4, 0.8, y) ** -1.4
                    * (1 - sp.betaincinv(2.4, 0.8, y)) ** 0.2
                ),
                [0.1, 0.4, 0.8],
            ),
            (
                "special gammaincinv",
                lambda y: sp.gammaincinv(2.4, y),
                lambda y: np.exp(
                    sp.gammaln(2.4) - 1.4 * np.log(sp.gammaincinv(2.4, y)) + sp.gammaincinv(2.4, y)
                ),
                [0.1, 0.4, 0.9],
            ),
            (
                "special zeta in q",
                lambda q: sp.zeta(2.5, q),
                lambda q: -2.5 * sp.zeta(3.5, q),
                [0.3, 1.0, 4.0],
            ),
            ("special exp1", sp.exp1, lambda x: -np.exp(-x) / x, [0.1, 0.7, 2.0, 10.0]),
            ("special expi", sp.expi, lambda x: np.exp(x) / x, [-2.0, 0.3, 1.5, 6.0]),
            ("special expn", lambda x: sp.expn(3, x), lambda x: -sp.expn(2, x), [0.1, 0.7, 2.0, 10.0]),
            ("special sici si", lambda x: sp.sici(x)[0], lambda x: np.sin(x) / x, [-2.0, 0.4, 3.0, 15.0]),
            ("special sici ci", lambda x: sp.sici(x)[1], lambda x: np.cos(x) / x, [0.2, 0.9, 3.0, 15.0]),
            ("special shichi shi", lambda x: sp.shichi(x)[0], lambda x: np.sinh(x) / x, [-2.0, 0.4, 3.0]),
            ("special shichi chi", lambda x: sp.shichi(x)[1], lambda x: np.cosh(x) / x, [0.3, 0.9, 3.0]),
            (
                "special fresnel S",
                lambda x: sp.fresnel(x)[0],
                lambda x: np.sin(np.pi * x**2 / 2),
                [-1.1, 0.3, 1.8, 4.0],
            ),
            (
                "special fresnel C",
                lambda x: sp.fresnel(x)[1],
                lambda x: np.cos(np.pi * x**2 / 2),
                [-1.1, 0.3, 1.8, 4.0],
            ),
        ),
    )


def scipy_special_bessel() -> Iterator[Pair]:
    from scipy import special as sp

    x = [0.4, 1.3, 3.7, 9.2]
    rows = []
    for letter, f, fp in (
        ("jv", sp.jv, sp.jvp),
        ("yv", sp.yv, sp.yvp),
        ("iv", sp.iv, sp.ivp),
        ("kv", sp.kv, sp.kvp),
    ):
        for order in (0, 1.5, 3):
            rows.append(
                (
                    f"special {letter}/{letter}p order {order}",
                    lambda z, f=f, v=order: f(v, z),
                    lambda z, fp=fp, v=order: fp(v, z),
                    x,
                )
            )
        rows.append(
            (
                f"special {letter}p(1)/{letter}p(2)",
                lambda z, fp=fp: fp(2, z, 1),
                lambda z, fp=fp: fp(2, z, 2),
                x,
            )
        )
    rows += [
        ("special hankel1/h1vp, real part", lambda z: sp.hankel1(1, z).real, lambda z: sp.h1vp(1, z).real, x),
        ("special j0/-j1", sp.j0, lambda z: -sp.j1(z), x),
        ("special i0e", sp.i0e, lambda z: sp.i1e(z) - np.sign(z) * sp.i0e(z), x),
        ("special k0/-k1", sp.k0, lambda z: -sp.k1(z), x),
        ("special kve", lambda z: sp.kve(1, z), lambda z: sp.kve(1, z) + np.exp(z) * sp.kvp(1, z), x),
        ("special struve", lambda z: sp.struve(0, z), lambda z: 2 / np.pi - sp.struve(1, z), x),
        ("special airy Ai", lambda z: sp.airy(z)[0], lambda z: sp.airy(z)[1], [-5.0, -1.0, 0.5, 3.0]),
        ("special airy Bi", lambda z: sp.airy(z)[2], lambda z: sp.airy(z)[3], [-5.0, -1.0, 0.5, 3.0]),
        ("special airy Ai'", lambda z: sp.airy(z)[1], lambda z: z * sp.airy(z)[0], [-5.0, -1.0, 0.5, 3.0]),
        ("special ber/berp", sp.ber, sp.berp, x),
        ("special bei/beip", sp.bei, sp.beip, x),
        ("special ker/kerp", sp.ker, sp.kerp, x),
        ("special kei/keip", sp.kei, sp.keip, x),
    ]
    for letter, f in (
        ("jn", sp.spherical_jn),
        ("yn", sp.spherical_yn),
        ("in", sp.spherical_in),
        ("kn", sp.spherical_kn),
    ):
        rows.append(
            (
                f"special spherical_{letter}",
                lambda z, f=f: f(2, z),
                lambda z, f=f: f(2, z, derivative=True),
                x,
            )
        )
    for name, f in (
        ("pbdv", lambda z: sp.pbdv(1.5, z)),
        ("pbvv", lambda z: sp.pbvv(1.5, z)),
        ("pbwa", lambda z: sp.pbwa(1.5, z)),
        ("pro_ang1", lambda z: sp.pro_ang1(1, 2, 1.3, z)),
        ("obl_ang1", lambda z: sp.obl_ang1(1, 2, 1.3, z)),
    ):
        points = [0.2, 0.5, 0.8] if "ang" in name else [-1.5, 0.4, 1.2, 3.0]
        rows.append((f"special {name}", lambda z, f=f: f(z)[0], lambda z, f=f: f(z)[1], points))
    for name, f in (
        ("pro_rad1", lambda z: sp.pro_rad1(1, 2, 1.3, z)),
        ("mathieu_modcem1", lambda z: sp.mathieu_modcem1(2, 1.1, z)),
    ):
        rows.append((f"special {name}", lambda z, f=f: f(z)[0], lambda z, f=f: f(z)[1], [1.2, 1.7, 2.3]))
    degrees = [10.0, 40.0, 75.0]
    # mathieu_cem and mathieu_sem take degrees and give the derivative per radian.
    rows += [
        (
            "special mathieu_cem, x in degrees",
            lambda z: sp.mathieu_cem(2, 1.1, z)[0],
            lambda z: sp.mathieu_cem(2, 1.1, z)[1],
            degrees,
        ),
        (
            "special mathieu_sem, x in degrees",
            lambda z: sp.mathieu_sem(2, 1.1, z)[0],
            lambda z: sp.mathieu_sem(2, 1.1, z)[1],
            degrees,
        ),
        (
            "special mathieu_cem, x in radians",
            lambda z: sp.mathieu_cem(2, 1.1, np.rad2deg(z))[0],
            lambda z: sp.mathieu_cem(2, 1.1, np.rad2deg(z))[1],
            np.deg2rad(degrees),
        ),
    ]
    yield from pointwise_pairs("scipy", rows)


def scipy_special_others() -> Iterator[Pair]:
    from scipy import special as sp

    m = [0.05, 0.3, 0.6, 0.9]
    inside = [-0.8, -0.3, 0.2, 0.75]
    yield from pointwise_pairs(
        "scipy",
        (
            (
                "special ellipk",
                sp.ellipk,
                lambda m: (sp.ellipe(m) - (1 - m) * sp.ellipk(m)) / (2 * m * (1 - m)),
                m,
            ),
            ("special ellipe", sp.ellipe, lambda m: (sp.ellipe(m) - sp.ellipk(m)) / (2 * m), m),
            (
                "special ellipkm1",
                sp.ellipkm1,
                lambda p: -(sp.ellipe(1 - p) - p * sp.ellipkm1(p)) / (2 * p * (1 - p)),
                [1e-6, 1e-3, 0.2, 0.7],
            ),
            (
                "special ellipkinc in phi",
                lambda t: sp.ellipkinc(t, 0.6),
                lambda t: 1 / np.sqrt(1 - 0.6 * np.sin(t) ** 2),
                [-1.0, 0.3, 1.2, 2.5],
            ),
            (
                "special ellipeinc in phi",
                lambda t: sp.ellipeinc(t, 0.6),
                lambda t: np.sqrt(1 - 0.6 * np.sin(t) ** 2),
                [-1.0, 0.3, 1.2, 2.5],
            ),
            (
                "special ellipj sn",
                lambda u: sp.ellipj(u, 0.6)[0],
                lambda u: sp.ellipj(u, 0.6)[1] * sp.ellipj(u, 0.6)[2],
                [-1.0, 0.3, 1.2, 2.5],
            ),
            (
                "special ellipj cn",
                lambda u: sp.ellipj(u, 0.6)[1],
                lambda u: -sp.ellipj(u, 0.6)[0] * sp.ellipj(u, 0.6)[2],
                [-1.0, 0.3, 1.2, 2.5],
            ),
            (
                "special ellipj dn",
                lambda u: sp.ellipj(u, 0.6)[2],
                lambda u: -0.6 * sp.ellipj(u, 0.6)[0] * sp.ellipj(u, 0.6)[1],
                [-1.0, 0.3, 1.2, 2.5],
            ),
            (
                "special elliprf",
                lambda t: sp.elliprf(t, 1.2, 2.3),
                lambda t: -sp.elliprd(1.2, 2.3, t) / 6,
                [0.3, 1.0, 4.0],
            ),
            (
                "special hyp0f1",
                lambda z: sp.hyp0f1(1.7, z),
                lambda z: sp.hyp0f1(2.7, z) / 1.7,
                [-2.0, 0.4, 3.0],
            ),
            (
                "special hyp1f1",
                lambda z: sp.hyp1f1(0.8, 1.7, z),
                lambda z: 0.8 / 1.7 * sp.hyp1f1(1.8, 2.7, z),
                [-2.0, 0.4, 3.0],
            ),
            (
                "special hyp2f1",
                lambda z: sp.hyp2f1(0.8, 0.4, 1.7, z),
                lambda z: 0.8 * 0.4 / 1.7 * sp.hyp2f1(1.8, 1.4, 2.7, z),
                [-2.0, 0.1, 0.7],
            ),
            (
                "special hyperu",
                lambda z: sp.hyperu(0.8, 1.7, z),
                lambda z: -0.8 * sp.hyperu(1.8, 2.7, z),
                [0.4, 1.5, 3.0],
            ),
            (
                "special wright_bessel",
                lambda z: sp.wright_bessel(0.7, 1.2, z),
                lambda z: sp.wright_bessel(0.7, 1.9, z),
                [0.3, 1.0, 4.0],
            ),
            (
                "special legendre_p diff_n=1",
                lambda z: sp.legendre_p(5, z),
                lambda z: sp.legendre_p(5, z, diff_n=1)[1],
                inside,
            ),
            (
                "special legendre_p diff_n=2",
                lambda z: sp.legendre_p(5, z, diff_n=1)[1],
                lambda z: sp.legendre_p(5, z, diff_n=2)[2],
                inside,
            ),
            (
                "special assoc_legendre_p diff_n=1",
                lambda z: sp.assoc_legendre_p(4, 2, z),
                lambda z: sp.assoc_legendre_p(4, 2, z, diff_n=1)[1],
                inside,
            ),
            (
                "special assoc_legendre_p diff_n=2",
                lambda z: sp.assoc_legendre_p(4, 1, z, diff_n=1)[1],
                lambda z: sp.assoc_legendre_p(4, 1, z, diff_n=2)[2],
                inside,
            ),
            (
                "special sph_legendre_p diff_n=1",
                lambda t: sp.sph_legendre_p(4, 2, t),
                lambda t: sp.sph_legendre_p(4, 2, t, diff_n=1)[1],
                [0.4, 1.1, 2.0],
            ),
            (
                "special sph_legendre_p diff_n=2",
                lambda t: sp.sph_legendre_p(4, 1, t, diff_n=1)[1],
                lambda t: sp.sph_legendre_p(4, 1, t, diff_n=2)[2],
                [0.4, 1.1, 2.0],
            ),
            (
                "special eval_legendre",
                lambda z: sp.eval_legendre(6, z),
                lambda z: 6 * (z * sp.eval_legendre(6, z) - sp.eval_legendre(5, z)) / (z**2 - 1),
                inside,
            ),
            (
                "special eval_chebyt",
                lambda z: sp.eval_chebyt(6, z),
                lambda z: 6 * sp.eval_chebyu(5, z),
                inside,
            ),
            (
                "special eval_hermite",
                lambda z: sp.eval_hermite(5, z),
                lambda z: 10 * sp.eval_hermite(4, z),
                inside,
            ),
            (
                "special eval_hermitenorm",
                lambda z: sp.eval_hermitenorm(5, z),
                lambda z: 5 * sp.eval_hermitenorm(4, z),
                inside,
            ),
            (
                "special eval_genlaguerre",
                lambda z: sp.eval_genlaguerre(5, 0.7, z),
                lambda z: -sp.eval_genlaguerre(4, 1.7, z),
                [0.3, 1.0, 4.0],
            ),
            (
                "special eval_jacobi",
                lambda z: sp.eval_jacobi(5, 0.7, 1.2, z),
                lambda z: (5 + 0.7 + 1.2 + 1) / 2 * sp.eval_jacobi(4, 1.7, 2.2, z),
                inside,
            ),
            (
                "special eval_gegenbauer",
                lambda z: sp.eval_gegenbauer(5, 0.7, z),
                lambda z: 1.4 * sp.eval_gegenbauer(4, 1.7, z),
                inside,
            ),
            ("special orthogonal legendre .deriv", sp.legendre(7), sp.legendre(7).deriv(), inside),
        ),
    )

    def riccati(f, row):
        return lambda z: np.array([f(3, v)[row][3] for v in z])

    yield jacobian_pair(
        "scipy",
        "special riccati_jn",
        riccati(sp.riccati_jn, 0),
        diagonal(riccati(sp.riccati_jn, 1)),
        [0.6, 2.0, 7.0],
    )
    yield jacobian_pair(
        "scipy",
        "special riccati_yn",
        riccati(sp.riccati_yn, 0),
        diagonal(riccati(sp.riccati_yn, 1)),
        [0.9, 2.0, 7.0],
    )
    yield jacobian_pair(
        "scipy",
        "special sph_harm_y diff_n=1, real part",
        lambda a: [sp.sph_harm_y(4, 2, a[0], a[1]).real],
        lambda a: [sp.sph_harm_y(4, 2, a[0], a[1], diff_n=1)[1].real],
        [0.9, 0.4],
    )
    z = np.array([0.4, -1.2, 3.0, 2.2, -0.1])
    w = np.array([0.3, 1.2, 0.7, 2.0, 0.1])
    yield gradient_pair("scipy", "special logsumexp/softmax", sp.logsumexp, sp.softmax, z)
    yield gradient_pair(
        "scipy",
        "special logsumexp with b",
        lambda p: sp.logsumexp(p, b=w),
        lambda p: w * np.exp(p - sp.logsumexp(p, b=w)),
        z,
    )
    yield gradient_pair("scipy", "special logsumexp, large arguments", sp.logsumexp, sp.softmax, 300 * z)
    yield jacobian_pair(
        "scipy",
        "special softmax",
        sp.softmax,
        lambda p: np.diag(sp.softmax(p)) - np.outer(sp.softmax(p), sp.softmax(p)),
        z,
    )
    yield jacobian_pair(
        "scipy", "special log_softmax", sp.log_softmax, lambda p: np.eye(5) - sp.softmax(p)[None, :], z
    )


def scipy_distributions() -> Iterator[Pair]:
    """Hold each distribution's pdf against its cdf: two codes of the library that should agree."""
    from scipy import stats

    frozen = {
        "norm": stats.norm(0.2, 1.3),
        "t": stats.t(4.3),
        "chi2": stats.chi2(5),
        "f": stats.f(5, 7),
        "gamma": stats.gamma(2.5),
        "beta": stats.beta(2.0, 3.0),
        "weibull_min": stats.weibull_min(1.7),
        "gumbel_r": stats.gumbel_r(),
        "logistic": stats.logistic(),
        "lognorm": stats.lognorm(0.8),
        "cauchy": stats.cauchy(),
        "expon": stats.expon(),
        "pareto": stats.pareto(2.5),
        "rayleigh": stats.rayleigh(),
        "invgauss": stats.invgauss(0.7),
        "nakagami": stats.nakagami(1.3),
        "rice": stats.rice(0.9),
        "vonmises": stats.vonmises(2.0),
        "skewnorm": stats.skewnorm(3.0),
        "genextreme": stats.genextreme(0.2),
        "genpareto": stats.genpareto(0.3),
        "burr12": stats.burr12(2.0, 3.0),
        "gompertz": stats.gompertz(0.6),
        "exponnorm": stats.exponnorm(1.2),
        "levy": stats.levy(),
        "maxwell": stats.maxwell(),
        "moyal": stats.moyal(),
        "johnsonsu": stats.johnsonsu(0.4, 1.2),
        "johnsonsb": stats.johnsonsb(0.4, 1.2),
        "laplace_asymmetric": stats.laplace_asymmetric(1.4),
        "kappa3": stats.kappa3(1.2),
        "kappa4": stats.kappa4(0.1, 0.2),
        "hypsecant": stats.hypsecant(),
        "loggamma": stats.loggamma(1.6),
        "tukeylambda": stats.tukeylambda(0.3),
        "ncx2": stats.ncx2(3, 1.2),
        "nct": stats.nct(5, 0.6),
        "ncf": stats.ncf(5, 7, 0.8),
        "kstwobign": stats.kstwobign(),
        "kstwo": stats.kstwo(12),
        "ksone": stats.ksone(12),
        "crystalball": stats.crystalball(1.2, 3.0),
        "argus": stats.argus(1.1),
        "foldnorm": stats.foldnorm(0.9),
        "jf_skew_t": stats.jf_skew_t(3.0, 2.0),
        "rel_breitwigner": stats.rel_breitwigner(2.0),
        "truncnorm": stats.truncnorm(-1.0, 2.0),
        "truncpareto": stats.truncpareto(2.0, 5.0),
        "wrapcauchy": stats.wrapcauchy(0.4),
        "exponweib": stats.exponweib(1.5, 1.2),
        "exponpow": stats.exponpow(1.4),
        "fisk": stats.fisk(2.2),
        "mielke": stats.mielke(2.0, 3.0),
        "invgamma": stats.invgamma(2.2),
        "invweibull": stats.invweibull(1.8),
        "halfgennorm": stats.halfgennorm(1.4),
        "gennorm": stats.gennorm(1.4),
        "fatiguelife": stats.fatiguelife(0.8),
        "dgamma": stats.dgamma(1.6),
        "dweibull": stats.dweibull(1.6),
        "powerlognorm": stats.powerlognorm(1.3, 0.6),
        "powernorm": stats.powernorm(1.3),
        "recipinvgauss": stats.recipinvgauss(0.8),
        "semicircular": stats.semicircular(),
        "triang": stats.triang(0.4),
        "trapezoid": stats.trapezoid(0.2, 0.7),
        "bradford": stats.bradford(1.4),
        "anglit": stats.anglit(),
        "arcsine": stats.arcsine(),
        "landau": stats.landau(),
        "skewcauchy": stats.skewcauchy(0.4),
        "betaprime": stats.betaprime(2.0, 3.0),
        "genhalflogistic": stats.genhalflogistic(0.4),
        "gengamma": stats.gengamma(1.4, 1.2),
        "genexpon": stats.genexpon(0.6, 0.8, 1.2),
        "gibrat": stats.gibrat(),
        "alpha": stats.alpha(1.4),
        "lomax": stats.lomax(2.0),
        "rdist": stats.rdist(2.4),
        "loguniform": stats.loguniform(0.4, 3.0),
        "pearson3": stats.pearson3(0.5),
        "wald": stats.wald(),
    }
    ranks = np.array([0.07, 0.22, 0.43, 0.61, 0.83, 0.95])
    rows = [
        (f"stats {name} cdf/pdf", d.cdf, d.pdf, np.asarray(d.ppf(ranks), dtype=float))
        for name, d in frozen.items()
    ]
    for name in ("norm", "t", "gamma", "logistic", "weibull_min"):
        d = frozen[name]
        rows += [
            (
                f"stats {name} logcdf",
                d.logcdf,
                lambda x, d=d: np.exp(d.logpdf(x) - d.logcdf(x)),
                d.ppf(ranks),
            ),
            (f"stats {name} logsf", d.logsf, lambda x, d=d: -np.exp(d.logpdf(x) - d.logsf(x)), d.ppf(ranks)),
            (f"stats {name} ppf", d.ppf, lambda q, d=d: 1 / d.pdf(d.ppf(q)), ranks),
            (f"stats {name} isf", d.isf, lambda q, d=d: -1 / d.pdf(d.isf(q)), ranks),
        ]
    rows.append(
        (
            "stats norm logsf, far tail",
            stats.norm.logsf,
            lambda x: -np.exp(stats.norm.logpdf(x) - stats.norm.logsf(x)),
            [5.0, 12.0, 25.0],
        )
    )
    yield from pointwise_pairs("scipy", rows)


def scipy_scores() -> Iterator[Pair]:
    """Score functions in closed form of SciPy's logpdf."""
    from scipy import special, stats

    rng = np.random.default_rng(15)
    n = 5
    root = rng.standard_normal((n, n))
    cov, mean = root @ root.T + np.eye(n), rng.standard_normal(n)
    x = rng.standard_normal(n)
    precision = np.linalg.inv(cov)
    normal = stats.multivariate_normal(mean, cov)
    student = stats.multivariate_t(mean, cov, df=4)
    yield gradient_pair(
        "scipy", "stats multivariate_normal logpdf in x", normal.logpdf, lambda p: -precision @ (p - mean), x
    )
    yield gradient_pair(
        "scipy",
        "stats multivariate_normal logpdf in mean",
        lambda m: stats.multivariate_normal.logpdf(x, m, cov),
        lambda m: precision @ (x - m),
        mean,
    )
    yield gradient_pair(
        "scipy",
        "stats multivariate_t logpdf in x",
        student.logpdf,
        lambda p: -(4 + n) * precision @ (p - mean) / (4 + (p - mean) @ precision @ (p - mean)),
        x,
    )

    lower = np.tril_indices(3)

    def unpack(p):
        half = np.zeros((3, 3))
        half[lower] = p
        return half

    data = rng.standard_normal((7, 3))

    def normal_in_cholesky(p):
        half = unpack(p)
        return stats.multivariate_normal.logpdf(data, np.zeros(3), half @ half.T).sum()

    def normal_in_cholesky_grad(p):
        half = unpack(p)
        inverse = np.linalg.inv(half @ half.T)
        slope = 0.5 * (inverse @ data.T @ data @ inverse - 7 * inverse)
        return (2 * slope @ half)[lower]

    yield gradient_pair(
        "scipy",
        "stats multivariate_normal logpdf in a Cholesky factor",
        normal_in_cholesky,
        normal_in_cholesky_grad,
        [1.1, 0.2, 0.9, -0.3, 0.4, 1.3],
    )

    def wishart(p):
        half = unpack(p)
        return stats.wishart.logpdf(half @ half.T, df=6, scale=np.diag([1.0, 2.0, 0.5]))

    def wishart_grad(p):
        half = unpack(p)
        slope = 0.5 * (6 - 3 - 1) * np.linalg.inv(half @ half.T) - 0.5 * np.diag([1.0, 0.5, 2.0])
        return (2 * slope @ half)[lower]

    yield gradient_pair(
        "scipy",
        "stats wishart logpdf in a Cholesky factor",
        wishart,
        wishart_grad,
        [1.1, 0.2, 0.9, -0.3, 0.4, 1.3],
    )
    alpha = np.array([0.8, 2.0, 3.5, 1.2])
    proportions = np.array([0.1, 0.3, 0.4, 0.2])
    yield gradient_pair(
        "scipy",
        "stats dirichlet logpdf in alpha",
        lambda a: stats.dirichlet.logpdf(proportions, a),
        lambda a: np.log(proportions) - special.psi(a) + special.psi(a.sum()),
        alpha,
    )
    counts = np.array([2, 0, 5, 3])
    yield gradient_pair(
        "scipy",
        "stats dirichlet_multinomial logpmf in alpha",
        lambda a: stats.dirichlet_multinomial.logpmf(counts, a, 10),
        lambda a: special.psi(counts + a) - special.psi(a) + special.psi(a.sum()) - special.psi(a.sum() + 10),
        alpha,
    )
    yield gradient_pair(
        "scipy",
        "stats multinomial logpmf in logits",
        lambda z: stats.multinomial.logpmf(counts, 10, special.softmax(z)),
        lambda z: counts - 10 * special.softmax(z),
        [0.1, -0.4, 0.9, 0.3],
    )

    sample = stats.gamma.rvs(2.3, scale=1.4, size=15, random_state=3)
    yield gradient_pair(
        "scipy",
        "stats gamma logpdf in (a, scale)",
        lambda p: stats.gamma.logpdf(sample, p[0], scale=p[1]).sum(),
        lambda p: [
            np.sum(np.log(sample / p[1]) - special.psi(p[0])),
            np.sum(sample / p[1] ** 2 - p[0] / p[1]),
        ],
        [2.0, 1.2],
    )
    share = stats.beta.rvs(2.3, 1.4, size=15, random_state=4)
    yield gradient_pair(
        "scipy",
        "stats beta logpdf in (a, b)",
        lambda p: stats.beta.logpdf(share, p[0], p[1]).sum(),
        lambda p: [
            np.sum(np.log(share)) - 15 * (special.psi(p[0]) - special.psi(p.sum())),
            np.sum(np.log1p(-share)) - 15 * (special.psi(p[1]) - special.psi(p.sum())),
        ],
        [2.0, 1.2],
    )
    life = stats.weibull_min.rvs(1.6, scale=2.0, size=15, random_state=5)

    def weibull_grad(p):
        u = life / p[1]
        return [np.sum(1 / p[0] + np.log(u) - u ** p[0] * np.log(u)), np.sum(p[0] / p[1] * (u ** p[0] - 1))]

    yield gradient_pair(
        "scipy",
        "stats weibull_min logpdf in (c, scale)",
        lambda p: stats.weibull_min.logpdf(life, p[0], scale=p[1]).sum(),
        weibull_grad,
        [1.4, 1.8],
    )
    angles = rng.uniform(-2, 2, 12)
    yield gradient_pair(
        "scipy",
        "stats vonmises logpdf in (kappa, loc)",
        lambda p: stats.vonmises.logpdf(angles, p[0], loc=p[1]).sum(),
        lambda p: [
            np.sum(np.cos(angles - p[1])) - 12 * special.i1(p[0]) / special.i0(p[0]),
            p[0] * np.sum(np.sin(angles - p[1])),
        ],
        [1.4, 0.2],
    )
    k = rng.poisson(3.0, 12)
    yield gradient_pair(
        "scipy",
        "stats poisson logpmf in log mu",
        lambda b: stats.poisson.logpmf(k, np.exp(b)).sum(),
        lambda b: k - np.exp(b),
        rng.normal(1.0, 0.3, 12),
    )
    kernel = stats.gaussian_kde(rng.standard_normal((2, 9)))

    def kde_grad(p):
        diff = kernel.dataset - p[:, None]
        weight = np.exp(-0.5 * np.sum(diff * (kernel.inv_cov @ diff), axis=0)) * kernel.weights
        return kernel.inv_cov @ (diff @ weight) / np.sqrt(np.linalg.det(2 * np.pi * kernel.covariance))

    yield gradient_pair("scipy", "stats gaussian_kde", lambda p: kernel(p)[0], kde_grad, [0.3, -0.5])


def scipy_splines() -> Iterator[Pair]:
    from scipy import interpolate as ip

    rng = np.random.default_rng(16)
    knots = np.sort(rng.uniform(0, 5, 9))
    y = rng.standard_normal(9)
    inside = np.linspace(knots[0], knots[-1], 8)[1:-1] + 0.013
    curves = {
        "CubicSpline not-a-knot": ip.CubicSpline(knots, y),
        "CubicSpline natural": ip.CubicSpline(knots, y, bc_type="natural"),
        "CubicSpline clamped": ip.CubicSpline(knots, y, bc_type="clamped"),
        "CubicSpline periodic": ip.CubicSpline(knots, np.append(y[:-1], y[0]), bc_type="periodic"),
        "CubicHermiteSpline": ip.CubicHermiteSpline(knots, y, rng.standard_normal(9)),
        "PchipInterpolator": ip.PchipInterpolator(knots, y),
        "Akima1DInterpolator": ip.Akima1DInterpolator(knots, y),
        "makima": ip.Akima1DInterpolator(knots, y, method="makima"),
        "make_interp_spline k=3": ip.make_interp_spline(knots, y, k=3),
        "make_interp_spline k=5": ip.make_interp_spline(knots, y, k=5),
        "make_smoothing_spline": ip.make_smoothing_spline(knots, y, lam=0.1),
        "UnivariateSpline": ip.UnivariateSpline(knots, y, k=4, s=0.5),
        "InterpolatedUnivariateSpline": ip.InterpolatedUnivariateSpline(knots, y),
        "PPoly": ip.PPoly(rng.standard_normal((4, 3)), np.array([0.0, 1.3, 2.9, 5.0])),
        "BPoly": ip.BPoly(rng.standard_normal((4, 3)), np.array([0.0, 1.3, 2.9, 5.0])),
        "BPoly.from_derivatives": ip.BPoly.from_derivatives(
            [0.0, 2.0, 5.0], [[1.0, 2.0], [0.3, -1.0], [2.0, 0.1]]
        ),
    }
    for name, curve in curves.items():
        yield jacobian_pair(
            "scipy", f"interpolate {name}.derivative()", curve, diagonal(curve.derivative()), inside
        )
    cubic = curves["CubicSpline not-a-knot"]
    yield gradient_pair(
        "scipy",
        "interpolate CubicSpline second derivative",
        lambda p: np.sum(cubic(p, 1)),
        lambda p: cubic(p, 2),
        inside,
    )
    antiderivative = curves["PchipInterpolator"].antiderivative()
    yield gradient_pair(
        "scipy",
        "interpolate PchipInterpolator.antiderivative()",
        lambda p: np.sum(antiderivative(p)),
        curves["PchipInterpolator"],
        inside,
    )
    tck = ip.splrep(knots, y)
    yield jacobian_pair(
        "scipy",
        "interpolate splev der=1",
        lambda p: ip.splev(p, tck),
        diagonal(lambda p: ip.splev(p, tck, der=1)),
        inside,
    )
    derived = ip.splder(tck)
    yield jacobian_pair(
        "scipy",
        "interpolate splder",
        lambda p: ip.splev(p, tck),
        diagonal(lambda p: ip.splev(p, derived)),
        inside,
    )
    nodes, values = np.linspace(0, 5, 6), rng.standard_normal(6)
    for name, curve in (
        ("BarycentricInterpolator", ip.BarycentricInterpolator(nodes, values)),
        ("KroghInterpolator", ip.KroghInterpolator(nodes, values)),
    ):
        yield jacobian_pair(
            "scipy", f"interpolate {name}.derivative", curve, diagonal(curve.derivative), inside
        )
    grid = np.linspace(0, 4, 7)
    surface = ip.RectBivariateSpline(grid, grid, rng.standard_normal((7, 7)))
    yield gradient_pair(
        "scipy",
        "interpolate RectBivariateSpline dx, dy",
        lambda p: surface.ev(p[0], p[1]),
        lambda p: [surface.ev(p[0], p[1], dx=1), surface.ev(p[0], p[1], dy=1)],
        [1.7, 2.9],
    )
    along = surface.partial_derivative(1, 0)
    yield jacobian_pair(
        "scipy",
        "interpolate RectBivariateSpline.partial_derivative",
        lambda p: surface.ev(p, 1.1),
        diagonal(lambda p: along(p, np.full(3, 1.1), grid=False)),
        [0.4, 1.9, 3.3],
    )
    cube = ip.RegularGridInterpolator((grid, grid), rng.standard_normal((7, 7)), method="cubic")
    yield gradient_pair(
        "scipy",
        "interpolate RegularGridInterpolator nu",
        lambda p: cube(p)[0],
        lambda p: [cube(p, nu=[1, 0])[0], cube(p, nu=[0, 1])[0]],
        [1.7, 2.9],
    )
    t = np.concatenate(([0.0] * 4, [1.0, 2.0], [3.0] * 4))
    solid = ip.NdBSpline((t, t), rng.standard_normal((6, 6)), 3)
    yield gradient_pair(
        "scipy",
        "interpolate NdBSpline nu",
        lambda p: solid(p),
        lambda p: [solid(p, nu=(1, 0)), solid(p, nu=(0, 1))],
        [1.4, 2.3],
    )
    tensor = ip.NdPPoly(rng.standard_normal((4, 4, 2, 2)), ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]))
    yield gradient_pair(
        "scipy",
        "interpolate NdPPoly nu",
        lambda p: tensor(p[None])[0],
        lambda p: [tensor(p[None], (1, 0))[0], tensor(p[None], (0, 1))[0]],
        [0.4, 1.3],
    )

    # The value of an interpolant is linear in its data: the columns are its cardinal functions.
    def cardinal(p):
        return np.stack([ip.CubicSpline(knots, row)(inside) for row in np.eye(9)], axis=1)

    yield jacobian_pair(
        "scipy",
        "interpolate CubicSpline in its data",
        lambda v: ip.CubicSpline(knots, v)(inside),
        cardinal,
        y,
    )


def scipy_linear_algebra() -> Iterator[Pair]:
    from scipy import linalg
    from scipy.linalg import _expm_frechet

    rng = np.random.default_rng(17)
    n = 4
    a = rng.standard_normal((n, n))
    w = rng.standard_normal((n, n))
    spd = a @ a.T + n * np.eye(n)

    def matrix(p):
        return p.reshape(n, n)

    yield gradient_pair(
        "scipy",
        "linalg expm/expm_frechet, adjoint",
        lambda p: np.sum(w * linalg.expm(matrix(p))),
        lambda p: linalg.expm_frechet(matrix(p).T, w, compute_expm=False).ravel(),
        a.ravel(),
    )
    directions = rng.standard_normal((3, n, n))
    yield gradient_pair(
        "scipy",
        "linalg expm/expm_frechet along three directions",
        lambda t: np.sum(w * linalg.expm(a + np.tensordot(t, directions, 1))),
        lambda t: [
            np.sum(w * linalg.expm_frechet(a + np.tensordot(t, directions, 1), e)[1]) for e in directions
        ],
        [0.1, -0.2, 0.4],
    )
    # expm_frechet_kronform stacks columns for the value but takes the directions row by row: with the usual
    # vec on both sides its columns are permuted (SciPy only takes its norm, which does not notice).
    small = a[:2, :2]
    yield jacobian_pair(
        "scipy",
        "linalg expm/expm_frechet_kronform, vec on both sides",
        lambda p: linalg.expm(p.reshape(2, 2, order="F")).ravel(order="F"),
        lambda p: _expm_frechet.expm_frechet_kronform(p.reshape(2, 2, order="F")),
        small.ravel(order="F"),
    )
    yield jacobian_pair(
        "scipy",
        "linalg expm/expm_frechet_kronform, directions by row",
        lambda p: linalg.expm(p.reshape(2, 2)).ravel(order="F"),
        lambda p: _expm_frechet.expm_frechet_kronform(p.reshape(2, 2)),
        small.ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg expm/expm_frechet, large norm",
        lambda p: np.sum(w * linalg.expm(matrix(p))),
        lambda p: linalg.expm_frechet(matrix(p).T, w, compute_expm=False).ravel(),
        (3 * a).ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg expm/expm_frechet blockEnlarge",
        lambda p: np.sum(w * linalg.expm(matrix(p))),
        lambda p: linalg.expm_frechet(matrix(p).T, w, method="blockEnlarge", compute_expm=False).ravel(),
        a.ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg det",
        lambda p: linalg.det(matrix(p)),
        lambda p: (linalg.det(matrix(p)) * linalg.inv(matrix(p)).T).ravel(),
        a.ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg inv",
        lambda p: np.sum(w * linalg.inv(matrix(p))),
        lambda p: -(linalg.inv(matrix(p)).T @ w @ linalg.inv(matrix(p)).T).ravel(),
        spd.ravel(),
    )
    b = rng.standard_normal(n)

    def solve_gradient(p):
        adjoint = linalg.solve(matrix(p).T, w[0])
        return -np.outer(adjoint, linalg.solve(matrix(p), b)).ravel()

    yield gradient_pair(
        "scipy",
        "linalg solve in the matrix",
        lambda p: w[0] @ linalg.solve(matrix(p), b),
        solve_gradient,
        spd.ravel(),
    )

    def sqrtm_gradient(p):
        root = linalg.sqrtm(matrix(p))
        return linalg.solve_sylvester(root.T, root.T, w).ravel()

    yield gradient_pair(
        "scipy",
        "linalg sqrtm/solve_sylvester",
        lambda p: np.sum(w * linalg.sqrtm(matrix(p)).real),
        lambda p: sqrtm_gradient(p).real,
        spd.ravel(),
    )
    stable = -spd
    yield gradient_pair(
        "scipy",
        "linalg solve_continuous_lyapunov in q",
        lambda p: np.sum(w * linalg.solve_continuous_lyapunov(stable, matrix(p))),
        lambda p: linalg.solve_continuous_lyapunov(stable.T, w).ravel(),
        a.ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg eigvalsh, largest",
        lambda p: linalg.eigvalsh((matrix(p) + matrix(p).T) / 2)[-1],
        lambda p: np.outer(*2 * [linalg.eigh((matrix(p) + matrix(p).T) / 2)[1][:, -1]]).ravel(),
        spd.ravel(),
    )
    yield gradient_pair(
        "scipy",
        "linalg nuclear norm by svd",
        lambda p: linalg.svdvals(matrix(p)).sum(),
        lambda p: np.dot(*linalg.svd(matrix(p))[::2]).ravel(),
        a.ravel(),
    )


def scipy_rotations() -> Iterator[Pair]:
    from scipy.spatial.transform import Rotation, RotationSpline
    from scipy.spatial.transform import _rotation_spline as rs

    rng = np.random.default_rng(18)
    v = rng.standard_normal(3)

    def turned(r):
        return Rotation.from_rotvec(r.copy()).apply(v)

    def turned_jac(r):
        rate = rs._rotvec_dot_to_angular_rate_matrix(r[None])[0]
        return -Rotation.from_rotvec(r.copy()).as_matrix() @ skew(v) @ rate

    for label, r in (
        ("plain", [0.4, -0.9, 0.3]),
        ("small angle", [2e-5, -1e-5, 3e-5]),
        ("near pi", [1.7, 2.0, 1.6]),
    ):
        yield jacobian_pair("scipy", f"Rotation.from_rotvec.apply, {label}", turned, turned_jac, r)
    base = Rotation.from_rotvec([0.4, -0.9, 0.3])

    def body_turn(d):
        return (base * Rotation.from_rotvec(d.copy())).as_rotvec()

    def rate_to_rotvec(d):
        here = body_turn(d)
        inner = rs._rotvec_dot_to_angular_rate_matrix(d[None])[0]
        return rs._angular_rate_to_rotvec_dot_matrix(here[None])[0] @ inner

    yield jacobian_pair(
        "scipy", "Rotation.as_rotvec after a body turn", body_turn, rate_to_rotvec, [0.1, 0.2, -0.15]
    )
    spline = RotationSpline(
        [0.0, 1.0, 2.5, 4.0, 5.0], Rotation.from_rotvec(0.7 * rng.standard_normal((5, 3)))
    )
    times = np.array([0.3, 1.4, 2.2, 4.4])

    def attitude_rate(t):
        out = np.zeros((4, 3, 4))
        for i, (m, rate) in enumerate(zip(spline(t).as_matrix(), spline(t, 1), strict=True)):
            out[i, :, i] = m @ skew(rate) @ v
        return out.reshape(12, 4)

    def stacked(values):
        out = np.zeros((4, 3, 4))
        for i in range(4):
            out[i, :, i] = values[i]
        return out.reshape(12, 4)

    yield jacobian_pair(
        "scipy", "RotationSpline angular rate", lambda t: spline(t).apply(v).ravel(), attitude_rate, times
    )
    yield jacobian_pair(
        "scipy",
        "RotationSpline angular acceleration",
        lambda t: spline(t, 1).ravel(),
        lambda t: stacked(spline(t, 2)),
        times,
    )


BUILDERS = (
    scipy_rosenbrock,
    scipy_least_squares_losses,
    scipy_special_elementary,
    scipy_special_gamma,
    scipy_special_bessel,
    scipy_special_others,
    scipy_distributions,
    scipy_scores,
    scipy_splines,
    scipy_linear_algebra,
    scipy_rotations,
)
