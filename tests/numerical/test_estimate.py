"""The numerical reference that knows its own error: kinks, noise, edges, precisions, methods."""

import itertools

import mpmath
import numpy as np
import pytest

from gradlab import (
    Verdict,
    check_gradient,
    check_vjp,
    estimate_gradient,
    estimate_jacobian,
    estimate_jvp,
    estimate_vjp,
)
from gradlab.verdict import compare

A = np.random.default_rng(0).standard_normal((3, 2))


def slope(f, x, **options):
    return estimate_gradient(f, np.array(float(x)), **options)


def covers(estimate, truth):
    return abs(float(estimate.value) - truth) <= float(estimate.error) + 2**-52 * abs(truth)


def test_evaluations_are_counted_and_fewer_where_it_converges_at_once():
    calls = []

    def f(x):
        calls.append(1)
        return np.exp(x)

    estimate = slope(f, 1)
    assert estimate.evaluations == len(calls) == 17
    assert slope(lambda x: 1e8 + np.sin(x), 1).evaluations == 31


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_shapes(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    kept = x.copy()
    estimate = estimate_gradient(lambda x: np.sum(np.sin(x)), x)
    assert estimate.value.shape == estimate.error.shape == shape
    assert (np.abs(estimate.value - np.cos(x)) <= estimate.error).all()
    assert (estimate.error <= 1e-9).all()
    assert np.array_equal(x, kept)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_scale_is_found_per_element(scale):
    x = scale * np.array([1.0, -2.0, 0.5])
    estimate = estimate_gradient(lambda x: np.sum(np.sin(x / scale)), x)
    truth = np.cos(x / scale) / scale
    assert (np.abs(estimate.value - truth) <= estimate.error).all()
    assert (estimate.error <= 1e-9 * np.abs(truth)).all()


def test_elements_of_twelve_decades_side_by_side():
    x = np.array([1e-12, 1e-6, 1.0, 1e6, 1e12, 0.0])
    estimate = estimate_gradient(lambda x: np.sum(x**2), x)
    assert (np.abs(estimate.value - 2 * x) <= estimate.error).all()
    assert (estimate.error[:5] <= 1e-3 * x[:5]).all() or estimate.error[4] <= 1e-9 * x[4]


KINKS = [0.0, 1e-12, 1e-9, 1e-6, 1e-3]


@pytest.mark.parametrize("distance", KINKS)
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("at", [0.0, 1.0])
@pytest.mark.parametrize("name", ["relu", "abs", "maximum"])
def test_at_and_near_a_kink(name, at, side, distance):
    f, left, right = {
        "relu": (lambda x: np.maximum(x - at, 0), 0.0, 1.0),
        "abs": (lambda x: np.abs(x - at), -1.0, 1.0),
        "maximum": (lambda x: np.maximum(2 * (x - at), 3 * (x - at)), 2.0, 3.0),
    }[name]
    estimate = slope(f, at + side * distance)
    assert estimate.error < 1e-3
    true = right if side > 0 else left
    if distance == 0:
        assert estimate.kink
        assert (estimate.lower, estimate.upper) == pytest.approx((left, right), abs=1e-9)
    for slope_given in (left, right, left - 0.1, right + 0.1):
        verdict = compare(np.array(slope_given), estimate).verdict
        allowed = estimate.lower - 1e-2 <= slope_given <= estimate.upper + 1e-2
        assert (verdict is Verdict.WRONG) == (not allowed)
    # the slope of the side that x is on is right, however near the other side is
    assert compare(np.array(true), estimate).verdict in (Verdict.PASS, Verdict.KINK, Verdict.INCONCLUSIVE)
    if distance >= 1e-9:
        assert not estimate.kink
        assert compare(np.array(true), estimate).verdict is Verdict.PASS
        assert compare(np.array(left + right - true), estimate).verdict is Verdict.WRONG


@pytest.mark.parametrize("at", [0.28, -3.0, 1e-3])
@pytest.mark.parametrize("side", [1, -1])
def test_a_curve_near_a_kink_at_any_distance(at, side):
    for distance in 10.0 ** np.arange(-6, 0, 0.5):
        knee = np.sin(at * (1 + side * distance))
        estimate = slope(lambda x, knee=knee: np.exp(x) + 2 * np.maximum(np.sin(x) - knee, 0), at)
        truth = np.exp(at) + 2 * np.cos(at) * (np.sin(at) > knee)
        assert covers(estimate, truth)
        assert estimate.error < 1e-3 * abs(truth)


def test_a_plateau_beyond_two_kinks_is_not_believed():
    # all steps over 1e-6 agree on the slope 1 to the last digit, and the slope at 0 is 0
    soft_threshold = lambda x: np.maximum(x - 1e-6, 0) - np.maximum(-x - 1e-6, 0)
    assert abs(slope(soft_threshold, 0).value) < 1e-15
    clip = lambda x: np.clip(x, 1 - 1e-9, 1 + 1e-9)
    estimate = slope(clip, 1)
    assert covers(estimate, 1)
    assert estimate.error < 0.1


def test_ties_that_feed_several_outputs_are_judged_output_by_output():
    # overlapping pooling windows: each may choose its own winner, and g has both signs
    pool = lambda x: np.array([max(x[0], x[1]), max(x[1], x[2])])
    g = np.array([1.0, -1.0])
    (estimate,) = estimate_vjp(pool, (np.ones(3),), g)
    assert estimate.kink.all()
    # x[1] wins the one window and loses the other, either way round: both are right
    for gradient in ([0.0, 1.0, -1.0], [1.0, -1.0, 0.0], [1.0, 0.0, -1.0], [0.5, 0.0, -0.5]):
        assert compare(np.array(gradient), estimate).verdict is Verdict.KINK
    assert compare(np.array([0.0, 1.5, -1.0]), estimate).verdict is Verdict.WRONG


@pytest.mark.parametrize("distance", KINKS)
def test_sort_at_and_near_a_tie(distance):
    x = np.array([1.0, 1.0 + distance, 3.0])
    g = np.array([1.0, -2.0, 0.5])
    (estimate,) = estimate_vjp(np.sort, (x,), g)
    # which of two tied elements takes which place is a choice: both ways are right, and no third
    one_way, other_way, neither = (
        compare(np.array(d), estimate).verdict for d in ([1.0, -2.0, 0.5], [-2.0, 1.0, 0.5], [1.5, -2.0, 0.5])
    )
    assert one_way is not Verdict.WRONG
    assert neither not in (Verdict.PASS, Verdict.KINK)
    if distance == 0:
        assert (one_way, other_way, neither) == (Verdict.KINK, Verdict.KINK, Verdict.WRONG)
    if distance >= 1e-6:
        # (nearer to a tie of numbers of size 1 than that, what rounding would do leaves it undecided)
        assert (one_way, other_way, neither) == (Verdict.PASS, Verdict.WRONG, Verdict.WRONG)


def test_kinks_that_cancel_in_the_sum_are_seen():
    both = lambda x: np.array([np.abs(x), np.abs(x)])
    (estimate,) = estimate_vjp(both, (np.array(0.0),), np.array([1.0, -1.0]))
    assert (estimate.lower, estimate.upper) == (-2, 2)


@pytest.mark.parametrize("at", [0.0, 2.0])
def test_a_jump_is_told_from_a_kink(at):
    step = lambda x: np.where(x > at, 1.0, 0.0)
    estimate = slope(step, at)
    assert estimate.kink
    assert estimate.jump
    assert not slope(np.abs, 0).jump
    assert compare(np.array(0.0), estimate).verdict is Verdict.KINK
    assert "jump" in compare(np.array(0.0), estimate).note
    assert compare(np.array(0.5), estimate).verdict is Verdict.WRONG


@pytest.mark.parametrize("distance", [1e-9, 1e-6, 1e-3])
def test_near_a_jump_the_slope_is_that_of_the_plateau(distance):
    assert slope(lambda x: np.where(x > 1, 1.0, 0.0), 1 + distance).value == 0


def test_rounding_is_counted_by_the_terms_and_not_by_their_sum():
    # the terms are 1e8, their sum is of order 1
    f = lambda x: np.array([1e8 + np.sin(x), -1e8 + 0 * x])
    (estimate,) = estimate_vjp(f, (np.array(1.0),), np.ones(2))
    assert covers(estimate, np.cos(1))
    assert estimate.error > 1e-9


@pytest.mark.parametrize("x", [30.0, -30.0])
def test_saturated_regions_are_uncertain_and_not_wrong(x):
    truth = np.exp(-30) / (1 + np.exp(-30)) ** 2
    for f in (lambda x: 1 / (1 + np.exp(-x)), lambda x: (1 + np.tanh(x / 2)) / 2):
        assert covers(slope(f, x), truth)


NOISES = {
    "hashed": lambda x: 1e-6 * ((x * 1e15) % 7 / 7),
    "fast sine": lambda x: 1e-6 * np.sin(1e9 * x),
    "float32": lambda x: np.float64(np.float32(np.sin(x))) - np.sin(x),
}


@pytest.mark.parametrize("x", [0.3, 1.0, 1.2, 2.0, 5.0, -0.7])
@pytest.mark.parametrize("noise", NOISES)
def test_deterministic_noise_is_inconclusive_or_a_pass_and_never_wrong(noise, x):
    f = lambda x: np.sin(x) + NOISES[noise](x)
    x = np.array(x)
    strict, lenient = (
        check_gradient(f, np.cos, x, rtol=rtol, checks=["matches_numerical"]).rows[0].verdict
        for rtol in (1e-9, 1e-3)
    )
    assert strict is Verdict.INCONCLUSIVE
    assert lenient is Verdict.PASS
    assert slope(f, x).error < 1e-3


@pytest.mark.parametrize("x", [0.3, 1.0, 1.2, 2.0, 5.0, -0.7])
def test_a_rounding_to_decimals_may_be_a_staircase(x):
    # the slope is the sine's to whoever rounds for the eye, and 0 to whoever computes with stairs
    f = lambda x: np.round(np.sin(x), 6)
    estimate = slope(f, x)
    assert covers(estimate, np.cos(x))
    assert covers(estimate, 0.0)
    assert estimate.error < 0.6 * abs(np.cos(x))
    for right in (np.cos, lambda x: 0 * x):
        assert (
            check_gradient(f, right, np.array(x), checks=["matches_numerical"]).rows[0].verdict
            is not Verdict.WRONG
        )
    assert compare(2 * np.cos(x), estimate).verdict is Verdict.WRONG


# What 1 loses by rounding, times what changes: f is a flight of stairs whose treads have a slope of their own.
ON_TREADS = {
    "gelu": (lambda m, x: x / 2 * (1 + m.tanh(0.7978845608028654 * (x + 0.044715 * x**3))), (-5.5, -6.5)),
    "damped tail": (lambda m, x: x * (1 - m.tanh(x) ** 2), (-9.5, -11.2, 10.1)),
    "growing tail": (lambda m, x: (1 + m.tanh(x)) * m.exp(x / 10), (-9.0, -12.5)),
    "beside a softplus": (lambda m, x: x * m.log(1 + m.exp(x)), (-15.85,)),
}


@pytest.mark.parametrize(("f", "x"), [(f, x) for f, places in ON_TREADS.values() for x in places])
def test_the_slope_of_a_tread_is_not_taken_for_that_of_the_flight(f, x):
    estimate = slope(lambda x: f(np, x), x)
    with mpmath.workdps(40):
        truth = float(mpmath.diff(lambda x: f(mpmath, x), mpmath.mpf(x)))
    assert covers(estimate, truth)


def test_the_bound_on_a_tread_is_that_of_the_flight():
    f, _ = ON_TREADS["gelu"]
    estimate = slope(lambda x: f(np, x), -5.8491325950815085)
    assert estimate.value == pytest.approx(-2.8450314714602643e-09, rel=1e-4)
    assert estimate.error < 1.1 * abs(estimate.value)


def test_a_right_gelu_is_right_in_its_tail_whatever_is_asked_of_every_element():
    f, _ = ON_TREADS["gelu"]

    def backward(x, g):
        t = np.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
        inner = 0.7978845608028654 * (1 + 3 * 0.044715 * x**2)
        return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner),)

    x = np.linspace(-9, 3, 60)
    forward = lambda x: (f(np, x), x)
    options = {"full_below": None, "explore": False, "repair": False}
    assert check_vjp(forward, backward, (x,), **options).ok
    wrong = lambda x, g: (backward(x, g)[0] * np.where(x > -4, 1.001, 1),)
    assert not check_vjp(forward, wrong, (x,), **options).ok


