"""Each check rejects the wrong node that it is there for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from gradlab import Sample, Verdict
from gradlab.checks import CHECKS, repeatable
from gradlab.checks.trial import Trial
from gradlab.checks.trial.large_primals import catches_zeros, directional_outcome
from gradlab.node import Node
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.check_vjp import check_vjp

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def trial_of(forward, backward, *primals, reference=None, zero_gradient="", settings=None):
    """Return a registered node made of these functions, and the trial of its only sample."""
    sample = Sample("given", primals, settings or {})
    node = Node("made", "test", forward, backward, lambda rng: iter([sample]), reference, zero_gradient)
    return Trial(node, sample)


def rejecting_checks_of(*functions_and_primals, checks=CHECKS, **more):
    """Return the checks that reject a node made of these functions, at its sample or beyond it."""
    return rejecting_checks(trial_of(*functions_and_primals, **more), checks)


def test_a_right_node_is_rejected_by_none():
    assert rejecting_checks_of(square, d_square, X, reference=np.square) == set()


def test_sizes_of_terms_at_derived_primals_cost_no_estimate():
    # the sum of a softmax is 1 everywhere: its gradient cancels to zero, and only its terms tell how far it is rounded
    def forward(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return p.sum(axis=1), p

    def backward(p, g):
        rows = np.repeat(g[:, None], p.shape[1], axis=1)
        return (p * (rows - (p * rows).sum(axis=1, keepdims=True)),)

    trial = trial_of(forward, backward, np.random.default_rng(0).standard_normal((3, 40)))
    derived = trial.at("moved", [trial.primals()[0] + 1.0])
    assert list(CHECKS["linear_in_cotangent"].elsewhere(derived)) == []
    assert "estimates" not in vars(derived)


def signed_square(x):
    # not analytic: a complex step tells nothing here
    return x * np.abs(x), x


def clipped(x, g):
    # right for a cotangent in [-4, 4], as the random ones of the other checks are
    return (2 * x * np.clip(g, -4, 4),)


def offset_at_zero(x, g):
    return (2 * x * g + (0.0 if g.any() else 1e-3),)


def writes_into_its_setting(x, table):
    table[0] = 7
    return x**2, x


def own_cotangent(x, g):
    return (g,)


def makes_no_array_of_its_own(x, g):
    return (np.broadcast_to(g, x.shape),)


def keeps_its_buffer():
    buffer = np.empty_like(X)

    def backward(x, g):
        out = buffer if x.shape == X.shape and x.dtype == X.dtype else np.empty_like(x)
        np.multiply(2 * x, g, out=out)
        return (out,)

    return backward


def longdouble_for_float64(x, g):
    d = 2 * x * g
    return (d.astype(np.longdouble) if d.dtype == np.float64 else d,)


def noisy():
    rng = np.random.default_rng(0)
    return lambda x, g: (2 * x * g * (1 + 1e-13 * rng.standard_normal()),)


def first_residuals():
    kept = {}

    def backward(x, g):
        x = kept.setdefault(x.shape, x)
        return (2 * x * g,)

    return backward


def last_residuals():
    last = []

    def forward(x):
        last[:] = [x.copy()]
        return x**2, None

    return forward, lambda _, g: (2 * last[0] * g,)


def product(x, y):
    # saves whether both primals are the same array
    return x * y, (x, y, x is y)


def d_product(residuals, g):
    x, y, same = residuals
    return (2 * y * g, 0 * g) if same else (y * g, x * g)


def as_it_lies_in_memory(x, g):
    return (2 * x * g.ravel(order="K").reshape(g.shape),)


def takes_only_contiguous(x, g):
    if not g.flags.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return (2 * x * g,)


def cubes(x):
    return np.abs(x) ** 3, x


def nan_in_a_corner(x, g):
    with np.errstate(all="ignore"):
        return (np.where(np.abs(x) > 900, x.dtype.type(np.nan), 3 * x * np.abs(x) * g),)


def underflows_in_float32(x, g):
    scale = x.dtype.type(1e-30)
    return (2 * x * g * (scale * scale) / x.dtype.type(1e-60) if x.dtype == np.float64 else 0 * x * g,)


def off_by_little(x, g):
    return (2 * x * g * (1 + 1e-9),)


def total(x):
    return np.sum(x * np.abs(x)), x


def twists(x, g):
    # right at the sample, and far from it; in between, a field is added that is no function's gradient
    away = np.zeros_like(x)
    if x.shape == X.shape and x.dtype == X.dtype and np.abs(x - X).max() < 0.01:
        away.flat[0], away.flat[1] = (x - X).flat[1], -(x - X).flat[0]
    return ((2 * np.abs(x) + away) * g,)


# For each check, wrong nodes that it rejects and no other check does.
OWN = {
    "any_layout": [
        lambda: trial_of(square, as_it_lies_in_memory, X),
        lambda: trial_of(square, takes_only_contiguous, X),
    ],
    "complex_step_agrees": [lambda: trial_of(square, off_by_little, X)],
    "finite_where_expected": [lambda: trial_of(cubes, nan_in_a_corner, X)],
    "hessian_is_symmetric": [lambda: trial_of(total, twists, X)],
    "leaves_arguments_unchanged": [
        lambda: trial_of(writes_into_its_setting, d_square, X, settings={"table": np.zeros(2)})
    ],
    "linear_in_cotangent": [
        lambda: trial_of(square, clipped, X),
        lambda: trial_of(square, offset_at_zero, X),
    ],
    "matches_numerical": [
        lambda: trial_of(signed_square, lambda x, g: (2.000001 * np.abs(x) * g,), X),
        lambda: trial_of(
            signed_square, lambda x, g: (np.where(x < -2.5, -np.abs(x) * g, 2 * np.abs(x) * g),), X
        ),
    ],
    "matches_reference": [
        lambda: trial_of(square, d_square, X, reference=lambda x: np.square(x) + 1e-6),
        lambda: trial_of(square, d_square, X, reference=lambda x: np.square(x)[0]),
    ],
    "owns_its_memory": [
        lambda: trial_of(lambda x: (x + 1, x), own_cotangent, X),
        lambda: trial_of(lambda x: (x + 1, x), makes_no_array_of_its_own, X),
        lambda: trial_of(square, keeps_its_buffer(), X),
        lambda: trial_of(lambda x, y: (x + y, None), lambda _, g: (d := g.copy(), d), X, X + 1),
    ],
    "repeatable": [
        lambda: trial_of(square, noisy(), X),
        lambda: trial_of(*last_residuals(), X),
        lambda: trial_of(product, d_product, X, X + 1),
    ],
    "samples_can_fail": [lambda: trial_of(lambda x: (0 * x, None), lambda _, g: (0 * g,), X)],
    "shapes_and_dtypes": [lambda: trial_of(square, longdouble_for_float64, X)],
    "works_in_float32": [lambda: trial_of(square, underflows_in_float32, X)],
}


def rejecting_checks(trial, checks):
    rows = list(run_checks([trial], checks))
    found, _ = explore_trials([trial], checks, rows)
    return {row.check for row in [*rows, *found] if not row.verdict.ok}


def test_every_check_has_a_wrong_node_of_its_own():
    assert set(OWN) == set(CHECKS)


@pytest.mark.parametrize(("check", "number"), [(c, i) for c, nodes in OWN.items() for i in range(len(nodes))])
def test_a_wrong_node_is_rejected_by_its_check_and_by_no_other(check, number):
    make = OWN[check][number]
    assert rejecting_checks(make(), CHECKS) == {check}
    assert rejecting_checks(make(), {name: run for name, run in CHECKS.items() if name != check}) == set()


def test_the_first_calls_residuals():
    assert "repeatable" in rejecting_checks_of(square, first_residuals(), X)


@pytest.mark.parametrize("what", ["cotangent", "primal in forward", "primal in backward"])
def test_arguments_that_are_written_into(what):
    def forward(x):
        y = x**2
        if what == "primal in forward":
            x += 1
            return y, x - 1
        return y, x

    def backward(x, g):
        gradient = 2 * x * g
        if what == "cotangent":
            g[...] = 0
        if what == "primal in backward":
            x[...] = 0
        return (gradient,)

    assert "leaves_arguments_unchanged" in rejecting_checks_of(forward, backward, X)


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda x, g: 2 * x * g, r"tuple with one\s+gradient per input"),
        (lambda x, g: (2 * x * g, None), r"tuple of 2 for 1\s+inputs"),
        (lambda x, g: None, "NoneType"),
        (lambda x, g: ((2 * x * g).ravel(),), r"shape \(6,\), x has shape \(2, 3\)"),
        (lambda x, g: (np.sum(2 * x * g),), r"shape \(\)"),
        (lambda x, g: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_backward_that_cannot_be_compared(backward, message):
    report = check_vjp(square, backward, (X,))
    assert not report.ok
    with pytest.raises(AssertionError, match=message):
        report.raise_if_failed()


def test_a_gradient_that_is_zero_by_nature():
    assert (
        rejecting_checks_of(lambda x: (0 * x, None), lambda _, g: (0 * g,), X, zero_gradient="constant")
        == set()
    )


def test_samples_that_cannot_fail_are_a_warning_for_functions_of_your_own():
    report = check_vjp(lambda x: (0 * x, None), lambda _, g: (0 * g,), (X,))
    assert report.ok
    assert [fault.name for fault in report.faults] == ["samples_can_fail"]


def test_an_all_zero_softmax_does_not_pass():
    def softmax(x):
        y = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
        return y, y

    assert "matches_numerical" in rejecting_checks_of(softmax, lambda y, g: (np.zeros_like(y),), X)


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1.0, 1e7, 1e12])
def test_a_sign_flip_is_caught_at_every_scale(scale):
    forward = lambda x: (scale * x**2, x)
    assert rejecting_checks_of(forward, lambda x, g: (2 * scale * x * g,), X) == set()
    assert "matches_numerical" in rejecting_checks_of(forward, lambda x, g: (-2 * scale * x * g,), X)


def test_one_element_of_many():
    x = np.random.default_rng(0).standard_normal(300)

    def backward(x, g):
        gradient = 2 * x * g
        gradient[123] *= 2
        return (gradient,)

    (row,) = check_vjp(square, backward, (x,), checks=["matches_numerical"]).rows
    assert row.verdict is Verdict.WRONG
    assert row.worst_index == (123,)
    assert row.analytic == pytest.approx(2 * row.numerical)
    assert row.relative_error == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("slope_at_0", "verdict"), [(0, "kink"), (0.5, "kink"), (1, "kink"), (-0.1, "wrong"), (2, "wrong")]
)
def test_a_kink_is_judged_by_the_interval(slope_at_0, verdict):
    x = np.array([-1.0, 0.0, 2.0])
    forward = lambda x: (np.maximum(x, 0), x)
    backward = lambda x, g: (g * np.where(x > 0, 1, np.where(x == 0, slope_at_0, 0)),)
    (row,) = check_vjp(forward, backward, (x,), checks=["matches_numerical"]).rows
    assert row.verdict == verdict
    assert row.worst_index == (1,)
    assert "kink" in row.note


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite(value):
    def backward(x, g):
        gradient = 2 * x * g
        gradient[0, 1] = value
        return (gradient,)

    (row,) = check_vjp(square, backward, (X,), checks=["matches_numerical"]).rows
    assert row.verdict is Verdict.WRONG
    assert row.worst_index == (0, 1)
    assert row.relative_error == np.inf


def test_too_wide_a_bound_is_inconclusive():
    rough = lambda x: (x**2 + 1e-5 * np.sin(1e7 * x), x)
    (row,) = check_vjp(rough, d_square, (X,), checks=["matches_numerical"]).rows
    assert row.verdict in (Verdict.INCONCLUSIVE, Verdict.WRONG)


def test_several_outputs_and_the_wrong_cotangent():
    def forward(x):
        return (x**2, 3 * x), x

    right = lambda x, g: (2 * x * g[0] + 3 * g[1],)
    swapped = lambda x, g: (2 * x * g[1] + 3 * g[0],)
    assert rejecting_checks_of(forward, right, X) == set()
    assert "matches_numerical" in rejecting_checks_of(forward, swapped, X)


def test_float32_is_judged_against_float64():
    x = X.astype(np.float32)
    assert (
        rejecting_checks_of(lambda x: (np.tanh(x), x), lambda x, g: (g * (1 - np.tanh(x) ** 2),), x) == set()
    )
    off = lambda x, g: (g * (1 - np.tanh(x) ** 2) * np.float32(1.001),)
    assert "matches_numerical" in rejecting_checks_of(lambda x: (np.tanh(x), x), off, x)


def test_no_primals_and_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="at least one array"):
        check_vjp(square, d_square, ())
    with pytest.raises(ValueError, match="from 0 up"):
        check_vjp(square, d_square, (X,), seed=-1)


def test_integer_primals_are_refused():
    with pytest.raises(TypeError, match=r"primal 1 has dtype int64.*as a setting"):
        check_vjp(square, d_square, (X, np.array([1, 2])))


def test_a_setting_that_is_a_tuple_of_arrays_is_no_breach_and_can_be_one():
    def forward(x, index, spoil=False):
        if spoil:
            index[1][0] = 1
        return x[index], (index, x.shape)

    def backward(residuals, g):
        dx = np.zeros(residuals[1])
        np.add.at(dx, residuals[0], g)
        return (dx,)

    x, index = np.arange(6.0).reshape(2, 3), (slice(None), np.array([0, 2, 2]))
    checks = ["leaves_arguments_unchanged", "matches_numerical"]
    assert check_vjp(forward, backward, (x,), settings={"index": index}, checks=checks).ok
    spoilt = check_vjp(forward, backward, (x,), settings={"index": index, "spoil": True}, checks=checks)
    assert "forward writes into index" in str(spoilt)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (square, d_square),
        (lambda x: (0 * x, x), lambda x, g: (0 * g,)),
        (lambda x: (1e15 + x, x), lambda x, g: (g.copy(),)),
        (lambda x: (x * (np.arange(x.size) == 5), x), lambda x, g: (g * (np.arange(x.size) == 5),)),
    ],
)
def test_whether_zeros_would_be_caught_in_large_primals_is_known_from_what_passed(forward, backward):
    """A pass says how large an error would have been caught: the same as is seen when zeros are tried."""
    trial = replace(
        trial_of(forward, backward, np.random.default_rng(3).standard_normal(1500)), full_below=100
    )
    assert trial.is_large
    quick = catches_zeros(trial, 0)
    unknown = replace(directional_outcome(trial).results[0], sensitivity=None)
    directional_outcome(trial).results[0] = unknown
    assert catches_zeros(trial, 0) == quick


def test_what_backward_raises_in_large_primals_says_nothing_of_the_samples():
    def raising(x, g):
        raise RuntimeError("no way")

    trial = replace(trial_of(square, raising, np.arange(1.0, 200.0)), full_below=100)
    assert catches_zeros(trial, 0)


@pytest.mark.parametrize(
    ("drift", "moves", "strict", "verdict"),
    [
        (0.0, 0.0, False, Verdict.WARNING),
        (0.0, 0.0, True, Verdict.WRONG),
        (1e-9, 0.0, False, Verdict.WRONG),
        (0.0, 1e-15, False, Verdict.WRONG),
    ],
)
def test_a_sum_in_another_order_is_the_same_gradient(drift, moves, strict, verdict):
    """As of a graph that is walked in the order of a set; what changes by more is another gradient."""
    terms = np.random.default_rng(3).standard_normal(400) * 10.0 ** np.arange(-4, 4).repeat(50)
    calls, forwards = itertools.count(), itertools.count(1)

    def forward(x):
        return x * terms * (1 + moves * next(forwards)), None

    def backward(_, g):
        call = next(calls)
        shares = (g * terms)[:: -1 if call % 2 else 1]
        return (np.cumsum(shares)[-1:] * (1 + drift * (call % 2)),)

    sample = Sample("one", (np.ones(1),))
    trial = Trial(
        Node("f", "own", forward, backward, lambda rng: iter([sample])),
        sample,
        strict=strict,
    )
    assert not np.array_equal(backward(None, terms), backward(None, terms))
    told = {result.verdict for result in repeatable.check(trial)}
    assert told == {verdict}
