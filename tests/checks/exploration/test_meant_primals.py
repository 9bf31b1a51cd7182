"""A fault is an error where the function is plainly meant to work, and elsewhere a warning, unless all is asked for."""

import numpy as np
import pytest

from gradlab import Verdict, check_gradient, check_layer, check_vjp
from gradlab.checks import CHECKS
from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample
from gradlab.running.check_rows import explore_trials

X = np.random.default_rng(43).standard_normal((3, 4))
POSITIVE = np.abs(X) + 0.2
ONLY = {"checks": ["matches_numerical"]}
BEYOND = "beyond the given point: "


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def absolute(x):
    return np.abs(x), x


def d_absolute(x, g):
    return (np.sign(x) * g,)


def as_if_positive(x, g):
    return (g.copy(),)


def faults(report):
    return [row for row in report.rows if row.verdict is not Verdict.PASS]


def test_a_fault_where_the_sign_is_turned_is_a_warning():
    report = check_vjp(absolute, as_if_positive, (POSITIVE,))
    assert report.ok
    report.raise_if_failed()
    (row,) = faults(report)
    assert (row.verdict, row.check, row.sample) == (
        Verdict.WARNING,
        "matches_numerical",
        "given, sign turned",
    )
    assert row.note.startswith(BEYOND)
    # with the primals all the same, to paste into a test
    assert "not at the given primals, but at others: x = np.array(" in row.note
    assert report.faults
    assert all("warning" in fault.sentence for fault in report.faults)
    assert "All right, with 1 warning" in str(report)
    assert "nobody has said that it is meant for" in str(report)


def test_it_is_an_error_where_all_is_asked_for():
    report = check_vjp(absolute, as_if_positive, (POSITIVE,), explore="all")
    assert not report.ok
    (row,) = faults(report)
    assert (row.verdict, row.check, row.sample) == (Verdict.WRONG, "matches_numerical", "given, sign turned")
    assert BEYOND not in str(report)
    assert check_vjp(absolute, d_absolute, (POSITIVE,), explore="all").ok


def test_strict_is_about_the_contract_and_not_about_where():
    # check_vjp is strict by itself; a gradient of somebody's own is held to all of it on demand
    assert check_gradient(lambda x: np.sum(np.abs(x)), np.ones_like, POSITIVE, strict=True).ok
    assert not check_gradient(lambda x: np.sum(np.abs(x)), np.ones_like, POSITIVE, explore="all").ok


@pytest.mark.parametrize(
    ("region", "how"),
    [
        (lambda x: x == 0, "an exact zero and one"),
        (lambda x: np.abs(x) > 8, "times 10"),
        (lambda x: x < -3.5, "minus 3"),
        (lambda x: np.full(x.shape, x.shape[1] == 1), "axes of 4 made 1"),
    ],
    ids=["zero", "far", "moved", "another length"],
)
def test_every_other_place_is_a_warning_too(region, how):
    x = np.clip(X, -1, 1)
    assert not region(x).any()
    wrong = lambda x, g: (np.where(region(x), 3, 2) * x * g + np.where(region(x), g, 0),)
    report = check_vjp(square, wrong, (x,), **ONLY)
    assert report.ok
    (row,) = faults(report)
    assert (row.verdict, row.sample) == (Verdict.WARNING, f"given, {how}")
    assert row.note.startswith(BEYOND)
    assert not check_vjp(square, wrong, (x,), explore="all", **ONLY).ok


def test_what_backward_raises_elsewhere_is_a_warning_too():
    def refuses(x, g):
        if (x < 0).any():
            raise IndexError("no such bin")
        return d_square(x, g)

    report = check_vjp(square, refuses, (POSITIVE,), **ONLY)
    assert report.ok
    (row,) = faults(report)
    assert row.note.startswith(f"{BEYOND}raised IndexError: no such bin")
    assert not check_vjp(square, refuses, (POSITIVE,), explore="all", **ONLY).ok


def test_a_gradient_that_is_right_for_the_given_numbers_alone_is_an_error():
    def of_these_numbers(x, g):
        # a table of slopes that was filled at one point
        known = x.shape == X.shape and np.array_equal(x, X)
        return (2 * X * g if known else 3 * x * g,)

    report = check_vjp(square, of_these_numbers, (X,), **ONLY)
    assert not report.ok
    (row,) = faults(report)
    assert (row.verdict, row.sample) == (Verdict.WRONG, "given, redrawn")
    assert row.note.startswith("not at the given primals, but at others: x = ")
    assert check_vjp(square, of_these_numbers, (X,), explore=False, **ONLY).ok


