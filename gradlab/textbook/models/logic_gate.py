"""The net 2-6-1 that learns a logic gate, XOR too, by numerical gradients or by backprop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.report.tables import table
from gradlab.running.progress import progress_bar
from gradlab.textbook.datasets.gates import load_gate
from gradlab.textbook.four_equations import bias_gradient, error_through_layer, output_error, weight_gradient
from gradlab.textbook.models._stacked_gate_differences import DELTA, HIDDEN, stacked_differences
from gradlab.textbook.models.parameters import Parameters

# The textbook's.
STEPS = 20_001
# What a training calls again and again: the gradient where the parameters are now, as one array.
Gradient = Callable[[], Array]


class LogicGate:
    """Two inputs, six sigmoid neurons, one sigmoid output.

    Parameters
    ----------
    rng : numpy.random.Generator or int, optional
        What weights and biases are drawn from, standard normal; by default seed 0.

    Attributes
    ----------
    params : dict
        W1 of shape (2, 6), b1 (6,), W2 (6, 1) and b2 (1,), in this order; views of `theta`.
    theta : ndarray of shape (25,), float64
        All the parameters, one after the other; it is changed in place only.

    Notes
    -----
    The loss is binary cross-entropy with delta = 1e-7 in the logarithms, summed over the rows::

        L = -sum of t log(y + delta) + (1 - t) log(1 - y + delta)

    A delta belongs to the function, and so to its gradient by backprop. Sums over units and over rows are running
    sums, whose order, and with it the last bit, is the same for one network and for a stack of them.

    Every method takes the inputs `x`, shape (N, 2), and the targets `t`, 0 or 1, shape (N,) or (N, 1).
    """

    def __init__(self, rng: np.random.Generator | int = 0) -> None:
        self.theta: Array = np.random.default_rng(rng).standard_normal(4 * HIDDEN + 1)
        self.params = Parameters(_by_name(self.theta))

    def predict(self, x: Array) -> Array:
        """Return the outputs, in (0, 1), shape (N,)."""
        return self._forward(_inputs(x))[1]

    def loss(self, x: Array, t: Array) -> float:
        """Return the loss, summed over the rows."""
        return float(self._loss(*_batch(x, t)))

    def accuracy(self, x: Array, t: Array) -> float:
        """Return the share of rows with an output on the target's side of 1/2."""
        x, t = _batch(x, t)
        return float(np.mean((self._forward(x)[1] > 0.5) == t))

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by central differences: two losses for each element."""
        return _by_name(self._by_loop(*_batch(x, t)))

    def stacked_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of `numerical_gradient`, bit for bit, with all fifty losses evaluated at once."""
        with np.errstate(invalid="ignore", divide="ignore"):
            gradient = stacked_differences(self.theta, *_batch(x, t))()
        # the loop says what is wrong
        return _by_name(gradient) if np.isfinite(gradient).all() else self.numerical_gradient(x, t)

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by backprop."""
        return _by_name(self._by_backprop(*_batch(x, t)))

    def _forward(self, x: Array) -> tuple[Array, Array]:
        W1, b1, W2, b2 = self.params.values()
        hidden = expit(x[:, :1] * W1[0] + x[:, 1:] * W1[1] + b1)
        return hidden, expit(np.cumsum(hidden * W2[:, 0], axis=1)[:, -1] + b2)

    def _loss(self, x: Array, t: Array) -> Any:
        y = self._forward(x)[1]
        return -np.cumsum(t * np.log(y + DELTA) + (1 - t) * np.log(1 - y + DELTA))[-1]

    def _by_loop(self, x: Array, t: Array) -> Array:
        return numerical_gradient(lambda _: self._loss(x, t), self.theta)

    def _by_backprop(self, x: Array, t: Array) -> Array:
        hidden, y = self._forward(x)
        cost_gradient = (1 - t) / (1 - y + DELTA) - t / (y + DELTA)
        error = output_error(cost_gradient, y * (1 - y))[:, np.newaxis]
        back = error_through_layer(error, self.params["W2"], hidden * (1 - hidden))
        return np.concatenate(
            [
                weight_gradient(x, back).ravel(),
                bias_gradient(back),
                weight_gradient(hidden, error).ravel(),
                bias_gradient(error),
            ]
        )


def train(
    net: LogicGate,
    x: Array,
    t: Array,
    *,
    gradient: str = "stacked",
    steps: int = STEPS,
    lr: float = 0.01,
    on_loss: Callable[[int, float], object] = lambda step, loss: None,
) -> None:
    """Train a LogicGate by gradient descent on all the rows.

    Parameters
    ----------
    net : LogicGate
        Changed in place.
    x, t : ndarray of shape (N, 2) and (N,) or (N, 1)
        The rows, and their targets, 0 or 1.
    gradient : {"stacked", "numerical", "backprop"}
        By central differences, all at once or in the textbook's loop, which take the same path bit for bit; or by
        backprop.
    steps : int
        How many steps.
    lr : float
        The learning rate.
    on_loss : callable
        ``on_loss(step, loss)`` is called after the steps number 0, 1,000, 2,000, ...

    Raises
    ------
    ValueError
        If there is no gradient of this name, `x` or `t` do not fit, or `lr` is not positive or so large that the
        parameters leave the finite numbers.
    """
    x, t = _batch(x, t)
    if not 0 < lr < np.inf:
        raise ValueError(f"lr is {lr!r}: give a positive number, such as 0.01")
    ways: dict[str, Callable[[], Gradient]] = {
        "stacked": lambda: stacked_differences(net.theta, x, t),
        "numerical": lambda: lambda: net._by_loop(x, t),
        "backprop": lambda: lambda: net._by_backprop(x, t),
    }
    if gradient not in ways:
        raise ValueError(f"gradient is {gradient!r}: give one of {', '.join(ways)}")
    slope, theta = ways[gradient](), net.theta
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for step in range(steps):
            theta -= lr * slope()
            if step % 1000 == 0:
                on_loss(step, float(net._loss(x, t)))
    if not np.isfinite(theta).all():
        raise ValueError(f"lr = {lr:g} led the parameters out of the finite numbers: give a smaller one")


def training_rows(gate: str, gradient: str = "stacked", *, progress: bool = False) -> list[dict[str, Any]]:
    """Train the net on a gate of two inputs, and return the losses by step, and the outputs of the four rows.

    Parameters
    ----------
    gate : str
        A name of `gradlab.textbook.datasets.gates.GATES`.
    gradient : str
        As for `train`.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.

    Raises
    ------
    DatasetError
        If there is no gate of this name.
    """
    net, (x, t) = LogicGate(), load_gate(gate)
    rows: list[dict[str, Any]] = []
    with progress_bar(STEPS, "step", shown=progress) as bar:

        def on_loss(step: int, loss: float) -> None:
            rows.append({"step": step, "loss": loss})
            bar.update(step - bar.n)

        train(net, x, t, gradient=gradient, on_loss=on_loss)
    outputs = zip(x.tolist(), t.tolist(), net.predict(x).tolist(), strict=True)
    return [*rows, *({"x1": x1, "x2": x2, "target": wanted, "output": y} for (x1, x2), wanted, y in outputs)]


def training_tables(gate: str, rows: Sequence[Mapping[str, Any]], style: str) -> str:
    """Return the rows of `training_rows` as two tables, in one of tabulate's styles."""
    losses = [(f"{r['step']:,}", f"{r['loss']:.6f}") for r in rows if "step" in r]
    outputs = [
        (f"{r['x1']:g}", f"{r['x2']:g}", f"{r['target']:g}", f"{r['output']:.4f}") for r in rows if "x1" in r
    ]
    heading = "## " if style == "github" else ""
    return "\n\n".join(
        [
            f"{heading}{gate} by the net 2-6-1",
            table(("step", "loss"), losses, style),
            table(("x1", "x2", "target", "output"), outputs, style),
        ]
    )


def _by_name(theta: Array) -> dict[str, Array]:
    """Return views of a flat array of shape (25,), by the name of the parameter."""
    W1, b1, W2, b2 = np.split(theta, np.cumsum([2 * HIDDEN, HIDDEN, HIDDEN]))
    return {"W1": W1.reshape(2, HIDDEN), "b1": b1, "W2": W2.reshape(HIDDEN, 1), "b2": b2}


def _inputs(x: Any) -> Array:
    rows: Array = np.asarray(x, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != 2 or not rows.size:
        raise ValueError(f"x has shape {rows.shape}: give rows of two inputs, shape (N, 2)")
    return rows


def _batch(x: Any, t: Any) -> tuple[Array, Array]:
    x, t = _inputs(x), np.asarray(t, dtype=float)
    if t.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(
            f"t has shape {t.shape} for {len(x)} rows: give one target for each, shape ({len(x)},)"
        )
    if not np.isin(t, (0, 1)).all():
        raise ValueError("t holds something else than 0 and 1: give each row's output of the gate")
    return x, t.reshape(-1)
