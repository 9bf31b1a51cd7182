"""The pictures of the page on the verdict: what gradlab's own functions give, drawn for a light page and a dark one."""

from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gradlab import check_gradient, estimate_gradient, numerical_gradient
from gradlab.checks import CHECKS, explore
from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate, estimate_line
from gradlab.running.check_vjp import node_of
from gradlab.running.options import CheckOptions
from gradlab.verdict import compare

Point = tuple[float, float]

WIDTH = 7.4
# Wide enough to be seen beside a bound: the picture of the verdicts is drawn with this.
RTOL = 0.1


class Colours(NamedTuple):
    """The colours of one of the site's schemes, most of them Okabe and Ito's, which everybody can tell apart."""

    ink: str
    soft: str
    faint: str
    right: str
    wrong: str
    kink: str
    other: str


SCHEMES = {
    "light": Colours("#212121", "#5f5f5f", "#d4d4d4", "#0072B2", "#D55E00", "#9A4F86", "#00805C"),
    "dark": Colours("#e6e6e6", "#b0b0b0", "#4a4d57", "#56B4E9", "#E69F00", "#DDA0C8", "#2FBF94"),
}
MARKERS = {"pass": "o", "wrong": "X", "kink": "D", "inconclusive": "s"}


def pages() -> dict[str, bytes]:
    """Return the pictures, by their places in the site."""
    drawings: dict[str, tuple[float, Callable[[Figure, Colours], None]]] = {
        "flow": (7.2, _flow),
        "ladder": (3.9, _ladder),
        "verdicts": (3.7, _verdicts),
        "kink": (3.5, _kink),
        "directions": (3.8, _directions),
        "exploration": (5.4, _exploration),
    }
    return {
        f"verdict/{name}-{scheme}.svg": _svg(draw, height, colours)
        for name, (height, draw) in drawings.items()
        for scheme, colours in SCHEMES.items()
    }


def _svg(draw: Callable[[Figure, Colours], None], height: float, colours: Colours) -> bytes:
    style: dict[Any, Any] = {
        "svg.hashsalt": "gradlab",
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.facecolor": "none",
        "axes.edgecolor": colours.soft,
        "axes.labelcolor": colours.ink,
        "axes.titlecolor": colours.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": colours.ink,
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "grid.color": colours.faint,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
    }
    out = BytesIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure, colours)
        if not any(axes.get_subplotspec() for axes in figure.axes):
            figure.set_layout_engine("none")  # there is nothing for it to arrange, and it warns of that
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


def _of(verdict: str, c: Colours) -> str:
    return {"pass": c.right, "wrong": c.wrong, "kink": c.kink, "inconclusive": c.soft}[verdict]


class Climbed(NamedTuple):
    """What single steps make of one slope, and what the ladder does: relative errors, and the steps of the ladder."""

    steps: Array
    errors: dict[str, Array]
    bound: float
    error: float
    taken: list[float]


def _in_double(x: Any) -> Any:
    return np.exp(x) / (np.sin(x) ** 3 + np.cos(x) ** 3)


def _in_single(x: Any) -> Any:
    return np.float32(_in_double(x))


@cache
def _climbed(f: Callable[[Any], Any]) -> Climbed:
    x = np.array(1.5)
    truth = float(estimate_gradient(_in_double, x, method="complex-step").value)
    taken: set[float] = set()

    def watched(at: Array) -> Any:
        taken.add(abs(float(at - x)))
        return f(at)

    estimate = estimate_gradient(watched, x)
    steps = 10.0 ** np.arange(-1, -15.25, -0.25)

    def central(h: float) -> float:
        return float(numerical_gradient(f, x.copy(), h))

    values = {
        "forward difference": [float(f(x + h) - f(x)) / h for h in steps],
        "central difference": [central(h) for h in steps],
        "extrapolated once": [(4 * central(h / 2) - central(h)) / 3 for h in steps],
    }
    errors = {name: np.abs(np.array(each) / truth - 1) for name, each in values.items()}
    bound, error = float(estimate.error) / abs(truth), abs(float(estimate.value) / truth - 1)
    return Climbed(steps, errors, bound, error, sorted(taken - {0.0}))


