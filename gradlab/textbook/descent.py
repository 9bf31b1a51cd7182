"""Gradient descent and its limits: batches of any size, and three functions whose minimum it misses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from gradlab.node import Array

Function = Callable[[Any], Any]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many batches show each of `n` examples once: n / batch_size, rounded up.

    Raises
    ------
    ValueError
        If `n` or `batch_size` is below 1.
    """
    if n < 1 or batch_size < 1:
        raise ValueError(f"n is {n} and batch_size {batch_size}: give positive numbers")
    return -(-n // batch_size)


def epoch_batches(n: int, batch_size: int, rng: np.random.Generator | int = 0) -> Iterator[Array]:
    """Yield the row numbers of one epoch's batches: every example once, in random order.

    A batch size of `n` or more is full-batch descent, 1 is online. If `batch_size` does not divide `n`, the last
    batch is smaller.
    """
    order = np.random.default_rng(rng).permutation(n)
    for step in range(steps_per_epoch(n, batch_size)):
        yield order[step * batch_size : (step + 1) * batch_size]


@dataclass(frozen=True)
class BatchRun:
    """A descent by batches.

    Attributes
    ----------
    batch_size, steps_per_epoch : int
    losses : list of float
        The loss over all examples at the start and after each epoch.
    w : ndarray
        The parameters at the end.
    """

    batch_size: int
    steps_per_epoch: int
    losses: list[float]
    w: Array

    @property
    def epochs(self) -> int:
        """How many times every example was shown."""
        return len(self.losses) - 1

    @property
    def steps(self) -> int:
        """How many times the parameters changed."""
        return self.epochs * self.steps_per_epoch


def descend_in_batches(
    loss: Callable[[Array, Array, Array], Any],
    gradient: Callable[[Array, Array, Array], Array],
    w: Array,
    x: Array,
    t: Array,
    *,
    batch_size: int,
    epochs: int,
    lr: float,
    rng: np.random.Generator | int = 0,
) -> BatchRun:
    """Descend from `w`, which is not changed, a batch a step.

    Parameters
    ----------
    loss, gradient : callable
        ``loss(w, x, t)``, averaged over the rows, and ``gradient(w, x, t)``, its gradient by w.
    w : ndarray of floats
        The start.
    x, t : ndarray of shape (N, ...)
        The examples and their targets.
    batch_size : int
        N: full batch; 1: online; between them: mini-batch.
    epochs : int
        How many times to show every example.
    lr : float
        The learning rate.
    rng : numpy.random.Generator or int
        Shuffles the examples before each epoch.

    Raises
    ------
    TypeError
        If `w` does not hold floats.
    ValueError
        If `batch_size` is below 1, there are no examples, or not a target for each.
    """
    w, rng = np.array(w), np.random.default_rng(rng)
    if w.dtype.kind != "f":
        raise TypeError(f"w has dtype {w.dtype}, in which a small step is lost: give an array of floats")
    if len(x) != len(t):
        raise ValueError(f"x has {len(x)} examples and t {len(t)} targets: give one target for each")
    losses = [float(loss(w, x, t))]
    for _ in range(epochs):
        for rows in epoch_batches(len(x), batch_size, rng):
            w -= lr * gradient(w, x[rows], t[rows])
        losses.append(float(loss(w, x, t)))
    return BatchRun(batch_size, steps_per_epoch(len(x), batch_size), losses, w)


def compare_batch_sizes(epochs: int = 20, rng: np.random.Generator | int = 0) -> dict[str, BatchRun]:
    """Return full-batch, mini-batch and online descent on one problem, by name: a line through 100 noisy points.

    All see every example `epochs` times at the learning rate 0.1; the smaller the batch, the more steps that is.
    """
    rng = np.random.default_rng(rng)
    x, t = line_through_points(rng)
    sizes = {"full batch": 100, "mini-batch": 10, "online": 1}
    return {
        name: descend_in_batches(
            squared_error, squared_error_slope, np.zeros(2), x, t,
            batch_size=m, epochs=epochs, lr=0.1, rng=rng,
        )
        for name, m in sizes.items()
    }  # fmt: skip


def line_through_points(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return 100 points about the line 2 x + 1: rows (x, 1), shape (100, 2), and heights, shape (100,)."""
    x = np.column_stack([rng.uniform(-1, 1, 100), np.ones(100)])
    return x, x @ [2.0, 1.0] + 0.1 * rng.standard_normal(100)


def squared_error(w: Array, x: Array, t: Array) -> Any:
    """Return half the mean squared distance of ``x w`` from `t`."""
    return np.mean((x @ w - t) ** 2) / 2


def squared_error_slope(w: Array, x: Array, t: Array) -> Array:
    """Return the gradient of `squared_error` by `w`."""
    slope: Array = x.T @ (x @ w - t) / len(x)
    return slope


def descent_path(slope: Function, start: float, lr: float, steps: int) -> Array:
    """Return the points of gradient descent, ``x <- x - lr slope(x)``, shape (steps + 1,), the start first."""
    path = np.empty(steps + 1)
    path[0] = start
    for k in range(steps):
        path[k + 1] = path[k] - lr * slope(path[k])
    return path


@dataclass(frozen=True)
class DescentScene:
    """A function of one number, and descents on it.

    Attributes
    ----------
    title : str
    f, slope : callable
        The function and its derivative.
    interval : (float, float)
        Where to draw the function.
    paths : dict of ndarray
        The points of each descent, by the setting in which the descents differ, such as "lr = 0.2".
    """

    title: str
    f: Function
    slope: Function
    interval: tuple[float, float]
    paths: Mapping[str, Array]


def divergence() -> DescentScene:
    """Return descents on x^2 with a growing learning rate.

    A step multiplies x by 1 - 2 lr: below lr = 1/2 x shrinks, up to 1 it shrinks from side to side, above 1 it grows.
    """
    paths = {f"lr = {lr}": descent_path(_parabola_slope, 3.0, lr, 8) for lr in (0.2, 0.9, 1.05)}
    return DescentScene("a learning rate too large", np.square, _parabola_slope, (-7.0, 7.0), paths)


def local_minimum() -> DescentScene:
    """Return descents on x^4 - 2 x^2 + x/2 from both sides of its hill: each ends in the valley it starts above."""
    paths = {f"from x = {start}": descent_path(_valleys_slope, start, 0.03, 60) for start in (0.0, 0.3)}
    return DescentScene("a local minimum", _valleys, _valleys_slope, (-1.6, 1.5), paths)


def plateau() -> DescentScene:
    """Return descents on sigma(x)^2 / 2, the cost of a neuron that should be 0, from its slope and its plateau."""
    paths = {f"from x = {start}": descent_path(_neuron_slope, start, 1.0, 250) for start in (1.0, 5.0)}
    return DescentScene("a plateau", _neuron, _neuron_slope, (-4.0, 6.5), paths)


def _parabola_slope(x: Any) -> Any:
    return 2 * x


def _valleys(x: Any) -> Any:
    return x**4 - 2 * x**2 + x / 2


def _valleys_slope(x: Any) -> Any:
    return 4 * x**3 - 4 * x + 0.5


def _neuron(x: Any) -> Any:
    return expit(x) ** 2 / 2


def _neuron_slope(x: Any) -> Any:
    return expit(x) ** 2 * expit(-x)


def write_figures(folder: Path) -> list[Path]:
    """Write the three scenes as SVG into `folder`, with the extra `plot`, and return the files' paths."""
    from gradlab.report.descent_figures import descent_figure

    scenes = {"divergence": divergence(), "local-minimum": local_minimum(), "plateau": plateau()}
    written = []
    for name, scene in scenes.items():
        x = np.linspace(*scene.interval, 200)
        paths = {label: (path, scene.f(path)) for label, path in scene.paths.items()}
        written.append(folder / f"{name}.svg")
        descent_figure(written[-1], scene.title, (x, scene.f(x)), paths)
    return written
