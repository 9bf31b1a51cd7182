"""Claimed gradients that a few directions confirm, and those that they must not confirm."""

from dataclasses import replace

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.checks.trial import Trial
from gradlab.directions import Claim, _confirmation, confirmed_alone, confirmed_together
from gradlab.node import Node, Sample
from gradlab.nodes import NODES

RNG = np.random.default_rng(3)
X = RNG.standard_normal((16, 24))
TIES = np.round(X * 4) / 4
ZEROS = np.where(RNG.random(X.shape) < 0.3, 0.0, X)
KINKED = {
    "relu": (ZEROS, {}),
    "absolute": (ZEROS, {}),
    "clip": (TIES, {"low": -1.0, "high": 1.0}),
    "sort": (TIES, {}),
    "max": (TIES, {"axis": 1}),
    "hard_tanh": (TIES, {}),
}


def trial_of(name, x, settings, backward=None, registered=False):
    node = NODES[name]
    own = Node(name, "own", node.forward, backward or node.backward, lambda rng: iter([]))
    return Trial(own, Sample("given", (x,), settings), registered=registered)


def claim_of(gradient, x, outputs=np.sin, g=None):
    g = np.linspace(-1, 2, outputs(x).size) if g is None else g
    return Claim(outputs, lambda g: gradient(x, g), x, [slice(0, x.size)], g)


def test_a_smooth_gradient_is_confirmed_in_few_evaluations_to_a_bound_that_holds():
    x = RNG.standard_normal(3000)
    told = confirmed_together(claim_of(lambda x, g: g * np.cos(x), x), RNG)
    right = np.linspace(-1, 2, x.size) * np.cos(x)
    assert told.estimate.evaluations < 100
    assert told.factor == 1
    assert (np.abs(told.estimate.value - right) <= told.estimate.error).all()
    assert told.estimate.error.max() < 1e-6


@pytest.mark.parametrize("off", [1.0, 1e-3, 1e-6])
def test_one_wrong_element_of_thousands_is_never_confirmed(off):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(4000)
        k = int(rng.integers(x.size))

        def gradient(x, g, k=k):
            d = g * np.cos(x)
            d[k] *= 1 + off
            return d

        told = confirmed_together(claim_of(gradient, x, g=rng.uniform(1, 2, x.size)), rng)
        assert told is None or told.estimate.error[k] > off * abs(np.cos(x[k])), seed


def test_an_error_that_is_spread_over_all_elements_is_not_confirmed():
    x = RNG.standard_normal(500)
    assert confirmed_together(claim_of(lambda x, g: g * np.cos(x) + 1e-5, x), RNG) is None


def test_a_wrong_factor_is_told_of_one_primal_and_never_of_all():
    x = RNG.standard_normal(500)
    claim = claim_of(lambda x, g: -3 * g * np.cos(x), x)
    assert confirmed_together(claim, RNG) is None
    told = confirmed_alone(claim, 0, RNG)
    assert told.factor == pytest.approx(-1 / 3, abs=1e-9)
    assert told.estimate.value == pytest.approx(np.linspace(-1, 2, x.size) * np.cos(x), abs=1e-8)


def test_a_few_wrong_elements_are_found_by_halving_and_the_others_confirmed():
    w = RNG.standard_normal((900, 40)) / 30
    x, g = RNG.standard_normal(900), RNG.standard_normal(40)
    outputs = lambda x: np.tanh(x @ w)
    right = w @ (g * (1 - np.tanh(x @ w) ** 2))
    for count in (1, 3, _confirmation.FEW_WRONG, _confirmation.FEW_WRONG + 1):
        wrong = RNG.choice(x.size, count, replace=False)

        def gradient(x, g, wrong=wrong):
            d = w @ (g * (1 - np.tanh(x @ w) ** 2))
            d[wrong] *= 1.5
            return d

        claim = claim_of(gradient, x, outputs, g)
        assert confirmed_together(claim, RNG) is None
        told = confirmed_alone(claim, 0, RNG)
        if count > _confirmation.FEW_WRONG:
            assert told is None
            continue
        assert told.put_right == count
        assert not told.is_as_claimed
        assert (np.abs(told.estimate.value - right) <= told.estimate.error + 1e-15).all()
        assert np.abs(told.estimate.value - right).max() < 1e-9
        assert told.estimate.evaluations < 5 * x.size


