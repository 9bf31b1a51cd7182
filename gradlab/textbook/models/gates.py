"""The perceptron and the logic gates: by given weights, by composition, by the learning rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.activation import step
from gradlab.report.tables import table
from gradlab.textbook.datasets.gates import GATES, ROWS, gate_outputs

Gate = Callable[[Any, Any], Array]
# NANDs in the order in which they are wired: wires 0 and 1 are x1 and x2, and each gate adds the next wire.
Circuit = tuple[tuple[int, int], ...]
Weights = tuple[float, float, float]


def perceptron(x: Any, w: Any, b: Any) -> Array:
    """Return 1 where ``x w + b > 0``, else 0: a neuron with a threshold of -b.

    Parameters
    ----------
    x : array_like of shape (..., D)
        The inputs.
    w : array_like of shape (D,)
        The weights.
    b : float
        The bias.

    Returns
    -------
    ndarray of shape (...,), float64

    Notes
    -----
    Source: Rosenblatt, The perceptron, 1958; Deep Learning from Scratch, chapter 2.
    """
    fired: Array = step.forward(np.asarray(x, float) @ np.asarray(w, float) + b)[0]
    return fired


def AND(x1: Any, x2: Any) -> Array:
    """Return 1 where both inputs are 1."""
    return perceptron(_pairs(x1, x2), [0.5, 0.5], -0.7)


def OR(x1: Any, x2: Any) -> Array:
    """Return 1 where an input is 1."""
    return perceptron(_pairs(x1, x2), [0.5, 0.5], -0.2)


def NAND(x1: Any, x2: Any) -> Array:
    """Return 1 where not both inputs are 1."""
    return perceptron(_pairs(x1, x2), [-0.5, -0.5], 0.7)


def NOR(x1: Any, x2: Any) -> Array:
    """Return 1 where no input is 1."""
    return perceptron(_pairs(x1, x2), [-0.5, -0.5], 0.2)


def XOR(x1: Any, x2: Any) -> Array:
    """Return 1 where the inputs differ: two layers of perceptrons, since no single one can."""
    return AND(NAND(x1, x2), OR(x1, x2))


def nand_circuit(name: str) -> Circuit:
    """Return the fewest NANDs that make a gate; the last one is its output.

    Raises
    ------
    DatasetError
        If there is no gate of this name.

    Notes
    -----
    Every gate is found with at most 5 (XNOR takes them): circuits are tried in the order of their size.
    """
    wanted = sum(output << row for row, output in enumerate(gate_outputs(name)))
    x1, x2 = (sum(int(bit) << row for row, bit in enumerate(column)) for column in ROWS.T)
    size = 1
    while not (found := _search(wanted, (x1, x2), size)):
        size += 1
    return found


def from_nand(name: str, x1: Any, x2: Any) -> Array:
    """Return a gate's output, computed by NAND perceptrons alone."""
    wires = [np.asarray(x1, float), np.asarray(x2, float)]
    for first, second in nand_circuit(name):
        wires.append(NAND(wires[first], wires[second]))
    return wires[-1]


@dataclass(frozen=True)
class Learning:
    """The course of the perceptron learning rule on one gate.

    Attributes
    ----------
    weights : list of tuple
        (w1, w2, b) at the start and after each row that was shown; four rows are an epoch.
    most_right : int
        The most rows that were right at once, counted after every row that was shown.
    converged : bool
        Whether the last epoch is one in which no row was wrong.
    cycle : list of tuple
        The weights that recur for ever, one for each row shown; empty if none were seen to recur.
    """

    weights: list[Weights]
    most_right: int
    converged: bool
    cycle: list[Weights]

    @property
    def epochs(self) -> int:
        """How many times all the rows were shown."""
        return len(self.weights) // len(ROWS)


