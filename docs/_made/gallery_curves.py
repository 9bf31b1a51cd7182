"""The gallery's pictures of numbers against numbers: scatters and curves, each of which shows one mistake's signature.

Each function returns a figure; its docstring says what is to be seen, for who does not see it.
"""

from typing import Any

import numpy as np
from gallery_runs import Run, backprop, cotangent, numerical
from gallery_style import BACKPROP, NUMERICAL, PLAIN, panel, picture
from scipy.optimize import brentq
from scipy.special import ndtr

BY_ELEMENT = "Every element: backprop against numerical"
DOT = {"marker": "o", "linestyle": "", "markersize": 5, "color": NUMERICAL}
CROSS = {"marker": "X", "linestyle": "", "markersize": 6, "color": BACKPROP, "markeredgewidth": 0}


def _scatter(run: Run, slope: float, offset: float, name: str) -> Any:
    """Draw backprop against numerical, the line that its points lie on, and the one that they should lie on."""
    figure, both = picture(BY_ELEMENT), run.compared
    axes = panel(figure, x="numerical", y="backprop")
    x, y = both.numerical.ravel(), both.analytic.ravel()
    reach = 1.15 * np.abs(x).max()
    ends = np.array([-reach, reach])
    axes.plot(ends, ends, "--", color=PLAIN, linewidth=1.3)
    axes.plot(ends, slope * ends + offset, color=BACKPROP, linewidth=1.3, alpha=0.6)
    axes.plot(x, y, **CROSS)
    axes.text(1.04 * reach, reach, "right: slope 1", color=PLAIN, va="center")
    axes.text(1.04 * reach, slope * reach + offset, name, color=BACKPROP, va="center")
    axes.set_xlim(-reach, 1.5 * reach)
    _cross(axes, reach)
    return figure


def _cross(axes: Any, reach: float) -> None:
    """Draw where either number is 0, as far as the data reach."""
    low, high = axes.get_ylim()
    axes.plot([-reach, reach], [0, 0], color=PLAIN, linewidth=0.5)
    axes.plot([0, 0], [low, high], color=PLAIN, linewidth=0.5)
    axes.set_ylim(low, high)


def sign_flipped(run: Run) -> Any:
    """Backprop against the numerical gradient: all points lie on a line of slope minus 1, not of slope 1."""
    return _scatter(run, -1, 0, "slope \N{MINUS SIGN}1")


def constant_factor(run: Run) -> Any:
    """Backprop against the numerical gradient: all points lie on a line of slope 3, not of slope 1."""
    return _scatter(run, 3, 0, "slope 3")


def zero_gradient(run: Run) -> Any:
    """Backprop against the numerical gradient: all points lie on a line of slope 0, not of slope 1."""
    return _scatter(run, 0, 0, "slope 0")


def additive_bias(run: Run) -> Any:
    """Backprop against the numerical gradient.

    All points lie 1 above the line of slope 1.
    """
    figure = _scatter(run, 1, 1, "slope 1, but\n1 too high")
    axes = figure.axes[0]
    axes.annotate("", (0, 1), (0, 0), arrowprops={"arrowstyle": "->", "color": BACKPROP, "linewidth": 1.6})
    axes.text(-0.08, 0.5, "+1", color=BACKPROP, ha="right", va="center")
    return figure


def log_parameter(run: Run) -> Any:
    """Backprop over the numerical gradient, against x.

    The quotient should be 1, and is x itself.
    """
    figure, both = picture("Every element: backprop over numerical, against x"), run.compared
    axes = panel(figure, x="x", y="backprop / numerical")
    x = run.example.primals["x"]
    ends = np.array([0, 1.15 * x.max()])
    axes.plot(ends, [1, 1], "--", color=PLAIN, linewidth=1.3)
    axes.plot(ends, ends, color=BACKPROP, linewidth=1.3, alpha=0.6)
    axes.plot(x, both.analytic / both.numerical, **CROSS)
    axes.text(1.02 * ends[1], 1, "right: 1", color=PLAIN, va="center")
    axes.text(1.02 * ends[1], ends[1], "the quotient is x", color=BACKPROP, va="center")
    axes.set_xlim(0, 1.7 * x.max())
    return figure


