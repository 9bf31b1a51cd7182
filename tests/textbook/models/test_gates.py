"""Gates: perceptrons of given weights, circuits of NAND, and the perceptron learning rule."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from gradlab.textbook.datasets.gates import GATES, ROWS, gate_outputs, load_gate
from gradlab.textbook.models.gates import (
    AND,
    NAND,
    NOR,
    OR,
    XOR,
    from_nand,
    learn,
    nand_circuit,
    perceptron,
    truth_tables,
)

NOT_SEPARABLE = {"XOR", "XNOR"}
SEPARABLE = [name for name in GATES if name not in NOT_SEPARABLE]


def test_there_are_sixteen_gates_and_each_does_what_its_name_says():
    assert sorted(GATES.values()) == sorted(product((0, 1), repeat=4))
    meaning = {
        "FALSE": lambda a, b: False,
        "AND": lambda a, b: a and b,
        "x1 AND NOT x2": lambda a, b: a and not b,
        "x1": lambda a, b: a,
        "x2 AND NOT x1": lambda a, b: b and not a,
        "x2": lambda a, b: b,
        "XOR": lambda a, b: a != b,
        "OR": lambda a, b: a or b,
        "NOR": lambda a, b: not (a or b),
        "XNOR": lambda a, b: a == b,
        "NOT x2": lambda a, b: not b,
        "x1 OR NOT x2": lambda a, b: a or not b,
        "NOT x1": lambda a, b: not a,
        "x2 OR NOT x1": lambda a, b: b or not a,
        "NAND": lambda a, b: not (a and b),
        "TRUE": lambda a, b: True,
    }
    assert {name: tuple(int(does(*row)) for row in ROWS) for name, does in meaning.items()} == GATES


def test_gates_as_data():
    x, t = load_gate("XOR")
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert t.tolist() == [0, 1, 1, 0]
    assert t.dtype == float
    with pytest.raises(ValueError, match="no gate is named 'EXOR': give one of FALSE, AND, "):
        gate_outputs("EXOR")


@pytest.mark.parametrize("gate", [AND, OR, NAND, NOR, XOR])
def test_perceptrons_of_given_weights(gate):
    assert gate(*ROWS.T).tolist() == list(GATES[gate.__name__])
    assert [gate(x1, x2) for x1, x2 in ROWS] == list(GATES[gate.__name__])
    assert gate(1, 0) == GATES[gate.__name__][2]


def test_the_threshold_itself_does_not_fire():
    assert perceptron([[1.0, 1.0], [1.0, 1.5]], [0.5, 0.5], -1.0).tolist() == [0, 1]
    assert perceptron([0.0, 0.0], [1.0, 1.0], 0.0) == 0


@pytest.mark.parametrize("name", GATES)
def test_every_gate_from_nand_alone(name):
    assert from_nand(name, *ROWS.T).tolist() == list(GATES[name])
    assert 1 <= len(nand_circuit(name)) <= 5


def test_circuits_are_the_shortest():
    bits = {name: sum(y << row for row, y in enumerate(outputs)) for name, outputs in GATES.items()}
    reached, shortest = {(bits["x1"], bits["x2"])}, {}
    for size in range(1, 5):
        reached = {
            (*wires, 15 - (a & b)) for wires in reached for a, b in combinations_with_replacement(wires, 2)
        }
        for wires in reached:
            shortest.setdefault(wires[-1], size)
    assert {name: shortest.get(bits[name], 5) for name in GATES} == {n: len(nand_circuit(n)) for n in GATES}
    assert len(nand_circuit("XOR")) == 4


@pytest.mark.parametrize("name", SEPARABLE)
def test_the_learning_rule_finds_every_separable_gate(name):
    learning = learn(GATES[name])
    assert learning.converged
    assert learning.epochs <= 6
    assert learning.cycle == []
    *w, b = learning.weights[-1]
    assert perceptron(ROWS, w, b).tolist() == list(GATES[name])
    # the last epoch changed nothing
    assert len(set(learning.weights[-5:])) == 1


@pytest.mark.parametrize("name", SEPARABLE)
def test_mistakes_stay_within_novikoffs_bound(name):
    learning = learn(GATES[name])
    mistakes = sum(a != b for a, b in zip(learning.weights, learning.weights[1:], strict=False))
    signs = 2 * np.array(GATES[name]) - 1
    # the margin of some separating weights: the larger, the tighter the bound
    candidates = np.array(list(product(np.arange(-2, 2.5, 0.5), repeat=3)))[:, :, np.newaxis]
    margins = (np.column_stack([ROWS, np.ones(4)]) @ candidates)[:, :, 0] * signs
    norms = np.linalg.norm(candidates[:, :, 0], axis=1)
    margin = max(m.min() / n for m, n in zip(margins, norms, strict=True) if n)
    assert margin > 0
    assert mistakes <= 3 / margin**2


@pytest.mark.parametrize("name", sorted(NOT_SEPARABLE))
def test_xor_is_never_learned_and_the_weights_cycle(name):
    learning = learn(GATES[name])
    assert not learning.converged
    assert learning.most_right < 4
    assert len(learning.cycle) == 4
    assert len(set(learning.cycle)) > 1  # it goes round, it does not stand still
    # going on by hand from the end leads through the same weights
    w = np.array(learning.weights[-1])
    for x, t, expected in zip(ROWS, GATES[name], learning.cycle, strict=True):
        w += (t - perceptron(x, w[:2], w[2])) * np.append(x, 1)
        assert tuple(w) == expected
    assert tuple(w) == learning.weights[-1]


def test_every_perceptron_on_a_grid_fails_on_xor():
    grid = np.array(list(product(np.linspace(-2, 2, 17), repeat=3)))
    fired = (grid[:, :2] @ ROWS.T + grid[:, 2:]) > 0
    right = {name: (fired == np.array(t)).sum(axis=1).max() for name, t in GATES.items()}
    assert {name for name, most in right.items() if most < 4} == NOT_SEPARABLE
    assert right["XOR"] == 3


@pytest.mark.parametrize("t", [(0, 1), (0, 1, 2, 0), (0.5, 0, 0, 1)])
def test_targets_that_are_no_gate(t):
    with pytest.raises(ValueError, match=r"t is .*: give the gate's four outputs, each 0 or 1"):
        learn(t)


def test_truth_tables():
    for style in ("simple", "github"):
        text = truth_tables(style)
        lines = [line.replace("|", " ").split() for line in text.splitlines()]
        assert ["1", "0", "0", "1", "1", "0", "1"] in lines  # x1, x2, AND, OR, NAND, NOR, XOR
        assert "d = NAND(b, c)" in next(line for line in text.splitlines() if "0 1 1 0" in line)
        assert text.count("never: ") == 2
        assert text.count("learned") == 14
    assert truth_tables("github").count("## ") == 3
