"""A check ends within its budget, with the verdict at the given primals first, and says what it did not get to."""

import threading
import time

import numpy as np
import pytest

import gradlab
from gradlab import Verdict, check_gradient, check_layer, check_vjp
from gradlab.checks.trial import Trial
from gradlab.nodes import NODES
from gradlab.report.tables import explored_table

X = np.array([0.5, -1.2, 0.8])
# So much longer than its budget may a check take on a machine that does other things, too.
SLACK_S = 6.0


def fixed_point(x):
    """Return the z with z = 0.3 x z + 1, by iteration, which ends where the map is a contraction: |x| < 3.3."""
    z = np.zeros_like(x)
    while True:
        new = np.asarray(0.3 * x * z + 1, x.dtype)
        if np.abs(new - z).max() < 1e-5:
            return new
        z = new


def forward(x):
    return fixed_point(np.asarray(x, np.float64)).astype(x.dtype), x


def backward(x, g):
    return ((0.3 / (1 - 0.3 * x.astype(np.float64)) ** 2 * g).astype(x.dtype),)


class FixedPoint:
    def forward(self, x):
        self.x = x
        return forward(x)[0]

    def backward(self, dout):
        return backward(self.x, dout)[0]


def timed(check, *arguments, **keywords):
    start = time.monotonic()
    with np.errstate(all="ignore"):
        report = check(*arguments, rtol=1e-3, atol=1e-3, **keywords)
    return report, time.monotonic() - start


CHECKS = {
    "check_vjp": lambda **more: timed(check_vjp, forward, backward, (X,), **more),
    "check_layer": lambda **more: timed(check_layer, FixedPoint(), X[None], **more),
    "check_gradient": lambda **more: timed(
        check_gradient,
        lambda x: forward(x)[0].sum(),
        lambda x: backward(x, np.ones_like(x))[0],
        X,
        **more,
    ),
}


@pytest.mark.parametrize(("check", "threaded"), [*((name, False) for name in CHECKS), ("check_vjp", True)])
def test_a_loop_that_does_not_end_elsewhere(check, threaded):
    found = []
    # enough to give up on three points, whose loops end as late as they may, and to look at those between
    run = lambda: found.append(CHECKS[check](max_seconds=6))
    if threaded:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
    else:
        run()
    ((report, seconds),) = found
    assert seconds < 6 + SLACK_S
    report.raise_if_failed()
    assert [row.verdict for row in report.rows if row.check == "matches_numerical"] == [Verdict.PASS]
    assert not [fault for fault in report.faults if "warning" in fault.sentence]
    (places,) = report.explored
    assert {"shuffled", "sign turned", "times 0.1"} <= set(places.derived)
    assert "times 10" not in places.derived
    assert "times 10" in places.cut or "max_seconds=6 was used up, raise it" in places.cut
    assert places.cut in str(report)
    assert places.cut in explored_table(report, "simple")
    assert places.cut in report.to_json()


def test_one_call_does_not_eat_the_whole_budget():
    report, _ = CHECKS["check_vjp"](max_seconds=12)
    (places,) = report.explored
    assert "gave up on finite_where_expected, which did not end in time: raise max_seconds" in places.cut
    assert "plus 3" in places.cut
    # what is behind is still looked at
    assert {"batch doubled", "axes of 3 made 4"} <= set(places.derived)


def test_a_check_that_moves_the_primals_is_told_without_exploring():
    report, seconds = CHECKS["check_vjp"](max_seconds=2, explore=False)
    assert seconds < 2 + SLACK_S
    assert report.ok
    assert "finite_where_expected" not in {row.check for row in report.rows}
    (places,) = report.explored
    assert places.derived == ()
    assert places.cut.startswith("gave up on finite_where_expected")
    assert f"Looked at 0 other inputs as well ({places.cut})." in str(report)


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def never_returns_beyond(limit):
    def backward(x, g):
        while np.abs(x).max() > limit:
            pass
        return (2 * x * g,)

    return backward


def test_a_backward_that_does_not_return_elsewhere():
    start = time.monotonic()
    checks = ["matches_numerical", "linear_in_cotangent"]
    report = check_vjp(square, never_returns_beyond(2.5), (X,), checks=checks, max_seconds=8)
    assert time.monotonic() - start < 8 + SLACK_S
    assert report.ok
    (places,) = report.explored
    assert "gave up on plus 3" in places.cut
    assert {"sign turned", "batch doubled"} <= set(places.derived)


def test_the_given_primals_are_judged_however_small_the_budget():
    right = check_vjp(square, d_square, (X,), max_seconds=1e-9)
    assert right.ok
    moving = {"any_layout", "finite_where_expected", "repeatable", "works_in_float32"}
    in_full = {row.check for row in check_vjp(square, d_square, (X,)).rows}
    assert in_full - moving <= {row.check for row in right.rows}
    (places,) = right.explored
    assert places.derived == ()
    assert "looked at 0 derived points and no further: max_seconds=1e-09 was used up, raise it" in places.cut


def test_a_diagnosis_that_is_cut_off_is_told():
    wrong = check_vjp(square, lambda x, g: (3 * x * g,), (X,), max_seconds=1e-9)
    assert not wrong.ok
    said = "max_seconds=1e-09 was used up before the mistake was found"
    assert said in str(wrong)
    assert said in wrong.to_markdown()
    assert "the mistake was not found in time (not-diagnosed)" in str(wrong)
    with pytest.raises(gradlab.GradientError, match="not-diagnosed"):
        wrong.raise_if_failed()
    assert wrong.faults[0].confidence == 0
    enough = check_vjp(square, lambda x, g: (3 * x * g,), (X,), max_seconds=600)
    assert enough.faults[0].name == "constant-factor"
    assert "not-diagnosed" not in str(enough)