def ignores_cotangent(run: Run) -> Any:
    """One element's gradient against dout.

    The numerical one is a line through 0; backprop is level.
    """
    figure = picture("One element's gradient, as dout goes from -2 to 2")
    axes = panel(figure, x="dout", y="gradient of y[0, 0]")
    douts = np.linspace(-2, 2, 9)
    right = [numerical(run.example, "y", g)[0, 0] for g in douts]
    wrong = [backprop(run.example.make(), run.example, np.array(g))[0][0, 0] for g in douts]
    _two_curves(axes, douts, np.array(right), np.array(wrong))
    _cross(axes, 2)
    return figure


def _two_curves(axes: Any, x: np.ndarray, right: np.ndarray, wrong: np.ndarray, legend: bool = True) -> None:
    axes.plot(x, right, "o-", color=NUMERICAL, markersize=4, label="numerical")
    axes.plot(x, wrong, "X--", color=BACKPROP, markersize=5, markeredgewidth=0, label="backprop")
    if legend:
        axes.figure.legend(loc="outside right center")


def wrong_cotangent(run: Run) -> Any:
    """Gradients along x where only one output has a dout, the sine on the left, the cosine on the right.

    Each time backprop draws the curve that is right in the other panel.
    """
    figure, example = picture("The gradient along x, for the dout of one output alone"), run.example
    x = example.primals["x"]
    for place, name in enumerate(("sine", "cosine")):
        g = tuple(np.full(x.shape, float(k == place)) for k in range(2))
        axes = panel(
            figure, 1, 2, place + 1, x="x", y="" if place else "gradient", title=f"dout of the {name} only"
        )
        axes.plot(x, numerical(example, "x", g), color=NUMERICAL, linewidth=2.2, label="numerical")
        axes.plot(
            x, backprop(example.make(), example, g)[0], "--", color=BACKPROP, linewidth=2.2, label="backprop"
        )
        axes.set_ylim(-1.2, 1.2)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def nonlinear_in_cotangent(run: Run) -> Any:
    """Size of the gradient against size of dout, both logarithmic: numerical slope 1, backprop slope 2."""
    figure = picture("Size of the gradient, for multiples of one dout")
    axes = panel(figure, x="dout times", y="largest element")
    times, g = 10.0 ** np.arange(-2, 3), cotangent(run.example)
    right = [np.abs(numerical(run.example, "x", c * g)).max() for c in times]
    wrong = [np.abs(backprop(run.example.make(), run.example, c * g)[0]).max() for c in times]
    axes.set(xscale="log", yscale="log")
    _two_curves(axes, times, np.array(right), np.array(wrong), legend=False)
    axes.text(1.5 * times[-1], right[-1], "numerical,\nslope 1", color=NUMERICAL, va="center")
    axes.text(1.5 * times[-1], wrong[-1], "backprop,\nslope 2", color=BACKPROP, va="center")
    axes.set_xlim(right=3e3)
    axes.set_xticks(times)
    axes.minorticks_off()
    return figure


def straight_through(run: Run) -> Any:
    """Each element's gradient against its dout.

    Backprop lies on the line where both are equal; the numerical gradient is smaller, by another factor
    in each element.
    """
    figure, example = picture("Every element: its gradient against its dout"), run.example
    axes = panel(figure, x="dout", y="gradient")
    g = cotangent(example)
    reach = 1.1 * np.abs(g).max()
    axes.plot([-reach, reach], [-reach, reach], color=BACKPROP, linewidth=1.3, alpha=0.6)
    axes.plot(g, numerical(example, "x", g), **DOT, label="numerical")
    axes.plot(g, backprop(example.make(), example, g)[0], **CROSS, label="backprop")
    axes.text(1.04 * reach, reach, "gradient = dout", color=BACKPROP, va="center")
    axes.set_xlim(-reach, 1.6 * reach)
    figure.legend(loc="outside right center")
    return figure


