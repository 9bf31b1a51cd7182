"""Pictures of a report, with the extra `plot`: both gradients, the error in its place, Jacobians, Taylor's test."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.report.comparison import Comparison, index_text
from gradlab.report.figures import new_figure, svg_of

# Okabe and Ito's colours, which everybody can tell apart.
RIGHT, WRONG, PLAIN = "#0072B2", "#D55E00", "#595959"
# More points, rows or columns than these are more than an eye takes in.
POINTS, CELLS, PANELS = 5000, 128, 12


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes
    ----------
    name : str
        Fit for a file's name, without its ending.
    title : str
    alt : str
        What it shows, in a sentence for who does not see it.
    svg : str
        The same data give the same text.
    """

    name: str
    title: str
    alt: str
    svg: str


def pictures_of(comparison: Comparison) -> list[Picture]:
    """Return the pictures of one comparison; each shows what there is to be shown, and none is empty."""
    found = []
    for kind, title, alt, draw in _drawings(comparison):
        figure = new_figure(*_size(kind, comparison))
        draw(figure)
        name = "-".join([comparison.node, comparison.sample, comparison.primal, kind])
        found.append(Picture(_file_name(name), title, alt, svg_of(figure)))
    return found


def figure_of(comparison: Comparison) -> Any:
    """Return one figure with everything that there is of a comparison, for a notebook."""
    drawings = list(_drawings(comparison))
    figure = new_figure(11.0, 4.2 * -(-len(drawings) // 2))
    parts = np.ravel(figure.subfigures(-(-len(drawings) // 2), 2 if len(drawings) > 1 else 1))
    for part, (_, _, _, draw) in zip(parts, drawings, strict=False):
        draw(part)
    return figure


Drawing = tuple[str, str, str, Callable[[Any], None]]


def _drawings(comparison: Comparison) -> Iterator[Drawing]:
    """Yield the kind, the title, the sentence and the drawer of each picture."""
    name, where = comparison.primal, _where(comparison)

    def drawing(kind: str, title: str, said: str, draw: Callable[[Any, Comparison, str], None]) -> Drawing:
        return kind, title, f"{title}{said}.", lambda figure: draw(figure, comparison, title)

    if comparison.analytic.size:
        yield drawing(
            "both", f"{name}: numerical gradient and backprop", f", element by element: {where}", _both
        )
        yield drawing("error", f"{name}: where they differ", f", in the shape of {name}: {where}", _error)
    if comparison.jacobians:
        said = ", by backprop and by differences, and what is between them"
        yield drawing("slopes", f"{name}: the slope of every output", said, _jacobians)
    if comparison.steps:
        yield drawing("taylor", f"{name}: Taylor's test", f": {comparison.steps.sentence}", _taylor)


def _where(comparison: Comparison) -> str:
    """Return in words what the error's pictures show."""
    if comparison.directions:
        return f"equal along {comparison.directions} random directions through all elements"
    if not comparison.wrong.any():
        return "no element is wrong"
    worst = _worst(comparison)
    return f"wrong in {comparison.region}, most at {comparison.primal}{index_text(worst)}"


def _size(kind: str, comparison: Comparison) -> tuple[float, float]:
    if kind == "slopes":
        return 10.0, 3.6
    if kind == "taylor":
        return 9.0, 3.8
    if kind == "error" and comparison.analytic.ndim > 2:
        return 8.0, 6.0
    return 5.6, 4.2


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._-")


def _off(comparison: Comparison) -> Array:
    """Return how far backprop is from the numerical gradient; what is not finite where it should be is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(np.asarray(comparison.analytic, dtype=np.float64) - comparison.numerical)
    return np.where(np.isnan(off) & comparison.wrong, np.inf, off)


def _worst(comparison: Comparison) -> tuple[int, ...]:
    """Return the element that the report names, or else the one that is furthest off."""
    if comparison.worst is not None and comparison.wrong[comparison.worst]:
        return comparison.worst
    off = np.where(comparison.wrong, np.nan_to_num(_off(comparison), nan=-1.0, posinf=np.inf), -1.0)
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(off)), off.shape))


def _both(figure: Any, comparison: Comparison, title: str) -> None:
    axes = figure.add_subplot()
    x, y = np.ravel(comparison.numerical), np.ravel(np.asarray(comparison.analytic, dtype=np.float64))
    wrong, seen = np.ravel(comparison.wrong), np.isfinite(x) & np.isfinite(y)
    for mask, colour, marker, label in (
        (seen & ~wrong, RIGHT, "o", "right"),
        (seen & wrong, WRONG, "X", "wrong"),
    ):
        places = np.flatnonzero(mask)
        if len(places):
            some = places[:: -(-len(places) // POINTS)]
            style = {"s": 26, "c": colour, "marker": marker, "linewidths": 0, "zorder": 3}
            axes.scatter(x[some], y[some], label=f"{len(places):,} {label}", **style)
    known = np.concatenate([x[seen], y[seen]]) if seen.any() else np.zeros(1)
    low, high = float(known.min()), float(known.max())
    pad = 0.08 * (high - low) or abs(high) or 1.0
    ends = [low - pad, high + pad]
    axes.plot(ends, ends, color=PLAIN, linewidth=0.8, zorder=1)
    axes.set(xlim=ends, ylim=ends, xlabel="numerical gradient", ylabel="backprop", aspect="equal")
    axes.set_title(_titled(title, comparison, int((~seen).sum())), fontsize=10)
    axes.grid(alpha=0.25)
    if wrong.any():
        worst = _worst(comparison)
        at = int(np.ravel_multi_index(worst, comparison.wrong.shape)) if worst else 0
        if seen[at]:
            label = f"{comparison.primal}{index_text(worst)}"
            axes.annotate(label, (x[at], y[at]), (6, 6), textcoords="offset points", fontsize=9)
    if seen.any():
        axes.legend(loc="best", fontsize=9)


def _titled(title: str, comparison: Comparison, left_out: int) -> str:
    parts = [title]
    if comparison.directions:
        parts.append(f"confirmed along {comparison.directions} random directions")
    elif left_out:
        parts.append(f"{left_out:,} elements without a number are left out")
    return "\n".join(parts)


def _error(figure: Any, comparison: Comparison, title: str) -> None:
    panels = list(_panels(_off(comparison)))
    marks = [panel for _, panel in _panels(np.asarray(comparison.wrong, dtype=np.float64))]
    columns = int(np.ceil(np.sqrt(len(panels))))
    rows = -(-len(panels) // columns)
    norm, colours = _scale(panels)
    words = comparison.region and f"wrong: {comparison.region}"
    figure.suptitle("\n".join(filter(None, [title, words or _where(comparison)])), fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, panel), mark in zip(axes.flat, panels, marks, strict=False):
        image = ax.imshow(_drawn(panel, norm), norm=norm, cmap=colours, aspect="auto", interpolation="none")
        ax.set_facecolor("#c8d7e6")  # where nothing is known
        size = max(24.0, 400.0 / max(panel.shape))
        ax.scatter(*np.argwhere(mark > 0).T[::-1], marker="x", c=WRONG, s=size, linewidths=1.2)
        _name_axes(ax, comparison.analytic.shape, panel.shape, name)
    if any((panel > 0).any() for _, panel in panels):
        figure.colorbar(image, ax=axes, label="|backprop - numerical|", shrink=0.8)


def _drawn(panel: Array, norm: Any) -> Array:
    """Return a panel for a logarithmic scale: no error below it, an infinite one at its end, what is unknown masked."""
    return np.ma.masked_invalid(
        np.where(panel == 0, norm.vmin / 10, np.where(np.isinf(panel), norm.vmax, panel))
    )


def _scale(panels: Sequence[tuple[str, Array]]) -> tuple[Any, Any]:
    """Return the norm and the colours of all panels: logarithmic, from what double precision leaves."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    values = np.concatenate([panel.ravel() for _, panel in panels])
    known = values[np.isfinite(values) & (values > 0)]
    high = float(known.max(initial=1e-100)) * (10 if np.isinf(values).any() else 1)
    low = max(float(known.min(initial=high)), 1e-14 * high)
    return LogNorm(low, high if high > low else 10 * low), colormaps["Greys"].with_extremes(under="white")


def _panels(values: Array) -> Iterator[tuple[str, Array]]:
    """Yield an array as named panels of two axes, each reduced to what an eye takes in by the largest of each block."""
    if values.ndim <= 2:
        yield "", _reduced(np.atleast_2d(values))
        return
    whole = values.reshape(-1, *values.shape[-2:])
    # the panels that hold the most are shown, in their order
    weight = (
        np.nan_to_num(whole, nan=0.0, posinf=np.finfo(np.float64).max)
        .reshape(len(whole), -1)
        .max(axis=1, initial=0.0)
    )
    chosen = np.sort(np.argsort(-weight, kind="stable")[:PANELS])
    for k in chosen:
        index = np.unravel_index(int(k), values.shape[:-2])
        yield f"[{', '.join(str(int(i)) for i in index)}, :, :]", _reduced(whole[k])


def _reduced(panel: Array) -> Array:
    """Return a panel of no more than `CELLS` rows and columns, so that the largest of each block is still seen."""
    for axis in (0, 1):
        length = panel.shape[axis]
        if length > CELLS:
            starts = np.linspace(0, length, CELLS, endpoint=False).astype(int)
            panel = np.fmax.reduceat(panel, starts, axis=axis)
    return panel


def _name_axes(ax: Any, shape: Sequence[int], drawn: Sequence[int], name: str) -> None:
    full = (1, *shape) if len(shape) < 2 else tuple(shape[-2:])
    full = (1, 1) if not shape else full
    for axis, length, cells, label in (
        (ax.yaxis, full[0], drawn[0], "row"),
        (ax.xaxis, full[1], drawn[1], "column"),
    ):
        count = min(cells, 6)
        ticks = np.unique(np.linspace(0, cells - 1, count).round().astype(int))
        # a block is called by its first row or column
        axis.set_ticks(ticks, [str(int(t * length / cells)) for t in ticks])
        if not name:
            axis.set_label_text("element" if len(shape) == 1 and label == "column" else label)
    if len(shape) < 2:
        ax.yaxis.set_visible(False)
    if name:
        ax.set_title(name, fontsize=8)


def _jacobians(figure: Any, comparison: Comparison, title: str) -> None:
    if comparison.jacobians is None:
        return
    ours, theirs = comparison.jacobians
    size = float(np.nanmax(np.abs(np.concatenate([ours, theirs])), initial=0.0)) or 1.0
    figure.suptitle(f"{title} (rows) by every element (columns)", fontsize=10)
    shown = (
        ("backprop", ours),
        ("differences of forward", theirs),
        ("backprop - differences", ours - theirs),
    )
    axes = figure.subplots(1, 3)
    for ax, (name, slopes) in zip(axes, shown, strict=True):
        image = ax.imshow(slopes, cmap="RdBu_r", vmin=-size, vmax=size, aspect="auto", interpolation="none")
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("element")
    axes[0].set_ylabel("output")
    figure.colorbar(image, ax=axes, shrink=0.8)


def _taylor(figure: Any, comparison: Comparison, title: str) -> None:
    steps = comparison.steps
    if steps is None:
        return
    figure.suptitle(f"{title}\n{steps.sentence}", fontsize=10)
    left, right = figure.subplots(1, 2)
    h, floor = steps.steps, max(steps.rounding, 1e-300)
    for values, label, marker, colour in (
        (steps.without, "change of f", "o", RIGHT),
        (steps.with_gradient, "less backprop's share", "s", WRONG),
    ):
        known = np.isfinite(values)
        shown = np.maximum(values[known], floor / 10)
        left.loglog(h[known], shown, marker=marker, markersize=4, color=colour, label=label)
    first = float(steps.without[0]) or 1.0
    for label, power, style in (("as h", 1, ":"), ("as h^2", 2, "--")):
        guide = np.maximum(first * (h / h[0]) ** power, floor / 10)
        left.loglog(h, guide, style, color=PLAIN, linewidth=1, label=label)
    left.axhspan(floor / 10, floor, color="#d9d9d9", zorder=0, label="rounding")
    left.set(xlabel="step h", ylabel="change of f")
    left.legend(fontsize=8, loc="lower left")
    known = np.isfinite(steps.central)
    right.loglog(h[known], np.maximum(steps.central[known], 1e-16), marker="o", markersize=4, color=RIGHT)
    right.set(xlabel="step h", ylabel="relative error", ylim=(1e-17, 1e2))
    right.set_title("textbook's against backprop", fontsize=9)
    for ax in (left, right):
        ax.invert_xaxis()
        ax.grid(alpha=0.25)