def test_float32_inside_is_measured():
    f = lambda x: np.sin(x.astype(np.float32))
    estimate = slope(f, 1.0)
    assert covers(estimate, np.cos(1))
    assert 1e-9 < estimate.error < 1e-3


@pytest.mark.parametrize(
    ("f", "x", "truth"),
    [
        (np.log, 1e-300, 1e300),
        (np.sqrt, 1e-12, 5e5),
        (np.arcsin, 1 - 1e-9, float(1 / mpmath.sqrt(1 - mpmath.mpf(1 - 1e-9) ** 2))),
        (lambda x: x * np.sqrt(x), 0.0, 0.0),
    ],
)
def test_edges_of_the_domain(f, x, truth):
    estimate = slope(f, x)
    assert np.isfinite(estimate.value)
    assert covers(estimate, truth)
    assert estimate.error <= max(1e-7 * truth, 1e-4)


@pytest.mark.parametrize(("f", "x"), [(np.sqrt, 0.0), (np.arcsin, 1.0), (np.cbrt, 0.0)])
def test_an_infinite_slope_is_not_given_a_bound(f, x):
    assert np.isinf(slope(f, x).error)


def test_exceptions_of_the_arithmetic_kind_are_the_edge_of_the_domain():
    import math

    estimate = slope(lambda x: math.sqrt(x), 1e-3)
    assert covers(estimate, 0.5 / math.sqrt(1e-3))
    with pytest.raises(KeyError):
        slope(lambda x: {}[x.item()], 1.0)


