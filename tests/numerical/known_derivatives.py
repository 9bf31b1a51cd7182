"""Functions whose derivatives are known to the last bit, and how far an estimate is from them.

Every function stands here twice: as float64 code, with all its rounding, which is all that an estimator is given;
and in 80-digit arithmetic with its derivative in closed form, evaluated at the very float64 point. All functions are
smooth where they are defined: kinks and jumps are another question. Nothing here knows of any estimator.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from mpmath import MPContext
from scipy import special

SEED = 20
PER_DECADE = 2
# SciPy's Bessel functions compute x - pi/4 rounded once, to the same side for all neighbours of x: a shift of up
# to eps |x|, so smooth that no method can tell it from the function. It stays below 1e-14 up to here
BESSEL_REACH = 100.0
# below this the differences f' * h of any sensible step are no longer normal numbers
SMALLEST_DERIVATIVE = 1e-280

# a context of its own, so that the digits of the global one stay as others left them
mp = MPContext()
mp.dps = 80  # the closed forms below cancel at most 20 of them, which leaves 60


@dataclass(frozen=True, repr=False)
class Pair:
    """A function, a point, and the derivative of the mathematical function there, rounded once."""

    function: "Function"
    x: float
    truth: float

    def __repr__(self) -> str:
        return f"{self.function.name} at {self.x!r}"


@dataclass(frozen=True)
class Function:
    """A function in float64 and in many digits, its derivative, and the centres that its points lie around."""

    name: str
    f: Callable[[Any], Any]
    exact: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    around: tuple[float, ...] = (0.0,)
    reach: float = 1e6

    def at(self, x: float) -> Pair | None:
        """Return the pair at x, or None where f or its derivative is no ordinary number."""
        with np.errstate(all="ignore"):
            if not np.isfinite(self.f(np.array(x))):
                return None
        try:
            truth = self.derivative(mp.mpf(x))
        except ZeroDivisionError:
            return None
        if mp.im(truth) or not mp.isfinite(truth):
            return None
        truth = float(truth)
        return Pair(self, x, truth) if math.isfinite(truth) else None

    def points(self, seed: int) -> Iterator[float]:
        """Yield points 1e-6 to `reach` on both sides of 0, and 1e-6 to 1 on both sides of the other centres."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        for centre in self.around:
            top = round(math.log10(self.reach)) if centre == 0 else 0
            decades = np.arange(-6, top).repeat(2 * PER_DECADE)
            sign = np.resize([1.0, -1.0], decades.size)
            yield centre
            yield from (centre + sign * 10.0 ** (decades + rng.uniform(size=decades.size))).tolist()


@dataclass(frozen=True, repr=False)
class Outcome:
    """An estimator's value and bound for a pair; `error` is None without a bound, `failure` tells its exception."""

    pair: Pair
    value: float
    error: float | None
    evaluations: int
    failure: str = ""

    @property
    def distance(self) -> float:
        return abs(self.value - self.pair.truth) if math.isfinite(self.value) else math.inf

    @property
    def relative_error(self) -> float:
        return _ratio(self.distance, abs(self.pair.truth))

    @property
    def relative_bound(self) -> float:
        return (
            math.inf if self.error is None or math.isnan(self.error) else _ratio(self.error, abs(self.value))
        )

    @property
    def holds(self) -> bool:
        """Whether the bound covers the error, but for the half ulp to which the truth itself is rounded."""
        if self.error is None or not math.isfinite(self.value):
            return False
        return self.distance <= self.error + float(np.spacing(abs(self.pair.truth))) / 2

    def __repr__(self) -> str:
        bound = "no bound" if self.error is None else f"error {self.error:.3g}"
        return (
            f"{self.pair}: value {self.value!r}, truth {self.pair.truth!r}, off by {self.distance:.3g}, {bound}, "
            f"{self.evaluations} evaluations{self.failure and ', raised ' + self.failure}"
        )


