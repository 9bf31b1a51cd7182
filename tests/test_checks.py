"""Each check rejects the wrong node that it is there for."""

import numpy as np
import pytest

from gradlab import Sample, Verdict
from gradlab.checks import CHECKS
from gradlab.checks._trial import Trial
from gradlab.harness import check_vjp, run_checks
from gradlab.node import Node

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def verdicts(forward, backward, *primals, reference=None, zero_gradient="", settings=None):
    """Return the worst verdict of each check on a registered node made of these functions."""
    sample = Sample("given", primals, settings or {})
    node = Node("made", "test", forward, backward, lambda rng: iter([sample]), reference, zero_gradient)
    rows = run_checks([Trial(node, sample)], CHECKS)
    found = {}
    for row in rows:
        found[row.check] = found.get(row.check, True) and row.verdict.ok
    return {check for check, ok in found.items() if not ok}


def test_a_right_node_is_rejected_by_none():
    assert verdicts(square, d_square, X, reference=np.square) == set()


def test_matches_numerical():
    assert verdicts(square, lambda x, g: (2.000001 * x * g,), X) == {"matches_numerical"}


def test_matches_reference():
    assert verdicts(square, d_square, X, reference=lambda x: np.square(x) + 1e-6) == {"matches_reference"}
    assert verdicts(square, d_square, X, reference=lambda x: np.square(x)[0]) == {"matches_reference"}


def test_linear_in_cotangent():
    def clipped(x, g):
        # right for a cotangent in [-4, 4], as the random ones of the other checks are
        return (2 * x * np.clip(g, -4, 4),)

    assert verdicts(square, clipped, X) == {"linear_in_cotangent"}


def test_linear_in_cotangent_at_zero():
    def offset(x, g):
        return (2 * x * g + 1e-3 * (np.abs(g).max() == 0),)

    assert verdicts(square, offset, X) == {"linear_in_cotangent"}


@pytest.mark.parametrize("what", ["cotangent", "primal in forward", "primal in backward", "setting"])
def test_leaves_arguments_unchanged(what):
    def forward(x, table=None):
        y = x**2
        if what == "primal in forward":
            x += 1
            return y, x - 1
        if what == "setting":
            table[0] = 7
        return y, x

    def backward(x, g):
        gradient = 2 * x * g
        if what == "cotangent":
            g[...] = 0
        if what == "primal in backward":
            x[...] = 0
        return (gradient,)

    found = verdicts(forward, backward, X, settings={"table": np.zeros(2)})
    assert found == {"leaves_arguments_unchanged"}


def test_shapes_and_dtypes():
    assert verdicts(square, lambda x, g: ((2 * x * g).astype(np.longdouble),), X) == {"shapes_and_dtypes"}


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda x, g: 2 * x * g, "tuple with one gradient per primal"),
        (lambda x, g: (2 * x * g, None), "tuple of 2 for 1 primals"),
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


def test_samples_can_fail():
    assert verdicts(lambda x: (0 * x, None), lambda _, g: (0 * g,), X) == {"samples_can_fail"}
    assert verdicts(lambda x: (0 * x, None), lambda _, g: (0 * g,), X, zero_gradient="constant") == set()


def test_samples_that_cannot_fail_are_a_warning_for_functions_of_your_own():
    report = check_vjp(lambda x: (0 * x, None), lambda _, g: (0 * g,), (X,))
    assert report.ok
    assert [fault.name for fault in report.faults] == ["samples_can_fail"]


def test_an_all_zero_softmax_does_not_pass():
    def softmax(x):
        y = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
        return y, y

    assert "matches_numerical" in verdicts(softmax, lambda y, g: (np.zeros_like(y),), X)


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1.0, 1e7, 1e12])
def test_a_sign_flip_is_caught_at_every_scale(scale):
    forward = lambda x: (scale * x**2, x)  # noqa: E731
    assert verdicts(forward, lambda x, g: (2 * scale * x * g,), X) == set()
    assert "matches_numerical" in verdicts(forward, lambda x, g: (-2 * scale * x * g,), X)


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
    forward = lambda x: (np.maximum(x, 0), x)  # noqa: E731
    backward = lambda x, g: (g * np.where(x > 0, 1, np.where(x == 0, slope_at_0, 0)),)  # noqa: E731
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
    rough = lambda x: (x**2 + 1e-5 * np.sin(1e7 * x), x)  # noqa: E731
    (row,) = check_vjp(rough, d_square, (X,), checks=["matches_numerical"]).rows
    assert row.verdict in (Verdict.INCONCLUSIVE, Verdict.WRONG)


def test_several_outputs_and_the_wrong_cotangent():
    def forward(x):
        return (x**2, 3 * x), x

    right = lambda x, g: (2 * x * g[0] + 3 * g[1],)  # noqa: E731
    swapped = lambda x, g: (2 * x * g[1] + 3 * g[0],)  # noqa: E731
    assert verdicts(forward, right, X) == set()
    assert "matches_numerical" in verdicts(forward, swapped, X)


def test_float32_is_judged_against_float64():
    x = X.astype(np.float32)
    assert verdicts(lambda x: (np.tanh(x), x), lambda x, g: (g * (1 - np.tanh(x) ** 2),), x) == set()
    off = lambda x, g: (g * (1 - np.tanh(x) ** 2) * np.float32(1.001),)  # noqa: E731
    assert verdicts(lambda x: (np.tanh(x), x), off, x) == {"matches_numerical"}


def test_no_primals_and_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="at least one array"):
        check_vjp(square, d_square, ())
    with pytest.raises(ValueError, match="from 0 up"):
        check_vjp(square, d_square, (X,), seed=-1)


def test_integer_primals_are_refused():
    with pytest.raises(TypeError, match=r"primal 1 has dtype int64.*as a setting"):
        check_vjp(square, d_square, (X, np.array([1, 2])))