def test_a_redrawn_primal_counts_where_the_other_one_must_stay():
    levels = np.array([4.0, 2.5, 1.2])

    def forward(x, level):
        # no levels but some near these
        near = np.abs(level - levels).max() < 0.3
        return (x * level if near else np.full(x.shape, np.nan)), (x, level)

    def backward(residuals, g):
        x, level = residuals
        return level * g, (g * x).sum(axis=0)

    def swerves(residuals, g):
        dx, d_level = backward(residuals, g)
        return dx + (residuals[0] != given[0]), d_level

    given = (X[:2, :3], levels)
    assert check_vjp(forward, backward, given, **ONLY).ok
    report = check_vjp(forward, swerves, given, **ONLY)
    assert not report.ok
    (row,) = faults(report)
    assert (row.verdict, row.sample) == (Verdict.WRONG, "given, x redrawn")


@pytest.mark.parametrize(("size", "how"), [(1, "batch cut to 1"), (6, "batch doubled")])
def test_a_fault_in_another_batch_is_an_error(size, how):
    wrong = lambda x, g: ((2 if len(x) == size else 1) * d_square(x, g)[0],)
    report = check_vjp(square, wrong, (X,), **ONLY)
    assert not report.ok
    (row,) = faults(report)
    assert (row.verdict, row.sample) == (Verdict.WRONG, f"given, {how}")
    assert not row.note.startswith(BEYOND)


def test_a_batch_that_may_be_none_is_a_warning():
    # a square: that its first axis is a batch is a guess
    doubled_for_one = lambda x, g: ((2 if len(x) == 1 else 1) * d_square(x, g)[0],)
    square_one = X[:, :3]
    report = check_vjp(square, doubled_for_one, (square_one,), **ONLY)
    assert report.ok
    assert {row.verdict for row in faults(report)} == {Verdict.WARNING}
    assert not check_vjp(square, doubled_for_one, (square_one,), explore="all", **ONLY).ok


def test_the_points_that_count_come_first():
    sample = Sample("given", (X,), {})
    node = Node("node", "own", square, d_square, lambda rng: iter([sample]))
    points = list(derived_trials(Trial(node, sample, registered=False)))
    meant = [derived.how for derived in points if derived.meant]
    assert meant == ["redrawn", "batch cut to 1", "batch doubled"]
    assert [derived.how for derived in points][:3] == meant


def test_a_registered_node_answers_for_every_place():
    sample = Sample("given", (POSITIVE,), {})
    for registered, verdict in ((True, Verdict.WRONG), (False, Verdict.WARNING)):
        node = Node("node", "own", absolute, as_if_positive, lambda rng: iter([sample]))
        trial = Trial(node, sample, registered=registered)
        checks = {"matches_numerical": CHECKS["matches_numerical"]}
        rows, _ = explore_trials([trial], checks, [], True)
        assert [(row.verdict, row.sample) for row in rows] == [(verdict, "given, sign turned")]


class Absolute:
    def forward(self, x):
        return np.abs(x)

    def backward(self, dout):
        return dout.copy()


def test_a_layer_of_somebody_elses_is_told_the_same():
    report = check_layer(Absolute(), POSITIVE, **ONLY)
    assert report.ok
    assert any(row.note.startswith(BEYOND) for row in faults(report))
    assert not check_layer(Absolute(), POSITIVE, explore="all", **ONLY).ok


def test_extreme_numbers_that_nobody_gave_are_a_warning():
    def softplus(x):
        return np.log1p(np.exp(np.minimum(x, 700))) + np.maximum(x - 700, 0), x

    def overflows(x, g):
        with np.errstate(all="ignore"):
            return (g * np.exp(x) / (1 + np.exp(x)),)

    extremes = {"checks": ["matches_numerical", "finite_where_expected"]}
    report = check_vjp(softplus, overflows, (X,), **extremes)
    assert report.ok
    assert [(row.check, row.verdict) for row in faults(report)] == [
        ("finite_where_expected", Verdict.WARNING)
    ]
    assert not check_vjp(softplus, overflows, (X,), explore="all", **extremes).ok


@pytest.mark.parametrize("bad", ["everything", "ALL", "", 2, None, 0.5])
@pytest.mark.parametrize(
    "check",
    [
        lambda explore: check_vjp(square, d_square, (X,), explore=explore),
        lambda explore: check_gradient(np.sum, np.ones_like, X[0], explore=explore),
        lambda explore: check_layer(Absolute(), X, explore=explore),
    ],
    ids=["check_vjp", "check_gradient", "check_layer"],
)
def test_what_to_explore_is_one_of_three(check, bad):
    with pytest.raises(ValueError, match=r"^explore is .*: give True, False or 'all'$") as caught:
        check(bad)
    assert "\n" not in str(caught.value)