def test_among_more_elements_it_is_left_to_group_testing(monkeypatch):
    monkeypatch.setattr(_confirmation, "MANY", 900)
    for size, found in ((900, 1), (901, None)):
        x = np.linspace(0.1, 2, size)

        def gradient(x, g):
            d = g * np.cos(x)
            d[40] *= 2
            return d

        told = confirmed_alone(claim_of(gradient, x), 0, RNG)
        assert (told and told.put_right) == found


def test_what_halving_finds_is_what_a_look_at_every_element_finds():
    rng = np.random.default_rng(5)
    w, x = rng.standard_normal((30, 25)) / 5, rng.standard_normal((20, 30))

    def forward(x):
        return np.tanh(x @ w), x

    def backward(x, g):
        d = (g * (1 - np.tanh(x @ w) ** 2)) @ w.T
        d[3, 4] += 0.01
        d[10, 11:13] *= (0, -1)
        return (d,)

    options = {"explore": False, "repair": False}
    found, witness = (check_vjp(forward, backward, (x,), full_below=n, **options) for n in (10_000, None))
    assert not found.ok
    assert found.rows[0].worst_index == witness.rows[0].worst_index
    assert found.rows[0].numerical == pytest.approx(witness.rows[0].numerical, rel=1e-9)
    assert [fault.name for fault in found.faults] == [fault.name for fault in witness.faults]
    assert found.rows[0].evaluations < witness.rows[0].evaluations / 3


def test_a_factor_that_single_elements_do_not_bear_out_is_none(monkeypatch):
    claim = claim_of(lambda x, g: 2 * g * np.cos(x), RNG.standard_normal(500))
    assert confirmed_alone(claim, 0, RNG).factor == pytest.approx(0.5)
    real = _confirmation.estimate_elements

    def other(*arguments):
        found = real(*arguments)
        return replace(found, value=found.value * (1 + 1e-4))

    monkeypatch.setattr(_confirmation, "estimate_elements", other)
    assert confirmed_alone(claim, 0, RNG) is None


@pytest.mark.parametrize("name", KINKED)
def test_elements_at_kinks_are_judged_alone_and_the_others_confirmed(name):
    x, settings = KINKED[name]
    report = check_vjp(NODES[name].forward, NODES[name].backward, (x,), settings=settings, name=name)
    assert report.ok, [row.sentence() for row in report.rows if not row.verdict.ok]
    assert not [row for row in report.rows if row.verdict.value == "wrong"]


@pytest.mark.parametrize("name", KINKED)
def test_one_wrong_element_at_a_kink_is_found_beside_hundreds(name):
    x, settings = KINKED[name]
    right = NODES[name].backward

    def backward(residuals, g):
        (d,) = right(residuals, g)
        d = np.array(d)
        d.reshape(-1)[7] += 10.0
        return (d,)

    report = check_vjp(NODES[name].forward, backward, (x,), settings=settings, name=name, explore=False)
    (row,) = [row for row in report.rows if row.check == "matches_numerical" and row.verdict == "wrong"][:1]
    assert row.worst_index == (0, 7)


def test_what_backward_leaves_out_where_outputs_are_not_clear_is_found():
    x = X.copy()
    x[0, 1] = x[0, 2]

    def backward(residuals, g):
        (d,) = NODES["sort"].backward(residuals, g)
        d = np.array(d)
        d[0, 1:3] = 0.0
        return (d,)

    assert check_vjp(NODES["sort"].forward, NODES["sort"].backward, (x,)).ok
    assert trial_of("sort", x, {}, backward).estimates[0].kink[0, 1:3].all()
    report = check_vjp(NODES["sort"].forward, backward, (x,), checks=["matches_numerical"], explore=False)
    assert [row.verdict for row in report.rows if not row.verdict.ok] == ["wrong"]