def test_float32_input_is_judged_in_float64():
    x = np.array([0.1, 2.0], dtype=np.float32)
    estimate = estimate_gradient(lambda x: np.sum(np.tanh(x)), x)
    assert estimate.value.dtype == np.float64
    assert (estimate.error < 1e-9).all()


def test_longdouble_stays_longdouble():
    x = np.array([1.0, 2.0], dtype=np.longdouble)
    estimate = estimate_gradient(lambda x: np.sum(np.exp(x)), x)
    assert estimate.value.dtype == np.longdouble
    assert (np.abs(estimate.value - np.exp(x)) <= estimate.error).all()
    assert (estimate.error < 1e-9).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_right_gradients_of_every_precision_pass(dtype):
    x = np.linspace(-1, 1, 6).reshape(2, 3).astype(dtype)
    check_vjp(lambda x: (np.tanh(x), x), lambda x, g: (g * (1 - np.tanh(x) ** 2),), (x,)).raise_if_failed()
    wrong = check_vjp(lambda x: (np.tanh(x), x), lambda x, g: (g * (1 + np.tanh(x) ** 2),), (x,))
    assert not wrong.ok


@pytest.mark.parametrize("x", [np.array([1, 2]), np.array([1j]), np.array([True])])
@pytest.mark.parametrize("method", ["auto", "central", "complex-step"])
def test_what_cannot_be_moved_is_refused(x, method):
    with pytest.raises(TypeError, match="small step"):
        estimate_gradient(np.sum, x, method=method)


