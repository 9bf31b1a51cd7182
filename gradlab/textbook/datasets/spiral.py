"""Three arms of a spiral: the textbook's points that no straight line separates."""

import numpy as np

from gradlab.node import Array

ARMS = 3


def make_spiral(n: int = 100, rng: np.random.Generator | int = 0) -> tuple[Array, Array]:
    """Draw points on the arms of a spiral.

    Parameters
    ----------
    n : int
        The number of points on each of the three arms.
    rng : numpy.random.Generator or int
        Draws how far a point lies off its arm.

    Returns
    -------
    x : ndarray of shape (3 n, 2), float64
        The points, in the unit disc, arm by arm from the middle outwards.
    t : ndarray of shape (3 n,), int64
        Each point's arm.

    Notes
    -----
    At the radius r the arm k lies at the angle 4 k + 4 r, and points scatter about it by 0.2 radians. Source: Deep
    Learning from Scratch 2, chapter 1.
    """
    rng = np.random.default_rng(rng)
    t = np.repeat(np.arange(ARMS), n)
    radius = np.tile(np.arange(n) / n, ARMS)
    angle = 4 * t + 4 * radius + 0.2 * rng.standard_normal(ARMS * n)
    return radius[:, np.newaxis] * np.column_stack([np.sin(angle), np.cos(angle)]), t
