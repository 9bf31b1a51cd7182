"""Layers on sequences, of shape (time, features): Embedding, LSTM and GRU."""

from typing import Any, ClassVar

import numpy as np

from gradlab.node import Array
from gradlab.nodes.attention import embedding
from gradlab.nodes.recurrent import gru, lstm
from gradlab.textbook.models.graph.layers.layer import (
    Gradients,
    GraphLayer,
    Shape,
    Tensor,
    check_rank,
    glorot_uniform,
    whole_number,
)


class Embedding(GraphLayer):
    """A vector for each word id: (time,) to (time, output_dim); W begins evenly in -0.05 to 0.05, as in Keras.

    Parameters
    ----------
    input_dim : int
        The number of ids, from 0 on.
    output_dim : int
    name, input_shape
        As for `GraphLayer`.
    """

    def __init__(self, input_dim: int, output_dim: int, **common: Any) -> None:
        super().__init__(**common)
        self.input_dim, self.output_dim = (
            whole_number("input_dim", input_dim),
            whole_number("output_dim", output_dim),
        )

    def _tensors(self, inputs: Any) -> tuple[Tensor, ...]:
        tensors = super()._tensors(inputs)
        if tensors[0].layer is not None:
            raise ValueError(
                f"{self}: got the output of {tensors[0].layer}, and takes word ids: call it on an Input"
            )
        return tensors

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the ids, and `output_dim`."""
        return (*shapes[0], self.output_dim)

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return W of shape (input_dim, output_dim)."""
        return {"W": rng.uniform(-0.05, 0.05, (self.input_dim, self.output_dim))}

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the rows of W."""
        output, residuals = embedding.forward(self.params["W"], inputs[0])
        return output, residuals

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradient of W; the ids have none."""
        (dW,) = embedding.backward(residuals, g)
        return (None,), {"W": dW}


class _Recurrent(GraphLayer):
    """A recurrent node that begins with zeros: (time, features) to (units,), or to (time, units)."""

    ties_features = True
    gates: ClassVar[int]

    def __init__(self, units: int, return_sequences: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.units, self.return_sequences = whole_number("units", units), return_sequences

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return (units,), or (time, units) for sequences."""
        (shape,) = shapes
        check_rank(
            self, shape, "(time, features)", "give sequences, or return_sequences=True in the one before"
        )
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return Wx (features, gates * units), Wh (units, gates * units) and b (gates * units,)."""
        features, columns = shape[-1], self.gates * self.units
        return {
            "Wx": glorot_uniform(rng, (features, columns), features, columns),
            "Wh": _orthogonal(rng, self.units, columns),
            "b": np.zeros(columns),
        }

    def _zeros(self, x: Array) -> Array:
        return np.zeros((len(x), self.units), x.dtype)

    def _output(self, states: Array) -> Array:
        return states if self.return_sequences else states[:, -1]

    def _all_steps(self, g: Array, steps: int) -> Array:
        """Return the cotangent of all states: 0 for states that the layer does not return."""
        if self.return_sequences:
            return g
        states = np.zeros((len(g), steps, self.units), g.dtype)
        states[:, -1] = g
        return states


class LSTM(_Recurrent):
    """Long short-term memory from a state of zeros; the last state, or all of them.

    The gates lie side by side in the order of the node, f, g, i, o. The start is Keras's: Glorot's uniform Wx, an
    orthogonal Wh, b 0 but for the forget gate's, which is 1.

    Parameters
    ----------
    units : int
    return_sequences : bool
        Whether to return the states of all steps, for another recurrent layer or an output at every step.
    name, input_shape
        As for `GraphLayer`.
    """

    gates = 4

    def initial(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        """Return Wx, Wh and b."""
        params = super().initial(shape, rng)
        params["b"][: self.units] = 1
        return params

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the states."""
        (x,) = inputs
        (states, _), residuals = lstm.forward(x, self._zeros(x), self._zeros(x), *self.params.values())
        return self._output(states), (residuals, x.shape[1])

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of x, and of Wx, Wh and b."""
        kept, steps = residuals
        cotangents = self._all_steps(g, steps), self._zeros(g)
        dx, _, _, dWx, dWh, db = lstm.backward(kept, cotangents)
        return (dx,), {"Wx": dWx, "Wh": dWh, "b": db}


class GRU(_Recurrent):
    """Gated recurrent unit from a state of zeros; the last state, or all of them.

    The reset gate acts before the product, as in the node (Keras's ``reset_after=False``); the gates lie side by side
    as z, r, n. Wx begins as Glorot's uniform weights, Wh orthogonal, b as 0.

    Parameters
    ----------
    units : int
    return_sequences : bool
        Whether to return the states of all steps.
    name, input_shape
        As for `GraphLayer`.
    """

    gates = 3

    def forward(
        self, inputs: tuple[Array, ...], training: bool, rng: np.random.Generator
    ) -> tuple[Array, Any]:
        """Return the states."""
        (x,) = inputs
        states, residuals = gru.forward(x, self._zeros(x), *self.params.values())
        return self._output(states), (residuals, x.shape[1])

    def backward(self, residuals: Any, g: Array) -> Gradients:
        """Return the gradients of x, and of Wx, Wh and b."""
        kept, steps = residuals
        dx, _, dWx, dWh, db = gru.backward(kept, self._all_steps(g, steps))
        return (dx,), {"Wx": dWx, "Wh": dWh, "b": db}


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Return orthogonal rows, evenly distributed; Saxe, McClelland and Ganguli, 2014."""
    q, r = np.linalg.qr(rng.standard_normal((columns, rows)))
    return np.asarray((q * np.sign(np.diag(r))).T)
