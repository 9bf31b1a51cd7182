"""The sixteen logic gates of two inputs: four rows, and each gate's four targets."""

import numpy as np

from gradlab.node import Array
from gradlab.textbook.datasets.idx import DatasetError

ROWS: Array = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
ROWS.flags.writeable = False

# The outputs for the rows above.
GATES = {
    "FALSE": (0, 0, 0, 0),
    "AND": (0, 0, 0, 1),
    "x1 AND NOT x2": (0, 0, 1, 0),
    "x1": (0, 0, 1, 1),
    "x2 AND NOT x1": (0, 1, 0, 0),
    "x2": (0, 1, 0, 1),
    "XOR": (0, 1, 1, 0),
    "OR": (0, 1, 1, 1),
    "NOR": (1, 0, 0, 0),
    "XNOR": (1, 0, 0, 1),
    "NOT x2": (1, 0, 1, 0),
    "x1 OR NOT x2": (1, 0, 1, 1),
    "NOT x1": (1, 1, 0, 0),
    "x2 OR NOT x1": (1, 1, 0, 1),
    "NAND": (1, 1, 1, 0),
    "TRUE": (1, 1, 1, 1),
}


def gate_outputs(name: str) -> tuple[int, int, int, int]:
    """Return a gate's outputs for the four rows of `ROWS`.

    Raises
    ------
    DatasetError
        If there is no gate of this name.
    """
    if name not in GATES:
        raise DatasetError(f"no gate is named {name!r}: give one of {', '.join(GATES)}")
    return GATES[name]


def load_gate(name: str) -> tuple[Array, Array]:
    """Return a gate as a data set: `ROWS`, shape (4, 2), and its outputs as targets, shape (4,), both float64.

    Raises
    ------
    DatasetError
        If there is no gate of this name.
    """
    return ROWS, np.array(gate_outputs(name), dtype=float)