@pytest.mark.parametrize("evaluations", [1, 100, 150])
def test_evaluations_are_a_budget_too_and_give_the_same_every_time(evaluations):
    reports = [
        check_vjp(square, d_square, (np.arange(1.0, 6.0),), max_evaluations=evaluations, max_seconds=None)
        for _ in range(2)
    ]
    whole = check_vjp(square, d_square, (np.arange(1.0, 6.0),))
    assert reports[0] == reports[1]
    assert reports[0].ok
    assert reports[0].rows == whole.rows
    (places,), (everywhere,) = reports[0].explored, whole.explored
    assert len(places.derived) < len(everywhere.derived)
    assert f"no further: max_evaluations={evaluations} was used up, raise it" in places.cut
    assert everywhere.cut == ""


def test_an_unlimited_check_says_nothing_of_limits():
    report = check_vjp(square, d_square, (X,), max_seconds=None)
    assert [places.cut for places in report.explored] == [""]
    assert "max_" not in str(report)


def test_a_fault_that_could_not_be_made_small_is_still_told():
    # minus 3 is the first point that reaches below -2, and it does with most of the elements
    x = np.clip(np.random.default_rng(0).standard_normal((5, 7)), -0.9, 0.9)
    wrong = lambda x, g: (np.where(x < -2, -2 * x * g, 2 * x * g),)
    only = {"checks": ["matches_numerical"], "max_seconds": None, "explore": "all"}
    whole = check_vjp(square, wrong, (x,), **only)
    smallest, cut = [], []
    for evaluations in range(200, 800, 30):
        report = check_vjp(square, wrong, (x,), max_evaluations=evaluations, **only)
        for row in report.rows:
            if row.verdict is Verdict.WRONG:
                smallest.append(eval(row.note.partition("at others: x = ")[2], {"np": np}).tolist())
                cut.append(report.explored[0].cut)
    # the smallest so far, down to what a search without a limit finds
    assert len(smallest[0]) > len(smallest[-1])
    assert smallest[-1] == [[-3.0]]
    assert cut[-1] == ""
    assert "[[-3.0]]" in whole.rows[-1].note
    said = "matches_numerical did not make the primals of minus 3 as small as they can be: max_evaluations="
    assert all(said in told for told, found in zip(cut, smallest, strict=True) if found != [[-3.0]])


class Tripled:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dout):
        return 3 * self.x * dout


class Dropout:
    """A layer whose other mode takes its time."""

    def __init__(self):
        self.train = True

    def forward(self, x):
        while not self.train:
            pass
        self.x = x
        return x**2

    def backward(self, dout):
        return 2 * self.x * dout


def test_a_variation_that_does_not_return():
    start = time.monotonic()
    report = check_layer(Dropout(), X[None], checks=["matches_numerical"], max_seconds=6)
    assert time.monotonic() - start < 6 + SLACK_S
    report.raise_if_failed()
    (places,) = report.explored
    assert "gave up on train=False, which did not end in time: raise max_seconds" in places.cut
    assert "second call" in places.derived


def test_variations_are_not_looked_at_without_a_budget():
    report = check_layer(Dropout(), X[None], checks=["matches_numerical"], max_seconds=1e-9)
    assert report.ok
    (places,) = report.explored
    assert "looked at 0 variations and no further: max_seconds=1e-09 was used up, raise it" in places.cut
    untold = check_layer(Dropout(), X[None], checks=["matches_numerical"], max_seconds=1e-9, explore=False)
    assert "variations" not in str(untold)
    wrong = check_layer(Tripled(), X[None], checks=["matches_numerical"], max_seconds=1e-9)
    assert "variations" not in str(wrong)


def test_verify_has_no_limit_unless_it_is_given_one():
    report = gradlab.verify("exp", checks=["matches_numerical"], max_seconds=1e-9)
    assert report.ok
    assert all("max_seconds=1e-09" in places.cut for places in report.explored)
    assert len(report.explored) > 1
    assert f"and {len(report.explored) - 1} other sample" in str(report)
    assert not any(places.cut for places in gradlab.verify("exp", checks=["matches_numerical"]).explored)


@pytest.mark.parametrize(("name", "decides"), [("softmax", True), ("sort", False)])
def test_elements_that_would_overdraw_the_budget_are_looked_at_along_directions_if_these_decide(
    name, decides, monkeypatch
):
    node = NODES[name]
    # ties of a dozen elements each, which directions cannot tell from mistakes
    x = np.round(4 * np.random.default_rng(0).standard_normal(120)) / 4

    def look(wrong=0.0, **limit):
        def backward(r, g):
            (d,) = node.backward(r, g)
            d[70] += wrong
            return (d,)

        only = {"checks": ["matches_numerical"], "explore": False}
        rows = check_vjp(node.forward, backward, (x,), **only, **limit).rows
        return all(row.verdict.ok for row in rows), rows[0].evaluations

    monkeypatch.setattr(Trial, "confirmed", (None,))
    monkeypatch.setattr("gradlab.checks.trial._trial.DEAR_FROM", 100)
    right, whole = look(max_seconds=None)
    monkeypatch.setattr("gradlab.checks.trial._trial.EVALUATIONS", 10**12)
    still_right, taken = look(max_seconds=9)
    assert right
    assert still_right
    assert (5 * taken < whole) is decides
    assert not look(wrong=5.0, max_seconds=9)[0]