def missing_factor(run: Run) -> Any:
    """Numerical gradient over backprop's, element by element, against x.

    The points lie on a line through 0: the factor that is left out is x itself.
    """
    figure, both = picture("What backprop is to be multiplied by, for every x"), run.compared
    axes, x = panel(figure, x="x", y="numerical / backprop"), run.example.primals["x"]
    reach = 1.15 * np.abs(x).max()
    axes.plot([-reach, reach], [-reach, reach], "--", color=PLAIN, linewidth=1.3)
    axes.plot(x, both.numerical / both.analytic, **DOT)
    axes.text(1.04 * reach, reach, "the factor x", color=PLAIN, va="center")
    axes.set_xlim(-reach, 1.5 * reach)
    _cross(axes, reach)
    return figure


def wrong_operand(run: Run) -> Any:
    """Both gradients' last factor against the sigmoid, s.

    The numerical gradient has 1 - s, a line; backprop's factor has nothing to do with s.
    """
    figure, example = picture("The last factor of b's gradient, by the value that belongs there"), run.example
    _, (t, s) = example.make()[0](**example.primals)
    g = cotangent(example)
    axes = panel(figure, x="s, the sigmoid", y="gradient of b / (dout t s)")
    ends = np.array([0.95 * s.min(), 1.05 * s.max()])
    axes.plot(ends, 1 - ends, "--", color=PLAIN, linewidth=1.3)
    axes.plot(s.ravel(), (numerical(example, "b", g) / (g * t * s)).ravel(), **DOT, label="numerical: 1 - s")
    axes.plot(
        s.ravel(),
        (backprop(example.make(), example, g)[1] / (g * t * s)).ravel(),
        **CROSS,
        label="backprop: 1 - t",
    )
    figure.legend(loc="outside right center")
    return figure


def shifted(run: Run) -> Any:
    """Both gradients element by element.

    Backprop is the same curve, one element to the left.
    """
    figure, both = picture("The gradient of x, element by element"), run.compared
    axes = panel(figure, x="element of x", y="gradient")
    places = np.arange(both.numerical.size)
    axes.axhline(0, color=PLAIN, linewidth=0.5)
    _two_curves(axes, places, both.numerical, both.analytic)
    peak = int(np.argmax(np.abs(both.numerical)))
    ends = (peak - 1, both.analytic[peak - 1]), (peak, both.numerical[peak])
    axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": "black", "linewidth": 1.4})
    axes.set_xticks(places)
    return figure


def single_element(run: Run) -> Any:
    """Both gradients as bars, element by element.

    They are equal but for element 5.
    """
    figure, both = picture("The gradient of x, element by element"), run.compared
    axes = panel(figure, x="element of x", y="gradient")
    places, right, wrong = np.arange(both.numerical.size), both.numerical, both.analytic
    axes.axhline(0, color=PLAIN, linewidth=0.5)
    axes.bar(places - 0.19, right, 0.38, color=NUMERICAL, label="numerical")
    axes.bar(places + 0.19, wrong, 0.38, color=BACKPROP, label="backprop")
    axes.set_xticks(places)
    figure.legend(loc="outside right center")
    return figure


def masked_region(run: Run) -> Any:
    """Slope against x: wherever x is negative backprop gives 0, where 0.3 is right; elsewhere it is right."""
    figure, example = picture("The slope of every element, against x"), run.example
    axes = panel(figure, x="x", y="slope")
    x, wrong = example.primals["x"], run.compared.wrong
    _two_curves(axes, x, numerical(example, "x"), backprop(example.make(), example)[0])
    axes.axvspan(x[wrong].min() - 0.09, x[wrong].max() + 0.09, color=BACKPROP, alpha=0.15, linewidth=0)
    axes.text(x[wrong].mean(), 0.65, "wrong here", color=BACKPROP, ha="center")
    return figure