def test_a_backward_that_is_not_linear_in_the_cotangent_is_not_confirmed_in_parts():
    x, settings = KINKED["clip"]

    def backward(residuals, g):
        # right for every part of the cotangent, and not for all of it
        (d,) = NODES["clip"].backward(residuals, g)
        return (d if (g == 0).any() else d + 1e-3,)

    assert trial_of("clip", x, settings).is_confirmed
    assert not trial_of("clip", x, settings, backward).is_confirmed


def test_the_samples_of_registered_nodes_are_looked_at_element_by_element():
    x, settings = KINKED["relu"]
    assert trial_of("relu", x, settings, registered=True).confirmed == (None,)
    assert trial_of("relu", x, settings).is_confirmed


def test_who_asks_for_every_element_gets_every_element():
    def wrong(x, g):
        return (2 * g * np.cos(x),)

    for backward in (lambda x, g: (g * np.cos(x),), wrong):
        report = check_vjp(lambda x: (np.sin(x), x), backward, (X,), full_below=None, explore=False)
        row = report.rows[0]
        assert row.worst_index is not None
        assert "direction" not in row.note


def test_a_factor_of_a_large_gradient_that_is_mostly_zero_is_named():
    x = np.where(np.arange(12_000) % 3 == 0, RNG.standard_normal(12_000), 0.0)
    report = check_vjp(lambda x: (np.sum(x**2), x), lambda x, g: (-2 * g * x,), (x,), explore=False)
    assert next((fault.name, fault.primal) for fault in report.faults) == ("sign-flipped", "x")
    report = check_vjp(lambda x: (np.sum(x**2), x), lambda x, g: (6 * g * x,), (x,), explore=False)
    assert report.faults[0].name == "constant-factor"
    assert "analytic = 3 numerical" in report.faults[0].evidence


def test_float32_is_judged_by_the_gradient_of_the_same_numbers_in_double_precision():
    node, x = NODES["tanh"], X.astype(np.float32)

    def truncated(residuals, g):
        (d,) = node.backward(residuals, g)
        return ((d * np.float32(1.001)).astype(np.float32),)

    assert check_vjp(node.forward, node.backward, (x,)).ok
    report = check_vjp(node.forward, truncated, (x,), explore=False)
    assert next(row for row in report.rows if row.check == "matches_numerical").verdict == "wrong"


def test_the_row_says_what_was_seen():
    report = check_vjp(lambda x: (np.sin(x), x), lambda x, g: (g * np.cos(x),), (X,), explore=False)
    row = report.rows[0]
    assert row.verdict == "pass"
    assert "2 random directions through all elements: an error of" in row.note
    assert row.evaluations < 100
    assert row.sensitivity is not None


def test_elements_too_small_to_be_seen_are_judged_alone():
    x = np.where(np.arange(200) == 5, 1e-9, RNG.standard_normal(200))

    def outputs(x):
        return np.where(np.arange(x.size) == 5, 1e-3 * np.sin(x * 1e6), np.sin(x))

    def gradient(x, g, factor=1.0):
        d = np.where(np.arange(x.size) == 5, 1e3 * np.cos(x * 1e6), np.cos(x))
        d[5] *= factor
        return g * d

    g = np.ones(200)
    told = confirmed_together(claim_of(gradient, x, outputs, g), RNG)
    assert told is None or told.alone >= 1 or told.estimate.error[5] < 1e-3
    wrong = confirmed_together(claim_of(lambda x, g: gradient(x, g, 1.01), x, outputs, g), RNG)
    assert wrong is None or abs(wrong.estimate.value[5] - 1e3) <= wrong.estimate.error[5] + 1e-3