def learn(t: Sequence[float] | Array) -> Learning:
    """Teach a perceptron a gate by the perceptron learning rule, from weights of 0.

    The rows are shown in order, again and again: ``w += (t - y) x`` and ``b += t - y`` after each. It ends with
    the first epoch without a mistake, or with weights that an earlier epoch ended with, or else after 100 epochs.

    Parameters
    ----------
    t : array_like of shape (4,)
        The gate's outputs for the rows (0, 0), (0, 1), (1, 0), (1, 1).

    Raises
    ------
    ValueError
        If `t` is not four numbers that are 0 or 1.

    Notes
    -----
    One of the first two endings always comes, and soon. If a line separates the rows, there are at most
    (R / margin)^2 mistakes (Novikoff, 1962); if none does, the weights stay bounded (Minsky and Papert, 1969), and
    whole numbers within bounds must return. XOR is of the second kind: it asks for b <= 0, w1 + b > 0, w2 + b > 0
    and w1 + w2 + b <= 0, but the two in the middle add up to w1 + w2 + 2b > 0, the outer ones to the opposite.
    """
    targets = np.asarray(t)
    if targets.shape != (4,) or not np.isin(targets, (0, 1)).all():
        raise ValueError(f"t is {t!r}: give the gate's four outputs, each 0 or 1")
    inputs = np.column_stack([ROWS, np.ones(4)])  # the bias is the weight of an input that is always 1
    weights: list[Weights] = [(0.0, 0.0, 0.0)]
    most_right = 0
    for _ in range(100):
        mistakes = 0
        for x, target in zip(inputs, targets, strict=True):
            error = target - perceptron(x, weights[-1], 0.0)
            mistakes += int(error != 0)
            w1, w2, b = (float(w) for w in weights[-1] + error * x)
            weights.append((w1, w2, b))
            most_right = max(most_right, int(np.sum(perceptron(inputs, weights[-1], 0.0) == targets)))
        ends = weights[::4]
        if not mistakes:
            return Learning(weights, most_right, True, [])
        if ends[-1] in ends[:-1]:
            return Learning(weights, most_right, False, weights[4 * ends.index(ends[-1]) + 1 :])
    return Learning(weights, most_right, False, [])


def truth_tables(style: str) -> str:
    """Return three tables in one of tabulate's styles: gates of perceptrons, of NAND alone, and learned."""
    heading = "## " if style == "github" else ""
    return "\n\n".join(
        [
            f"{heading}Gates by perceptrons of given weights; XOR is AND(NAND, OR)",
            _perceptron_table(style),
            f"{heading}Every gate of two inputs from NAND alone",
            _nand_table(style),
            f"{heading}The perceptron learning rule, from weights of 0",
            _learning_table(style),
        ]
    )


def _pairs(x1: Any, x2: Any) -> Array:
    return np.stack(np.broadcast_arrays(x1, x2), axis=-1)


def _search(wanted: int, wires: tuple[int, ...], size: int) -> Circuit:
    """Return a circuit of `size` more NANDs whose last wire is `wanted`; none is empty. A wire is four bits."""
    for pair in combinations_with_replacement(range(len(wires)), 2):
        wire = ~(wires[pair[0]] & wires[pair[1]]) & 0b1111
        if size == 1 and wire == wanted:
            return (pair,)
        if size > 1 and (rest := _search(wanted, (*wires, wire), size - 1)):
            return (pair, *rest)
    return ()


def _perceptron_table(style: str) -> str:
    gates: dict[str, Gate] = {"AND": AND, "OR": OR, "NAND": NAND, "NOR": NOR, "XOR": XOR}
    rows = [
        (f"{x1:.0f}", f"{x2:.0f}", *(f"{gate(x1, x2):.0f}" for gate in gates.values())) for x1, x2 in ROWS
    ]
    return table(("x1", "x2", *gates), rows, style)


def _nand_table(style: str) -> str:
    rows = []
    for name in GATES:
        outputs = " ".join(f"{y:.0f}" for y in from_nand(name, *ROWS.T))
        circuit = nand_circuit(name)
        rows.append((name, outputs, str(len(circuit)), _wiring(circuit)))
    return table(("gate", "outputs", "NANDs", "method"), rows, style)


def _wiring(circuit: Circuit) -> str:
    names = ["x1", "x2", *"abcde"]
    parts = [f"{names[k]} = NAND({names[i]}, {names[j]})" for k, (i, j) in enumerate(circuit, start=2)]
    return ", ".join(parts)


def learning_rows() -> list[dict[str, Any]]:
    """Return, for every gate, its name and the end of the learning rule on it."""
    rows = []
    for name in GATES:
        learning = learn(gate_outputs(name))
        w1, w2, b = learning.weights[-1]
        rows.append(
            {"gate": name, "outputs": list(gate_outputs(name)), "epochs": learning.epochs,
             "most_right": learning.most_right, "w1": w1, "w2": w2, "b": b,
             "learned": learning.converged, "cycle": [list(weights) for weights in learning.cycle]}
        )  # fmt: skip
    return rows


def _learning_table(style: str) -> str:
    rows = []
    for r in learning_rows():
        outcome = "learned" if r["learned"] else f"never: {_shown(r['cycle'])}, and again"
        weights = [f"{r[w]:g}" for w in ("w1", "w2", "b")]
        rows.append((r["gate"], str(r["epochs"]), f"{r['most_right']} of 4", *weights, outcome))
    return table(("gate", "epochs", "most right at once", "w1", "w2", "b", "note"), rows, style)


def _shown(cycle: Sequence[Sequence[float]]) -> str:
    return ", ".join("({:g}, {:g}, {:g})".format(*weights) for weights in cycle)