def tie_or_kink(run: Run) -> Any:
    """Slope against x.

    Forward has a corner at 0, between the slopes 0.3 and 1, and there backprop gives 1.3; everywhere else
    it is right.
    """
    figure, example = picture("The slope of every element, against x"), run.example
    axes = panel(figure, x="x", y="slope")
    x, ours = example.primals["x"], backprop(example.make(), example)[0]
    corner = x == 0
    axes.plot([-2.2, 0], [0.3, 0.3], color=NUMERICAL)
    axes.plot([0, 2.2], [1, 1], color=NUMERICAL, label="numerical")
    axes.plot([0, 0], [0.3, 1], color=NUMERICAL, linewidth=7, alpha=0.35, solid_capstyle="butt")
    axes.plot(x[~corner], ours[~corner], **CROSS, label="backprop")
    axes.plot(x[corner], ours[corner], **{**CROSS, "markersize": 11})
    axes.text(-0.12, 0.65, "right at the corner:\nanything between", color=NUMERICAL, ha="right", va="center")
    axes.text(0.15, ours[corner][0], f"{ours[corner][0]:.1f}", color=BACKPROP, va="center")
    axes.set_ylim(0, 1.5)
    figure.legend(loc="outside right center")
    return figure


def not_finite(run: Run) -> Any:
    """Slope against x.

    From x = 710 on backprop is no number, where the slope is 1.
    """
    figure, example = picture("The slope of every element, against x"), run.example
    axes = panel(figure, x="x", y="slope")
    x = np.linspace(-1000, 1000, 41)
    with np.errstate(all="ignore"):
        right, ours = numerical(example, "x", x=x), backprop(example.make(), example, x=x)[0]
    lost = ~np.isfinite(ours)
    axes.plot(x, right, color=NUMERICAL, label="numerical")
    axes.plot(x, ours, **CROSS, label="backprop")
    axes.axvspan(x[lost].min() - 25, x.max() + 25, color=BACKPROP, alpha=0.15, linewidth=0)
    axes.text(
        x[lost].mean(), 0.5, "nan", color=BACKPROP, ha="center", va="center", fontsize=12, weight="bold"
    )
    figure.legend(loc="outside right center")
    return figure


def float32_round_trip(run: Run) -> Any:
    """Slopes along x, enlarged ten million times: numerical a line, backprop a staircase."""
    figure, example = picture("The slope near x = 0.5, much enlarged"), run.example
    axes = panel(figure, x="x less 0.5, in 1e-7", y="slope less its mean, in 1e-7")
    moved = np.linspace(0, 5e-7, 251)
    right, ours = numerical(example, "x", x=0.5 + moved), backprop(example.make(), example, x=0.5 + moved)[0]
    middle = right.mean()
    axes.plot(moved * 1e7, (ours - middle) * 1e7, color=BACKPROP, label="backprop")
    axes.plot(moved * 1e7, (right - middle) * 1e7, color=NUMERICAL, label="numerical")
    figure.legend(loc="outside right center")
    return figure


def rounded_constants(run: Run) -> Any:
    """Constants that the slopes stand for: numerical 0.66666667 at every x, backprop 0.66670000."""
    figure, example = picture("The constant in tanh(c x) that gives the slope at x"), run.example
    axes = panel(figure, x="x", y="c")
    x = np.linspace(0.05, 0.8, 12)
    for slopes, style, name in (
        (numerical(example, "x", x=x), DOT, "numerical"),
        (backprop(example.make(), example, x=x)[0], CROSS, "backprop"),
    ):
        implied = [
            brentq(lambda c, at=at, s=s: 1.7159 * c / np.cosh(c * at) ** 2 - s, 0.6, 0.75, xtol=1e-14)
            for at, s in zip(x, slopes, strict=True)
        ]
        middle, colour = float(np.median(implied)), style["color"]
        axes.plot([0, 0.82], [middle, middle], color=colour, linewidth=1, alpha=0.6)
        axes.plot(x, implied, **style)
        axes.text(0.84, middle, f"{name}\n{middle:.8f}", color=colour, va="center")
    axes.set(xlim=(0, 1.05), ylim=(0.666655, 0.666712))
    axes.ticklabel_format(useOffset=False)
    return figure


