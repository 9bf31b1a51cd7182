"""The embedded digits: handwriting-like figures 0 to 9, drawn from strokes, so that no download is needed.

Each figure is a set of pen strokes in the unit square (x to the right, y downwards). A sample takes one of
its figure's variants, bends it, then rotates, slants, scales and shifts it, and draws it with a pen of random
width and uneven ink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradlab.textbook.datasets.idx import DatasetError

SIDE = 28
N_TRAIN = 10_000
N_TEST = 2_000
SEED = 0

_POINTS = 72  # pen positions per figure: less than a pen's width apart on the longest figure
_CHUNK = 500  # samples drawn at once, which bounds the temporary memory to some tens of MB

Stroke = list[tuple[float, float]]


def make_digits(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw random digits.

    Parameters
    ----------
    n : int
        The number of digits, at least 0. The ten classes come in equal shares (to within one), in random order.
    seed : int
        Seed of the random numbers; the same `n` and `seed` give the same digits.

    Returns
    -------
    x : ndarray, shape (n, 784), float64
        Pixels row by row, in [0, 1]; the background is exactly 0.
    t : ndarray, shape (n,), int64
        The classes, 0 to 9.

    Raises
    ------
    DatasetError
        If `n` is negative.
    """
    if n < 0:
        raise DatasetError(f"cannot draw {n} digits; pass a number that is at least 0")
    rng = np.random.default_rng(seed)
    t = rng.permutation(np.arange(n, dtype=np.int64) % 10)
    x = np.empty((n, SIDE * SIDE))
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        x[part] = _draw(*_place(t[part], rng), rng).reshape(-1, SIDE * SIDE)
    return x, t


def embedded_digits() -> tuple[
    tuple[NDArray[np.float64], NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.int64]]
]:
    """Draw the default set, which is the same on every call.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : pairs of ndarrays
        As `make_digits` gives them, 10,000 to train on and 2,000 others to test with.
    """
    x, t = make_digits(N_TRAIN + N_TEST, SEED)
    return (x[:N_TRAIN], t[:N_TRAIN]), (x[N_TRAIN:], t[N_TRAIN:])


