"""The look of the gallery's pictures: colours that everybody can tell apart, on white, as the reports' own have."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle

from gradlab.report.figures import new_figure
from gradlab.report.pictures import PLAIN, RIGHT, WRONG

__all__ = ["BACKPROP", "NUMERICAL", "PLAIN", "cells", "grid", "panel", "picture", "styled"]

NUMERICAL, BACKPROP = RIGHT, WRONG
SIZE = (5.0, 2.5)
COLOURS = "PRGn"
STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PLAIN,
    "axes.labelcolor": "#262626",
    "xtick.color": PLAIN,
    "ytick.color": PLAIN,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.8,
}


def styled() -> Any:
    """Return the context in which all pictures are drawn."""
    return mpl.rc_context(STYLE)


def picture(title: str) -> Any:
    """Return an empty figure with a title."""
    figure = new_figure(*SIZE)
    figure.suptitle(title, fontsize=9.5)
    return figure


def panel(figure: Any, *place: int, x: str = "", y: str = "", title: str = "") -> Any:
    """Return axes with labels."""
    axes = figure.add_subplot(*place)
    axes.set(xlabel=x, ylabel=y, title=title)
    return axes


def grid(figure: Any, *place: int) -> Any:
    """Return axes for arrays, which are drawn cell by cell."""
    axes = figure.add_subplot(*place)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.invert_yaxis()
    return axes


def cells(
    axes: Any,
    values: np.ndarray,
    at: tuple[float, float] = (0.0, 0.0),
    *,
    size: float,
    texts: Sequence[Sequence[str]] | None = None,
    title: str = "",
    colour: str = PLAIN,
    below: bool = False,
    outlined: np.ndarray | None = None,
) -> None:
    """Draw an array with its upper left corner at (x, y); a value of `size` has the darkest colour."""
    (left, top), (rows, columns) = at, values.shape
    axes.pcolormesh(
        left + np.arange(columns + 1), top + np.arange(rows + 1), values,
        cmap=COLOURS, vmin=-1.15 * size, vmax=1.15 * size, edgecolors="white", linewidth=1.2,
    )  # fmt: skip
    axes.add_patch(Rectangle((left, top), columns, rows, fill=False, edgecolor=colour, linewidth=1.6))
    for row in range(rows if texts is not None else 0):
        for column in range(columns):
            dark = abs(values[row, column]) > 0.75 * size
            where = (left + column + 0.5, top + row + 0.5)
            text_colour = "white" if dark else "black"
            axes.text(*where, texts[row][column], ha="center", va="center", color=text_colour, fontsize=8)
    if title:
        y, anchor = (top + rows + 0.15, "top") if below else (top - 0.15, "bottom")
        axes.text(left + columns / 2, y, title, ha="center", va=anchor, color=colour)
    for row, column in np.argwhere(outlined) if outlined is not None else ():
        box = Rectangle((left + column, top + row), 1, 1, fill=False, edgecolor=BACKPROP, linewidth=2.2)
        axes.add_patch(box)
