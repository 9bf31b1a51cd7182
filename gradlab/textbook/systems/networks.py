"""The textbooks' own networks, from the perceptron to the MLP, and a line fitted by gradient descent."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.datasets import make_digits
from gradlab.textbook.datasets.gates import GATES, gate_outputs, load_gate
from gradlab.textbook.datasets.spiral import make_spiral
from gradlab.textbook.descent import epoch_batches, line_through_points, squared_error, squared_error_slope
from gradlab.textbook.models.gates import XOR, learn
from gradlab.textbook.models.layer_list_net import LayerListNet
from gradlab.textbook.models.logic_gate import LogicGate, train
from gradlab.textbook.models.mlp import MLP
from gradlab.textbook.models.simple_net import SimpleNet
from gradlab.textbook.models.two_layer_net import TwoLayerNet
from gradlab.textbook.optimizers import SGD
from gradlab.textbook.systems._system import Built, System


def gates(model: Any, x: Any, t: Any) -> str:
    """Teach one perceptron every gate of two inputs, and compose the one that it cannot learn."""
    never = [name for name in GATES if not learn(gate_outputs(name)).converged]
    rows, wanted = load_gate("XOR")
    composed = "right" if np.array_equal(XOR(*rows.T), wanted) else "wrong"
    return f"{len(GATES) - len(never)} of {len(GATES)} gates, never {' or '.join(never)}; composed XOR {composed}"


def xor() -> Built:
    """Return the net 2-6-1 and the four rows of XOR."""
    return LogicGate(), *load_gate("XOR")


def learn_xor(gradient: str, model: LogicGate, x: Array, t: Array) -> str:
    """Train for the textbook's 20,001 steps, and return the rows that are right, and the loss."""
    train(model, x, t, gradient=gradient)
    return f"{model.accuracy(x, t) * 4:.0f} of 4 rows, loss {model.loss(x, t):.4f}"


def three_directions() -> Built:
    """Return SimpleNet, and points of the plane by the nearest of three directions."""
    net, rng = SimpleNet(), np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    t = (x @ [[1.0, -0.5, -0.5], [0.0, 0.9, -0.9]]).argmax(axis=1)
    named = SimpleNamespace(
        params={"W": net.W}, net=net, loss=net.loss, gradient=lambda x, t: {"W": net.gradient(x, t)}
    )
    return named, x, t


def learn_directions(model: Any, x: Array, t: Array) -> str:
    """Descend along the gradient of all points for 300 steps, and return the share that is classified rightly."""
    optimizer = SGD(1.0)
    for _ in range(300):
        optimizer.update(model.params, model.gradient(x, t))
    return _right(model.net.predict(x).argmax(axis=1) == t)


def small_digits(side: int = 7) -> tuple[Array, Array]:
    """Return 600 drawn digits, shrunk to `side` x `side` pixels by averaging, one a row, and their labels."""
    x, t = make_digits(600, seed=0)
    coarse = 28 // side
    return x.reshape(-1, side, coarse, side, coarse).mean(axis=(2, 4)).reshape(-1, side**2), t


def digits() -> Built:
    """Return TwoLayerNet 49-12-10 on small digits."""
    return TwoLayerNet(49, 12, 10, weight_init_std=0.1), *small_digits()


def spiral() -> Built:
    """Return LayerListNet 2-10-3 on the spiral."""
    return LayerListNet(2, 10, 3), *make_spiral()


def spiral_of_mlp() -> Built:
    """Return MLP 2-12-3 on the spiral."""
    return MLP([2, 12, 3]), *make_spiral()


def line() -> Built:
    """Return the line 0 x + 0 as a model, and noisy points about another line."""
    x, t = line_through_points(np.random.default_rng(0))
    w = np.zeros(2)
    model = SimpleNamespace(
        params={"w": w},
        loss=lambda x, t: float(squared_error(w, x, t)),
        gradient=lambda x, t: {"w": squared_error_slope(w, x, t)},
    )
    return model, x, t


def learn_line(model: Any, x: Array, t: Array) -> str:
    """Descend by mini-batches of 10 for 50 epochs, and return the line."""
    in_batches(model, x, t, batch_size=10, lr=0.1, epochs=50)
    return "{:.2f} x + {:.2f} for 2 x + 1".format(*model.params["w"])


def learn_classes(batch_size: int, lr: float, epochs: int, model: Any, x: Array, t: Array) -> str:
    """Train a classifier in mini-batches, and return the share of examples that is classified rightly."""
    in_batches(model, x, t, batch_size=batch_size, lr=lr, epochs=epochs)
    return _right(model.predict(x).argmax(axis=1) == t)


def in_batches(model: Any, x: Array, t: Array, *, batch_size: int, lr: float, epochs: int) -> None:
    """Descend along the gradient of mini-batches; parameters may be a dict or a list."""
    optimizer, rng = SGD(lr), np.random.default_rng(0)
    named: Callable[[Any], Any] = lambda of: of if isinstance(of, dict) else dict(enumerate(of))  # noqa: E731
    for _ in range(epochs):
        for rows in epoch_batches(len(x), batch_size, rng):
            optimizer.update(named(model.params), named(model.gradient(x[rows], t[rows])))


def _right(hits: Array) -> str:
    return f"{hits.mean():.1%} of {hits.size:,}"


SYSTEMS = (
    System("perceptron", "2-1 with a threshold; all gates by the learning rule", gates),
    System("LogicGate", "2-6-1, XOR by numerical gradients alone", partial(learn_xor, "stacked"), xor),
    System("LogicGate", "2-6-1, XOR by backprop", partial(learn_xor, "backprop"), xor),
    System("SimpleNet", "2-3, the nearest of three directions", learn_directions, three_directions),
    System("TwoLayerNet", "49-12-10, small digits", partial(learn_classes, 20, 0.5, 40), digits),
    System("LayerListNet", "2-10-3, the spiral", partial(learn_classes, 30, 1.0, 300), spiral),
    System("MLP", "2-12-3, the spiral by the four equations", partial(learn_classes, 10, 3.0, 200), spiral_of_mlp),
    System("gradient descent", "a line through 100 points, in mini-batches", learn_line, line),
)  # fmt: skip
