"""Pictures of a report, with the extra `plot`: both gradients, the error in its place, Jacobians, Taylor's test."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.report.comparison import Comparison, StepErrors, index_text
from gradlab.report.figures import new_figure, svg_of
from gradlab.report.numbers import count, short

# Okabe and Ito's colours, which everybody can tell apart.
RIGHT, WRONG, PLAIN = "#0072B2", "#D55E00", "#595959"
# More points, rows or columns than these are more than an eye takes in.
POINTS, CELLS, PANELS = 5000, 128, 12
# More crosses than these hide what they mark; the outline tells it.
CROSSES = 40


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
    # along directions the numerical gradient is not known element by element
    if comparison.analytic.size and not comparison.directions:
        yield drawing("error", f"{name}: where they differ", f", in the shape of {name}: {where}", _error)
    if comparison.jacobians:
        said = ", by backprop and by differences, and what is between them"
        yield drawing("slopes", f"{name}: the slope of every output", said, _jacobians)
    if comparison.steps:
        yield drawing("taylor", f"{name}: Taylor's test", f": {comparison.steps.sentence}", _taylor)


def _where(comparison: Comparison) -> str:
    """Return in words what the error's pictures show."""
    if comparison.directions:
        return f"equal along {count(comparison.directions, 'random direction')} through all elements"
    if not comparison.wrong.any():
        return "no element is wrong"
    worst = _worst(comparison)
    return f"wrong in {comparison.region}, worst at {comparison.primal}{index_text(worst)}"


def _size(kind: str, comparison: Comparison) -> tuple[float, float]:
    if kind == "slopes":
        return 10.0, 3.6
    if kind == "taylor":
        return 9.0, 4.2
    if kind == "error" and comparison.analytic.ndim != 2:
        return (8.0, 6.0) if comparison.analytic.ndim > 2 else (5.6, 2.2)
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
    axes.locator_params(nbins=6)
    axes.set_title(_titled(title, comparison, ~seen), fontsize=10)
    axes.grid(alpha=0.25)
    if wrong.any():
        _label_worst(axes, comparison)
    if seen.any():
        axes.legend(loc="best", fontsize=9)


def _label_worst(axes: Any, comparison: Comparison) -> None:
    """Write the index of the worst element beside it, on the side where no right element is."""
    worst = _worst(comparison)
    x, y = float(comparison.numerical[worst]), float(comparison.analytic[worst])
    if not np.isfinite([x, y]).all():
        return
    above = y > x
    axes.scatter([x], [y], s=90, facecolors="none", edgecolors=WRONG, linewidths=1.4, zorder=4)
    axes.annotate(
        f"{comparison.primal}{index_text(worst)}",
        (x, y),
        (-9, 9) if above else (9, -9),
        textcoords="offset points",
        ha="right" if above else "left",
        va="bottom" if above else "top",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        zorder=5,
    )


def _titled(title: str, comparison: Comparison, left_out: Array) -> str:
    parts = [title]
    if comparison.directions:
        parts.append(f"confirmed along {count(comparison.directions, 'random direction')}")
    elif left_out.any():
        wrong = int((left_out & np.ravel(comparison.wrong)).sum())
        told = f"{count(int(left_out.sum()), 'element')} without a number left out"
        parts.append(f"{told}, {wrong:,} of them wrong" if wrong else told)
    return "\n".join(parts)


def _error(figure: Any, comparison: Comparison, title: str) -> None:
    off = _off(comparison)
    panels = list(_panels(off))
    columns = int(np.ceil(np.sqrt(len(panels))))
    norm, colours = _scale(comparison, off)
    words = comparison.region and f"wrong: {comparison.region}"
    parts = [title, words or _where(comparison)]
    of = int(np.prod(off.shape[:-2]))
    if len(panels) < of:
        parts.append(f"the {len(panels)} of {of:,} parts that are furthest off")
    if not off.any():
        parts[-1] += ", and the difference is 0 everywhere"
    figure.suptitle("\n".join(parts), fontsize=10)
    axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (index, panel) in zip(axes.flat, panels, strict=False):
        image = _heat_map(ax, panel, np.atleast_2d(comparison.wrong[index]), norm, colours)
        _name_axes(ax, off.ndim, index)
    if (np.isfinite(off) & (off > 0)).any():
        figure.colorbar(image, ax=axes, label="difference", shrink=0.8)