def test_bad_f_and_bad_method():
    with pytest.raises(ValueError, match="shape"):
        estimate_gradient(lambda x: x, np.ones(2))
    with pytest.raises(TypeError, match="complex"):
        estimate_gradient(lambda x: 1j, np.ones(2))
    with pytest.raises(ValueError, match=r"no method is named 'best': there are auto, central"):
        estimate_gradient(np.sum, np.ones(2), method="best")


@pytest.mark.parametrize("method", ["auto", "central", "forward", "backward", "complex-step"])
def test_every_method_covers_the_truth(method):
    x = np.array([[0.5, 1.5], [-1.0, 2.0]])
    estimate = estimate_gradient(lambda x: np.sum(np.sin(x) ** 2), x, method=method)
    assert (np.abs(estimate.value - np.sin(2 * x)) <= estimate.error).all()
    assert (estimate.error < {"complex-step": 1e-14, "auto": 1e-9, "central": 1e-7}.get(method, 1e-3)).all()


@pytest.mark.parametrize("method", ["auto", "central"])
def test_vectorized_gives_the_same(method):
    f = lambda x: np.sin(x[..., 0]) * x[..., 1] ** 3
    x = np.array([0.7, -1.3])
    one, many = (
        estimate_gradient(f, x, method=method),
        estimate_gradient(f, x, method=method, vectorized=True),
    )
    assert np.array_equal(one.value, many.value)
    assert np.array_equal(one.error, many.error)
    assert one.evaluations == many.evaluations


def test_a_cotangent_of_another_size():
    with pytest.raises(ValueError, match=r"shape \(3,\), f's output \(2,\): give it"):
        estimate_vjp(lambda x: 2 * x, (np.ones(2),), np.ones(3))