def _ladder(figure: Figure, c: Colours) -> None:
    """Draw the error of single steps against the step, and the ladder's bound, for a quiet f and a noisy one."""
    looks = [(c.kink, "-"), (c.wrong, "--"), (c.other, "-.")]
    functions = {"f in double precision": _in_double, "f in single precision": _in_single}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, f) in zip(panels, functions.items(), strict=True):
        known = _climbed(f)
        for (name, errors), (colour, line) in zip(known.errors.items(), looks, strict=True):
            axes.loglog(known.steps, np.maximum(errors, 1e-16), line, color=colour, label=name, linewidth=1.4)
        axes.axhspan(1e-16, known.bound, color=c.right, alpha=0.15, linewidth=0)
        axes.axhline(known.bound, color=c.right, linewidth=2.2)
        within = (0.97, known.error / 100)
        axes.annotate(
            f"within the ladder's bound, {known.bound:.0e}", within, xycoords=("axes fraction", "data"),
            ha="right", va="top", color=c.right, fontweight="bold",
        )  # fmt: skip
        axes.plot(3e-15, known.error, "o", color=c.right)
        axes.annotate(
            "the error of its slope", (3e-15, known.error), (-7, 0), textcoords="offset points",
            ha="right", va="center", color=c.right,
        )  # fmt: skip
        axes.plot(known.taken, np.full(len(known.taken), 2e-17), "|", color=c.right, markersize=10)
        axes.set(
            title=title, xlabel="step h   ( | : a step of the ladder)", ylim=(5e-18, 30), xlim=(1, 1e-15)
        )
        axes.grid(alpha=0.8)
    panels[0].set_ylabel("relative error of the slope")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)


@cache
def _judged() -> list[tuple[float, Estimate, str]]:
    """Return analytic values beside estimates, and the verdict on each."""
    rng = np.random.default_rng(1)

    def estimated(noise: float) -> Estimate:
        return estimate_gradient(lambda x: x**2 + noise * rng.standard_normal(), np.array(1.0))

    def bent(x: Any) -> Any:
        return 2 * x + np.abs(x)

    quiet, noisy, kink = estimated(5e-4), estimated(3e-3), estimate_gradient(bent, np.array(0.0))
    cases = [(2.1, quiet), (2.7, quiet), (2.3, noisy), (3.6, noisy), (1.5, kink), (3.6, kink)]
    return [
        (analytic, estimate, str(compare(np.array(analytic), estimate, rtol=RTOL, atol=0.0).verdict))
        for analytic, estimate in cases
    ]


def _verdicts(figure: Figure, c: Colours) -> None:
    """Draw the numerical value with bound and tolerance, and the analytic value beside it, one case a line."""
    axes, cases = figure.add_subplot(), _judged()[::-1]
    for y, (analytic, estimate, verdict) in enumerate(cases):
        low, high, bound = float(estimate.lower), float(estimate.upper), float(estimate.error)
        tolerance = RTOL * abs(float(np.clip(analytic, low, high)))
        for more, height, colour in ((bound + tolerance, 0.56, c.faint), (bound, 0.3, c.soft)):
            axes.barh(y, high - low + 2 * more, left=low - more, height=height, color=colour, alpha=0.6)
        axes.vlines([low, high], y - 0.28, y + 0.28, color=c.ink, linewidth=2)
        axes.plot(
            analytic,
            y,
            MARKERS[verdict],
            color=_of(verdict, c),
            markersize=10,
            markeredgecolor=c.ink,
            zorder=3,
        )
    axes.set_yticks(range(len(cases)), [verdict for *_, verdict in cases], fontweight="bold")
    for label, (*_, verdict) in zip(axes.get_yticklabels(), cases, strict=True):
        label.set_color(_of(verdict, c))
    axes.set(xlabel="gradient", xlim=(0.4, 4.2))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    handles: list[Any] = [
        axes.plot([], [], "|", color=c.ink, markersize=14, markeredgewidth=2)[0],
        axes.barh([0], [0], color=c.soft, alpha=0.6),
        axes.barh([0], [0], color=c.faint, alpha=0.6),
        axes.plot([], [], "o", color="none", markeredgecolor=c.ink, markersize=9)[0],
    ]
    labels = ["numerical (both sides)", "± bound", "± bound ± tolerance", "analytic"]
    figure.legend(handles, labels, loc="outside upper center", ncols=4)


def _leaky(x: Any) -> Any:
    return np.where(x > 0, x, 0.2 * x)


