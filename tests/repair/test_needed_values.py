"""What a line gives beside what the gradients need it to give tells what the mistake is."""

import ast
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab.faults.syntax_places import places
from gradlab.repair._needed_values import mistake_at
from gradlab.repair._responses import Response

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
    assert told(G, G * np.abs(V), "d = g.copy()\n    d[1:] = g[1:] @ w\n    return d") == ""
