"""What a line gives beside what the gradients need it to give tells what the mistake is."""

import ast
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab.checks.trial import Trial
from gradlab.diagnosis import Finding
from gradlab.faults.syntax_places import places
from gradlab.node import Node, Sample
from gradlab.repair._judge import judge_of
from gradlab.repair._needed_values import mistake_at
from gradlab.repair._reachable import reachable
from gradlab.repair._responses import Response, response
from gradlab.repair._suspects import suspects_of
from gradlab.repair.proposal import Repair
from gradlab.running import mending

RNG = np.random.default_rng(4)
V = RNG.uniform(0.5, 2.0, (3, 8)) * RNG.choice([-1, 1], (3, 8))
G = RNG.standard_normal((3, 8))
FIRST = np.arange(24).reshape(3, 8) % 2 == 0
GAIN, ROWS = RNG.uniform(0.7, 1.4, (3, 8)), RNG.uniform(0.7, 1.4, 3)
ENDS = np.zeros((3, 8), bool)
ENDS[:, [0, 1, -2, -1]] = True


def told(given, needed, lines="d = g * s\n    return d @ w", rank=None):
    """Return the response of the gradients to the first statement of a backward."""
    (function,) = ast.parse(f"def backward(self, g, w):\n    {lines}").body
    place = next(p for p in places(function) if p.parent is p.statement and p.field == "value")
    matrix = np.random.default_rng(0).standard_normal((40, given.size))[:, :rank] @ np.eye(given.size)[:rank]
    change = (needed - given).ravel()
    scope = {"self": SimpleNamespace(gain=GAIN, row=GAIN[:1], rows=ROWS), "g": G, "w": V}
    return mistake_at(Response(place, [given], [scope], matrix, matrix @ change, change), function)


@pytest.mark.parametrize(
    ("given", "needed", "mistake"),
    [
        (np.where(FIRST, V, 0), V, "masked-region"),
        (V, np.where(FIRST, V, 0), "masked-region"),
        (np.roll(V, 1, axis=1), V, "shifted"),
        (V, np.concatenate([np.zeros((3, 1)), V[:, :-1]], axis=1), "shifted"),
        (np.where(ENDS, V + 1, V), V, "border"),
        (np.where(ENDS, 0, V), V, "border"),
        (np.where(np.arange(8) < 2, V + 1, V), V, "border"),
        (np.where(np.arange(8) < 2, 0, V), V, "masked-region"),
        (np.where(np.arange(24).reshape(3, 8) == 9, 5, V), V, "single-element"),
        (V * (1 + 0.5 * np.tanh(V)), V, "other-approximation"),
        (V, 1.25 * V, "constant-factor"),
        (G, G * np.abs(V), "straight-through"),
        (V * np.where(FIRST, 1, -1), V, ""),
        (V, V * np.exp(2 * V), ""),
        (V, V * GAIN, "missing-factor"),
        (V, V / GAIN[:1], "missing-factor"),
        (V, V * ROWS[:, None], "missing-factor"),
        (RNG.standard_normal((3, 8)), V, ""),
        (V[:1, :4], 1.25 * V[:1, :4], ""),
    ],
)  # fmt: skip
def test_a_pattern_has_a_name(given, needed, mistake):
    assert told(given, needed) == mistake


def test_where_several_values_would_do_nothing_is_told():
    assert told(V, 1.25 * V, rank=20) == ""


def test_a_sum_may_begin_with_the_cotangent():
    begun = "d = g.copy()\n    d += g @ w\n    return d"
    assert told(G, G * np.abs(V), "d = g.copy()\n    return d * w") == "straight-through"
    assert told(G, G * np.abs(V), begun) == ""
    assert told(G, G * np.abs(V), "d = 1 * g\n    g = d\n    return g") != "straight-through"
    assert told(G, G * np.abs(V), "d = g.copy()\n    d[1:] = g[1:] @ w\n    return d") == ""


def pair(x, y):
    return x * y, (x, y)


def pair_back(cache, g):
    x, y = cache
    d = 2 * g
    return d * y, d * x


def test_what_is_known_to_fewer_digits_counts_for_less():
    sample = Sample("given", (V, V + 3))
    trial = Trial(Node("pair", "own", pair, pair_back, lambda rng: iter([sample])), sample, registered=False)
    functions, held = reachable(pair_back, pair)
    exact = judge_of(trial, held)
    off = np.zeros(exact.wanted.size)
    off[30] = 1e-3

    def explains(allowed):
        judge = replace(exact, wanted=exact.wanted + off, allowed=exact.allowed + allowed)
        suspect = next(s for s in suspects_of(judge, judge.gradients(), functions) if not s.in_forward)
        place = next(p for p in places(suspect.function.body) if ast.unparse(p.node) == "2 * g")
        return response(suspect.function, place, judge, judge.gradients())

    assert explains(0) is None
    told = explains(10 * off)
    assert np.allclose(told.change, -told.values[0].ravel() / 2, 1e-3, 1e-3)


def finding(name, confidence):
    return Finding(name, "x", confidence, "", "")


def test_what_a_change_says_beside_what_is_known():
    line, named = Repair("f.py", 1, "d", ""), Repair("f.py", 2, "d", "", mistake="other-approximation")
    proven = replace(named, diff="-d", mistake="last-write-wins")
    names = lambda known, found: [f.name for f in mending._named(known, [], found, {"x"})]
    # of lines the first that has a name, and behind a condition that separates wrong from right exactly
    assert names([], [line, named]) == ["other-approximation"]
    assert names([finding("masked-region", 0.96)], [named]) == ["masked-region", "other-approximation"]
    assert names([finding("masked-region", 0.9)], [named]) == ["other-approximation", "masked-region"]
    assert names([finding("masked-region", 0.96)], [proven]) == ["last-write-wins", "masked-region"]
    assert mending._says_more([finding("ignores-cotangent", 0.9)], proven)
    assert not mending._says_more([finding("ignores-cotangent", 0.9)], replace(proven, diff=""))
