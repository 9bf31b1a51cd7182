"""Pictures, with the extra `plot`."""

import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from gradlab.report.files import write_atomically


def can_plot() -> bool:
    """Whether matplotlib, the extra `plot`, is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def sweep_figure(
    path: Path, title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> None:
    """Write the error against the step, both logarithmic, as SVG: the well-known V."""
    os.environ.setdefault("MPLBACKEND", "svg")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "gradlab", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        for name, (steps, errors) in curves.items():
            # an error of exactly 0 has no place on a logarithmic axis; nothing is known below 1e-17
            axes.loglog(
                steps, [max(e, 1e-17) for e in errors], marker="o", markersize=3, linewidth=1.2, label=name
            )
        axes.invert_xaxis()
        axes.set(title=title, xlabel="step h", ylabel="relative error")
        axes.grid(alpha=0.3)
        axes.legend()
        write_svg(figure, path)


def accuracy_figure(
    path: Path, title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> None:
    """Write curves of accuracy over epochs as SVG; the same curves give the same bytes."""
    os.environ.setdefault("MPLBACKEND", "svg")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "gradlab", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for name, (epochs, accuracies) in curves.items():
            axes.plot(epochs, accuracies, marker="o", markersize=3, linewidth=1.2, label=name)
        axes.set(title=title, xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        write_svg(figure, path)


def write_svg(figure: Any, path: Path) -> None:
    """Write a matplotlib figure without the date, whole or not at all."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    write_atomically(path, text.getvalue())
