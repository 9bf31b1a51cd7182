"""Pictures, with the extra `plot`."""

import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from gradlab.report.files import write_atomically


def can_plot() -> bool:
    """Whether matplotlib, the extra `plot`, is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


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
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    write_atomically(path, text.getvalue())
