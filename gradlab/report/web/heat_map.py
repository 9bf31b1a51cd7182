"""The error of a gradient as cells of a table, for who has no matplotlib."""

from dataclasses import dataclass

import numpy as np

from gradlab.node import Array
from gradlab.report.comparison import Comparison, index_text

# More rows and columns than these are cut, to what lies round the worst element.
ROWS, COLUMNS = 20, 16
# An element that is right: its rounding is no news.
DOT = "\N{MIDDLE DOT}"


@dataclass(frozen=True)
class Cell:
    """An element: how far backprop is off, what is shown of it, and how dark, in per cent."""

    text: str
    title: str
    kind: str
    heat: int


@dataclass(frozen=True)
class HeatMap:
    """Rows and columns of cells, with their names."""

    caption: str
    columns: list[int]
    rows: list[tuple[int, list[Cell]]]
    legend: str


def heat_map(comparison: Comparison) -> HeatMap | None:
    """Return the error in the array's own shape; of many axes the last two, at the worst element."""
    if not comparison.analytic.size or comparison.directions:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(np.asarray(comparison.analytic, dtype=np.float64) - comparison.numerical)
    worst = _worst(comparison, off)
    panel = tuple(worst[:-2])
    two, wrong = np.atleast_2d(off[panel]), np.atleast_2d(comparison.wrong[panel])
    row, column = (0, 0, *worst[-2:])[-2:]
    rows, columns = _window(row, two.shape[0], ROWS), _window(column, two.shape[1], COLUMNS)
    largest = float(np.max(two[np.isfinite(two)], initial=0.0))
    name = comparison.primal + (index_text(panel)[:-1] + ", :, :]" if panel else "")
    cut = "" if (len(rows), len(columns)) == two.shape else f", the part round {index_text(worst)}"
    return HeatMap(
        f"How far backprop is from the numerical gradient of {name}{cut}",
        list(columns),
        [(r, [_cell(two[r, c], bool(wrong[r, c]), largest) for c in columns]) for r in rows],
        "x: wrong, and by how much; the stronger the colour, the further off. A dot: both agree.",
    )


def _worst(comparison: Comparison, off: Array) -> list[int]:
    """Return the element that the report names, or else the one that is furthest off."""
    if comparison.worst is not None and comparison.wrong[comparison.worst]:
        return [int(k) for k in comparison.worst]
    most = np.where(comparison.wrong, np.nan_to_num(off, nan=np.inf), -1.0)
    return [int(k) for k in np.unravel_index(int(np.argmax(most)), off.shape)]


def _window(place: int, length: int, most: int) -> range:
    first = min(max(place - most // 2, 0), max(length - most, 0))
    return range(first, min(first + most, length))


def _cell(off: Array, wrong: bool, largest: float) -> Cell:
    value = float(off)
    known = not np.isnan(value)
    if not wrong:
        return Cell(DOT, f"off by {value:.6g}", "", 0) if known else Cell("", "not looked at alone", "", 0)
    if not known:
        return Cell("x", "no number", "off", 0)
    share = 1.0 if np.isinf(value) else value / largest if largest else 0.0
    shown = f"{value:.1e}" if value < 1e-3 else f"{value:.2g}"
    return Cell(f"{shown} x", f"off by {value:.6g}", "off", round(100 * share))
