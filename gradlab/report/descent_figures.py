"""Pictures of gradient descent, with the extra `plot`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradlab.node import Array
from gradlab.report.figures import new_figure, write_svg

Curve = tuple[Array, Array]
# About as many points of a long descent get a mark, at even numbers of steps, so that they tell slow from fast.
MARKS = 40


def descent_figure(path: Path, title: str, function: Curve, descents: Mapping[str, Curve]) -> None:
    """Write descents on a function of one number as SVG; the same curves give the same bytes.

    On the left the function, and on it where each descent passes; on the right the function's value over the steps.

    Parameters
    ----------
    path : Path
        The file.
    title : str
    function : pair of ndarray
        Points x, and f(x).
    descents : mapping of str to pair of ndarray
        For each, the points it passes in their order, and f there.
    """
    figure = new_figure(7.2, 3.5)
    landscape, progress = figure.subplots(1, 2)
    landscape.plot(*function, color="0.6", linewidth=1.2)
    for name, (x, y) in descents.items():
        style: dict[str, Any] = {
            "marker": "o",
            "markersize": 3,
            "markevery": max(1, len(x) // MARKS),
            "label": name,
        }
        landscape.plot(x, y, linewidth=0.8, **style)
        progress.plot(y, linewidth=1.2, **style)
    landscape.set(xlabel="x", ylabel="f(x)", xlim=(function[0].min(), function[0].max()))
    progress.set(xlabel="step", ylabel="f(x)")
    for axes in (landscape, progress):
        axes.grid(alpha=0.3)
    # beside the axes, where it hides no curve
    handles, labels = progress.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title)
    write_svg(figure, path)