def _place(t: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose a variant for each class in `t`, deform it and place it on the canvas.

    Returns the pen positions in pixels, shape (n, points, 2), and the distance in pixels from one position to
    the next, shape (n,).
    """
    n = len(t)
    variant = _FIRST[t] + rng.integers(_COUNT[t])
    pen = _PEN[variant] - 0.5

    # A slow wave across the figure: what makes two figures of one hand differ in more than their placement.
    amplitude = rng.normal(0.0, 0.035, (n, 1, 2))
    frequency = rng.uniform(3.0, 8.0, (n, 1, 2))
    phase = rng.uniform(0.0, 2 * np.pi, (n, 1, 2))
    pen = pen + amplitude * np.sin(frequency * pen[:, :, ::-1] + phase)

    angle = np.deg2rad(np.clip(rng.normal(0.0, 10.0, n), -25.0, 25.0))
    slant = np.clip(rng.normal(0.12, 0.18, n), -0.35, 0.6)
    height = rng.uniform(15.0, 21.0, n)
    width = height * rng.uniform(0.75, 1.15, n)
    cos, sin = np.cos(angle), np.sin(angle)
    # rotation @ slant @ scale, written out; the slant leans to the right, against y, which points down
    affine = np.empty((n, 2, 2))
    affine[:, 0, 0] = cos * width
    affine[:, 0, 1] = (-cos * slant - sin) * height
    affine[:, 1, 0] = sin * width
    affine[:, 1, 1] = (-sin * slant + cos) * height
    centre = (SIDE - 1) / 2 + np.clip(rng.normal(0.0, 1.2, (n, 1, 2)), -2.5, 2.5)
    pen = pen @ affine.transpose(0, 2, 1) + centre
    spacing = _LENGTH[variant] * (width + height) / 2 / _POINTS
    return pen, spacing


def _draw(
    pen: NDArray[np.float64], spacing: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ink the pen positions (n, points, 2) onto canvases (n, 28, 28), values in [0, 1].

    Each position leaves a round Gaussian spot. A spot is the product of a function of the row and one of the
    column, so a whole figure is one matrix product, far cheaper than a distance for every pixel and position.
    """
    n = len(pen)
    radius = rng.uniform(0.75, 1.35, (n, 1, 1))
    grid = np.arange(SIDE)
    scale = -0.5 / radius**2
    columns = np.exp(scale * (pen[:, :, 0, None] - grid) ** 2)
    rows = np.exp(scale * (pen[:, :, 1, None] - grid) ** 2)
    # This factor makes the sum 1 in the middle of a long line, whatever the radius and the spacing.
    rows *= spacing[:, None, None] / (np.sqrt(2 * np.pi) * radius)
    ink = rows.transpose(0, 2, 1) @ columns

    # Steep edges and a flat top, as a scanned pen line has; what falls below the threshold is background.
    ink = np.clip(1.9 * ink - 0.35, 0.0, 1.0)
    grain = rng.uniform(0.0, 0.5, (n, 1, 1)) * rng.random((n, SIDE, SIDE))
    return np.asarray(ink * (1.0 - grain))


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Stroke:
    """Points of an elliptic arc; angles in degrees, 0 to the right, 90 downwards (clockwise to the eye)."""
    angles = np.deg2rad(np.linspace(start, stop, 25))
    return [(cx + rx * float(np.cos(a)), cy + ry * float(np.sin(a))) for a in angles]


# The variants of each figure; a figure of several strokes lifts the pen between them.
_FIGURES: list[list[list[Stroke]]] = [
    [  # 0
        [_arc(0.5, 0.5, 0.30, 0.48, -90, 270)],
        [_arc(0.5, 0.5, 0.37, 0.46, -60, 300)],
        [_arc(0.5, 0.5, 0.24, 0.48, -120, 225)],
    ],
    [  # 1
        [[(0.5, 0.02), (0.5, 0.98)]],
        [[(0.34, 0.22), (0.54, 0.02), (0.54, 0.98)]],
        [[(0.34, 0.20), (0.52, 0.02), (0.52, 0.96)], [(0.32, 0.97), (0.72, 0.97)]],
    ],
    [  # 2: plain, with a loop at the foot, with a round foot
        [[*_arc(0.48, 0.28, 0.28, 0.26, -165, 35), (0.22, 0.95), (0.80, 0.95)]],
        [
            [
                *_arc(0.48, 0.27, 0.27, 0.25, -170, 40),
                *_arc(0.34, 0.84, 0.14, 0.10, 20, 290),
                (0.62, 0.90),
                (0.84, 0.88),
            ]
        ],
        [[*_arc(0.48, 0.28, 0.27, 0.26, -150, 40), (0.34, 0.80), (0.22, 0.92), (0.5, 0.86), (0.82, 0.97)]],
    ],
    [  # 3: round, with a flat top
        [[*_arc(0.46, 0.26, 0.27, 0.24, -150, 90), *_arc(0.46, 0.73, 0.31, 0.24, -90, 150)]],
        [[(0.22, 0.04), (0.74, 0.04), (0.44, 0.40), *_arc(0.45, 0.68, 0.31, 0.28, -75, 150)]],
        [[*_arc(0.48, 0.26, 0.25, 0.23, -160, 70), (0.40, 0.50), *_arc(0.46, 0.73, 0.29, 0.24, -70, 140)]],
    ],
    [  # 4: open, closed, open with round corner
        [[(0.26, 0.04), (0.20, 0.52), (0.82, 0.52)], [(0.68, 0.06), (0.64, 0.98)]],
        [[(0.62, 0.98), (0.62, 0.03), (0.16, 0.66), (0.86, 0.66)]],
        [
            [(0.24, 0.06), (0.20, 0.36), (0.28, 0.52), (0.48, 0.54), (0.72, 0.46)],
            [(0.74, 0.04), (0.70, 0.98)],
        ],
    ],
    [  # 5: in one stroke, with the bar drawn last
        [[(0.76, 0.04), (0.32, 0.04), (0.27, 0.45), *_arc(0.45, 0.69, 0.31, 0.27, -115, 150)]],
        [
            [(0.32, 0.08), (0.28, 0.44), *_arc(0.44, 0.68, 0.29, 0.27, -110, 140)],
            [(0.32, 0.07), (0.82, 0.03)],
        ],
    ],
    [  # 6: with a straight back, with a round back
        [[(0.60, 0.02), (0.34, 0.38), *_arc(0.48, 0.72, 0.25, 0.25, 190, -175)]],
        [[*_arc(0.64, 0.60, 0.42, 0.58, -85, -160), *_arc(0.47, 0.71, 0.26, 0.26, 190, -165)]],
    ],
    [  # 7: plain, crossed, with a hook
        [[(0.18, 0.06), (0.80, 0.06), (0.40, 0.98)]],
        [[(0.18, 0.07), (0.80, 0.05), (0.42, 0.98)], [(0.34, 0.50), (0.76, 0.48)]],
        [[(0.20, 0.20), (0.22, 0.07), (0.78, 0.07), (0.56, 0.46), (0.46, 0.98)]],
    ],
    [  # 8: two rings, one crossing stroke
        [[*_arc(0.5, 0.26, 0.23, 0.23, 90, 450), *_arc(0.5, 0.73, 0.28, 0.24, -90, 270)]],
        [
            [
                *_arc(0.5, 0.25, 0.24, 0.22, -30, -220),
                *_arc(0.5, 0.74, 0.27, 0.23, -40, 220),
                *_arc(0.5, 0.25, 0.24, 0.22, 40, -30),
            ]
        ],
    ],
    [  # 9: with a straight leg, with a curved one, with a leaning one
        [[*_arc(0.48, 0.28, 0.25, 0.25, -10, -360), (0.72, 0.98)]],
        [[*_arc(0.48, 0.28, 0.26, 0.25, -20, -370), (0.75, 0.60), *_arc(0.48, 0.70, 0.26, 0.27, 0, 130)]],
        [[*_arc(0.50, 0.27, 0.24, 0.23, -20, -350), (0.70, 0.40), (0.46, 0.98)]],
    ],
]


def _trace(strokes: list[Stroke]) -> tuple[NDArray[np.float64], float]:
    """Space `_POINTS` pen positions evenly along the strokes; also give the strokes' total length."""
    ends = [np.array(stroke) for stroke in strokes]
    starts = np.concatenate([points[:-1] for points in ends])
    steps = np.concatenate([np.diff(points, axis=0) for points in ends])
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    at = (np.arange(_POINTS) + 0.5) / _POINTS * before[-1]
    segment = np.searchsorted(before, at, side="right") - 1
    along = (at - before[segment]) / lengths[segment]
    return starts[segment] + along[:, None] * steps[segment], float(before[-1])


_TRACES = [_trace(strokes) for variants in _FIGURES for strokes in variants]
_PEN = np.stack([pen for pen, _ in _TRACES])
_LENGTH = np.array([length for _, length in _TRACES])
_COUNT = np.array([len(variants) for variants in _FIGURES])
_FIRST = np.cumsum(_COUNT) - _COUNT
