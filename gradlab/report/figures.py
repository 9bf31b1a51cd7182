"""Pictures, with the extra `plot`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from gradlab.report.files import write_atomically


def can_plot() -> bool:
    """Whether matplotlib, the extra `plot`, is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure, in inches, that belongs to no window, and that a notebook shows."""
    os.environ.setdefault("MPLBACKEND", "svg")
    from matplotlib.figure import Figure

    class Shown(Figure):
        # a notebook shows a bare figure only where pyplot was imported
        def _repr_png_(self) -> bytes:
            png = BytesIO()
            self.savefig(png, format="png", dpi=72)
            return png.getvalue()

    return Shown(figsize=(width, height), layout="constrained")


def svg_of(figure: Any) -> str:
    """Return a figure as SVG without the date; the same figure gives the same text."""
    import matplotlib as mpl

    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": "gradlab", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def write_svg(figure: Any, path: Path) -> None:
    """Write a figure as SVG, whole or not at all."""
    write_atomically(path, svg_of(figure))


def sweep_figure(
    path: Path, title: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> None:
    """Write the error against the step, both logarithmic, as SVG: the well-known V."""
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    for name, (steps, errors) in curves.items():
        # an error of exactly 0 has no place on a logarithmic axis; nothing is known below 1e-17
        shown = [max(e, 1e-17) for e in errors]
        axes.loglog(steps, shown, marker="o", markersize=3, linewidth=1.2, label=name)
    axes.invert_xaxis()
    axes.set(title=title, xlabel="step h", ylabel="relative error")
    axes.grid(alpha=0.3)
    axes.legend()
    write_svg(figure, path)


@dataclass(frozen=True)
class AccuracyCurve:
    """The accuracies of one training over its epochs."""

    epochs: Sequence[float]
    train: Sequence[float]
    test: Sequence[float]


def accuracy_figure(
    title: str, curves: Mapping[str, AccuracyCurve], apart: tuple[Sequence[float], Sequence[float]] | None
) -> Any:
    """Return the share that is taken for another digit over epochs, and below it how far two nets are apart.

    Near an accuracy of 1 all curves are one; of the share that is wrong, on a logarithmic axis, they are not. A colour
    for each set, dark lines over light ones for trainings that coincide.
    """
    figure = new_figure(6.4, 6.2 if apart else 4.2)
    heights = [2, 1] if apart else None
    axes = figure.subplots(2 if apart else 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for k, (name, curve) in enumerate(curves.items()):
        for which, accuracies, colours in (
            ("test set", curve.test, ("#9ecae1", "#08519c")),
            ("training set", curve.train, ("#fdbe85", "#a63603")),
        ):
            over = k == len(curves) - 1
            axes[0].semilogy(
                curve.epochs,
                [max(1 - accuracy, 1e-5) for accuracy in accuracies],
                color=colours[over],
                linewidth=1.5 if over else 7.0,
                marker="o" if which == "test set" else "s",
                markersize=4 if over else 9,
                label=f"{name}, {which}",
            )
    axes[0].set(title=title, ylabel="share taken for another digit")
    axes[0].legend(fontsize=9)
    if apart:
        epochs, distances = apart
        axes[1].semilogy(
            epochs, [max(d, 1e-17) for d in distances], color="#595959", marker="o", markersize=4
        )
        axes[1].set(ylabel="largest difference\nof a parameter")
    axes[-1].set_xlabel("epoch")
    for ax in axes:
        ax.grid(alpha=0.3)
    return figure
