"""How right numerical derivatives are, and how well they know it: ``python benchmarks/accuracy.py``.

The methods of the field and gradlab's `estimate_gradient`, side by side on the functions of
``tests/numerical/known_derivatives.py``, whose derivatives are known to the last bit.
"""

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.differentiate import derivative
from scipy.optimize._numdiff import approx_derivative

from gradlab import estimate_gradient, numerical_gradient
from gradlab.report.tables import table

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.numerical.known_derivatives import SEED, TWENTY, Counted, Outcome, Pair, pairs

try:
    import numdifftools
except ImportError:
    numdifftools = None
try:
    import jacobi
except ImportError:
    jacobi = None

STYLES = {"table": "simple", "markdown": "github"}
FAR = 1e-6

# (value, bound on its error or None where the method gives none)
Answer = tuple[float, float | None]
Method = Callable[[Counted, float], Answer]


def by_textbook(f: Counted, x: float) -> Answer:
    return float(numerical_gradient(f, np.array(x), h=1e-4)), None


def by_approx_derivative(f: Counted, x: float) -> Answer:
    return float(approx_derivative(f, x, method="3-point").item()), None


def by_scipy_derivative(f: Counted, x: float) -> Answer:
    result = derivative(f, x)
    return float(result.df), float(result.error)


def by_numdifftools(f: Counted, x: float) -> Answer:
    result = numdifftools.Derivative(f, full_output=True)(x)
    value, info = result if len(result) == 2 else (result.estimate, result)  # before 0.11, a pair
    return float(value), float(np.asarray(info.error_estimate).item())


def by_jacobi(f: Counted, x: float) -> Answer:
    value, error = jacobi.jacobi(f, x)
    return float(value), float(error)


def by_gradlab(f: Counted, x: float) -> Answer:
    estimate = estimate_gradient(f, np.array(x))
    return float(estimate.value), float(estimate.error)


METHODS: dict[str, Method | None] = {
    "textbook, h = 1e-4": by_textbook,
    "SciPy approx_derivative, 3-point": by_approx_derivative,
    "scipy.differentiate.derivative": by_scipy_derivative,
    "numdifftools": by_numdifftools if numdifftools else None,
    "jacobi": by_jacobi if jacobi else None,
    "gradlab estimate_gradient": by_gradlab,
}
# the ones that give a bound, and thousands of answers in seconds
FOR_THOUSANDS: dict[str, Method] = {
    "scipy.differentiate.derivative": by_scipy_derivative,
    "gradlab estimate_gradient": by_gradlab,
}


def measured(method: Method, pair: Pair) -> Outcome:
    """Return what a method makes of a pair; what it raises or warns of does not end the comparison."""
    f = Counted(pair.function.f)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value, error = method(f, pair.x)
        except Exception as raised:
            return Outcome(pair, math.nan, None, f.evaluations, repr(raised))
    return Outcome(pair, value, error, f.evaluations)


def silent(outcome: Outcome) -> bool:
    """Whether a number is far from the truth and nothing says so."""
    return math.isfinite(outcome.value) and outcome.relative_error > FAR and not outcome.holds


def with_bound(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if o.error is not None and not math.isnan(o.error) and math.isfinite(o.value)]


def share(outcomes: Sequence[Outcome]) -> str:
    given = with_bound(outcomes)
    return f"{sum(o.holds for o in given)} of {len(given)}" if given else "gives none"


def median(values: Sequence[float]) -> str:
    return f"{np.median(values):.1e}"


def on_twenty(name: str, outcomes: Sequence[Outcome] | None) -> Sequence[str]:
    if outcomes is None:
        return name, "not installed: pip install 'gradlab[bench]'", "", "", "", ""
    return (
        name,
        median([o.relative_error for o in outcomes]),
        str(sum(o.relative_error > FAR for o in outcomes)),
        str(sum(map(silent, outcomes))),
        share(outcomes),
        f"{np.mean([o.evaluations for o in outcomes]):.0f}",
    )


def on_thousands(name: str, outcomes: Sequence[Outcome]) -> Sequence[str]:
    given = with_bound(outcomes)
    return (
        name,
        f"{sum(o.holds for o in given) / len(given):.2%} of {len(given)}",
        median([o.relative_error for o in outcomes]),
        median([o.relative_bound for o in outcomes]),
        f"{np.median([o.evaluations for o in outcomes]):.0f}",
    )


def raised(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return what a method raised instead of answering, so that no fault of the comparison passes for one of its."""
    failed = [o for o in outcomes if o.failure]
    return f"{name} raised on {len(failed)} of {len(outcomes)}, first {failed[0]}\n" if failed else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Print how right numerical derivatives are, and how sure.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--seed", type=int, default=SEED, help="draws the points of the second table")
    options = parser.parse_args()
    style, thousands = STYLES[options.format], pairs(options.seed)
    print(
        f"{len(TWENTY)} functions, true derivatives from many-digit arithmetic.\n"
        f"Worse than 1e-6: the relative error is larger, or there is no number at all. In silence: of these, the "
        "ones\nthat are a number with no bound, or with one that does not reach the truth. Evaluations are points "
        "at which\nf was asked for.\n"
    )
    headers = (
        "method",
        "median relative error",
        "worse than 1e-6",
        "in silence",
        "its error bound holds",
        "evaluations each",
    )
    few = {name: method and [measured(method, pair) for pair in TWENTY] for name, method in METHODS.items()}
    print(table(headers, [on_twenty(*item) for item in few.items()], style))
    print("\n" + "".join(raised(name, outcomes) for name, outcomes in few.items() if outcomes))
    print(f"{len(thousands)} pairs of a function and a point, 1e-6 to 1e6 in size.\n")
    headers = (
        "method",
        "bound holds",
        "median relative error",
        "median relative bound",
        "median evaluations",
    )
    many = {name: [measured(method, pair) for pair in thousands] for name, method in FOR_THOUSANDS.items()}
    print(table(headers, [on_thousands(*item) for item in many.items()], style))
    print("\n" + "".join(raised(*item) for item in many.items()), end="")


if __name__ == "__main__":
    main()