class Counted:
    """A function that counts the points it was evaluated at."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.f, self.evaluations = f, 0

    def __call__(self, x: Any) -> Any:
        self.evaluations += np.size(x)
        return self.f(x)


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf


def _log_cosh(x: Any) -> Any:
    return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - math.log(2)


def _density(x: Any) -> Any:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _dawson(x: Any) -> Any:
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def _scaled_erfc(x: Any) -> Any:
    return mp.exp(x * x) * mp.erfc(x)


def _algebraic(
    name: str, f: Callable[[Any], Any], derivative: Callable[[Any], Any], *around: float
) -> Function:
    """Return a function that float64 and many digits can share, because it only adds, multiplies and divides."""
    return Function(name, f, f, derivative, around or (0.0,))


ELEMENTARY = (
    Function("exp", np.exp, mp.exp, mp.exp),
    Function("exp2", np.exp2, lambda x: mp.mpf(2) ** x, lambda x: mp.ln2 * mp.mpf(2) ** x),
    Function("expm1", np.expm1, mp.expm1, mp.exp),
    Function("log", np.log, mp.log, lambda x: 1 / x, (0.0, 1.0)),
    Function("log2", np.log2, lambda x: mp.log(x, 2), lambda x: 1 / (x * mp.ln2)),
    Function("log10", np.log10, mp.log10, lambda x: 1 / (x * mp.ln10)),
    Function("log1p", np.log1p, mp.log1p, lambda x: 1 / (1 + x), (0.0, -1.0)),
    Function("sqrt", np.sqrt, mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x))),
    Function(
        "cbrt",
        np.cbrt,
        lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2),
    ),
    Function("sin", np.sin, mp.sin, mp.cos, (0.0, math.pi)),
    Function("cos", np.cos, mp.cos, lambda x: -mp.sin(x)),
    Function("tan", np.tan, mp.tan, lambda x: mp.sec(x) ** 2, (0.0, math.pi / 2)),
    Function("arcsin", np.arcsin, mp.asin, lambda x: 1 / mp.sqrt(1 - x * x), (0.0, 1.0)),
    Function("arccos", np.arccos, mp.acos, lambda x: -1 / mp.sqrt(1 - x * x), (0.0, -1.0)),
    Function("arctan", np.arctan, mp.atan, lambda x: 1 / (1 + x * x)),
    Function("sinh", np.sinh, mp.sinh, mp.cosh),
    Function("cosh", np.cosh, mp.cosh, mp.sinh),
    Function("tanh", np.tanh, mp.tanh, lambda x: mp.sech(x) ** 2),
    Function("arcsinh", np.arcsinh, mp.asinh, lambda x: 1 / mp.sqrt(1 + x * x)),
    Function("arccosh", np.arccosh, mp.acosh, lambda x: 1 / mp.sqrt(x * x - 1), (0.0, 1.0)),
    Function("arctanh", np.arctanh, mp.atanh, lambda x: 1 / (1 - x * x), (0.0, 1.0)),
)

POWERS = (
    _algebraic("x^2", lambda x: x**2, lambda x: 2 * x),
    _algebraic("x^3", lambda x: x**3, lambda x: 3 * x**2),
    _algebraic("x^10", lambda x: x**10, lambda x: 10 * x**9),
    _algebraic("1/x", lambda x: 1 / x, lambda x: -1 / x**2),
    _algebraic("x^-2", lambda x: x**-2.0, lambda x: -2 / x**3),
    _algebraic("x^0.5", lambda x: x**0.5, lambda x: x**-0.5 / 2),
    _algebraic("x^-0.5", lambda x: x**-0.5, lambda x: -(x**-1.5) / 2),
    _algebraic("x^1.5", lambda x: x**1.5, lambda x: 1.5 * x**0.5),
)

# near a root the terms cancel and leave their rounding behind
RATIONAL = (
    _algebraic("x^3 + x", lambda x: x**3 + x, lambda x: 3 * x**2 + 1),
    _algebraic("x^3 - 2x - 5", lambda x: x**3 - 2 * x - 5, lambda x: 3 * x**2 - 2, 0.0, 2.0945514815423265),
    _algebraic(
        "(x-1)^3 expanded", lambda x: x**3 - 3 * x**2 + 3 * x - 1, lambda x: 3 * (x - 1) ** 2, 0.0, 1.0
    ),
    _algebraic(
        "(x-1)(x-2)(x-3)(x-4) expanded",
        lambda x: (((x - 10) * x + 35) * x - 50) * x + 24,
        lambda x: ((4 * x - 30) * x + 70) * x - 50,
        0.0,
        2.0,
    ),
    _algebraic("1/(1+x^2)", lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    _algebraic("x/(1+x^2)", lambda x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    _algebraic("(x^2-1)/(x^2+1)", lambda x: (x * x - 1) / (x * x + 1), lambda x: 4 * x / (1 + x * x) ** 2),
    _algebraic("1/(1-x)", lambda x: 1 / (1 - x), lambda x: 1 / (1 - x) ** 2, 0.0, 1.0),
    _algebraic("(1+x)/(2-x)", lambda x: (1 + x) / (2 - x), lambda x: 3 / (2 - x) ** 2, 0.0, 2.0),
)

SPECIAL = (
    Function("erf", special.erf, mp.erf, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    Function("erfc", special.erfc, mp.erfc, lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    Function("erfcx", special.erfcx, _scaled_erfc, lambda x: 2 * x * _scaled_erfc(x) - 2 / mp.sqrt(mp.pi)),
    Function("dawsn", special.dawsn, _dawson, lambda x: 1 - 2 * x * _dawson(x)),
    Function("ndtr", special.ndtr, mp.ncdf, _density),
    Function(
        "log_ndtr",
        special.log_ndtr,
        lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2),
        lambda x: 2 * _density(x) / mp.erfc(-x / mp.sqrt(2)),
    ),
    Function("gamma", special.gamma, mp.gamma, lambda x: mp.gamma(x) * mp.digamma(x), (0.0, -1.0)),
    Function("gammaln", special.gammaln, lambda x: mp.log(abs(mp.gamma(x))), mp.digamma, (0.0, 2.0)),
    Function("digamma", special.digamma, mp.digamma, lambda x: mp.psi(1, x), (0.0, 1.4616321449683623)),
    Function(
        "gammainc(2.5, x)",
        lambda x: special.gammainc(2.5, x),
        lambda x: mp.gammainc(2.5, 0, x, regularized=True),
        lambda x: x**1.5 * mp.exp(-x) / mp.gamma(2.5),
    ),
    Function(
        "j0",
        special.j0,
        lambda x: mp.besselj(0, x),
        lambda x: -mp.besselj(1, x),
        (0.0, 2.404825557695773),
        reach=BESSEL_REACH,
    ),
    Function(
        "j1",
        special.j1,
        lambda x: mp.besselj(1, x),
        lambda x: (mp.besselj(0, x) - mp.besselj(2, x)) / 2,
        reach=BESSEL_REACH,
    ),
    Function("y0", special.y0, lambda x: mp.bessely(0, x), lambda x: -mp.bessely(1, x), reach=BESSEL_REACH),
    Function("i0", special.i0, lambda x: mp.besseli(0, x), lambda x: mp.besseli(1, x)),
    Function("k0", special.k0, lambda x: mp.besselk(0, x), lambda x: -mp.besselk(1, x)),
    Function("expi", special.expi, mp.ei, lambda x: mp.exp(x) / x),
    Function("sine integral", lambda x: special.sici(x)[0], mp.si, lambda x: mp.sin(x) / x),
    Function(
        "ellipk",
        special.ellipk,
        mp.ellipk,
        lambda m: (mp.ellipe(m) - (1 - m) * mp.ellipk(m)) / (2 * m * (1 - m)),
        (0.0, 1.0),
    ),
)

# what losses and activations are made of
LEARNING = (
    Function(
        "1/(1+exp(-x))", lambda x: 1 / (1 + np.exp(-x)), _logistic, lambda x: _logistic(x) * _logistic(-x)
    ),
    Function("expit", special.expit, _logistic, lambda x: _logistic(x) * _logistic(-x)),
    Function("log_expit", special.log_expit, lambda x: -mp.log1p(mp.exp(-x)), lambda x: _logistic(-x)),
    Function("log1p(exp(x))", lambda x: np.log1p(np.exp(x)), lambda x: mp.log1p(mp.exp(x)), _logistic),
    Function(
        "logaddexp(x, 700)",
        lambda x: np.logaddexp(x, 700),
        lambda x: mp.log(mp.exp(x) + mp.exp(700)),
        lambda x: _logistic(x - 700),
        (0.0, 700.0),
    ),
    Function(
        "logsumexp(x, 0, 1)",
        lambda x: np.logaddexp(np.logaddexp(x, 0), 1),
        lambda x: mp.log(mp.exp(x) + 1 + mp.e),
        lambda x: mp.exp(x) / (mp.exp(x) + 1 + mp.e),
    ),
    Function(
        "x expit(x)",
        lambda x: x * special.expit(x),
        lambda x: x * _logistic(x),
        lambda x: _logistic(x) * (1 + x * _logistic(-x)),
    ),
    Function(
        "x ndtr(x)",
        lambda x: x * special.ndtr(x),
        lambda x: x * mp.ncdf(x),
        lambda x: mp.ncdf(x) + x * _density(x),
    ),
    Function("log cosh(x)", _log_cosh, lambda x: mp.log(mp.cosh(x)), mp.tanh),
    Function(
        "exp(-x^2)", lambda x: np.exp(-x * x), lambda x: mp.exp(-x * x), lambda x: -2 * x * mp.exp(-x * x)
    ),
    Function(
        "x exp(-x^2/2)",
        lambda x: x * np.exp(-x * x / 2),
        lambda x: x * mp.exp(-x * x / 2),
        lambda x: (1 - x * x) * mp.exp(-x * x / 2),
    ),
    Function(
        "sqrt(1+x^2)",
        lambda x: np.sqrt(1 + x * x),
        lambda x: mp.sqrt(1 + x * x),
        lambda x: x / mp.sqrt(1 + x * x),
    ),
    Function(
        "log(1+x^2)", lambda x: np.log(1 + x * x), lambda x: mp.log(1 + x * x), lambda x: 2 * x / (1 + x * x)
    ),
)

COMPOSED = (
    Function("x exp(-x)", lambda x: x * np.exp(-x), lambda x: x * mp.exp(-x), lambda x: (1 - x) * mp.exp(-x)),
    Function(
        "sin(x)/x",
        lambda x: np.sin(x) / x,
        lambda x: mp.sin(x) / x,
        lambda x: (x * mp.cos(x) - mp.sin(x)) / x**2,
    ),
    Function(
        "x log(x)", lambda x: x * np.log(x), lambda x: x * mp.log(x), lambda x: mp.log(x) + 1, (0.0, 1.0)
    ),
    Function("x^x", lambda x: x**x, lambda x: x**x, lambda x: x**x * (mp.log(x) + 1)),
    Function("x sqrt(x)", lambda x: x * np.sqrt(x), lambda x: x * mp.sqrt(x), lambda x: 1.5 * mp.sqrt(x)),
    Function(
        "sqrt(1-x^2)",
        lambda x: np.sqrt(1 - x * x),
        lambda x: mp.sqrt(1 - x * x),
        lambda x: -x / mp.sqrt(1 - x * x),
        (0.0, 1.0),
    ),
    Function(
        "exp(-1/x)", lambda x: np.exp(-1 / x), lambda x: mp.exp(-1 / x), lambda x: mp.exp(-1 / x) / x**2
    ),
    Function("sin(1/x)", lambda x: np.sin(1 / x), lambda x: mp.sin(1 / x), lambda x: -mp.cos(1 / x) / x**2),
    Function("sin(x^2)", lambda x: np.sin(x * x), lambda x: mp.sin(x * x), lambda x: 2 * x * mp.cos(x * x)),
    Function(
        "sin(100x)", lambda x: np.sin(100 * x), lambda x: mp.sin(100 * x), lambda x: 100 * mp.cos(100 * x)
    ),
    Function(
        "exp(sin(x))",
        lambda x: np.exp(np.sin(x)),
        lambda x: mp.exp(mp.sin(x)),
        lambda x: mp.cos(x) * mp.exp(mp.sin(x)),
    ),
    Function(
        "exp(-x) sin(10x)",
        lambda x: np.exp(-x) * np.sin(10 * x),
        lambda x: mp.exp(-x) * mp.sin(10 * x),
        lambda x: mp.exp(-x) * (10 * mp.cos(10 * x) - mp.sin(10 * x)),
    ),
    Function(
        "tanh(50x)", lambda x: np.tanh(50 * x), lambda x: mp.tanh(50 * x), lambda x: 50 * mp.sech(50 * x) ** 2
    ),
    Function(
        "arctan(1e4x)",
        lambda x: np.arctan(1e4 * x),
        lambda x: mp.atan(1e4 * x),
        lambda x: 1e4 / (1 + (1e4 * x) ** 2),
    ),
)

# written the way that loses digits: the noise is far above the last bit of the result
CANCELLING = (
    Function("1e8 + sin(x)", lambda x: 1e8 + np.sin(x), lambda x: 10**8 + mp.sin(x), mp.cos),
    Function("log(1+x)", lambda x: np.log(1 + x), lambda x: mp.log(1 + x), lambda x: 1 / (1 + x)),
    Function("1 - cos(x)", lambda x: 1 - np.cos(x), lambda x: 1 - mp.cos(x), mp.sin),
    Function("x - sin(x)", lambda x: x - np.sin(x), lambda x: x - mp.sin(x), lambda x: 1 - mp.cos(x)),
    Function(
        "(exp(x)-1)/x",
        lambda x: (np.exp(x) - 1) / x,
        lambda x: mp.expm1(x) / x,
        lambda x: (x * mp.exp(x) - mp.expm1(x)) / x**2,
    ),
    Function(
        "(1-cos(x))/x^2",
        lambda x: (1 - np.cos(x)) / x**2,
        lambda x: (1 - mp.cos(x)) / x**2,
        lambda x: (x * mp.sin(x) - 2 * (1 - mp.cos(x))) / x**3,
    ),
    Function(
        "sqrt(1+x) - sqrt(x)",
        lambda x: np.sqrt(1 + x) - np.sqrt(x),
        lambda x: mp.sqrt(1 + x) - mp.sqrt(x),
        lambda x: (1 / mp.sqrt(1 + x) - 1 / mp.sqrt(x)) / 2,
    ),
    Function(
        "exp(x) - exp(-x)",
        lambda x: np.exp(x) - np.exp(-x),
        lambda x: mp.exp(x) - mp.exp(-x),
        lambda x: mp.exp(x) + mp.exp(-x),
    ),
)

FUNCTIONS = {
    function.name: function
    for family in (ELEMENTARY, POWERS, RATIONAL, SPECIAL, LEARNING, COMPOSED, CANCELLING)
    for function in family
}


def at(name: str, x: float) -> Pair:
    """Return the pair of a function in the catalogue and a point at which it has a derivative."""
    pair = FUNCTIONS[name].at(x)
    if pair is None:
        raise ValueError(f"{name} has no finite derivative at {x!r}: choose a point inside its domain")
    return pair


TWENTY = tuple(
    at(name, x)
    for name, x in (
        ("exp", 1.0),
        ("sin", 1e6),
        ("x^2", 1e9),
        ("x^2", 1e-9),
        ("tanh(50x)", 0.02),
        ("log", 1e-6),
        ("1/(1+exp(-x))", 30.0),
        ("1/(1+exp(-x))", -30.0),
        ("sqrt", 1e-12),
        ("x^10", 3.0),
        ("1/x", 1e-3),
        ("1e8 + sin(x)", 1.0),
        ("sin(100x)", 0.3),
        ("arctan(1e4x)", 1e-5),
        ("log1p(exp(x))", -20.0),
        ("logaddexp(x, 700)", 699.0),
        ("x^3 + x", 0.0),
        ("cos", 0.0),
        ("expm1", 1e-10),
        ("erf", 3.0),
    )
)


@cache
def pairs(seed: int = SEED) -> tuple[Pair, ...]:
    """Return every function at every point where its derivative is an ordinary number, over 12 decades.

    Another seed draws other points, to see whether a result holds for those, too.
    """
    found = (function.at(x) for function in FUNCTIONS.values() for x in function.points(seed))
    return tuple(pair for pair in found if pair and abs(pair.truth) >= SMALLEST_DERIVATIVE)


def worst(outcomes: Sequence[Outcome], count: int = 12) -> str:
    """Return the outcomes that lie furthest outside their bounds, one a line."""
    ordered = sorted(outcomes, key=lambda o: _ratio(o.distance, o.error or 0.0), reverse=True)
    return "\n".join(map(str, ordered[:count]))
