"""Values and bounds of the numerical reference, against known derivatives.

A warning of NumPy's that escapes from an estimate is an error here, next to the edges of a domain too.
"""

import math

import numpy as np
import pytest

from gradlab import estimate_gradient

from .known_derivatives import CANCELLING, FUNCTIONS, TWENTY, Counted, Outcome, Pair, at, mp, pairs, worst

CLOSE = 1e-9
MOST_EVALUATIONS = 32


def outcome(pair: Pair) -> Outcome:
    f = Counted(pair.function.f)
    estimate = estimate_gradient(f, np.array(pair.x))
    assert estimate.value.shape == estimate.error.shape == (), f"{pair}: {estimate}"
    assert estimate.evaluations == f.evaluations, f"{pair}: {f.evaluations} evaluations in truth, {estimate}"
    return Outcome(pair, float(estimate.value), float(estimate.error), estimate.evaluations)


def outcome_or_failure(pair: Pair) -> Outcome:
    try:
        return outcome(pair)
    except Exception as error:  # a pair that fails is counted, and the others are measured all the same
        return Outcome(pair, math.nan, None, 0, repr(error))


@pytest.mark.parametrize("pair", TWENTY, ids=str)
def test_each_of_the_twenty_is_within_1e_9_or_says_that_it_is_not(pair):
    seen = outcome(pair)
    assert seen.relative_error <= CLOSE or (seen.holds and seen.relative_bound > CLOSE), str(seen)


@pytest.mark.parametrize("pair", TWENTY, ids=str)
def test_each_bound_of_the_twenty_holds(pair):
    seen = outcome(pair)
    assert seen.holds, str(seen)


@pytest.mark.parametrize("pair", TWENTY, ids=str)
def test_none_of_the_twenty_costs_more_than_32_evaluations(pair):
    seen = outcome(pair)
    assert seen.evaluations <= MOST_EVALUATIONS, str(seen)


def test_all_pairs_together():
    """One test, so that of several processes one alone measures them."""
    seen = [outcome_or_failure(pair) for pair in pairs()]
    wrong = [o for o in seen if not o.holds]
    share = 1 - len(wrong) / len(seen)
    assert share >= 0.999, f"{share:.2%} hold, {len(wrong)} of {len(seen)} do not:\n{worst(wrong)}"
    median = float(np.median([o.relative_error for o in seen]))
    assert median < 1e-12, f"{median:.1e}"
    median = float(np.median([o.relative_bound for o in seen]))
    assert median < 1e-10, f"{median:.1e}"
    dear = [o for o in seen if o.evaluations > MOST_EVALUATIONS]
    assert not dear, worst(dear)
    odd = [o for o in seen if not math.isfinite(o.value) or o.error is None or math.isnan(o.error)]
    assert not odd, f"{len(odd)} of {len(seen)} do not:\n{worst(odd)}"


@pytest.mark.parametrize(
    "pair",
    [
        at("log", 1e-300),
        at("sqrt", 1e-12),
        at("sqrt", 1e-300),
        at("arcsin", 1 - 1e-9),
        at("arcsin", math.nextafter(1.0, 0.0)),
        at("arccosh", 1 + 1e-9),
        at("log1p", -1 + 1e-9),
        at("x log(x)", 1e-300),
        at("1/x", -1e-100),
        at("exp", 709.7),
        at("gammaln", 1e-200),
    ],
    ids=str,
)
def test_the_bound_holds_next_to_the_edge_of_the_domain(pair):
    seen = outcome(pair)
    assert seen.holds, str(seen)
    assert seen.evaluations <= MOST_EVALUATIONS, str(seen)


@pytest.mark.parametrize(
    "pair", [at("log", 1e-300), at("sqrt", 1e-12), at("arcsin", 1 - 1e-9), at("exp", 709.7)], ids=str
)
def test_an_edge_nearby_costs_few_digits(pair):
    seen = outcome(pair)
    assert seen.relative_error < 1e-6, str(seen)
    assert seen.relative_bound < 1e-3, str(seen)


def to_the_right_only(x):
    return np.exp(x) if x >= 0 else math.nan


def raising(x):
    with np.errstate(all="raise"):
        return np.sqrt(x) + x if x >= 0 else np.log(x)


def test_a_derivative_from_one_side_only():
    estimate = estimate_gradient(to_the_right_only, np.array(0.0))
    assert abs(estimate.value - 1.0) <= estimate.error, estimate
    assert estimate.error < 1e-6, estimate


def test_a_root_of_three_halves_at_its_edge():
    # the one-sided slope falls off like sqrt(h): no extrapolation in whole powers of h gets near the 0
    estimate = estimate_gradient(FUNCTIONS["x sqrt(x)"].f, np.array(0.0))
    assert abs(estimate.value) <= estimate.error, estimate


@pytest.mark.parametrize(("name", "x"), [("arcsin", 1.0), ("arcsin", -1.0), ("sqrt", 0.0), ("arccosh", 1.0)])
def test_an_infinite_derivative_is_never_reported_as_a_number_known_well(name, x):
    estimate = estimate_gradient(FUNCTIONS[name].f, np.array(x))
    assert not estimate.error < 0.1 * abs(estimate.value), estimate


def test_arithmetic_errors_of_f_are_edges_too():
    estimate = estimate_gradient(raising, np.array(1e-6))
    assert abs(estimate.value - 501.0) <= estimate.error, estimate
    assert estimate.error < 1e-3, estimate


def test_there_are_thousands_of_pairs_over_twelve_decades():
    assert len(pairs()) >= 2000
    assert len({pair.function.name for pair in pairs()}) == len(FUNCTIONS)
    assert len({(pair.function.name, pair.x) for pair in pairs()}) == len(pairs())
    decades = {math.floor(math.log10(abs(pair.x))) for pair in pairs() if pair.x}
    assert decades >= set(range(-6, 6))


def test_there_are_twenty():
    assert len(TWENTY) == len({str(pair) for pair in TWENTY}) == 20


def test_the_closed_forms_are_the_derivatives():
    for pair in [*TWENTY, *pairs()[::7]]:
        x = mp.mpf(pair.x)
        with mp.workdps(110):  # more than the closed form has, because a difference loses half of them
            difference = mp.diff(pair.function.exact, x, relative=bool(x))
            scale = abs(difference) + (abs(pair.function.exact(x) / x) if x else 1)
        assert abs(difference - pair.function.derivative(x)) <= mp.mpf("1e-25") * scale, pair


def test_the_float64_functions_compute_what_the_truth_differentiates():
    for pair in [*TWENTY, *pairs()]:
        if pair.function in CANCELLING:
            continue
        with np.errstate(all="ignore"):
            y = float(pair.function.f(np.array(pair.x)))
        rounding = np.finfo(float).eps * (1 + abs(y) + abs(pair.x * pair.truth))
        assert abs(mp.mpf(y) - pair.function.exact(mp.mpf(pair.x))) <= 32 * rounding, pair