def _kink(figure: Figure, c: Colours) -> None:
    """Draw a function with a kink and the slopes to both sides, and which values of backward pass there."""
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    estimate = estimate_gradient(_leaky, np.array(0.0))
    low, high = float(estimate.lower), float(estimate.upper)
    x = np.linspace(-1, 1, 201)
    left.fill_between(x, low * x, high * x, color=c.kink, alpha=0.22, linewidth=0)
    left.plot(x, high * x, "--", color=c.kink)
    left.plot(x, low * x, "--", color=c.kink)
    left.plot(x, _leaky(x), color=c.ink, linewidth=2.6)
    left.annotate(f"slope to the right: {high:.2g}", (-0.62, -0.68), color=c.kink, ha="left", va="top")
    left.annotate(f"slope to the left: {low:.2g}", (0.98, -0.06), color=c.kink, ha="right", va="top")
    left.annotate("slopes\nthat pass", (0.8, 0.45), color=c.ink, ha="center", va="center")
    left.set(title="leaky relu at 0", xlabel="x", ylabel="f(x)")
    given = np.round(np.arange(-0.2, 1.41, 0.1), 1)
    verdicts = [str(compare(np.array(value), estimate).verdict) for value in given]
    right.axvspan(low, high, color=c.kink, alpha=0.22, linewidth=0)
    for verdict, height in (("kink", 1), ("wrong", 0)):
        at = [value for value, found in zip(given, verdicts, strict=True) if found == verdict]
        right.plot(
            at, [height] * len(at), MARKERS[verdict], color=_of(verdict, c), markersize=8, linestyle=""
        )
    right.set_yticks([0, 1], ["wrong", "kink:\nright"], fontweight="bold")
    for label, verdict in zip(right.get_yticklabels(), ("wrong", "kink"), strict=True):
        label.set_color(_of(verdict, c))
    right.set(title="what backward may give there", xlabel="analytic value", ylim=(-0.6, 1.6))
    right.set_xticks([0, low, 0.5, high, 1.4], ["0", f"{low:.1f}", "0.5", f"{high:.0f}", "1.4"])
    right.tick_params(axis="y", length=0)
    right.grid(axis="x")
    for axes in (left, right):
        axes.margins(0.03)


def _sum_of_sines(x: Array) -> Any:
    return np.sum(np.sin(x))


# What is wrong in one element of the gradient.
WRONG_BY = 1e-4


def _along(x: Array, v: Array) -> Callable[[Any], Any]:
    return lambda s: _sum_of_sines(x + s * v)


class Projected(NamedTuple):
    """How far slopes along directions are apart, in a gradient of one size, and the bound of a right one."""

    size: int
    bound: float
    right: list[float]
    wrong: list[float]


