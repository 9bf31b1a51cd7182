"""Elements that move different outputs, moved together; and plain lines, read at a glance."""

import numpy as np
import pytest

from gradlab.nodes import NODES
from gradlab.numerical import estimate as estimates
from gradlab.numerical.element_scan import Quotients, Scan
from gradlab.numerical.element_slopes import LADDER
from gradlab.numerical.estimate import estimate_elements, estimate_vjp, slopes_within
from gradlab.numerical.plain_slopes import plain_slopes
from gradlab.numerical.sparse_slopes import NOBODY, SEVERAL, moving, single_movers, sparse_slopes

RNG = np.random.default_rng(5)
X = RNG.standard_normal(320)


def rows(f):
    return lambda points: np.array([f(x) for x in points])


def test_each_output_spells_who_moves_it():
    def f(x):
        return np.array([x[2] ** 2, x[0] + x[1], 1.0, x[3], x[4]])

    x = np.arange(1.0, 6.0)
    movers, evaluations = single_movers(rows(f), x, f(x), np.arange(5), 0.01 * x)
    assert movers.tolist() == [2, SEVERAL, NOBODY, 3, 4]
    assert evaluations == 12


def test_those_that_move_an_output_are_found_by_halving():
    def f(x):
        return np.array([x[7] + x[300] ** 2, x.sum()])

    wanted = np.array([True, False])
    found, evaluations = moving(rows(f), X, f(X), np.arange(X.size), 0.01 * np.abs(X), wanted)
    assert sorted(found) == [7, 300]
    assert evaluations < 250
    everyone, few = moving(rows(f), X, f(X), np.arange(X.size), 0.01 * np.abs(X), ~wanted)
    assert len(everyone) == X.size
    assert few <= 32


@pytest.mark.parametrize(
    ("name", "x", "settings"),
    [
        ("relu", np.where(RNG.random(320) < 0.3, 0.0, X), {}),
        ("sort", np.round(X * 4) / 4, {}),
        ("sort", X, {}),
        ("absolute", np.where(RNG.random(320) < 0.3, 0.0, X), {}),
        ("clip", np.round(X * 4) / 4, {"low": -1.0, "high": 1.0}),
        ("max", np.round(X.reshape(10, 32) * 4) / 4, {"axis": 1}),
        ("gelu", X, {}),
    ],
    ids=["zeros", "ties", "sort", "absolute", "edges", "max", "smooth"],
)
def test_elements_moved_together_have_the_slopes_that_each_has_alone(name, x, settings, monkeypatch):
    def f(x):
        return NODES[name].forward(x, **settings)[0]

    g = RNG.standard_normal(f(x).shape)
    (together,) = estimate_vjp(f, (x,), g)
    monkeypatch.setattr(estimates, "SPARSE_FROM_WHOLE", 10**9)
    (alone,) = estimate_vjp(f, (x,), g)
    assert together.evaluations < alone.evaluations / 3
    for part in ("value", "lower", "upper"):
        allowed = together.error + alone.error + 1e-12
        finite = np.isfinite(getattr(alone, part))
        if part == "value":
            finite &= ~alone.kink
        off = np.abs(getattr(together, part) - getattr(alone, part))
        assert (off <= allowed)[finite].all(), part
    assert (together.kink == alone.kink).all()


def test_sums_of_outputs_do_not_hide_that_ties_are_a_choice(monkeypatch):
    # five outputs a sum, and so whole ties in one
    x, g = np.repeat(np.linspace(1, 5, 40), 4), RNG.standard_normal(160)
    monkeypatch.setattr(estimates, "SPARSE_FROM_WHOLE", 10**9)
    (apart,) = estimate_vjp(np.sort, (x,), g)
    monkeypatch.setattr(estimates, "MANY", 1)
    (summed,) = estimate_vjp(np.sort, (x,), g)
    assert apart.kink.all()
    assert summed.lower == pytest.approx(apart.lower, abs=1e-9)
    assert summed.upper == pytest.approx(apart.upper, abs=1e-9)


def test_where_all_move_the_same_outputs_each_is_looked_at_alone():
    matrix = RNG.standard_normal((320, 320))
    assert sparse_slopes(rows(lambda x: matrix @ x), X, matrix @ X, np.ones(320), np.arange(320)) is None
    found = estimate_elements(lambda x: matrix @ x, X, np.ones(320), np.arange(40))
    assert found.value == pytest.approx(matrix.sum(axis=0)[:40], rel=1e-8)


def test_slopes_within_reach_see_no_kink_beyond_it():
    x = np.array([1e-7, 1.0])
    value, error = slopes_within(np.abs, x, np.ones(2), np.arange(2), 1e-8)
    assert value == pytest.approx([1.0, 1.0], abs=1e-5)
    assert (error < 1e-5).all()
    whole, _ = slopes_within(lambda x: np.abs(x).sum(), x, np.ones(1), np.arange(2), 1e-8)
    assert whole == pytest.approx([1.0, 1.0], abs=1e-5)


def scanned(f, x):
    scan = Scan(lambda moves: np.array([[f(v)] for _, v in moves]), [0], np.array([x]), np.array([f(x)]))
    scan.add_steps(np.array([(abs(x) or 1.0) * LADDER]))
    return plain_slopes(
        scan.h, scan.reach, Quotients(*(q.reshape(1, -1) for q in scan.quotients(np.ones((1, 1)))))
    )


@pytest.mark.parametrize(
    ("f", "x", "slope"), [(np.sin, 0.7, np.cos(0.7)), (lambda x: 3 * x, 2.0, 3.0), (lambda x: 5.0, 1.0, 0.0)]
)
def test_a_plain_line_has_its_slope_at_a_glance(f, x, slope):
    found = scanned(f, x)
    assert found.smooth.all()
    assert not found.kinked.any()
    assert abs(found.value[0] - slope) <= found.error[0] <= 1e-9


@pytest.mark.parametrize(
    ("f", "x", "sides"),
    [
        (abs, 0.0, (1.0, -1.0)),
        (lambda x: max(x, 1.0), 1.0, (1.0, 0.0)),
        (lambda x: abs(np.sin(x)), 0.0, (1.0, -1.0)),
    ],
)
def test_a_plain_kink_has_the_slopes_of_its_sides(f, x, sides):
    found = scanned(f, x)
    assert found.kinked.all()
    assert not found.smooth.any()
    assert (found.right[0], found.left[0]) == pytest.approx(sides, abs=1e-7)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: abs(x - 1.05), 1.0),
        (lambda x: abs(x) ** 1.5, 0.0),
        (lambda x: np.sqrt(abs(x)), 0.0),
        (lambda x: np.float32(np.sin(np.float32(x))), 0.7),
        (lambda x: np.round(np.sin(x), 6), 0.7),
        (lambda x: np.sin(1e4 * x), 1.0),
    ],
    ids=["a kink nearby", "slow convergence", "a steep side", "single precision", "a grid", "fast"],
)
def test_what_is_not_plain_is_left_to_the_whole_ladder(f, x):
    found = scanned(f, x)
    settled = (found.smooth | found.kinked) & (found.error <= 1e-9 * np.abs(found.value))
    assert not settled.any()
