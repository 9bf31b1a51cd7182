"""Faults of form: the numbers of a gradient are right, or nearly, but not its dtype or its shape."""

from collections.abc import Callable

import numpy as np

from gradlab.faults._fault_kinds import FaultKind, value_fault
from gradlab.node import Array


def _dtype_fault(dtype: type[np.floating]) -> FaultKind:
    text = f"the gradient of {{x}} is {np.dtype(dtype).name}, whatever {{x}} is"
    return value_fault("wrong dtype", "wrong-dtype", text, lambda d, call, i: d.astype(dtype))


def _shape_fault(text: str, reshaped: Callable[[Array], Array]) -> FaultKind:
    return value_fault(
        "wrong shape",
        "wrong-shape",
        f"the gradient of {{x}} {text}",
        lambda d, call, i: np.asarray(reshaped(d)),
    )


FAULTS: tuple[FaultKind, ...] = (
    _dtype_fault(np.float32),
    _dtype_fault(np.float64),
    _dtype_fault(np.longdouble),
    _shape_fault("is flattened", np.ravel),
    _shape_fault("has a leading axis of 1 too many", lambda d: d[None]),
    _shape_fault("has lost its axes of length 1", np.squeeze),
    _shape_fault("is summed to one number", np.sum),
)
