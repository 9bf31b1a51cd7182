"""The multilayer perceptron, whose gradient is the four equations of backpropagation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit

from gradlab.node import Array
from gradlab.nodes.class_labels import target_rows
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.four_equations import (
    bias_gradient,
    error_through_layer,
    output_error,
    sigmoid_slope,
    weight_gradient,
)
from gradlab.textbook.incremental import Program, ProgramLoss, Step, incremental_gradient
from gradlab.textbook.incremental.row_losses import sum_of_terms
from gradlab.textbook.models.parameters import Parameters, accuracy


class MLP:
    """Layers of sigmoid neurons with the quadratic cost.

    Parameters
    ----------
    sizes : sequence of int
        The number of inputs, of the neurons of each hidden layer, and of outputs.
    rng : numpy.random.Generator or int, optional
        What the parameters are drawn from; by default seed 0. Biases are standard normal; so are weights, but divided
        by the root of the number of a neuron's inputs, which keeps neurons from starting saturated.

    Attributes
    ----------
    params : dict
        W1, b1, W2, b2, ..., in this order.

    Raises
    ------
    ValueError
        If `sizes` has fewer than two numbers, or one below 1.

    Notes
    -----
    Source: Nielsen, Neural Networks and Deep Learning, chapters 2 and 3 (initial weights).
    """

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator | int = 0) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes is {sizes!r}: give at least two positive numbers, such as [784, 30, 10]")
        rng = np.random.default_rng(rng)
        drawn: dict[str, Array] = {}
        for layer, (inputs, neurons) in enumerate(pairwise(sizes), start=1):
            drawn[f"W{layer}"] = rng.standard_normal((inputs, neurons)) / np.sqrt(inputs)
            drawn[f"b{layer}"] = rng.standard_normal(neurons)
        self.params = Parameters(drawn)
        self.depth = len(sizes) - 1

    def predict(self, x: Array) -> Array:
        """Return the output activations of `x`, shape (N, inputs): shape (N, outputs)."""
        return expit(self.weighted_inputs(x)[-1])  # type: ignore[no-any-return] # SciPy has no types

    def weighted_inputs(self, x: Array) -> list[Array]:
        """Return z of each layer for the inputs `x`, shape (N, inputs): shapes (N, neurons)."""
        zs: list[Array] = []
        for layer in range(1, self.depth + 1):
            x = expit(zs[-1]) if zs else x
            zs.append(x @ self.params[f"W{layer}"] + self.params[f"b{layer}"])
        return zs

    def loss(self, x: Array, t: Array) -> float:
        """Return the quadratic cost, half the squared distance from `t`, averaged over the rows.

        `t` holds the wanted outputs, shape (N, outputs), or class indices, shape (N,).
        """
        return self.loss_from(self.depth, self.weighted_inputs(x)[-1], t)

    def loss_from(self, layer: int, z: Array, t: Array) -> float:
        """Return the cost if layer number `layer`, counted from 1, has the weighted inputs `z`, shape (N, neurons)."""
        for later in range(layer + 1, self.depth + 1):
            z = expit(z) @ self.params[f"W{later}"] + self.params[f"b{later}"]
        return float(np.sum((expit(z) - target_rows(t, z)) ** 2) / (2 * len(z)))

    def accuracy(self, x: Array, t: Array) -> float:
        """Return the share of rows whose largest output is at the target."""
        return accuracy(self.predict(x), t)

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by central differences: two losses for each element."""
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def incremental_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return `numerical_gradient`'s result but for rounding, far faster; see `gradlab.textbook.incremental`."""
        return incremental_gradient(self._program(x, t), self.params)

    def _program(self, x: Array, t: Array) -> Program:
        def affine(W: Array, b: Array, source: int) -> Step:
            return Step(lambda inputs, _: inputs[0] @ W + b, (source,), (W, b), "affine")

        steps: list[Step] = []
        for layer in range(1, self.depth + 1):
            if steps:
                steps.append(Step(lambda inputs, _: expit(inputs[0]), (len(steps),), kind="elementwise"))
            steps.append(affine(self.params[f"W{layer}"], self.params[f"b{layer}"], len(steps)))
        cost = ProgramLoss(
            lambda z: self.loss_from(self.depth, z, t),
            len(steps),
            lambda z: sum_of_terms(lambda z, t: (expit(z) - t) ** 2, target_rows(t, z), 2 * len(z)),
        )
        return Program((x,), tuple(steps), (cost,))

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of every parameter by the four equations."""
        zs = self.weighted_inputs(x)
        activations = [x, *(expit(z) for z in zs)]
        error = output_error((activations[-1] - target_rows(t, zs[-1])) / len(x), sigmoid_slope(zs[-1]))
        gradients: dict[str, Array] = {}
        for layer in range(self.depth, 0, -1):
            gradients[f"W{layer}"] = weight_gradient(activations[layer - 1], error)
            gradients[f"b{layer}"] = bias_gradient(error)
            if layer > 1:
                error = error_through_layer(error, self.params[f"W{layer}"], sigmoid_slope(zs[layer - 2]))
        return {name: gradients[name] for name in self.params}


@dataclass(frozen=True)
class EquationCheck:
    """One equation at one layer against central differences.

    Attributes
    ----------
    equation : str
        "BP1", "BP2", "BP3" or "BP4".
    moved : str
        The array that the differences moved: "z2", "b1", "W2".
    elements : int
        How many numbers were compared.
    relative_error : float
        ||analytic - numerical|| / ||numerical||, the norm over these numbers.
    """

    equation: str
    moved: str
    elements: int
    relative_error: float


def check_equations(net: MLP, x: Array, t: Array) -> list[EquationCheck]:
    """Compare each of the four equations at each layer, on its own, with central differences.

    An equation is given its errors by central differences in z too, not by the other equations: so a wrong equation
    shows in its own rows alone.
    """
    zs = net.weighted_inputs(x)
    activations = [x, *(expit(z) for z in zs)]
    errors = [numerical_gradient(_cost_of(net, k, t), z) for k, z in enumerate(zs, start=1)]
    cost_gradient = (activations[-1] - target_rows(t, zs[-1])) / len(x)
    checks = [
        _compared("BP1", f"z{net.depth}", output_error(cost_gradient, sigmoid_slope(zs[-1])), errors[-1])
    ]
    for k in range(net.depth - 1, 0, -1):
        through = error_through_layer(errors[k], net.params[f"W{k + 1}"], sigmoid_slope(zs[k - 1]))
        checks.append(_compared("BP2", f"z{k}", through, errors[k - 1]))
    numerical = net.numerical_gradient(x, t)
    for k, error in enumerate(errors, start=1):
        checks.append(_compared("BP3", f"b{k}", bias_gradient(error), numerical[f"b{k}"]))
    for k, error in enumerate(errors, start=1):
        weights = weight_gradient(activations[k - 1], error)
        checks.append(_compared("BP4", f"W{k}", weights, numerical[f"W{k}"]))
    return checks


def _cost_of(net: MLP, layer: int, t: Array) -> Callable[[Array], float]:
    return lambda z: net.loss_from(layer, z, t)


def _compared(equation: str, moved: str, analytic: Array, numerical: Array) -> EquationCheck:
    difference, size = np.linalg.norm(analytic - numerical), np.linalg.norm(numerical)
    return EquationCheck(equation, moved, numerical.size, float(difference / size))
