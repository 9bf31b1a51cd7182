"""Both gradients of one primal, element by element: what pictures are drawn of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradlab.node import Array


@dataclass(frozen=True)
class StepErrors:
    """What is left of forward's change along a direction, step by step: Taylor's test.

    With f the sum of cotangent times output, and d backward's gradient along the direction v of one primal.

    Attributes
    ----------
    steps : ndarray of shape (n,)
        The steps h, falling.
    without : ndarray of shape (n,)
        ``|f(x + h v) - f(x)|``, which falls as h.
    with_gradient : ndarray of shape (n,)
        ``|f(x + h v) - f(x) - h d|``, which falls as h**2 where d is right, and as h where it is wrong.
    central : ndarray of shape (n,)
        ``|(f(x + h v) - f(x - h v)) / (2 h) - d| / |d|``, the relative error of the textbook's difference against d.
    rounding : float
        What f may be off by, by rounding: what is left below it says nothing.
    """

    steps: Array
    without: Array
    with_gradient: Array
    central: Array
    rounding: float

    @property
    def order(self) -> float | None:
        """The power of h by which `with_gradient` falls, where it is above rounding; None where no two steps are."""
        above = (
            np.isfinite(self.with_gradient) & (self.with_gradient > 100 * self.rounding) & (self.steps < 0.1)
        )
        if above.sum() < 2:
            return None
        slope, _ = np.polyfit(np.log(self.steps[above]), np.log(self.with_gradient[above]), 1)
        return float(slope)


@dataclass(frozen=True)
class Comparison:
    """Both gradients of one primal at one sample.

    Attributes
    ----------
    node, sample, primal : str
    analytic, numerical, bound : ndarray
        Backward's gradient, what it should be, and how far that may be off, of the primal's shape. `numerical` is NaN
        where no element was looked at alone.
    wrong : ndarray of bool
        Which elements are wrong.
    worst : tuple of int or None
        The element that the row of `matches_numerical` names.
    directions : int
        Where directions alone confirm the gradient, how many; `numerical` then is `analytic`, known to `bound`.
    jacobians : tuple of ndarray, or None
        Backward's and forward's slopes of all outputs, each of shape (outputs, elements), of small cases.
    steps : StepErrors or None
    """

    node: str
    sample: str
    primal: str
    analytic: Array
    numerical: Array
    bound: Array
    wrong: Array
    worst: tuple[int, ...] | None = None
    directions: int = 0
    jacobians: tuple[Array, Array] | None = None
    steps: StepErrors | None = None

    @property
    def region(self) -> str:
        """Where the wrong elements are, in words; empty where none is."""
        return region_of(self.wrong)


def region_of(wrong: Array) -> str:
    """Return where the true elements of a mask are: all of it, one element, or the rows and columns that hold them."""
    places = np.argwhere(wrong)
    if not len(places):
        return ""
    if wrong.all():
        return "every element"
    if len(places) == 1:
        return f"the one element {index_text(places[0])}"
    spans = [_span(np.unique(column)) for column in places.T]
    names = axis_names(wrong.ndim)
    partly = [
        f"{name}{'s' if len(span) > 1 or span[0][0] != span[0][1] else ''} {_spans_text(span)}"
        for name, span, length in zip(names, spans, wrong.shape, strict=True)
        if span != [(0, length - 1)]
    ]
    boxed = int(np.prod([sum(last - first + 1 for first, last in span) for span in spans]))
    count = f"{len(places):,} of {wrong.size:,} elements"
    if not partly:
        return count
    return f"{', '.join(partly)}" if boxed == len(places) else f"{count}, in {', '.join(partly)}"


def axis_names(ndim: int) -> list[str]:
    """Return what a reader calls the axes of an array: its rows and columns are the last two."""
    if ndim == 1:
        return ["element"]
    return [f"axis {k} place" for k in range(ndim - 2)] + ["row", "column"]


def index_text(index: Sequence[int]) -> str:
    """Return an index as it is written behind an array's name."""
    return f"[{', '.join(str(int(k)) for k in index)}]" if len(index) else ""


def _span(values: Array) -> list[tuple[int, int]]:
    """Return sorted whole numbers as runs, each from its first to its last."""
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]


def _spans_text(spans: Sequence[tuple[int, int]]) -> str:
    shown = [f"{first} to {last}" if last > first else str(first) for first, last in spans[:4]]
    return ", ".join([*shown, *(["..."] if len(spans) > 4 else [])])
