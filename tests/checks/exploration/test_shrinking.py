"""A fault is made small in few evaluations: lines judge what they can, and no search begins anew."""

import numpy as np
import pytest

from gradlab import Verdict, check_vjp
from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.exploration.line_judgement import (
    UNTOLD,
    judge_along_lines,
    judge_primal_along_lines,
    may_be_a_factor_off,
)
from gradlab.checks.exploration.smallest_inputs import READABLE, TRIES, TRIES_FOR_A_WARNING, shrink
from gradlab.checks.trial import Trial, quiet
from gradlab.node import Node, Sample
from gradlab.nodes import NODES
from gradlab.report.overview import overview


def normal(*shape, seed=15):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def trial_of(forward, backward, *primals, **more):
    sample = Sample("given", primals)
    node = Node("node", "own", forward, backward, lambda rng: iter([sample]))
    return Trial(node, sample, registered=False, **more)


def square(x):
    return x**2, x


def attention(q, k, v):
    scores = q @ k.T / np.sqrt(q.shape[1])
    a = np.exp(scores - scores.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    return a @ v, (q, k, v, a)


def d_attention(residuals, g, wrong_beyond=np.inf):
    q, k, v, a = residuals
    da = g @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
    ds = np.where(np.abs(q).max(axis=1, keepdims=True) > wrong_beyond, 1.5 * ds, ds)
    return ds @ k, ds.T @ q, a.T @ g


def test_a_fault_of_an_attention_is_made_small_in_few_evaluations():
    evaluations = 0

    def forward(q, k, v):
        nonlocal evaluations
        evaluations += 1
        return attention(q, k, v)

    arrays = [np.clip(normal(6, 8, seed=seed), -2, 2) for seed in range(3)]
    backward = lambda residuals, g: d_attention(residuals, g, wrong_beyond=4)
    only = {"checks": ["matches_numerical"], "max_seconds": None, "full_below": None}
    assert check_vjp(forward, backward, arrays, explore=False, **only).ok
    evaluations = 0
    report = check_vjp(forward, backward, arrays, explore="all", **only)
    (row,) = [row for row in report.rows if row.verdict is Verdict.WRONG]
    # an estimate of every element at 200 candidates would be some 300,000 evaluations
    assert evaluations < 15_000
    names = {}
    exec(row.note.partition("but at others: ")[2], {"np": np}, names)
    assert sum(x.size for x in names.values()) <= 12
    assert not check_vjp(attention, backward, [names[n] for n in "qkv"], explore=False, **only).ok


def counted(fails):
    tried = []

    def counting(trial):
        tried.append(trial.sample.primals[0])
        return fails(trial)

    return counting, tried


def test_a_long_axis_is_halved_first():
    fails, tried = counted(lambda trial: (trial.sample.primals[0] == 7).any())
    x = np.zeros(64) + 0.5
    x[37] = 7
    smallest = shrink(trial_of(square, None, x), fails)
    assert smallest.sample.primals[0].tolist() == [7]
    assert len(tried) < 20


def test_no_candidate_is_tried_twice():
    fails, tried = counted(lambda trial: (np.abs(trial.sample.primals[0]) > 3).sum() > 1)
    x = np.random.default_rng(3).uniform(-5, 5, (5, 4))
    smallest = shrink(trial_of(square, None, x), fails)
    assert len({(y.shape, y.tobytes()) for y in tried}) == len(tried) < TRIES
    assert smallest.sample.primals[0].size <= 6
    assert (np.abs(smallest.sample.primals[0]) > 3).sum() == 2


@pytest.mark.parametrize(("explores_all", "tries"), [(True, TRIES), (False, TRIES_FOR_A_WARNING)])
def test_it_ends_after_so_many_tries(explores_all, tries):
    fails, tried = counted(lambda trial: False)
    x = np.random.default_rng(3).uniform(-5, 5, (9, 11))
    shrink(trial_of(square, None, x, explores_all=explores_all), fails)
    assert len(tried) == tries


def test_what_failed_before_is_not_tried_again_until_the_next_round():
    # one number of ten after the other becomes plain: each success goes on where it was
    x = np.arange(10) + 0.25
    fails, tried = counted(lambda trial: trial.sample.primals[0].size == 10)
    shrink(trial_of(square, None, x), fails)
    assert len(tried) < 60


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_lines_judge_what_is_smooth(scale):
    x, y = scale * normal(3, 4), normal(3, 4, seed=1)
    forward = lambda x, y: (x**2 * y, (x, y))
    right = lambda r, g: (2 * r[0] * r[1] * g, r[0] ** 2 * g)
    wrong = lambda r, g: (2 * r[0] * r[1] * g, 1.01 * r[0] ** 2 * g)
    assert judge_along_lines(trial_of(forward, right, x, y)).verdict is Verdict.PASS
    told = judge_along_lines(trial_of(forward, wrong, x, y))
    assert (told.verdict, told.primal) == (Verdict.WRONG, "y")
    assert told.analytic == pytest.approx(1.01 * told.numerical)
    assert judge_primal_along_lines(trial_of(forward, wrong, x, y), "x").verdict is Verdict.PASS


def test_a_single_wrong_element_shows():
    def backward(x, g):
        d = 2 * x * g
        d[1, 2] *= 1.1
        return (d,)

    assert judge_along_lines(trial_of(square, backward, normal(4, 5))).verdict is Verdict.WRONG


def raises(x, g):
    raise ValueError("no")


@pytest.mark.parametrize(
    ("forward", "backward", "x"),
    [
        (lambda x: (np.abs(x), x), lambda x, g: (0.5 * g,), np.zeros(3)),
        (lambda x: (x**2 + 1e-3 * np.sin(1e9 * x), x), lambda x, g: (2 * x * g,), normal(3)),
        (square, raises, normal(3)),
        (square, lambda x, g: (x * np.nan,), normal(3)),
    ],
    ids=["kink", "noise", "raises", "not finite"],
)
def test_lines_do_not_judge_what_they_cannot(forward, backward, x):
    with np.errstate(all="ignore"):
        assert judge_along_lines(trial_of(forward, backward, x)) is UNTOLD


@pytest.mark.parametrize("name", ["maximum", "maxout", "hard_tanh", "global_max_pool"])
def test_ties_are_not_called_wrong_where_the_kinks_of_several_outputs_cancel(name):
    for sample in NODES[name].draw_samples(0):
        with quiet():
            for derived in derived_trials(Trial(NODES[name], sample)):
                told = judge_along_lines(derived.trials[0])
                assert told.verdict is not Verdict.WRONG, derived.trials[0].sample.name


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_lines_tell_what_no_factor_explains(scale):
    x, y = scale * normal(3, 4), normal(3, 4, seed=1)
    forward = lambda x, y: (x**2 * y, (x, y))
    twice = lambda r, g: (4 * r[0] * r[1] * g, r[0] ** 2 * g)
    added = lambda r, g: (2 * r[0] * r[1] * g + scale * 0.1, r[0] ** 2 * g)
    for backward, factor in ((twice, True), (added, False)):
        trial = trial_of(forward, backward, x, y)
        assert may_be_a_factor_off(trial, "x") is factor
        assert may_be_a_factor_off(trial, "y")


def test_a_tolerance_of_the_callers_own_counts():
    backward = lambda x, g: (2.02 * x * g,)
    x = normal(3, 4)
    assert judge_along_lines(trial_of(square, backward, x)).verdict is Verdict.WRONG
    assert judge_along_lines(trial_of(square, backward, x, rtol=0.05)) is UNTOLD
    assert judge_along_lines(trial_of(square, backward, x, atol=1.0)) is UNTOLD


def test_a_fault_that_lines_cannot_see_is_found_and_shrunk_all_the_same():
    # wrong only at ties, which are kinks
    def forward(x):
        return x.max(axis=1), x

    def backward(x, g):
        return ((x == x.max(axis=1, keepdims=True)) * g[:, None],)

    only = {"checks": ["matches_numerical"], "explore": "all"}
    report = check_vjp(forward, backward, (normal(3, 4),), **only)
    (row,) = [row for row in report.rows if row.verdict is Verdict.WRONG]
    assert row.sample == "given, ties within pairs"
    assert "at others: x = np.array([[" in row.note
    assert row.note.count(",") <= 4


def test_of_many_numbers_none_is_made_plain_alone():
    tries = []
    for size in (READABLE, READABLE + 1):
        fails, tried = counted(lambda trial: False)
        shrink(trial_of(square, None, np.random.default_rng(3).uniform(1, 5, size), explores_all=True), fails)
        tries.append(len(tried))
    assert tries[1] < tries[0]


def wrong_at_a_batch_of_one(x, w):
    """Return a report on a product whose backward, wrong in one element, raises where there is no row 5."""

    def backward(residuals, g):
        x, w = residuals
        dx = g @ w.T
        dx[5, 1] *= 1.5
        return dx, x.T @ g

    return check_vjp(lambda x, w: (x @ w, (x, w)), backward, (x, w), name="product", repair=False)


def test_of_many_numbers_none_is_printed():
    report = wrong_at_a_batch_of_one(normal(6, 30), normal(30, 20))
    (raising,) = (row for row in report.rows if row.check == "owns_its_memory" and not row.verdict.ok)
    assert "raised IndexError" in raising.note
    assert "at others: x = np.array([[" in raising.note
    assert raising.note.endswith("; w of shape (30, 20), too large to print")


def test_many_numbers_that_are_all_the_same_are_printed():
    report = wrong_at_a_batch_of_one(normal(6, 30), np.full((30, 20), 2.0))
    (raising,) = (row for row in report.rows if row.check == "owns_its_memory" and not row.verdict.ok)
    assert raising.note.endswith(("; w = np.full((30, 20), 2.0)", "; w = np.full((30, 20), 1.0)"))


def test_an_error_is_told_once_and_is_the_reason_of_its_own_line():
    view = overview(wrong_at_a_batch_of_one(normal(6, 30), normal(30, 20)))
    wrong = [(problem.input, problem.reason) for problem in view.problems if not problem.verdict.ok]
    assert wrong == [("x", "one element is wrong"), ("", "raises an error")]
    assert [line.reason for line in view.lines[:2]] == ["one element is wrong", "raises an error"]