def test_what_cannot_be_sent_to_other_processes():
    with pytest.raises(TypeError, match="top level of a module"):
        estimate_gradient(lambda x: np.sum(x), np.ones(2), workers=2)


def cubes(x):
    return np.sum(x**3)


@pytest.mark.parametrize("workers", [1, 2, map])
def test_workers_change_nothing(workers):
    x = np.linspace(-2, 2, 150)
    one, many = estimate_gradient(cubes, x), estimate_gradient(cubes, x, workers=workers)
    assert np.array_equal(one.value, many.value)
    assert one.evaluations == many.evaluations


def test_chunks_change_nothing(monkeypatch):
    x = np.linspace(-2, 2, 20)
    whole = estimate_vjp(np.tanh, (x,), np.ones(20))[0]
    monkeypatch.setattr("gradlab.numerical.estimate.CHUNK", 20 * 30 * 3)
    parts = estimate_vjp(np.tanh, (x,), np.ones(20))[0]
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-9)


def test_jacobian_jvp_and_vjp_agree():
    x = np.array([0.3, -0.4])
    f = lambda x: np.tanh(A @ x)
    jacobian = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    v, g = np.array([1.0, 2.0]), np.array([1.0, -1.0, 0.5])
    for estimate, truth in [
        (estimate_jacobian(f, x), jacobian),
        (estimate_jvp(f, (x,), (v,)), jacobian @ v),
        (estimate_vjp(f, (x,), g)[0], g @ jacobian),
    ]:
        assert estimate.value.shape == truth.shape
        assert (np.abs(estimate.value - truth) <= estimate.error).all()
        assert (estimate.error < 1e-9).all()


def test_complex_step_is_exact_where_f_is_analytic():
    x = np.array([1e-6, 0.7, 3.0])
    estimate = estimate_gradient(lambda x: np.sum(np.exp(x) / np.sqrt(x)), x, method="complex-step")
    truth = np.exp(x) * (x**-0.5 - 0.5 * x**-1.5)
    np.testing.assert_allclose(estimate.value, truth, rtol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.abs(x)),
        lambda x: np.sum(np.real(x) ** 2),
        lambda x: np.sum(x * np.conj(x)).real,
        lambda x: np.sum(x.astype(float) ** 2),
        lambda x: np.sum(np.arctan2(x, 1.0)),
        lambda x: np.sum(np.maximum(x, 0.5)),
    ],
)
def test_complex_step_refuses_what_is_not_analytic(f):
    with pytest.raises(ValueError, match="use method='auto'"):
        estimate_gradient(f, np.array([0.5, 2.0]), method="complex-step")


def test_the_sensitivity_is_kept():
    x = np.random.default_rng(0).standard_normal((3, 4))
    right = lambda x, g: g * np.cos(x)
    (row,) = check_vjp(
        lambda x: (np.sin(x), x), lambda x, g: (right(x, g),), (x,), checks=["matches_numerical"]
    ).rows
    assert row.verdict is Verdict.PASS
    assert 0 < row.sensitivity < row.element_sensitivity < 1e-6
    # of the element itself, or of the largest entry: either shows, whichever element has it
    errors = [
        lambda d, index: d[index] * row.element_sensitivity,
        lambda d, index: np.abs(d).max() * row.sensitivity,
    ]
    for index in np.ndindex(x.shape):
        for sign, error in itertools.product((1, -1), errors):

            def wrong(x, g, index=index, sign=sign, error=error):
                gradient = right(x, g)
                gradient[index] += sign * error(gradient, index)
                return (gradient,)

            (off,) = check_vjp(lambda x: (np.sin(x), x), wrong, (x,), checks=["matches_numerical"]).rows
            assert off.verdict is Verdict.WRONG
            assert off.worst_index == index


@pytest.mark.parametrize("method", [np.ones(2), np.zeros(2, dtype=[("a", float)]), 3, None, "h"], ids=repr)
def test_a_method_that_is_none(method):
    for estimate in (
        lambda: estimate_gradient(np.sum, np.ones(2), method=method),
        lambda: estimate_jacobian(np.sin, np.ones(2), method=method),
        lambda: estimate_vjp(np.sin, (np.ones(2),), np.ones(2), method=method),
        lambda: estimate_jvp(np.sin, (np.ones(2),), (np.ones(2),), method=method),
    ):
        with pytest.raises(ValueError, match=r"^no method is named .*: there are auto, central"):
            estimate()
