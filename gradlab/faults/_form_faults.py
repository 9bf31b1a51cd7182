"""Faults of form: the numbers are right, or nearly, and their dtype or shape is not."""

from collections.abc import Callable

import numpy as np

from gradlab.faults._fault_kinds import FaultKind, value_fault
from gradlab.node import Array


def _dtype(dtype: type[np.floating]) -> FaultKind:
    text = f"the gradient of {{x}} is {np.dtype(dtype).name}, whatever {{x}} is"
    return value_fault("wrong dtype", "wrong-dtype", text, lambda d, call, i: d.astype(dtype))


def _shape(text: str, reshaped: Callable[[Array], Array]) -> FaultKind:
    return value_fault(
        "wrong shape",
        "wrong-shape",
        f"the gradient of {{x}} {text}",
        lambda d, call, i: np.asarray(reshaped(d)),
    )


FAULTS: tuple[FaultKind, ...] = (
    _dtype(np.float32),
    _dtype(np.float64),
    _dtype(np.longdouble),
    _shape("is flattened", np.ravel),
    _shape("has a leading axis of 1 too many", lambda d: d[None]),
    _shape("has lost its axes of length 1", np.squeeze),
    _shape("is summed to one number", np.sum),
)