def epsilon_mismatch(run: Run) -> Any:
    """Relative error against x, both logarithmic: a straight line that falls from 100 to 0.00001."""
    figure, example = picture("How far backprop is off, against x"), run.example
    axes = panel(figure, x="x", y="relative error")
    x = np.geomspace(1e-5, 100, 29)
    right, ours = numerical(example, "x", x=x), backprop(example.make(), example, x=x)[0]
    axes.loglog(x, np.abs(ours / right - 1), "X-", color=BACKPROP, markeredgewidth=0)
    axes.axvline(1e-3, linestyle="--", color=PLAIN, linewidth=1.3)
    axes.text(1.4e-3, 30, "x = 0.001", color=PLAIN)
    axes.text(0.3, 1e-2, "error = 0.001 / x", color=BACKPROP)
    return figure


def other_approximation(run: Run) -> Any:
    """Slopes along x, and enlarged beside it what is between them.

    Numerical winds about the slope of x Phi(x), up to 0.03 off; backprop lies exactly on it.
    """
    figure, example = picture("Slopes: of forward, of backprop, and of another function"), run.example
    x = np.linspace(-4, 4, 61)
    other = ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    right, ours = numerical(example, "x", x=x), backprop(example.make(), example, x=x)[0]
    for place, (less, name) in enumerate(((0.0, "slope"), (other, "less that of the other function"))):
        axes = panel(figure, 1, 2, place + 1, x="x", title=name)
        axes.plot(x, other - less, color=PLAIN, linewidth=5, alpha=0.35, label="of x Phi(x)")
        axes.plot(x, right - less, color=NUMERICAL, label="numerical")
        axes.plot(x, ours - less, "--", color=BACKPROP, label="backprop")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def stale_residuals(run: Run) -> Any:
    """One element's gradient over five calls.

    The numerical one changes; backprop stays at the first.
    """
    figure, pair = picture("Five calls, each with another x"), run.example.make()
    calls, right, ours = range(1, 6), [], []
    for call in calls:
        x = np.random.default_rng([41, call]).uniform(0.2, 2, run.example.primals["x"].shape)
        right.append(numerical(run.example, "x", x=x)[0])
        ours.append(backprop(pair, run.example, x=x)[0][0])
    axes = panel(figure, x="call", y="gradient of x[0]")
    _by_call(axes, calls, right, ours)
    return figure


def _by_call(axes: Any, calls: range, right: list[float], ours: list[float]) -> None:
    axes.plot(calls, right, "o-", color=NUMERICAL, markersize=6, label="numerical")
    axes.plot(calls, ours, "X--", color=BACKPROP, markersize=7, markeredgewidth=0, label="backprop")
    axes.set_xticks(calls)
    axes.figure.legend(loc="outside right center")


def accumulates(run: Run) -> Any:
    """One element's gradient over five equal calls.

    Backprop grows by the same step each time.
    """
    figure, pair, calls = picture("Five calls, all with the same numbers"), run.example.make(), range(1, 6)
    right = numerical(run.example, "W")[0, 0]
    axes = panel(figure, x="call", y="gradient of W[0, 0]")
    _by_call(axes, calls, [right] * 5, [backprop(pair, run.example)[1][0, 0] for _ in calls])
    axes.axhline(0, color=PLAIN, linewidth=0.5)
    return figure


def nondeterministic(run: Run) -> Any:
    """Eight equal calls, and the sum of the gradient in each.

    Backprop jumps up and down.
    """
    figure, pair, calls = picture("Eight calls, all with the same numbers"), run.example.make(), range(1, 9)
    g = np.random.default_rng(42).uniform(0.5, 1.5, run.example.primals["x"].shape)
    right = numerical(run.example, "x", g).sum()
    axes = panel(figure, x="call", y="sum of the gradient")
    _by_call(axes, calls, [right] * 8, [backprop(pair, run.example, g)[0].sum() for _ in calls])
    return figure
