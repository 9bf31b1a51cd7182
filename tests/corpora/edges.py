"""Functions of one real variable at points where a numerical derivative is hard, each with its true answer.

Every slope is written by hand and evaluated by mpmath at the exact value of the float x, or is exact by
construction. The truth is that of the function as mathematics, its float constants taken exactly, whatever
the float64 (or float32) evaluation loses. A side is None where f is nan on that side or its difference
quotient has no limit, and both are where f(x) is not finite; an infinite slope, a jump included, is +-inf.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy import special

INF = math.inf
NEAR = (1e-12, 1e-9, 1e-6, 1e-3)


@dataclass(frozen=True)
class Edge:
    name: str
    f: Callable[[float], float]
    x: float
    kind: str
    right: float | None
    left: float | None


def edges() -> list[Edge]:
    """All the pairs, with unique names of the form kind/form@x."""
    return list(_edges())


@lru_cache(maxsize=1)
def _edges() -> tuple[Edge, ...]:
    from mpmath import mp

    rows: list[Edge] = []
    with mp.workdps(60):
        for build in (
            _edge_at_zero,
            _edge_at_one,
            _edge_special,
            _edge_finite,
            _power_families,
            _power_mixed,
            _power_flat,
            _stair_rounding,
            _stair_widths,
            _stair_sloped,
            _stair_jumps,
            _pole_elementary,
            _pole_special,
            _pole_narrow,
            _kink_corners,
            _kink_losses,
            _kink_curvature,
            _cancelling_small,
            _cancelling_large,
            _scale_extreme,
            _scale_single,
            _scale_ripple,
        ):
            build(rows)
    if len({row.name for row in rows}) != len(rows):
        raise ValueError("two edges share a name")
    return tuple(rows)


def _real(f):
    # np.float64 in, so that a domain error gives nan and a division by zero gives inf, never an exception
    def evaluate(x: float) -> float:
        with np.errstate(all="ignore"):
            return float(f(np.float64(x)))

    return evaluate


def _sided(rows, kind, form, f, x, right, left):
    right = None if right is None else float(right)
    left = None if left is None else float(left)
    rows.append(Edge(f"{kind}/{form}@{float(x)!r}", _real(f), float(x), kind, right, left))


def _smooth(rows, kind, form, f, slope, points):
    from mpmath import mp

    for x in points:
        value = float(slope(mp.mpf(float(x))))
        _sided(rows, kind, form, f, x, value, value)


def _bend(x, p):
    from mpmath import mp

    return mp.mpf(p) * mp.sign(x) * abs(x) ** (mp.mpf(p) - 1)


def _to_int(x):
    return np.float64(np.asarray(x).astype(np.int64))


def _edge_at_zero(rows):
    from mpmath import mp

    table = [
        ("sqrt", lambda x: np.sqrt(x), lambda x: 1 / (2 * mp.sqrt(x)), INF),
        ("x_plus_sqrt", lambda x: x + 1e-3 * np.sqrt(x), lambda x: 1 + 1e-3 / (2 * mp.sqrt(x)), INF),
        (
            "exp_minus_sqrt",
            lambda x: np.exp(-np.sqrt(x)),
            lambda x: -mp.exp(-mp.sqrt(x)) / (2 * mp.sqrt(x)),
            -INF,
        ),
        ("log", lambda x: np.log(x), lambda x: 1 / x, None),
        ("x_log_x_naive", lambda x: x * np.log(x), lambda x: mp.log(x) + 1, None),
        ("xlogy", lambda x: special.xlogy(x, x), lambda x: mp.log(x) + 1, -INF),
        ("x_to_x", lambda x: x**x, lambda x: x**x * (mp.log(x) + 1), -INF),
        (
            "entropy_low",
            lambda x: -special.xlogy(x, x) - special.xlogy(1 - x, 1 - x),
            lambda x: mp.log((1 - x) / x),
            INF,
        ),
        ("power[p=0.75]", lambda x: x**0.75, lambda x: 0.75 * x ** mp.mpf(-0.25), INF),
        ("power[p=0.1]", lambda x: x**0.1, lambda x: mp.mpf(0.1) * x ** (mp.mpf(0.1) - 1), INF),
        (
            "sqrt_times_decay",
            lambda x: np.sqrt(x) * np.exp(-x),
            lambda x: mp.exp(-x) * (1 / (2 * mp.sqrt(x)) - mp.sqrt(x)),
            INF,
        ),
        ("sqrt_expm1", lambda x: np.sqrt(np.expm1(x)), lambda x: mp.exp(x) / (2 * mp.sqrt(mp.expm1(x))), INF),
        (
            "arcsin_sqrt",
            lambda x: np.arcsin(np.sqrt(x)),
            lambda x: 1 / (2 * mp.sqrt(x) * mp.sqrt(1 - x)),
            INF,
        ),
        (
            "log1p_sqrt",
            lambda x: np.log1p(np.sqrt(x)),
            lambda x: 1 / (2 * mp.sqrt(x) * (1 + mp.sqrt(x))),
            INF,
        ),
        ("sqrt_sin", lambda x: np.sqrt(np.sin(x)), lambda x: mp.cos(x) / (2 * mp.sqrt(mp.sin(x))), INF),
        ("arcosh_1p", lambda x: np.log1p(x + np.sqrt(x * (2 + x))), lambda x: 1 / mp.sqrt(x * (2 + x)), INF),
        ("logit_low", lambda x: special.logit(x), lambda x: 1 / (x * (1 - x)), None),
        (
            "sqrt_logit_like",
            lambda x: np.sqrt(x * (1 - x)),
            lambda x: (1 - 2 * x) / (2 * mp.sqrt(x * (1 - x))),
            INF,
        ),
    ]
    for i, (form, f, slope, right) in enumerate(table):
        _sided(rows, "edge", form, f, 0.0, right, None)
        _smooth(rows, "edge", form, f, slope, NEAR if form in ("sqrt", "log", "xlogy") else NEAR[i % 4 :: 4])


def _edge_at_one(rows):
    from mpmath import mp

    below = [
        ("sqrt_1m", lambda x: np.sqrt(1 - x), lambda x: -1 / (2 * mp.sqrt(1 - x)), -INF),
        (
            "half_circle",
            lambda x: np.sqrt((1 - x) * (1 + x)),
            lambda x: -x / mp.sqrt((1 - x) * (1 + x)),
            -INF,
        ),
        ("arcsin", lambda x: np.arcsin(x), lambda x: 1 / mp.sqrt((1 - x) * (1 + x)), INF),
        ("arcsech", lambda x: np.arccosh(1 / x), lambda x: -1 / (x * mp.sqrt((1 - x) * (1 + x))), -INF),
        ("arctanh", lambda x: np.arctanh(x), lambda x: 1 / ((1 - x) * (1 + x)), None),
        (
            "x_log1p_minus",
            lambda x: special.xlog1py(x, -x),
            lambda x: mp.log(1 - x) - x / (1 - x),
            None,
        ),
        (
            "sqrt_minus_log",
            lambda x: np.sqrt(-np.log(x)),
            lambda x: -1 / (2 * x * mp.sqrt(-mp.log(x))),
            -INF,
        ),
        (
            "log_minus_log",
            lambda x: np.log(-np.log(x)),
            lambda x: 1 / (x * mp.log(x)),
            None,
        ),
        ("ellipe", lambda x: special.ellipe(x), lambda x: (mp.ellipe(x) - mp.ellipk(x)) / (2 * x), -INF),
        (
            "ellipk",
            lambda x: special.ellipk(x),
            lambda x: (mp.ellipe(x) - (1 - x) * mp.ellipk(x)) / (2 * x * (1 - x)),
            None,
        ),
    ]
    for i, (form, f, slope, left) in enumerate(below):
        _sided(rows, "edge", form, f, 1.0, None, left)
        _smooth(
            rows, "edge", form, f, slope, [1 - d for d in (NEAR if form == "arcsin" else NEAR[i % 4 :: 4])]
        )
    above = [
        ("arccosh", lambda x: np.arccosh(x), lambda x: 1 / mp.sqrt((x - 1) * (x + 1)), INF),
        ("hyperbola", lambda x: np.sqrt((x - 1) * (x + 1)), lambda x: x / mp.sqrt((x - 1) * (x + 1)), INF),
        ("sqrt_log", lambda x: np.sqrt(np.log(x)), lambda x: 1 / (2 * x * mp.sqrt(mp.log(x))), INF),
        ("log_log", lambda x: np.log(np.log(x)), lambda x: 1 / (x * mp.log(x)), None),
    ]
    for i, (form, f, slope, right) in enumerate(above):
        _sided(rows, "edge", form, f, 1.0, right, None)
        _smooth(rows, "edge", form, f, slope, [1 + d for d in NEAR[i % 4 :: 4]])

    def f(x):
        return np.arccos(x)

    _sided(rows, "edge", "arccos", f, -1.0, -INF, None)
    _sided(rows, "edge", "arccos", f, 1.0, None, -INF)
    _smooth(
        rows,
        "edge",
        "arccos",
        f,
        lambda x: -1 / mp.sqrt((1 - x) * (1 + x)),
        [d - 1 for d in NEAR] + [1 - 1e-6],
    )

    def f(x):
        return np.log1p(x)

    _sided(rows, "edge", "log1p", f, -1.0, None, None)
    _smooth(rows, "edge", "log1p", f, lambda x: 1 / (1 + x), [d - 1 for d in NEAR])


def _edge_special(rows):
    from mpmath import mp

    for i, (a, right) in enumerate(((0.5, INF), (1.0, 1.0), (1.5, 0.0))):
        _sided(rows, "edge", f"gammainc[a={a}]", lambda x, a=a: special.gammainc(a, x), 0.0, right, None)
        _smooth(
            rows,
            "edge",
            f"gammainc[a={a}]",
            lambda x, a=a: special.gammainc(a, x),
            lambda x, a=a: x ** mp.mpf(a - 1) * mp.exp(-x) / mp.gamma(a),
            [NEAR[i]],
        )

    def f(x):
        return special.gammaincc(0.75, x)

    _sided(rows, "edge", "gammaincc", f, 0.0, -INF, None)
    _smooth(
        rows, "edge", "gammaincc", f, lambda x: -(x ** mp.mpf(-0.25)) * mp.exp(-x) / mp.gamma(0.75), [1e-9]
    )
    # exp(-inf) is 0 at x = 0 for a > 1, and xlogy is nan below
    for a, right in ((1.5, INF), (2.0, 1.0), (2.5, 0.0)):
        _sided(
            rows,
            "edge",
            f"gamma_density[a={a}]",
            lambda x, a=a: np.exp(special.xlogy(a - 1, x) - x),
            0.0,
            right,
            None,
        )
        _smooth(
            rows,
            "edge",
            f"gamma_density[a={a}]",
            lambda x, a=a: np.exp(special.xlogy(a - 1, x) - x),
            lambda x, a=a: x ** mp.mpf(a - 1) * mp.exp(-x) * ((a - 1) / x - 1),
            [1e-6],
        )
    for a, b, right in ((0.5, 0.5, INF), (1.0, 3.0, 3.0), (2.0, 3.0, 0.0)):
        form = f"betainc[a={a},b={b}]"
        _sided(rows, "edge", form, lambda x, a=a, b=b: special.betainc(a, b, x), 0.0, right, None)
        _smooth(
            rows,
            "edge",
            form,
            lambda x, a=a, b=b: special.betainc(a, b, x),
            lambda x, a=a, b=b: x ** mp.mpf(a - 1) * (1 - x) ** mp.mpf(b - 1) / mp.beta(a, b),
            [1e-9],
        )
    _sided(rows, "edge", "betainc[a=0.5,b=0.5]", lambda x: special.betainc(0.5, 0.5, x), 1.0, None, INF)

    def f(x):
        return special.spence(x)

    _sided(rows, "edge", "spence", f, 0.0, -INF, None)
    _smooth(rows, "edge", "spence", f, lambda x: mp.log(x) / (1 - x), [1e-9, 1e-3])

    def f(x):
        return special.ndtri(x)

    _smooth(
        rows,
        "edge",
        "ndtri",
        f,
        lambda x: mp.sqrt(2 * mp.pi) * mp.exp(mp.erfinv(2 * x - 1) ** 2),
        [1e-9, 1e-3, 1 - 1e-6],
    )
    _smooth(
        rows,
        "edge",
        "lambertw",
        lambda x: _real_only(special.lambertw(x)),
        lambda x: mp.lambertw(x) / (x * (1 + mp.lambertw(x))),
        [-0.36787, -0.3678794],
    )
    _smooth(rows, "edge", "bessel_y0", lambda x: special.y0(x), lambda x: -mp.bessely(1, x), [1e-9, 1e-3])
    _smooth(rows, "edge", "bessel_k0", lambda x: special.k0(x), lambda x: -mp.besselk(1, x), [1e-6])
    _smooth(rows, "edge", "exp_integral", lambda x: special.exp1(x), lambda x: -mp.exp(-x) / x, [1e-12, 1e-3])
    _sided(rows, "edge", "bessel_j_half", lambda x: special.jv(0.5, x), 0.0, INF, None)
    _smooth(
        rows,
        "edge",
        "bessel_j_half",
        lambda x: special.jv(0.5, x),
        lambda x: (mp.besselj(-0.5, x) - mp.besselj(1.5, x)) / 2,
        [1e-6],
    )


def _real_only(z):
    return z.real if z.imag == 0 else np.nan


def _edge_finite(rows):
    from mpmath import mp

    zero = [
        ("cos_sqrt", lambda x: np.cos(np.sqrt(x)), -0.5),
        ("x_sqrt", lambda x: x * np.sqrt(x), 0.0),
        ("square_log", lambda x: x * special.xlogy(x, x), 0.0),
        ("log1p_on_half_line", lambda x: np.log1p(x) if x >= 0 else np.nan, 1.0),
        ("x_plus_power_nan", lambda x: 2 * x + x**1.2, 2.0),
    ]
    for form, f, right in zero:
        _sided(rows, "edge", form, f, 0.0, right, None)
    _smooth(
        rows,
        "edge",
        "cos_sqrt",
        lambda x: np.cos(np.sqrt(x)),
        lambda x: -mp.sin(mp.sqrt(x)) / (2 * mp.sqrt(x)),
        [1e-9],
    )
    _smooth(
        rows,
        "edge",
        "square_log",
        lambda x: x * special.xlogy(x, x),
        lambda x: x * (2 * mp.log(x) + 1),
        [1e-6],
    )
    _sided(rows, "edge", "one_minus_power", lambda x: (1 - x) ** 1.5, 1.0, None, 0.0)
    _sided(rows, "edge", "exp_up_to_one", lambda x: np.exp(x) if x <= 1 else np.nan, 1.0, None, mp.e)
    _smooth(
        rows,
        "edge",
        "exp_up_to_one",
        lambda x: np.exp(x) if x <= 1 else np.nan,
        lambda x: mp.exp(x),
        [1 - 1e-9],
    )
    # an interval narrower than most steps: sin lives only within 1e-5 of 2

    def f(x):
        return np.sin(x) if abs(x - 2) < 1e-5 else np.nan

    _smooth(rows, "edge", "sliver_sin", f, lambda x: mp.cos(x), [2.0, 2.000009])


def _power_families(rows):
    for i, p in enumerate((1.05, 1.1, 1.3, 1.5, 1.7, 2.0, 2.5, 3.0)):

        def f(x, p=p):
            return abs(x) ** p

        _sided(rows, "power", f"abs_pow[p={p}]", f, 0.0, 0, 0)
        _smooth(
            rows,
            "power",
            f"abs_pow[p={p}]",
            f,
            lambda x, p=p: _bend(x, p),
            (1e-8, -1e-4) if i % 2 else (1e-3, -1e-6),
        )
    for p in (1.05, 1.3, 1.7, 2.5):

        def f(x, p=p):
            return x**p

        _sided(rows, "power", f"half_pow_nan[p={p}]", f, 0.0, 0, None)
        _smooth(rows, "power", f"half_pow_nan[p={p}]", f, lambda x, p=p: _bend(x, p), (1e-6,))
    for p in (1.1, 1.5, 2.0, 3.0):

        def f(x, p=p):
            return x**p if x > 0 else 0.0

        _sided(rows, "power", f"half_pow_zero[p={p}]", f, 0.0, 0, 0)
        _smooth(
            rows,
            "power",
            f"half_pow_zero[p={p}]",
            f,
            lambda x, p=p: _bend(max(x, 0), p),
            (1e-5,) if p > 1.5 else (-1e-9,),
        )
    for p in (0.5, 1.05, 1.5, 2.5):

        def f(x, p=p):
            return np.sign(x) * abs(x) ** p

        side = INF if p < 1 else 0.0
        _sided(rows, "power", f"sign_pow[p={p}]", f, 0.0, side, side)
        _smooth(rows, "power", f"sign_pow[p={p}]", f, lambda x, p=p: _bend(abs(x), p), (-1e-6,))


def _power_mixed(rows):
    from mpmath import mp

    sums = [
        ("x_plus_pow", lambda x: x + abs(x) ** 1.3, lambda x: 1 + _bend(x, 1.3), 1),
        ("sin_plus_pow", lambda x: np.sin(x) + abs(x) ** 1.5, lambda x: mp.cos(x) + _bend(x, 1.5), 1),
        ("exp_plus_pow", lambda x: np.exp(x) + abs(x) ** 1.7, lambda x: mp.exp(x) + _bend(x, 1.7), 1),
        ("3x_minus_pow", lambda x: 3 * x - abs(x) ** 1.1, lambda x: 3 - _bend(x, 1.1), 3),
        ("offset_pow", lambda x: 1e3 + abs(x) ** 1.5, lambda x: _bend(x, 1.5), 0),
        (
            "pow_times_exp",
            lambda x: np.exp(x) * abs(x) ** 1.2,
            lambda x: mp.exp(x) * (abs(x) ** mp.mpf(1.2) + _bend(x, 1.2)),
            0,
        ),
        ("x_log_abs", lambda x: special.xlogy(x, abs(x)), lambda x: mp.log(abs(x)) + 1, -INF),
        ("square_log_abs", lambda x: special.xlogy(x * x, abs(x)), lambda x: x * (2 * mp.log(abs(x)) + 1), 0),
        ("x_abs_x", lambda x: x * abs(x), lambda x: 2 * abs(x), 0),
        (
            "abs_sin_pow",
            lambda x: abs(np.sin(x)) ** 1.5,
            lambda x: 1.5 * mp.sqrt(abs(mp.sin(x))) * mp.sign(mp.sin(x)) * mp.cos(x),
            0,
        ),
        ("cbrt", lambda x: np.cbrt(x), lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2), INF),
        (
            "slope_over_log",
            lambda x: x / np.log(abs(x)) if x != 0 else 0.0,
            lambda x: 1 / mp.log(abs(x)) - 1 / mp.log(abs(x)) ** 2,
            0,
        ),
    ]
    for i, (form, f, slope, at_zero) in enumerate(sums):
        _sided(rows, "power", form, f, 0.0, at_zero, at_zero)
        _smooth(rows, "power", form, f, slope, ((1e-7,), (-1e-4,), (-1e-10,))[i % 3])
    _sided(rows, "power", "cusp_two_thirds", lambda x: np.cbrt(x) ** 2, 0.0, INF, -INF)
    _smooth(
        rows,
        "power",
        "cusp_two_thirds",
        lambda x: np.cbrt(x) ** 2,
        lambda x: 2 * mp.sign(x) / (3 * mp.cbrt(abs(x))),
        (1e-9, -1e-3),
    )

    def lopsided(x):
        return x + x**1.2 if x > 0 else 2 * x - abs(x) ** 1.8

    _sided(rows, "power", "lopsided", lopsided, 0.0, 1, 2)

    def f(x):
        return abs(x - 0.3) ** 1.5

    _sided(rows, "power", "shifted_pow", f, 0.3, 0, 0)
    _smooth(rows, "power", "shifted_pow", f, lambda x: _bend(x - mp.mpf(0.3), 1.5), (0.3 + 1e-6, 0.3 - 1e-9))

    def f(x):
        return abs(1 - x * x) ** 1.25

    _sided(rows, "power", "two_roots_pow", f, 1.0, 0, 0)
    # the quotient tends to 0 though the slope beside it does not, or is unbounded

    def f(x):
        return x * x * np.sin(1 / x) if abs(x) > 1e-300 else 0.0

    _sided(rows, "power", "square_sin_inverse", f, 0.0, 0, 0)
    _smooth(rows, "power", "square_sin_inverse", f, lambda x: 2 * x * mp.sin(1 / x) - mp.cos(1 / x), (1e-3,))

    def f(x):
        return abs(x) ** 1.5 * np.sin(1 / x) if abs(x) > 1e-300 else 0.0

    _sided(rows, "power", "pow_sin_inverse", f, 0.0, 0, 0)

    # the quotient has no limit on a side that oscillates
    def wild(x):
        return x * np.sin(1 / x) if abs(x) > 1e-300 else 0.0

    _sided(rows, "power", "x_sin_inverse", wild, 0.0, None, None)
    _sided(rows, "power", "wild_right_only", lambda x: wild(x) if x > 0 else 3 * x, 0.0, None, 3)


def _power_flat(rows):
    from mpmath import mp

    def flat(x):
        return np.exp(-1 / x**2)

    def flat_slope(x):
        return 2 * mp.exp(-1 / x**2) / x**3

    _sided(rows, "power", "flat", flat, 0.0, 0, 0)
    _smooth(rows, "power", "flat", flat, flat_slope, (0.05, -0.2, 1e-3))
    _sided(rows, "power", "x_plus_flat", lambda x: x + flat(x), 0.0, 1, 1)
    _smooth(rows, "power", "x_plus_flat", lambda x: x + flat(x), lambda x: 1 + flat_slope(x), (0.15,))
    _sided(rows, "power", "flat_abs", lambda x: np.exp(-1 / abs(x)), 0.0, 0, 0)
    _smooth(
        rows,
        "power",
        "flat_abs",
        lambda x: np.exp(-1 / abs(x)),
        lambda x: mp.sign(x) * mp.exp(-1 / abs(x)) / x**2,
        (-0.02, 0.1),
    )

    def one_sided(x):
        return np.exp(-1 / x) if x > 0 else 0.0

    _sided(rows, "power", "flat_right", one_sided, 0.0, 0, 0)
    _smooth(rows, "power", "flat_right", one_sided, lambda x: mp.exp(-1 / x) / x**2, (0.03,))

    def bump(x):
        return np.exp(-1 / ((1 - x) * (1 + x))) if abs(x) < 1 else 0.0

    _sided(rows, "power", "bump", bump, 1.0, 0, 0)
    _sided(rows, "power", "bump", bump, -1.0, 0, 0)
    _smooth(
        rows,
        "power",
        "bump",
        bump,
        lambda x: -2 * x * mp.exp(-1 / ((1 - x) * (1 + x))) / ((1 - x) * (1 + x)) ** 2,
        (0.99, -0.999, 0.5),
    )

    def rise(t):
        return np.exp(-1 / t) if t > 0 else 0.0 * t

    def true_rise(t):
        return mp.exp(-1 / t)

    def step_slope(x):
        a, b = true_rise(x), true_rise(1 - x)
        return a * b * (1 / x**2 + 1 / (1 - x) ** 2) / (a + b) ** 2

    def step(x):
        return rise(x) / (rise(x) + rise(1 - x))

    _sided(rows, "power", "smooth_step", step, 0.0, 0, 0)
    _sided(rows, "power", "smooth_step", step, 1.0, 0, 0)
    _smooth(rows, "power", "smooth_step", step, step_slope, (0.02, 0.97))
    _sided(rows, "power", "x_times_flat", lambda x: x * flat(x) - x, 0.0, -1, -1)


def _stair_rounding(rows):
    from mpmath import mp

    table = [
        ("floor", lambda x: np.floor(x), (0.5, 3.999, 2 + 1e-6, 7 - 1e-9)),
        ("ceil", lambda x: np.ceil(x), (0.5, 2 - 1e-6)),
        ("trunc", lambda x: np.trunc(x), (0.0, -1e-9, -1 - 1e-6)),
        ("rint", lambda x: np.rint(x), (0.5 + 1e-9, 2.49)),
        ("int_cast_tenths", lambda x: _to_int(10 * x) / 10, (0.55, 0.1234)),
        ("round_1", lambda x: np.round(x, 1), (0.32, 0.350001)),
        ("round_3", lambda x: np.round(x, 3), (0.1234, 0.1234999)),
        ("round_6", lambda x: np.round(x, 6), (0.1234564, 3.2)),
        ("round_sin_4", lambda x: np.round(np.sin(x), 4), (0.7, 1.3, 1.57)),
        ("round_exp_3", lambda x: np.round(np.exp(x), 3), (0.5, 2.0)),
        ("round_cubic_2", lambda x: np.round(x**3 - x, 2), (0.3, 1.7)),
        ("round_sevenths", lambda x: np.rint(7 * x) / 7, (0.3,)),
        ("tanh_8_bit", lambda x: np.rint(127 * np.tanh(x)) / 127, (0.2, 3.0)),
        ("floor_squared", lambda x: np.floor(x) ** 2, (5.5,)),
        ("floor_log2", lambda x: np.floor(np.log2(x)), (3.0, 4 + 1e-9)),
        ("two_level", lambda x: np.floor(x) + 0.1 * np.floor(10 * x), (0.55,)),
        ("harmonic_stairs", lambda x: sum(np.floor(k * x) / k for k in range(1, 6)), (0.45,)),
        ("stairs_of_square", lambda x: np.floor(100 * x * x) / 100, (0.7345,)),
        ("sqrt_floor", lambda x: np.sqrt(np.floor(x)), (9.25,)),
        ("sign", lambda x: np.sign(x), (1e-9, -1e-3)),
        ("ladder", lambda x: np.ceil(x / 0.25) * 0.25, (0.6, 0.7501)),
        ("lookup", lambda x: float(sum(x >= c for c in (0.0, 0.3, 0.31, 2.0))), (0.305, 0.3 + 1e-6)),
        ("cantor", _cantor, (0.5, 0.34, 0.15)),
    ]
    for form, f, points in table:
        _smooth(rows, "staircase", form, f, lambda x: mp.mpf(0), points)


def _cantor(x):
    total, weight = 0.0, 0.5
    for _ in range(40):
        x = 3 * x
        digit = min(max(np.floor(x), 0), 2)
        if digit == 1:
            return total + weight
        total, weight, x = total + weight * digit / 2, weight / 2, x - digit
    return total


def _stair_widths(rows):
    from mpmath import mp

    for w, place in ((1e-3, 0.99), (1e-4, 0.001), (1e-5, 0.01), (1e-6, 0.999), (1e-7, 0.9), (1e-9, 0.1)):
        middle = (int(0.7 / w) + 0.5) * w
        close = (int(1.3 / w) + place) * w
        _smooth(
            rows,
            "staircase",
            f"quantised[w={w}]",
            lambda x, w=w: np.floor(x / w) * w,
            lambda x: mp.mpf(0),
            (middle, close),
        )
    _smooth(
        rows,
        "staircase",
        "fixed_point_16",
        lambda x: np.floor(65536 * x) / 65536,
        lambda x: mp.mpf(0),
        (45875.5 / 65536, (1000 + 1e-6) / 65536),
    )
    _smooth(
        rows,
        "staircase",
        "rounded_smooth_1e-8",
        lambda x: np.rint(1e8 * (x + np.exp(-x))) / 1e8,
        lambda x: mp.mpf(0),
        (0.01,),
    )


def _stair_sloped(rows):
    from mpmath import mp

    table = [
        (
            "x_plus_stairs",
            lambda x: x + 1e-3 * np.floor(1000 * x),
            lambda x: 1,
            (0.1235, 0.1230001, 3.1415926),
        ),
        ("2x_plus_fine", lambda x: 2 * x + 1e-6 * np.floor(1e6 * x), lambda x: 2, (0.4000005, 0.4000009)),
        ("sin_plus_stairs", lambda x: np.sin(x) + 1e-4 * np.floor(1e4 * x), lambda x: mp.cos(x), (0.60005,)),
        ("square_plus_tenths", lambda x: x * x + np.floor(10 * x) / 10, lambda x: 2 * x, (0.4001, 0.45)),
        ("sawtooth", lambda x: x - np.floor(x), lambda x: 1, (0.25, 1 - 1e-6, 1 + 1e-9)),
        ("mod", lambda x: np.mod(x, 0.1), lambda x: 1, (0.25,)),
        ("x_times_floor", lambda x: x * np.floor(x), lambda x: mp.floor(x), (2.5, 3 - 1e-6)),
        ("x_times_round", lambda x: x * np.round(x, 1), lambda x: mp.nint(10 * x) / 10, (0.32, 0.7499)),
        ("faint_slope", lambda x: np.floor(x) + 1e-9 * x, lambda x: 1e-9, (0.5,)),
        ("tenth_plus_round", lambda x: 0.1 * x + 1e-3 * np.rint(1e3 * np.sin(x)), lambda x: 0.1, (1.2,)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "staircase", form, f, lambda x, slope=slope: mp.mpf(slope(x)), points)


def _stair_jumps(rows):
    table = [
        ("floor", lambda x: np.floor(x), 3.0, 0, INF),
        ("ceil", lambda x: np.ceil(x), 3.0, INF, 0),
        ("trunc", lambda x: np.trunc(x), -1.0, INF, 0),
        ("rint", lambda x: np.rint(x), 0.5, INF, 0),
        ("rint", lambda x: np.rint(x), 1.5, 0, INF),
        ("sign", lambda x: np.sign(x), 0.0, INF, INF),
        ("heaviside", lambda x: np.heaviside(x, 1.0), 0.0, 0, INF),
        ("sawtooth", lambda x: x - np.floor(x), 2.0, 1, -INF),
        ("x_times_floor", lambda x: x * np.floor(x), 3.0, 3, INF),
        ("exp_then_drop", lambda x: np.exp(x) if x <= 0 else 0.5, 0.0, -INF, 1),
    ]
    for form, f, x, right, left in table:
        _sided(rows, "staircase", form, f, x, right, left)


def _pole_elementary(rows):
    from mpmath import mp

    half_pi, root2 = math.pi / 2, math.sqrt(2)
    table = [
        ("inverse", lambda x: 1 / x, lambda x: -1 / x**2, (0.1, -1e-3, 1e-6, -1e-9)),
        ("inverse_square", lambda x: 1 / x**2, lambda x: -2 / x**3, (-0.1, 1e-4, 1e-9)),
        ("inverse_cube", lambda x: 1 / x**3, lambda x: -3 / x**4, (-1e-5,)),
        ("inverse_root", lambda x: 1 / np.sqrt(x), lambda x: -1 / (2 * x * mp.sqrt(x)), (1e-8,)),
        ("shifted_inverse", lambda x: 1 / (x - 1), lambda x: -1 / (x - 1) ** 2, (1 + 1e-6, 1 - 1e-9)),
        (
            "quadratic_inverse",
            lambda x: 1 / (x * x - 2),
            lambda x: -2 * x / (x * x - 2) ** 2,
            (root2 + 1e-3, root2 - 1e-6),
        ),
        (
            "tan",
            lambda x: np.tan(x),
            lambda x: mp.sec(x) ** 2,
            (half_pi - 0.01, half_pi + 1e-5, half_pi - 1e-9),
        ),
        ("cot", lambda x: 1 / np.tan(x), lambda x: -(mp.csc(x) ** 2), (math.pi - 1e-3, -1e-7)),
        ("sec", lambda x: 1 / np.cos(x), lambda x: mp.sec(x) * mp.tan(x), (half_pi + 1e-4,)),
        ("csc", lambda x: 1 / np.sin(x), lambda x: -mp.csc(x) * mp.cot(x), (1e-6,)),
        (
            "tan_half_turn",
            lambda x: np.tan(0.5 * x) ** 2,
            lambda x: mp.tan(x / 2) * mp.sec(x / 2) ** 2,
            (math.pi - 1e-5,),
        ),
        ("coth", lambda x: 1 / np.tanh(x), lambda x: -1 / mp.sinh(x) ** 2, (1e-5,)),
        ("bose", lambda x: 1 / np.expm1(x), lambda x: -mp.exp(x) / mp.expm1(x) ** 2, (-1e-4, 1e-8)),
        (
            "inverse_haversine",
            lambda x: 1 / np.sin(x / 2) ** 2,
            lambda x: -mp.cos(x / 2) / mp.sin(x / 2) ** 3,
            (1e-3,),
        ),
        ("log_abs", lambda x: np.log(abs(x)), lambda x: 1 / x, (-1e-9, 1e-4)),
        ("log_squared", lambda x: np.log(x) ** 2, lambda x: 2 * mp.log(x) / x, (1e-7,)),
        ("inverse_log", lambda x: 1 / np.log(x), lambda x: -1 / (x * mp.log(x) ** 2), (1 + 1e-4, 1 - 1e-6)),
        ("log_abs_tan", lambda x: np.log(abs(np.tan(x))), lambda x: 2 / mp.sin(2 * x), (half_pi + 1e-6,)),
        (
            "two_poles",
            lambda x: 1 / (x * (x - 1e-3)),
            lambda x: (mp.mpf(1e-3) - 2 * x) / (x * (x - mp.mpf(1e-3))) ** 2,
            (7e-4,),
        ),
        ("essential_exp", lambda x: np.exp(1 / x), lambda x: -mp.exp(1 / x) / x**2, (0.01, -0.02)),
        ("essential_sin", lambda x: np.sin(1 / x), lambda x: -mp.cos(1 / x) / x**2, (1e-2, -1e-4)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "pole", form, f, slope, points)


def _pole_special(rows):
    from mpmath import mp

    table = [
        (
            "gamma",
            lambda x: special.gamma(x),
            lambda x: mp.gamma(x) * mp.psi(0, x),
            (1e-6, -1e-3, -1 + 1e-4, -2 - 1e-5),
        ),
        ("gammaln", lambda x: special.gammaln(x), lambda x: mp.psi(0, x), (1e-8, -1 - 1e-4)),
        ("digamma", lambda x: special.digamma(x), lambda x: mp.psi(1, x), (1e-9, -1 - 1e-3, -3 + 1e-5)),
        (
            "trigamma",
            lambda x: special.polygamma(1, x),
            lambda x: mp.psi(2, x),
            (-4.0760127, -3.9, 1e-5, -2 + 1e-3),
        ),
        ("polygamma[n=2]", lambda x: special.polygamma(2, x), lambda x: mp.psi(3, x), (1e-4, -1.05)),
        ("polygamma[n=3]", lambda x: special.polygamma(3, x), lambda x: mp.psi(4, x), (0.01,)),
        (
            "zeta",
            lambda x: special.zeta(x, 1),
            lambda x: mp.zeta(x, 1, 1),
            (1.1, 1 + 1e-3, 1 + 1e-6, 1 + 1e-9),
        ),
        ("hurwitz", lambda x: special.zeta(2, x), lambda x: -2 * mp.zeta(3, x), (1e-3,)),
        (
            "beta",
            lambda x: special.beta(x, 0.5),
            lambda x: mp.beta(x, 0.5) * (mp.psi(0, x) - mp.psi(0, x + 0.5)),
            (1e-5, 1e-9),
        ),
        ("betaln", lambda x: special.betaln(x, 2.5), lambda x: mp.psi(0, x) - mp.psi(0, x + 2.5), (1e-6,)),
        ("expi", lambda x: special.expi(x), lambda x: mp.exp(x) / x, (1e-6, -1e-3)),
        ("cosine_integral", lambda x: special.sici(x)[1], lambda x: mp.cos(x) / x, (1e-5,)),
        ("bessel_y1", lambda x: special.y1(x), lambda x: mp.bessely(0, x) - mp.bessely(1, x) / x, (1e-4,)),
        ("bessel_k1", lambda x: special.k1(x), lambda x: -mp.besselk(0, x) - mp.besselk(1, x) / x, (1e-3,)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "pole", form, f, slope, points)


def _pole_narrow(rows):
    from mpmath import mp

    # poles a little off the real axis look like real ones to a step that is too long
    table = [
        (
            "lorentzian",
            lambda x: 1e-8 / (x * x + 1e-8),
            lambda x: -2 * mp.mpf(1e-8) * x / (x * x + mp.mpf(1e-8)) ** 2,
            (0.0, 6e-5, -3e-3),
        ),
        (
            "steep_arctan",
            lambda x: np.arctan(1e6 * x),
            lambda x: mp.mpf(10**6) / (1 + (10**6 * x) ** 2),
            (0.0, 2e-6),
        ),
        (
            "log_softened",
            lambda x: np.log(x * x + 1e-12),
            lambda x: 2 * x / (x * x + mp.mpf(1e-12)),
            (1e-6, -1e-3),
        ),
        ("steep_tanh", lambda x: np.tanh(1e5 * x), lambda x: 10**5 * mp.sech(10**5 * x) ** 2, (1e-5,)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "pole", form, f, slope, points)


def _kink_corners(rows):
    from mpmath import mp

    table = [
        ("abs", lambda x: abs(x), 0.0, 1, -1, lambda x: mp.sign(x), (1e-12, -1e-3, 1e-6)),
        ("relu", lambda x: max(x, 0.0), 0.0, 1, 0, lambda x: int(x > 0), (-1e-9, 1e-6)),
        ("leaky", lambda x: max(x, 0.5 * x), 0.0, 1, 0.5, lambda x: 1 if x > 0 else 0.5, (-1e-12,)),
        ("hinge", lambda x: max(0.0, 1 - x), 1.0, 0, -1, lambda x: -int(x < 1), (1 + 1e-9, 1 - 1e-12)),
        (
            "clip",
            lambda x: np.clip(x, -1.0, 1.0),
            1.0,
            0,
            1,
            lambda x: int(abs(x) < 1),
            (-1 + 1e-6, 1 + 1e-6),
        ),
        ("hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0.0, 1.0), 3.0, 0, mp.mpf(1) / 6, None, ()),
        ("sqrt_square", lambda x: np.sqrt(x * x), 0.0, 1, -1, lambda x: mp.sign(x), (-1e-9,)),
        (
            "abs_sin",
            lambda x: abs(np.sin(x)),
            0.0,
            1,
            -1,
            lambda x: mp.sign(mp.sin(x)) * mp.cos(x),
            (math.pi + 1e-6, math.pi - 1e-3),
        ),
        ("abs_log", lambda x: abs(np.log(x)), 1.0, 1, -1, lambda x: mp.sign(x - 1) / x, (1 - 1e-9,)),
        ("abs_cubic", lambda x: abs(x**3 - x), 1.0, 2, -2, None, ()),
        ("abs_times_exp", lambda x: abs(x) * np.exp(x), 0.0, 1, -1, None, ()),
        (
            "exp_minus_abs",
            lambda x: np.exp(-abs(x)),
            0.0,
            -1,
            1,
            lambda x: -mp.sign(x) * mp.exp(-abs(x)),
            (1e-9,),
        ),
        ("log1p_abs", lambda x: np.log1p(abs(x)), 0.0, 1, -1, None, ()),
        ("root_abs", lambda x: np.sqrt(abs(x)), 0.0, INF, -INF, None, ()),
        ("parabola_tiny_kink", lambda x: x * x + 1e-6 * abs(x), 0.0, 1e-6, -1e-6, None, ()),
        ("line_or_parabola", lambda x: max(x, x * x), 1.0, 2, 1, None, ()),
        ("min_of_distances", lambda x: min(abs(x), abs(x - 1)), 0.5, -1, 1, None, ()),
        ("max_of_lines", lambda x: max(-x, 0.5, x - 1), -0.5, 0, -1, lambda x: int(x > 1.5), (1.5 + 1e-6,)),
        (
            "max_sin_cos",
            lambda x: max(np.sin(x), np.cos(x)),
            None,
            0,
            0,
            lambda x: mp.cos(x),
            (math.pi / 4 + 1e-6,),
        ),
        ("median", lambda x: sorted((0.0, x, 1.0))[1], 0.0, 1, 0, None, ()),
        ("twin_kinks", lambda x: abs(x) - abs(x - 1e-6), 0.0, 2, 0, lambda x: 2, (5e-7,)),
        ("abs_of_abs", lambda x: abs(abs(x) - 1), 1.0, 1, -1, None, ()),
        (
            "triangle_wave",
            lambda x: abs(x - 2 * np.floor((x + 1) / 2)),
            3.0,
            -1,
            1,
            lambda x: -1,
            (3 + 1e-6,),
        ),
    ]
    for form, f, x, right, left, slope, points in table:
        if x is not None:
            _sided(rows, "kink", form, f, x, right, left)
        if points:
            _smooth(rows, "kink", form, f, lambda x, slope=slope: mp.mpf(slope(x)), points)


def _kink_losses(rows):
    from mpmath import mp

    kink = partial(_sided, rows, "kink")
    kink("pinball", lambda x: max(0.9 * x, (0.9 - 1) * x), 0.0, 0.9, 0.9 - 1)
    kink("eps_insensitive", lambda x: max(0.0, abs(x) - 0.1), 0.1, 1, 0)

    def soft(x):
        return np.sign(x) * max(abs(x) - 0.5, 0.0)

    kink("soft_threshold", soft, 0.5, 1, 0)
    _smooth(rows, "kink", "soft_threshold", soft, lambda x: mp.mpf(int(abs(x) > 0.5)), (0.5 + 1e-9, -0.499))
    kink("call_payoff", lambda x: max(x - 100, 0.0), 100.0, 1, 0)
    _smooth(rows, "kink", "call_payoff", lambda x: max(x - 100, 0.0), lambda x: mp.mpf(1), (100.001,))
    kink("relu6", lambda x: min(max(x, 0.0), 6.0), 6.0, 0, 1)
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    kink(
        "selu",
        lambda x: scale * x if x > 0 else scale * alpha * np.expm1(x),
        0.0,
        scale,
        mp.mpf(scale) * mp.mpf(alpha),
    )
    kink("sum_of_distances", lambda x: sum(abs(x - a) for a in (-1.0, 0.0, 0.5, 2.0)), 0.5, 2, 0)


def _kink_curvature(rows):
    from mpmath import mp

    kink = partial(_sided, rows, "kink")

    def huber(x):
        return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5

    kink("huber", huber, 1.0, 1, 1)
    kink("huber", huber, -1.0, -1, -1)
    _smooth(rows, "kink", "huber", huber, lambda x: max(min(x, 1), -1), (1 + 1e-9, 1 - 1e-3))

    def elu(x):
        return x if x > 0 else np.expm1(x)

    kink("elu", elu, 0.0, 1, 1)
    _smooth(rows, "kink", "elu", elu, lambda x: mp.exp(min(x, 0)), (-1e-3,))
    kink("line_then_parabola", lambda x: x + 5 * x * x if x > 0 else x, 0.0, 1, 1)
    kink("squared_hinge", lambda x: max(0.0, 1 - x) ** 2, 1.0, 0, 0)
    kink("spline_cube", lambda x: 2 * x + max(x - 0.25, 0.0) ** 3, 0.25, 2, 2)

    def rounded(x):
        return np.sqrt(x * x + 1e-12)

    _smooth(
        rows, "kink", "rounded_abs", rounded, lambda x: x / mp.sqrt(x * x + mp.mpf(1e-12)), (0.0, 1e-6, -1e-4)
    )
    _smooth(
        rows,
        "kink",
        "tanh_abs",
        lambda x: x * np.tanh(1e6 * x),
        lambda x: mp.tanh(10**6 * x) + 10**6 * x * mp.sech(10**6 * x) ** 2,
        (0.0, 5e-7),
    )
    _smooth(
        rows,
        "kink",
        "sharp_softplus",
        lambda x: 1e-5 * np.logaddexp(0.0, x / 1e-5),
        lambda x: 1 / (1 + mp.exp(-x / mp.mpf(1e-5))),
        (0.0, -2e-5),
    )


def _cancelling_small(rows):
    from mpmath import mp

    table = [
        (
            "versine_ratio",
            lambda x: (1 - np.cos(x)) / x**2,
            lambda x: (x * mp.sin(x) - 4 * mp.sin(x / 2) ** 2) / x**3,
            (1e-2, 1e-4, 1e-8),
        ),
        (
            "expm1_ratio",
            lambda x: (np.exp(x) - 1) / x,
            lambda x: (x * mp.exp(x) - mp.expm1(x)) / x**2,
            (1e-8, 1e-5),
        ),
        ("log_minus_x", lambda x: np.log(1 + x) - x, lambda x: -x / (1 + x), (1e-6, 1e-3)),
        ("x_minus_sin", lambda x: x - np.sin(x), lambda x: 2 * mp.sin(x / 2) ** 2, (1e-2, 1e-5)),
        (
            "x_minus_sin_over_cube",
            lambda x: (x - np.sin(x)) / x**3,
            lambda x: (2 * x * mp.sin(x / 2) ** 2 - 3 * (x - mp.sin(x))) / x**4,
            (1e-2,),
        ),
        ("tan_minus_sin", lambda x: np.tan(x) - np.sin(x), lambda x: mp.sec(x) ** 2 - mp.cos(x), (1e-3,)),
        ("versine", lambda x: 1 - np.cos(x), lambda x: mp.sin(x), (1e-6,)),
        ("naive_sinh", lambda x: (np.exp(x) - np.exp(-x)) / 2, lambda x: mp.cosh(x), (1e-7,)),
        ("naive_atanh", lambda x: np.log((1 + x) / (1 - x)), lambda x: 2 / ((1 - x) * (1 + x)), (1e-8,)),
        ("langevin_like", lambda x: x / np.tanh(x) - 1, lambda x: mp.coth(x) - x / mp.sinh(x) ** 2, (1e-4,)),
        (
            "expanded_seventh",
            lambda x: x**7 - 7 * x**6 + 21 * x**5 - 35 * x**4 + 35 * x**3 - 21 * x**2 + 7 * x - 1,
            lambda x: 7 * (x - 1) ** 6,
            (1.01, 0.9),
        ),
        ("expanded_cube", lambda x: x**3 - 3 * x**2 + 3 * x - 1, lambda x: 3 * (x - 1) ** 2, (1.0001,)),
        ("removable", lambda x: (x * x - 1) / (x - 1), lambda x: mp.mpf(1), (1 + 1e-6,)),
        (
            "unit_identity",
            lambda x: np.sin(x) ** 2 + np.cos(x) ** 2 + 1e-3 * x,
            lambda x: mp.mpf(1e-3),
            (0.8,),
        ),
        ("absorbed", lambda x: (x + 1e8) - 1e8, lambda x: mp.mpf(1), (0.3,)),
        (
            "near_difference",
            lambda x: np.sin(x + 1e-6) - np.sin(x),
            lambda x: -2 * mp.sin(x + mp.mpf(1e-6) / 2) * mp.sin(mp.mpf(1e-6) / 2),
            (1.0,),
        ),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "cancelling", form, f, slope, points)


def _alternating_exp(x):
    total, term = 1.0, 1.0
    for k in range(1, 120):
        term = -term * x / k
        total = total + term
    return total


def _needle(x):
    half = (2e5 + x) / 2
    return np.sqrt(half * (half - 1e5) * (half - 1e5) * (half - x))


def _cancelling_large(rows):
    from mpmath import mp

    for c in (1e4, 1e7):
        data = (c, c + 1, c + 2, c + 4)
        _smooth(
            rows,
            "cancelling",
            f"naive_variance[c={c}]",
            lambda x, d=data: (sum(v * v for v in d) + x * x) / 5 - ((sum(d) + x) / 5) ** 2,
            lambda x, d=data: mp.mpf(2) / 5 * (x - (mp.fsum(d) + x) / 5),
            (c + 2.5,),
        )
    table = [
        (
            "root_gap",
            lambda x: np.sqrt(x + 1) - np.sqrt(x),
            lambda x: (1 / mp.sqrt(x + 1) - 1 / mp.sqrt(x)) / 2,
            (1e4, 1e8),
        ),
        (
            "logsumexp_1e5",
            lambda x: special.logsumexp([1e5, 1e5, x]),
            lambda x: 1 / (1 + 2 * mp.exp(10**5 - x)),
            (1e5, 1e5 - 5, 1e5 + 20),
        ),
        (
            "naive_softplus",
            lambda x: np.log(1 + np.exp(x)),
            lambda x: 1 / (1 + mp.exp(-x)),
            (30.0, -30.0, 500.0),
        ),
        (
            "naive_sigmoid",
            lambda x: 1 / (1 + np.exp(-x)),
            lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
            (25.0, -30.0),
        ),
        ("one_minus_tanh", lambda x: 1 - np.tanh(x), lambda x: -(mp.sech(x) ** 2), (10.0,)),
        ("hyperbola_gap", lambda x: np.sqrt(x * x + 1) - x, lambda x: x / mp.sqrt(x * x + 1) - 1, (1e4, 1e6)),
        (
            "root_of_quadratic",
            lambda x: -x + np.sqrt(x * x - 1),
            lambda x: x / mp.sqrt(x * x - 1) - 1,
            (1e5,),
        ),
        ("inverse_gap", lambda x: 1 / x - 1 / (x + 1), lambda x: 1 / (x + 1) ** 2 - 1 / x**2, (1e5,)),
        (
            "cosh_sinh_identity",
            lambda x: np.cosh(x) ** 2 - np.sinh(x) ** 2 + x,
            lambda x: mp.mpf(1),
            (10.0, 15.0),
        ),
        ("naive_log_cosh", lambda x: np.log(np.cosh(x)), lambda x: mp.tanh(x), (1e-6, 300.0)),
        ("naive_logaddexp", lambda x: np.log(np.exp(x) + np.exp(-x)), lambda x: mp.tanh(x), (20.0,)),
        (
            "one_minus_erf",
            lambda x: 1 - special.erf(x),
            lambda x: -2 * mp.exp(-x * x) / mp.sqrt(mp.pi),
            (3.0, 5.0),
        ),
        (
            "arctan_gap",
            lambda x: np.arctan(x + 1) - np.arctan(x),
            lambda x: 1 / (1 + (x + 1) ** 2) - 1 / (1 + x * x),
            (1e4,),
        ),
        (
            "euler_limit",
            lambda x: (1 + 1 / x) ** x,
            lambda x: (1 + 1 / x) ** x * (mp.log1p(1 / x) - 1 / (x + 1)),
            (1e4, 1e8),
        ),
        ("alternating_exp", _alternating_exp, lambda x: -mp.exp(-x), (15.0,)),
        ("log_gap", lambda x: np.log(x + 1) - np.log(x), lambda x: 1 / (x + 1) - 1 / x, (1e6, 1e8)),
        ("needle_area", _needle, lambda x: (2 * 10**10 - x * x) / (2 * mp.sqrt(4 * 10**10 - x * x)), (1e-3,)),
        ("gammaln_gap", lambda x: special.gammaln(x + 1) - special.gammaln(x), lambda x: 1 / x, (1e6,)),
        ("digamma_gap", lambda x: special.digamma(x + 1) - special.digamma(x), lambda x: -1 / x**2, (1e4,)),
        ("compound", lambda x: (1 + x / 1e9) ** 1e9, lambda x: (1 + x / 10**9) ** (10**9 - 1), (0.05,)),
        ("logaddexp_excess", lambda x: np.logaddexp(x, 1.0) - x, lambda x: -1 / (1 + mp.exp(x - 1)), (30.0,)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "cancelling", form, f, slope, points)


def _scale_extreme(rows):
    from mpmath import mp

    big, tiny, sub = mp.mpf(1e300), mp.mpf(1e-300), mp.mpf(1e-320)
    table = [
        ("exp", lambda x: np.exp(x), lambda x: mp.exp(x), (700.0, -700.0, 1e-200)),
        ("sinh", lambda x: np.sinh(x), lambda x: mp.cosh(x), (705.0,)),
        ("tiny_exp", lambda x: 1e-300 * np.exp(x), lambda x: tiny * mp.exp(x), (0.5, -3.0)),
        ("big_sin", lambda x: 1e300 * np.sin(x), lambda x: big * mp.cos(x), (1.0, 0.0)),
        ("big_parabola", lambda x: 1e300 * x * x, lambda x: 2 * big * x, (1e-3,)),
        ("sin", lambda x: np.sin(x), lambda x: mp.cos(x), (1e-200, 1e15, -1e8)),
        ("square", lambda x: x * x, lambda x: 2 * x, (1e-100, 1e-200, 1e150)),
        ("log", lambda x: np.log(x), lambda x: 1 / x, (1e300, 1e-300)),
        ("sqrt", lambda x: np.sqrt(x), lambda x: 1 / (2 * mp.sqrt(x)), (1e300, 1e-300)),
        ("cube", lambda x: x**3, lambda x: 3 * x**2, (1e90,)),
        ("inverse", lambda x: 1 / x, lambda x: -1 / x**2, (1e150, 1e-150)),
        ("arctan", lambda x: np.arctan(x), lambda x: 1 / (1 + x * x), (1e15,)),
        ("x_plus_sin", lambda x: x + np.sin(x), lambda x: 1 + mp.cos(x), (1e15,)),
        ("log1p", lambda x: np.log1p(x), lambda x: 1 / (1 + x), (1e15,)),
        ("gammaln", lambda x: special.gammaln(x), lambda x: mp.psi(0, x), (1e15,)),
        ("pow_50", lambda x: x**50, lambda x: 50 * x**49, (1e5, 1e-6)),
        ("pow_tenth", lambda x: x**0.1, lambda x: mp.mpf(0.1) * x ** (mp.mpf(0.1) - 1), (1e200,)),
        ("gauss_tail", lambda x: np.exp(-x * x), lambda x: -2 * x * mp.exp(-x * x), (25.0, 1e-200)),
        ("arcsinh", lambda x: np.arcsinh(x), lambda x: 1 / mp.sqrt(1 + x * x), (1e150,)),
        ("tanh", lambda x: np.tanh(x), lambda x: mp.sech(x) ** 2, (1e-300,)),
        ("offset_sin", lambda x: 1e12 + np.sin(x), lambda x: mp.cos(x), (1.0,)),
        ("two_to_x", lambda x: 2**x, lambda x: mp.log(2) * 2**x, (1000.0, -1000.0)),
        ("hypot", lambda x: np.hypot(x, 1e300), lambda x: x / mp.sqrt(x * x + big * big), (1e300,)),
        ("subnormal_line", lambda x: 1e-320 * x, lambda x: sub, (3.0,)),
        (
            "rescaled_tan",
            lambda x: 1e-300 * np.tan(1e300 * x),
            lambda x: tiny * big * mp.sec(big * x) ** 2,
            (1e-300,),
        ),
        ("slow_cos", lambda x: np.cos(1e-8 * x), lambda x: -mp.mpf(1e-8) * mp.sin(mp.mpf(1e-8) * x), (1e7,)),
        ("bessel_j0", lambda x: special.j0(x), lambda x: -mp.besselj(1, x), (1e5,)),
        ("erf", lambda x: special.erf(x), lambda x: 2 * mp.exp(-x * x) / mp.sqrt(mp.pi), (1e-200,)),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "scale", form, f, slope, points)


def _scale_single(rows):
    from mpmath import mp

    # computed in float32: the truth is the slope of the smooth function underneath, at the float64 x
    table = [
        ("sin_32", lambda x: np.sin(np.float32(x)), lambda x: mp.cos(x), (0.7, 100.3)),
        ("exp_32", lambda x: np.exp(np.float32(x)), lambda x: mp.exp(x), (1.3, -5.1)),
        ("tanh_32", lambda x: np.tanh(np.float32(x)), lambda x: mp.sech(x) ** 2, (0.4,)),
        ("square_32", lambda x: np.float32(x) ** 2, lambda x: 2 * x, (1e4 / 3,)),
        ("sqrt_32", lambda x: np.sqrt(np.float32(x)), lambda x: 1 / (2 * mp.sqrt(x)), (1e-3,)),
        ("log_32", lambda x: np.log(np.float32(x)), lambda x: 1 / x, (1e6,)),
        (
            "logistic_32",
            lambda x: np.float32(1) / (np.float32(1) + np.exp(-np.float32(x))),
            lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
            (2.1,),
        ),
        (
            "cubic_32",
            lambda x: np.float32(x) * (np.float32(x) * np.float32(x) - np.float32(3)),
            lambda x: 3 * x * x - 3,
            (1.1,),
        ),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "scale", form, f, slope, points)


def _scale_ripple(rows):
    from mpmath import mp

    width = mp.mpf(1e-8)
    table = [
        (
            "sin_ripple_1e4",
            lambda x: np.sin(x) + 1e-6 * np.sin(1e4 * x),
            lambda x: mp.cos(x) + mp.mpf(1e-6) * 10**4 * mp.cos(10**4 * x),
            (0.3, 1.5),
        ),
        (
            "square_ripple_1e6",
            lambda x: x * x + 1e-9 * np.sin(1e6 * x),
            lambda x: 2 * x + mp.mpf(1e-9) * 10**6 * mp.cos(10**6 * x),
            (0.7,),
        ),
        (
            "exp_ripple_1e3",
            lambda x: np.exp(x) + 1e-3 * np.cos(1e3 * x),
            lambda x: mp.exp(x) - mp.mpf(1e-3) * 1000 * mp.sin(1000 * x),
            (0.5,),
        ),
        (
            "weierstrass_six",
            lambda x: sum(0.5**k * np.cos(7.0**k * x) for k in range(6)),
            lambda x: -mp.fsum(mp.mpf(7) ** k / 2**k * mp.sin(7**k * x) for k in range(6)),
            (0.4,),
        ),
        ("fast_sin", lambda x: np.sin(1e8 * x), lambda x: 10**8 * mp.cos(10**8 * x), (0.3,)),
        ("chirp", lambda x: np.sin(x * x), lambda x: 2 * x * mp.cos(x * x), (1e3,)),
        (
            "narrow_gauss",
            lambda x: np.exp(-(((x - 1) / 1e-8) ** 2)),
            lambda x: -2 * (x - 1) / width**2 * mp.exp(-(((x - 1) / width) ** 2)),
            (1 + 1e-8,),
        ),
        (
            "line_with_spike",
            lambda x: x + 1e-3 * np.exp(-(((x - 0.5) / 1e-8) ** 2)),
            lambda x: 1 - mp.mpf(2e-3) * (x - 0.5) / width**2 * mp.exp(-(((x - 0.5) / width) ** 2)),
            (0.5, 0.5 + 1e-6),
        ),
        (
            "steep_logistic",
            lambda x: 1 / (1 + np.exp(-1e6 * (x - 1))),
            lambda x: 10**6 * mp.sech(10**6 * (x - 1) / 2) ** 2 / 4,
            (1.0, 1.000002),
        ),
    ]
    for form, f, slope, points in table:
        _smooth(rows, "scale", form, f, slope, points)
