"""Bounds of the numerical reference at edges, powers, staircases, poles and kinks, and next to them."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
from scipy import special

from gradlab import Estimate, Verdict, estimate_gradient
from gradlab.verdict import compare

from ..corpora.edges import Edge, edges

# The sine on x is 8 units in the last place of f there, and the shortest step that sees it in f moves x by as few: f
# is x, rounded, to whoever allows f as much rounding as the sine of a library has.
UNSEEN = "scale/x_plus_sin@1000000000000000.0"
# So many of the catalogue's slopes are undecided, and so many evaluations it takes, at the most.
MOST_UNDECIDED, MOST_EVALUATIONS = 78, 15_000
# And so many of a hundred sums of logarithms with lost digits are off by more than their bound.
MOST_MISSED = 17


def at(f, x):
    def quiet(x):
        with np.errstate(all="ignore"):
            return f(x)

    return estimate_gradient(quiet, np.array(float(x)))


def covers(estimate: Estimate, truth: float) -> bool:
    margin = estimate.error + 1e-12 * abs(truth)
    return bool(estimate.lower - margin <= truth <= estimate.upper + margin) or not np.isfinite(
        estimate.error
    )


def accused(estimate: Estimate, truth: float) -> bool:
    return compare(np.array(truth), estimate).verdict is Verdict.WRONG


@cache
def outcomes() -> tuple[tuple[Edge, float, Estimate], ...]:
    """Every entry that has a finite slope from a side, that slope, and its estimate."""
    known = [
        (edge, next(s for s in (edge.right, edge.left) if s is not None and math.isfinite(s)))
        for edge in edges()
        if any(s is not None and math.isfinite(s) for s in (edge.right, edge.left))
    ]
    return tuple((edge, slope, at(edge.f, edge.x)) for edge, slope in known)


def told(missed):
    return "\n".join(
        f"{edge.name}: {float(estimate.value)} +- {float(estimate.error)}" for edge, _, estimate in missed
    )


def test_the_bound_holds_on_all_of_the_catalogue():
    missed = [o for o in outcomes() if o[0].name != UNSEEN and not covers(o[2], o[1])]
    assert len(outcomes()) > 500
    assert not missed, told(missed)


def test_no_right_slope_of_the_catalogue_is_accused():
    wrong = [o for o in outcomes() if accused(o[2], o[1])]
    assert not wrong, told(wrong)


def test_most_of_the_catalogue_is_decided_and_at_no_great_cost():
    verdicts = [compare(np.array(slope), estimate).verdict for _, slope, estimate in outcomes()]
    assert verdicts.count(Verdict.INCONCLUSIVE) <= MOST_UNDECIDED
    assert sum(estimate.evaluations for *_, estimate in outcomes()) <= MOST_EVALUATIONS


@pytest.mark.parametrize("x", [0.0, 0.3, -2.0, 1e-5, 1e4])
@pytest.mark.parametrize("power", [1.05, 1.1, 1.2, 1.3, 1.5, 1.7, 1.9])
def test_slopes_that_are_approached_as_a_small_power_of_the_step(power, x):
    for f, truth in (
        (lambda t: np.power(t - x, power), 0.0),  # no number below x
        (lambda t: 1e3 + np.sign(t - x) * abs(t - x) ** power, 0.0),
        (lambda t: 3 * t + np.maximum(t - x, 0) ** power, 3.0),
        (lambda t: np.exp(t - x) + abs(t - x) ** power, 1.0),
    ):
        estimate = at(f, x)
        assert covers(estimate, truth), estimate
        assert not accused(estimate, truth), estimate


def test_a_power_that_the_steps_can_tell_is_decided():
    estimate = at(lambda x: np.power(x, 1.3), 0.0)
    assert estimate.error < 1e-2
    assert compare(np.array(0.0), estimate).verdict is Verdict.PASS
    assert compare(np.array(0.15), estimate).verdict is Verdict.WRONG


@pytest.mark.parametrize("distance", [1e-12, 1e-10, 1e-8, 1e-4])
def test_a_root_whose_edge_is_nearer_than_most_steps(distance):
    x = 1 - distance
    estimate = at(np.arcsin, x)
    truth = float(1 / mpmath.sqrt((1 - mpmath.mpf(x)) * (1 + mpmath.mpf(x))))
    assert covers(estimate, truth), estimate
    assert estimate.error < 1e-3 * truth


@pytest.mark.parametrize("width", [1e-3, 1e-4, 1e-6, 1e-8, 1e-9])
@pytest.mark.parametrize("x", [0.71234567, 1.3000001, 2.90670134])
def test_a_staircase_finer_than_the_steps_is_noticed(width, x):
    for f in (
        lambda t: np.floor(t / width) * width,
        lambda t: np.rint(np.exp(t) / width) * width,
    ):
        estimate = at(f, x)
        assert covers(estimate, 0.0), estimate
        # neither the slope of a stair nor that of the flight is accused; what is neither is
        assert not accused(estimate, 0.0)
        assert accused(estimate, -10.0)


@pytest.mark.parametrize("x", [-1.37, 0.13, 0.61, 0.88, 1.66])
def test_another_course_within_the_long_steps(x):
    """Smooth steps of a stair: where they join, the second derivative jumps."""
    cell = lambda t: np.floor(2 * t) + 0.5
    f = lambda t: cell(t) + np.tanh(4 * (2 * t - cell(t))) / np.tanh(2) / 2
    truth = 4 / np.tanh(2) / np.cosh(4 * (2 * x - cell(x))) ** 2
    estimate = at(f, x)
    assert covers(estimate, truth), estimate
    assert estimate.error < 1e-8 * truth


def test_a_staircase_of_powers_of_two_is_noticed_unless_it_may_be_rounding():
    for digits in (6, 12, 16, 20):
        estimate = at(lambda t, n=digits: np.floor(t * 2.0**n) / 2.0**n, 0.7000045)
        assert covers(estimate, 0.0), estimate
    # the last digits of 1e8 are a staircase too, but the slope is that of what is rounded
    estimate = at(lambda t: (t + 1e8) - 1e8, 0.3)
    assert covers(estimate, 1.0)
    assert estimate.error < 1e-4


def test_flights_of_several_widths_are_mostly_covered():
    # 1 - p has lost half of its digits in one row, and all but a few in another: such sums are smooth for long steps,
    # and then straight for shorter and shorter ones, each time with another slope
    rng, missed = np.random.default_rng(0), 0
    for _ in range(100):
        logits, b = rng.uniform(0, 30, 8), rng.choice([0, 0.5, 1, rng.uniform(-3, 3)])
        p = lambda b, logits=logits: 1 / (1 + np.exp(-(logits + b)))
        missed += not covers(at(lambda b, p=p: -np.mean(np.log(1 - p(b))), b), float(np.mean(p(b))))
    assert missed <= MOST_MISSED


def test_what_is_left_of_larger_numbers_has_their_rounding():
    truth = float(-1 / (1 + mpmath.exp(29)))
    assert covers(at(lambda x: np.logaddexp(x, 1.0) - x, 30.0), truth)


@pytest.mark.parametrize("x", [99970.0, 99980.0, 99990.0, 99995.0, 1e5])
def test_steps_far_beyond_a_series_do_not_make_its_bound_small(x):
    truth = float(1 / (1 + 2 * mpmath.exp(mpmath.mpf(100000) - x)))
    estimate = at(lambda t: special.logsumexp([1e5, 1e5, float(t)]), x)
    assert covers(estimate, truth), (estimate, truth)


def test_numbers_that_are_hardly_numbers_any_more():
    assert covers(at(lambda x: x * x, 1e-200), 2e-200)
    estimate = at(lambda x: 1e-320 * x, 3.0)
    assert covers(estimate, 1e-320)
    assert estimate.error > 0


@pytest.mark.parametrize("x", [-4.0760127, -3.9, -2 + 1e-3, 1e-5])
def test_near_a_pole_plain_differences_decide(x):
    estimate = at(lambda x: special.polygamma(1, x), x)
    truth = float(mpmath.psi(2, x))
    assert covers(estimate, truth), (estimate, truth)
    assert estimate.error < 1e-5 * abs(truth)


def test_near_a_pole_rounding_that_two_steps_share_is_told_from_a_kink():
    torch = pytest.importorskip("torch")
    x = -4.076012721760325
    estimate = at(lambda x: torch.polygamma(1, torch.tensor(x)).numpy(), x)
    truth = float(mpmath.psi(2, x))
    assert covers(estimate, truth), (estimate, truth)
    assert estimate.error < 1e-5 * abs(truth)


@pytest.mark.parametrize("distance", [1e-10, 1e-9, 1e-8, 1e-6, -1e-10, -1e-9, -1e-8, -1e-6])
def test_a_slight_kink_near_x_is_still_seen(distance):
    x = 1 + distance
    estimate = at(lambda t: np.exp(t) + 1e-3 * np.maximum(t - 1, 0), x)
    assert covers(estimate, math.exp(x) + 1e-3 * (x > 1)), estimate


@pytest.mark.parametrize("power", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cusp_has_no_slope(power):
    """The slopes from both sides grow against each other, and their mean, 0, is none."""
    estimate = estimate_gradient(lambda x: np.sum(np.abs(x) ** power), np.array([0.0, 1.0]))
    assert np.isinf(estimate.error[0])
    assert estimate.error[1] < 1e-9


@pytest.mark.parametrize("power", [1.2, 1.5, 2.5])
def test_what_is_flat_at_zero_has_one(power):
    estimate = estimate_gradient(lambda x: np.sum(np.abs(x) ** power), np.array([0.0]))
    assert abs(estimate.value[0]) <= estimate.error[0] < 1e-9
