"""Paths through forward that a gradient gets wrong: found where one explains it, and nowhere else."""

import numpy as np
import pytest

from gradlab import check_gradient, check_vjp
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample
from gradlab.repair import lost_paths

X = np.random.default_rng(3).standard_normal((4, 3))
STEPS = np.random.default_rng(4).standard_normal((5, 3))


def normalised(x):
    size = np.sqrt((x**2).sum(axis=1, keepdims=True))
    return x / size, (x, size)


def two_terms(x):
    near = np.sin(x) * x
    return near + np.exp(x), x


def recurrent(w):
    h, kept = np.zeros(3), []
    for x in STEPS:
        kept.append(h)
        h = np.tanh(w * x + 0.5 * h)
    return h, (w, kept, h)


def slopes(w, kept, last, *, first_round):
    """Return the gradient of `recurrent`, of all rounds or of the first one alone."""
    total, d = np.zeros(3), np.ones(3)
    for t in reversed(range(len(STEPS))):
        h = kept[t + 1] if t + 1 < len(kept) else last
        d = d * (1 - h**2)
        total = d * STEPS[t] + (0 if first_round else total)
        d = 0.5 * d
    return total


def first(report):
    return next(fault for fault in report.faults if fault.confidence and not fault.warns)


def with_sine_times(factor):
    """Return a backward of `two_terms` in which the slope through x, not the sine, has a factor."""
    return lambda x, g: (g * (np.exp(x) + np.cos(x) * x + factor * np.sin(x)),)


@pytest.mark.parametrize(
    ("forward", "backward", "name", "said"),
    [
        (normalised, lambda r, g: (g / r[1],), "missing-term", "through size"),
        (two_terms, with_sine_times(-1), "sign-flipped", "has the wrong sign"),
        (two_terms, with_sine_times(2), "constant-factor", "is there twice"),
        (two_terms, with_sine_times(0.25), "constant-factor", "counts 0.25 times"),
    ],
)
def test_a_path_that_backward_gets_wrong(forward, backward, name, said, monkeypatch):
    monkeypatch.setattr("gradlab.running.mending.find_repairs", lambda *asked: [])
    fault = first(check_vjp(forward, backward, (X,), explore=False))
    assert fault.name == name
    assert said in fault.sentence
    assert "test_forward_paths.py" in fault.sentence


def test_only_the_round_that_was_written_last(monkeypatch):
    monkeypatch.setattr("gradlab.running.mending.find_repairs", lambda *asked: [])
    w = np.array([0.3, -0.8, 1.1])
    right = lambda r, g: (g * slopes(*r, first_round=False),)
    assert check_vjp(recurrent, right, (w,)).ok
    fault = first(check_vjp(recurrent, lambda r, g: (g * slopes(*r, first_round=True),), (w,), explore=False))
    assert fault.name == "last-write-wins"
    assert "the share of all but the first is missing" in fault.sentence


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: 1.0 + 0 * x,  # no path of forward lacks
        lambda x: 2 * x * (np.abs(x) > 1),  # of some elements alone
        lambda x: 2 * x + 0.01 * x**3,  # nearly right everywhere
    ],
)
def test_what_no_path_explains_is_given_no_path(wrong, monkeypatch):
    monkeypatch.setattr("gradlab.running.mending.find_repairs", lambda *asked: [])
    square = lambda x: (x * x).sum()
    report = check_gradient(square, wrong, X[0], explore=False)
    assert not report.ok
    assert all("test_forward_paths.py" not in fault.sentence for fault in report.faults)


def test_one_number_has_a_path_only_if_it_explains_other_points_too(monkeypatch):
    monkeypatch.setattr("gradlab.running.mending.find_repairs", lambda *asked: [])
    x = np.array([0.7])
    area = lambda x: (np.sin(x) * np.exp(x)).sum()
    # at this point alone it is what is left where exp(x) is held, times a number
    report = check_gradient(area, lambda x: np.cos(0.7) * np.exp(0.7) * x / 0.7, x, explore=False)
    assert not report.ok
    assert all("test_forward_paths.py" not in fault.sentence for fault in report.faults)


def paths_of(forward, backward):
    sample = Sample("given", (X,))
    node = Node("f", "own", forward, backward, lambda rng: iter([sample]))
    trial = Trial(node, sample, registered=False)
    return lost_paths(trial, trial.names, lambda: True)


def test_what_all_goes_through_is_no_path():
    """A gradient that is off as a whole has a factor, of which no expression says more."""
    assert not paths_of(lambda x: (np.sin(3 * x), x), lambda x, g: (g * np.cos(3 * x),))
    assert paths_of(two_terms, with_sine_times(0.25))


def test_where_backward_raises_elsewhere_no_path_is_named():
    def only_here(x, g):
        if not np.array_equal(x, X):
            raise ValueError("not here")
        return with_sine_times(0.25)(x, g)

    assert not paths_of(two_terms, only_here)


def test_a_backward_that_raises_elsewhere_still_has_its_repair():
    """What paths cannot be looked at for does not keep a change from being found."""

    def only_here(r, g):
        if not np.array_equal(r, X):
            raise ValueError("not here")
        return (-g * np.cos(r),)

    report = check_vjp(lambda x: (np.sin(x), x), only_here, (X,), explore=False, checks=["matches_numerical"])
    assert [repair.after for repair in report.repairs if repair.diff] == ["return (g * np.cos(r),)"]