@cache
def _projected() -> list[Projected]:
    found = []
    for size in (10, 100, 1_000, 10_000, 100_000, 1_000_000):
        x = np.random.default_rng(0).standard_normal(size)
        # the bound of the directions themselves, whatever the size
        row = check_gradient(
            _sum_of_sines, np.cos, x, full_below=0, checks=["matches_numerical"], explore=False
        ).rows[0]
        right, wrong = [], []
        for seed in range(3):
            drawn = np.random.default_rng(seed).uniform(-1, 1, size)
            v = drawn + np.copysign(0.5, drawn)
            slope = float(estimate_line(_along(x, v)).value)
            gradient = np.cos(x)
            right.append(abs(float(v @ gradient) - slope))
            gradient[size // 3] += WRONG_BY
            wrong.append(abs(float(v @ gradient) - slope))
        found.append(Projected(size, float(row.reference_error or 0.0), right, wrong))
    return found


@cache
def _halved() -> tuple[int, int, list[tuple[int, int, int]]]:
    """Return a size, a wrong element, and which elements each evaluation moved, with the number of evaluations."""
    size, place = 50_000, 12_345
    x = np.random.default_rng(0).standard_normal(size)
    moves: list[tuple[int, int, int]] = []

    def watched(at: Array) -> Any:
        moved = np.flatnonzero(at != x)
        if moved.size:
            span = int(moved[0]), int(moved[-1]) + 1
            again = bool(moves) and moves[-1][:2] == span
            moves.append((*span, moves.pop()[2] + 1 if again else 1))
        return _sum_of_sines(at)

    def gradient(at: Array) -> Array:
        g = np.cos(at)
        g[place] *= 1.001
        return g

    check_gradient(watched, gradient, x, checks=["matches_numerical"], explore=False, repair=False)
    return size, place, moves


def _directions(figure: Figure, c: Colours) -> None:
    """Draw how one wrong element shows along directions at all sizes, and how halving finds it."""
    left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
    known = _projected()
    sizes = [each.size for each in known]
    left.fill_between(sizes, 1e-16, [each.bound for each in known], color=c.right, alpha=0.15, linewidth=0)
    left.loglog(sizes, [each.bound for each in known], color=c.right, linewidth=2.2)
    for each in known:
        left.plot([each.size] * 3, each.wrong, MARKERS["wrong"], color=c.wrong, markersize=7)
        left.plot(
            [each.size] * 3, np.maximum(each.right, 1e-15), MARKERS["pass"], color=c.right, markersize=5
        )
    left.annotate(f"one element wrong by {WRONG_BY:.0e}", (12, 6e-4), color=c.wrong, va="bottom")
    left.annotate(
        "bound", (2e6, known[-1].bound * 2), color=c.right, ha="right", va="bottom", fontweight="bold"
    )
    left.annotate("right gradient", (12, 3e-15), color=c.right, va="top")
    left.set(
        title="three directions at each size", xlabel="elements", ylabel="difference of the two slopes",
        ylim=(2e-16, 1e-2), xlim=(6, 2.5e6),
    )  # fmt: skip
    left.grid(alpha=0.8)
    size, place, moves = _halved()
    steps = [move for move in moves if move[1] - move[0] < size][:16]
    for y, (start, stop, _) in enumerate([(0, size, 0), *steps]):
        colour = c.wrong if start <= place < stop else c.soft
        right.barh(y, stop - start, left=start, height=0.7, color=colour)
        if stop - start < size / 100:
            right.plot(
                (start + stop) / 2,
                y,
                MARKERS["wrong"] if start <= place < stop else "o",
                color=colour,
                markersize=6,
            )
    right.axvline(place, color=c.ink, linewidth=0.8, linestyle=":")
    right.invert_yaxis()
    right.set(title="halving a direction that disagrees", xlabel="elements moved", xlim=(0, size))
    right.set_xticks([0, place, size], ["0", f"{place:,}", f"{size:,}"])
    right.set_ylabel("one part after the other")
    right.set_yticks([])
    right.text(
        0.97, 0.5, "the wrong element\nis in this part", color=c.wrong, ha="right", transform=right.transAxes
    )
    right.text(0.97, 0.36, "it is not", color=c.soft, ha="right", transform=right.transAxes)


def _larger(a: Array, b: Array) -> tuple[Array, tuple[()]]:
    return np.maximum(a, b), ()


def _always_to_the_first(_: tuple[()], g: Array) -> tuple[Array, Array]:
    return g.copy(), np.zeros_like(g)


class Explored(NamedTuple):
    """Where was looked beyond a point: what is there by how it was derived, what was tried, and what was found."""

    given: Point
    points: dict[str, Point]
    tried: list[str]
    found: str
    smallest: Point


@cache
def _explored() -> Explored:
    given = (np.array(1.7), np.array(0.8))
    trial = CheckOptions().trial(*node_of(_larger, _always_to_the_first, given, "larger", None))
    points = {each.how: _point(each.trials[0].sample.primals) for each in derived_trials(trial)}
    check = CHECKS["matches_numerical"]
    assert check.elsewhere is not None
    done = explore(trial, check.elsewhere, is_clear=check.is_clear, of_values=True)
    assert done.found is not None
    return Explored(
        _point(given), points, done.tried, done.found.how, _point(done.found.trial.sample.primals)
    )


def _point(primals: Sequence[Array]) -> Point:
    a, b = map(float, primals)
    return a, b


# Where the name of a point stands beside it, in points, for those that would lie on another.
ASIDE = {"sign turned": (-9, -3), "an exact zero and one": (-9, 5), "a tie between primals": (-9, 4)}


def _exploration(figure: Figure, c: Colours) -> None:
    """Draw the plane of two inputs: the given point, those that are derived from it, and where backward is wrong."""
    axes, known = figure.add_subplot(), _explored()
    low, high = -9.0, 40.0
    axes.fill_between([low, high], [low, high], high, color=c.wrong, alpha=0.16, linewidth=0)
    axes.plot([low, high], [low, high], color=c.wrong, linewidth=1)
    for how, at in known.points.items():
        looked = how in known.tried
        wrong = how == known.found
        axes.plot(
            *at, MARKERS["wrong"] if wrong else "o", color=c.wrong if wrong else c.right if looked else "none",
            markeredgecolor=c.wrong if wrong else c.right, markersize=9 if wrong else 7,
        )  # fmt: skip
        offset = ASIDE.get(how, (9, -3))
        axes.annotate(how, at, offset, textcoords="offset points", ha="left" if offset[0] > 0 else "right")
    axes.plot(*known.given, "*", color=c.ink, markersize=16)
    axes.annotate("given", known.given, (11, -4), textcoords="offset points", fontweight="bold")
    axes.plot(*known.smallest, MARKERS["wrong"], color="none", markeredgecolor=c.wrong, markersize=11)
    axes.annotate(
        "the plainest that fails",
        known.smallest,
        (0, 14),
        textcoords="offset points",
        ha="center",
        color=c.wrong,
    )
    start = known.points[known.found]
    axes.annotate("", known.smallest, start, arrowprops={"arrowstyle": "->", "color": c.wrong, "shrinkB": 7})
    axes.text(-0.5, 14, "here backward is wrong", color=c.wrong, fontweight="bold", ha="center")
    kinds = [
        axes.plot([], [], "o", color=c.right, markersize=7)[0],
        axes.plot([], [], MARKERS["wrong"], color=c.wrong, markersize=9)[0],
        axes.plot([], [], "o", color="none", markeredgecolor=c.right, markersize=7)[0],
    ]
    axes.legend(kinds, ["looked at: right", "looked at: wrong", "no longer asked"], loc="lower right")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("symlog", linthresh=1)
    axes.set(xlabel="a", ylabel="b", xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-3, -1, 0, 1, 3, 10, 30], ["-3", "-1", "0", "1", "3", "10", "30"])
        axis.set_ticks([], minor=True)
    axes.grid(alpha=0.8)


