"""Slopes of lines that are plainly smooth, or plainly have a kink: most are, and a few large steps settle them.

The whole reading of a ladder (`gradlab.numerical.ladder`) weighs every window of steps against every other, and takes
a hundred times as long. Here the largest steps are extrapolated, and every smaller step must bear the value out; where
one does not, nothing is said.
"""

from typing import NamedTuple

import numpy as np

from gradlab.node import Array
from gradlab.numerical.element_scan import Quotients
from gradlab.numerical.ladder import AGREE, KNOWN_NOISE, SAFETY, SAMPLED_NOISE, on_stairs

# The steps of a ladder relative to the largest: each of the first four is a quarter of the one before, and the others
# are far smaller, and bear witness.
PLAIN_STEPS = np.exp2([0.0, -2.0, -4.0, -6.0, -16.0, -25.0, -34.0, -41.0])
# A kink counts whose sides differ by so many times their error bounds.
SURE = 100.0


class PlainSlopes(NamedTuple):
    """The slopes of lines: the central one and those to both sides, with error bounds, and which of these are sure.

    On a smooth line the three are one.
    """

    value: Array
    error: Array
    right: Array
    left: Array
    side_error: Array
    smooth: Array
    kinked: Array


def plain_slopes(h: Array, reach: Array, of: Quotients, *, believe_flights: bool = False) -> PlainSlopes:
    """Return the slopes of lines.

    Parameters
    ----------
    h : ndarray of shape (lines, steps)
    reach : ndarray of shape (lines,)
        The largest of the ladder's first steps.
    of : Quotients
        Of shape (lines, steps).
    believe_flights : bool
        Whether stairs finer than the steps are taken for rounding.
    """
    with np.errstate(all="ignore"):
        at = np.abs(h[:, None, :] - (reach[:, None] * PLAIN_STEPS)[:, :, None])
        places = np.nan_to_num(at, nan=np.inf).argmin(axis=2)
        steps, central, right, left, noise, size = (
            np.take_along_axis(part, places, axis=1) for part in (h, *of)
        )
        value, error, agrees = _extrapolated(central, noise, 2)
        gap = np.abs(right - left)
        # the sides of a smooth line come together in proportion to the step
        shrinks = PLAIN_STEPS[1:] / PLAIN_STEPS[:-1]
        together = (gap[:, 1:] <= 2 * shrinks * gap[:, :-1] + AGREE * noise[:, 1:]).all(axis=1)
        still = (central == 0).all(axis=1) & (gap == 0).all(axis=1)
        error = np.where(still, KNOWN_NOISE * noise[:, 0], error)
        (of_right, right_error, right_agrees), (of_left, left_error, left_agrees) = (
            _extrapolated(side, noise, 1) for side in (right, left)
        )
        still = ((right == 0) | (left == 0)) & (not believe_flights)
        agrees &= ~on_stairs(steps, central, still, noise, value, size, reach).any(axis=1)
        side_error = right_error + left_error
        apart = np.abs(of_right - of_left) > SURE * (side_error + error)
        smooth = agrees & together & np.isfinite(value + error)
        kinked = agrees & right_agrees & left_agrees & apart & np.isfinite(of_right + of_left + side_error)
    return PlainSlopes(value, error, of_right, of_left, side_error, smooth, kinked & ~smooth)


def _extrapolated(c: Array, noise: Array, power: int) -> tuple[Array, Array, Array]:
    """Return the slope by the window of least error that begins at the largest step, and whether the rest agrees.

    `power` is that of the step in which the quotients' error is a series.
    """
    ratio = 4.0**power
    shrinks = PLAIN_STEPS**power
    row, found = c[:, :4], []
    for k in (1, 2, 3):
        without_largest = row[:, 1]
        row = row[:, 1:] + (row[:, 1:] - row[:, :-1]) / (ratio**k - 1)
        value = row[:, 0]
        # every smaller step misses the value by its own truncation, and by the noise of f
        curve = value[:, None] + (c[:, k] - value)[:, None] * shrinks[k + 1 :] / shrinks[k]
        miss = np.abs(c[:, k + 1 :] - curve)
        measured = np.max(miss * PLAIN_STEPS[k + 1 :], axis=1) / PLAIN_STEPS[k]
        loud = np.maximum(KNOWN_NOISE * noise[:, k], SAMPLED_NOISE * measured)
        error = SAFETY * np.abs(value - without_largest) + _amplification(ratio) * loud
        agrees = (miss <= error[:, None] + AGREE * noise[:, k + 1 :]).all(axis=1)
        found.append((value, np.where(agrees, error, np.inf), agrees))
    values, errors, agree = (np.stack(parts) for parts in zip(*found, strict=True))
    best, lines = errors.argmin(axis=0), np.arange(len(c))
    return values[best, lines], errors[best, lines], agree[best, lines]


def _amplification(ratio: float) -> float:
    """Return how far extrapolation by steps of this ratio amplifies the noise of the smallest, at the most."""
    return float(np.prod([(1 + 1 / ratio**k) / (1 - 1 / ratio**k) for k in (1, 2, 3)]))
