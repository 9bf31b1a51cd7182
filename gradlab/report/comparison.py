"""Both gradients of one primal, element by element: what pictures are drawn of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradlab.node import Array
from gradlab.verdict import Verdict

# The order of what is left is that of the LAST steps above rounding; at steps above LARGE it is none yet.
LAST, LARGE = 3, 0.05
# What is less than so many times the rounding is not clear of it.
CLEAR = 100
# At a corner the slopes to both sides differ by what is left with the one, and by twice what is left between them.
CORNER = 0.5
# Where nothing but a right gradient falls, and where a wrong one does.
RIGHT_ABOVE, WRONG_ABOVE, WRONG_BELOW = 1.7, 0.7, 1.3
# What is smooth falls no faster at the steps that are judged.
FASTEST = 2.5


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
    bend : ndarray of shape (n,)
        ``|f(x + h v) - 2 f(x) + f(x - h v)|``, which falls as h**2 where f is smooth, and as h at a corner.
    rounding : float
        What f may be off by, by rounding: what is left below it says nothing.
    """

    steps: Array
    without: Array
    with_gradient: Array
    central: Array
    bend: Array
    rounding: float

    @property
    def order(self) -> float | None:
        """The power of h by which `with_gradient` falls at the smallest steps above rounding; None where none are."""
        return self._fall(self.with_gradient)

    @property
    def verdict(self) -> Verdict:
        """Whether backprop is right along the direction, wrong, or nothing is said of it."""
        return self._judged[0]

    @property
    def sentence(self) -> str:
        """What Taylor's test says, in the books' words."""
        return self._judged[1]

    @property
    def _judged(self) -> tuple[Verdict, str]:
        if self._has_no_number:
            return self._judged_without_number
        order = self.order
        if order is None and self._is_lost:
            return (
                Verdict.INCONCLUSIVE,
                "the change of f is lost in its rounding, which tells nothing of backprop",
            )
        if order is None:
            return Verdict.PASS, "nothing is left but rounding: backprop is right along this direction"
        falls = f"what is left falls as h^{order:.2g}"
        if order > RIGHT_ABOVE:
            return Verdict.PASS, f"{falls}: backprop is right along this direction"
        if not WRONG_ABOVE < order < WRONG_BELOW:
            return Verdict.INCONCLUSIVE, f"{falls}, neither as h nor as h^2: a corner, or noise"
        if self._is_corner:
            return (
                Verdict.INCONCLUSIVE,
                "what is left falls as h, but f has a corner here, which leaves as much",
            )
        return Verdict.WRONG, "what is left falls as h: backprop is wrong along this direction"

    @property
    def _has_no_number(self) -> bool:
        return not (np.isfinite(self.without) & np.isfinite(self.with_gradient)).any()

    @property
    def _judged_without_number(self) -> tuple[Verdict, str]:
        # only where f itself falls as h is its slope known to be finite
        order = self._fall(self.without)
        if order is not None and order > WRONG_ABOVE:
            return (
                Verdict.WRONG,
                "the change of f falls as h, but backprop is no finite number: it is wrong along this direction",
            )
        return (
            Verdict.INCONCLUSIVE,
            "there are no finite numbers along this direction, which tells nothing of backprop",
        )

    @property
    def _is_lost(self) -> bool:
        """Whether f changes, or should change, and by less than its rounding at every step."""
        seen = self.without[np.isfinite(self.without)]
        changes = bool(seen.any() or self.with_gradient.any())
        return changes and not (seen > CLEAR * self.rounding).any()

    @property
    def _is_corner(self) -> bool:
        """Whether the slopes to both sides differ by as much as is left: a gradient between them is right."""
        last = self._last(self.with_gradient)
        return bool((self.bend[last] > CORNER * self.with_gradient[last]).all())

    def _last(self, values: Array) -> Array:
        return np.flatnonzero(np.isfinite(values) & (values > CLEAR * self.rounding))[-LAST:]

    def _fall(self, values: Array) -> float | None:
        last = self._last(values)
        if len(last) < 2 or self.steps[last[-1]] > LARGE or self._ends_after(values, int(last[-1])):
            return None
        slope, _ = np.polyfit(np.log(self.steps[last]), np.log(values[last]), 1)
        return float(slope)

    def _ends_after(self, values: Array, k: int) -> bool:
        """Whether nothing is left below step k, where a power of h would still leave more than rounding."""
        if k + 1 == len(values) or not np.isfinite(values[k + 1]):
            return False
        expected = values[k] * (self.steps[k + 1] / self.steps[k]) ** FASTEST
        return bool(expected > CLEAR * self.rounding)

    def orders(self) -> list[float | None]:
        """Return, for each step, the power of h by which `with_gradient` has fallen since the one before."""
        left, h = self.with_gradient, self.steps
        return [
            float(np.log(left[k] / left[k - 1]) / np.log(h[k] / h[k - 1]))
            if k and np.isfinite(left[k - 1 : k + 1]).all() and min(left[k], left[k - 1]) > self.rounding
            else None
            for k in range(len(h))
        ]


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
