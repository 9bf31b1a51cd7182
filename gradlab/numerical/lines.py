"""The slopes of all outputs along a few lines through a point, from one set of evaluations.

A functional of the outputs is read first: one ladder tells it. Where kinks of some outputs spoil that, every output's
own ladder tells which are smooth, and their slopes.
"""

from typing import NamedTuple

import numpy as np

from gradlab.node import Array
from gradlab.numerical.element_scan import Evaluate, Scan
from gradlab.numerical.element_slopes import climb
from gradlab.numerical.plain_slopes import plain_slopes


class LineSlopes(NamedTuple):
    """Slopes along lines, of one functional or of single outputs, which come as a further axis.

    `scale` is the slope at which the functional would change by all of its size over the largest step.
    """

    value: Array
    error: Array
    kinked: Array
    scale: Array


def scan_lines(evaluate: Evaluate, count: int, y0: Array, g: Array, enough: Array) -> tuple[Scan, LineSlopes]:
    """Climb the ladder along `count` lines; return all that was evaluated, and the slopes of the functional `g`.

    Parameters
    ----------
    evaluate : callable
        Takes (line, step) of each evaluation; gives one row of outputs each, NaN where there is no value.
    count : int
    y0, g : ndarray of shape (outputs,)
    enough : ndarray of shape (lines,)
        The error bounds at which a line needs no further steps.
    """
    scan = Scan(evaluate, list(range(count)), np.zeros(count), y0)
    # a line moves many elements at once, and each tells better whether stairs are f or a rounding of f
    sides = climb(scan, g, enough, believe_flights=True)
    best = sides.best().first(count)
    kinked = np.asarray(sides.kinked().reshape(-1, count).any(axis=0))
    return scan, LineSlopes(
        best.value, _bound(best.value, best.error), kinked, sides.usual[:count] / scan.reach
    )


def output_slopes(scan: Scan, line: int) -> LineSlopes:
    """Return the slopes of every output along one line, with infinite errors of those that are not plainly smooth."""
    outputs = np.arange(scan.y0.size)
    lines = np.full(outputs.size, line)
    quotients = scan.quotients_of_pairs(lines, outputs)
    plain = plain_slopes(scan.h[lines], scan.reach[lines], quotients, believe_flights=True)
    value = np.where(plain.smooth, plain.value, 0.0)
    error = np.where(plain.smooth, plain.error, np.inf)
    return LineSlopes(value, error, ~plain.smooth, np.abs(scan.y0) / scan.reach[line])


def _bound(value: Array, error: Array) -> Array:
    return np.where(np.isfinite(value), error, np.inf)