def _heat_map(ax: Any, panel: Array, wrong: Array, norm: Any, colours: Any) -> Any:
    """Draw one panel, in the array's own rows and columns, with an outline round what is wrong."""
    from matplotlib.collections import LineCollection

    extent = (-0.5, panel.shape[1] - 0.5, panel.shape[0] - 0.5, -0.5)
    drawn = _drawn(_reduced(panel), norm)
    image = ax.imshow(drawn, norm=norm, cmap=colours, aspect="auto", interpolation="none", extent=extent)
    ax.set_facecolor("#c8d7e6")  # where nothing is known
    places = np.argwhere(wrong)
    if len(places) <= CROSSES:
        ax.scatter(*places.T[::-1], marker="x", c=WRONG, s=40, linewidths=1.4)
    mask = _reduced(wrong.astype(np.float64)) > 0
    scale = np.array(panel.shape[::-1]) / mask.shape[::-1]
    ax.add_collection(LineCollection(list(_outline(mask) * scale - 0.5), colors=WRONG, linewidths=1.4))
    ax.locator_params(nbins=6, integer=True, min_n_ticks=1)
    return image


def _outline(mask: Array) -> Array:
    """Return the edges between the cells of a mask and those that are not, each from (x, y) to (x, y)."""
    padded = np.pad(mask, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    flat = np.stack([np.stack([column, row], 1), np.stack([column + 1, row], 1)], 1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([column, row], 1), np.stack([column, row + 1], 1)], 1)
    return np.concatenate([flat, upright]).astype(np.float64)


def _drawn(panel: Array, norm: Any) -> Array:
    """Return a panel for a logarithmic scale: no error below it, an infinite one at its end, what is unknown masked."""
    return np.ma.masked_invalid(
        np.where(panel == 0, norm.vmin / 10, np.where(np.isinf(panel), norm.vmax, panel))
    )


def _scale(comparison: Comparison, off: Array) -> tuple[Any, Any]:
    """Return the norm and the colours of all panels: logarithmic, black at the largest error.

    Where none is wrong by a number, black is an error as large as the gradient, lest rounding look like a fault.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    known = off[np.isfinite(off) & (off > 0)]
    sizes = off[comparison.wrong & np.isfinite(off) & (off > 0)]
    high = max(_largest(sizes if sizes.size else comparison.analytic), _largest(known)) or 1.0
    low = min(max(float(known.min(initial=high)), 1e-16 * high), 1e-3 * high)
    # matplotlib cannot draw a scale of denormal numbers
    return LogNorm(max(low, 1e-283), max(high, 1e-280)), colormaps["Greys"].with_extremes(under="white")


def _panels(values: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield the parts of an array that have two axes, each with its index: those that hold the most, in their order."""
    if values.ndim <= 2:
        yield (), np.atleast_2d(values)
        return
    whole = values.reshape(-1, *values.shape[-2:])
    weight = np.nan_to_num(whole, nan=0.0, posinf=np.finfo(np.float64).max).max(axis=(1, 2), initial=0.0)
    for k in np.sort(np.argsort(-weight, kind="stable")[:PANELS]):
        yield tuple(int(i) for i in np.unravel_index(int(k), values.shape[:-2])), whole[k]