class Stage(NamedTuple):
    """One stage of a check: when it comes, what it does, and what comes of it, in which of the colours."""

    when: str
    does: str
    so: str = ""
    result: str = ""
    colour: str = "ink"


STAGES = (
    Stage("", "forward, backward, the given primals\nand a cotangent g drawn at random"),
    Stage("", "Do random directions confirm\nthe whole gradient?", "yes", "pass, kink", "right"),
    Stage(
        "no, or fewer than 8 elements",
        "Each element (of more than 10,000 those\nthat halving finds): a ladder of steps\n"
        "gives a slope and a bound on its error",
        "compare",
        "pass, kink,\nwrong, inconclusive",
        "right",
    ),
    Stage("", "The other checks at the given point", "", "wrong, warning", "wrong"),
    Stage(
        "within the budget from here on",
        "Exploration: other numbers, batches and\nshapes, wherever forward takes them",
        "a fault",
        "where meant: wrong\nelsewhere: warning",
        "wrong",
    ),
    Stage(
        "if anything is rejected",
        "Diagnosis: which mistake would give\njust these numbers at every point?",
        "",
        "a name,\nand what to change",
        "kink",
    ),
    Stage(
        "if a gradient is wrong",
        "Repair: a change of the source under\nwhich all checks pass, at more seeds",
        "",
        "a diff, or the\nlines to look at",
        "kink",
    ),
)


def _flow(figure: Figure, c: Colours) -> None:
    """Draw the stages of a check, one below the other, and beside each what comes of it."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    gap, left, right = 5.5, (2.0, 57.0), (73.0, 98.5)
    top = 0.0
    for stage in STAGES:
        bottom = top - 3.0 - 2.9 * (1 + stage.does.count("\n"))
        middle = (top + bottom) / 2
        for (start, end), text, colour in (
            (left, stage.does, c.ink),
            (right, stage.result, getattr(c, stage.colour)),
        ):
            if text:
                shape = FancyBboxPatch(
                    (start, bottom), end - start, top - bottom, "round,pad=0,rounding_size=1.2"
                )
                shape.set(facecolor="none", edgecolor=colour, linewidth=1.4)
                axes.add_patch(shape)
                axes.text(
                    (start + end) / 2, middle, text, color=colour, ha="center", va="center", linespacing=1.3
                )
        if top < 0:
            _arrow(axes, (20, top + gap), (20, top), c)
            axes.text(22, top + gap / 2, stage.when, color=c.soft, va="center")
        if stage.result:
            _arrow(axes, (left[1], middle), (right[0], middle), c)
            axes.text(
                (left[1] + right[0]) / 2, middle + 0.6, stage.so, color=c.soft, ha="center", va="bottom"
            )
        if stage.when.startswith("within"):
            axes.axhline(top + gap / 2, 0.6, 1, color=c.soft, linestyle=":")
        top = bottom - gap
    axes.set(xlim=(0, 100), ylim=(top + gap - 1, 1))


def _arrow(axes: Any, start: Point, end: Point, c: Colours) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": c.soft, "linewidth": 1.3})