def _reduced(panel: Array) -> Array:
    """Return a panel of no more than `CELLS` rows and columns, so that the largest of each block is still seen."""
    for axis in (0, 1):
        length = panel.shape[axis]
        if length > CELLS:
            starts = np.linspace(0, length, CELLS, endpoint=False).astype(int)
            panel = np.fmax.reduceat(panel, starts, axis=axis)
    return panel


def _name_axes(ax: Any, ndim: int, index: Sequence[int]) -> None:
    if index:
        ax.set_title(f"[{', '.join(map(str, index))}, :, :]", fontsize=8)
    elif ndim < 2:
        ax.set_xlabel("element")
        ax.yaxis.set_visible(False)
    else:
        ax.set(xlabel="column", ylabel="row")


def _jacobians(figure: Any, comparison: Comparison, title: str) -> None:
    if comparison.jacobians is None:
        return
    ours, theirs = comparison.jacobians
    with np.errstate(invalid="ignore"):
        difference = ours - theirs
    size = _largest(np.concatenate([ours, theirs])) or 1.0
    figure.suptitle(f"{title} (rows) by every element (columns)", fontsize=10)
    shown = (
        ("backprop", ours),
        ("numerical", theirs),
        (f"difference\n(up to {short(_largest(difference))})", difference),
    )
    axes = figure.subplots(1, 3)
    for ax, (name, slopes) in zip(axes, shown, strict=True):
        # what is no finite number has no colour
        drawn = np.ma.masked_invalid(slopes)
        image = ax.imshow(drawn, cmap="RdBu_r", vmin=-size, vmax=size, aspect="auto", interpolation="none")
        ax.set_facecolor("#b0b0b0")
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("element")
        ax.locator_params(nbins=6, integer=True, min_n_ticks=1)
    axes[0].set_ylabel("output")
    figure.colorbar(image, ax=axes, shrink=0.8)


def _largest(values: Array) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _taylor(figure: Any, comparison: Comparison, title: str) -> None:
    steps = comparison.steps
    if steps is None:
        return
    figure.suptitle(f"{title}\n{steps.sentence}", fontsize=10)
    left, right = figure.subplots(1, 2)
    _draw_left(left, steps)
    known = np.isfinite(steps.central)
    error = np.maximum(steps.central[known], 1e-16)
    right.loglog(steps.steps[known], error, marker="o", markersize=4, color=RIGHT)
    top = 10 * max(10.0, float(error.max(initial=0.0)))
    right.set(xlabel="step h", ylabel="relative error", ylim=(1e-17, top))
    right.set_title("the textbook's difference\nagainst backprop", fontsize=9)
    for ax in (left, right):
        ax.set_xlim(3 * float(steps.steps.max()), float(steps.steps.min()) / 3)
        ax.grid(alpha=0.25)
    # below the axes, where it hides no curve
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)


def _draw_left(ax: Any, steps: StepErrors) -> None:
    """Draw what is left of the change of f at each step, and what falls as h and as h^2."""
    h, floor = steps.steps, max(steps.rounding, 1e-300)
    for values, label, marker, colour in (
        (steps.without, "change of f", "o", RIGHT),
        (steps.with_gradient, "less backprop's share", "s", WRONG),
    ):
        known = np.isfinite(values)
        shown = np.maximum(values[known], floor / 10)
        ax.loglog(h[known], shown, marker=marker, markersize=4, color=colour, label=label)
    # above the curves, lest one hide the other
    first = 8 * max(_largest(steps.without[:1]), _largest(steps.with_gradient[:1]), 1e3 * floor)
    for label, power, style in (("as h", 1, ":"), ("as h^2", 2, "--")):
        guide = first * (h / h[0]) ** power
        ax.loglog(h[guide > floor], guide[guide > floor], style, color=PLAIN, linewidth=1.2, label=label)
    ax.axhspan(floor / 20, floor, color="#d9d9d9", zorder=0, label="rounding")
    ax.set(xlabel="step h", ylabel="|f(x + h v) - f(x)|", ylim=(floor / 20, 50 * first))
