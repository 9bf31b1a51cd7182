"""Faults in how a backward uses its cotangent, or reads the memory of its arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import Change, FaultContext, FaultKind, wrong_cotangent, wrong_gradient
from gradlab.node import Array


def _for_each_output(change: Callable[[Array], Any]) -> Callable[[Any, FaultContext], Any]:
    def changed(g: Any, call: FaultContext) -> Any:
        return tuple(map(change, g)) if isinstance(g, tuple) else change(np.asarray(g))

    return changed


def _first_for_all_outputs(g: Any, call: FaultContext) -> Any:
    several = isinstance(g, tuple) and len({np.shape(part) for part in g}) == 1
    return (g[0],) * len(g) if several else g


def _first_two_exchanged(g: Any, call: FaultContext) -> Any:
    several = isinstance(g, tuple) and len(g) > 1 and np.shape(g[0]) == np.shape(g[1])
    return (g[1], g[0], *g[2:]) if several else g


def in_memory_order(x: Array) -> Array:
    """Return the elements of `x` in the order in which they lie in memory, in the shape of `x`."""
    return x.ravel(order="K").reshape(x.shape)


def raw_buffer(x: Array) -> Array:
    """Return the elements that a loop in C reads which starts at the first element of `x` and ignores the strides.

    A loop in C may run off the end of the memory; this one goes on at the beginning.
    """
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if x.flags.c_contiguous or not owner.flags.forc or owner.dtype != x.dtype:
        return x
    start = (x.ctypes.data - owner.ctypes.data) // x.itemsize
    return owner.ravel(order="K").take(start + np.arange(x.size), mode="wrap").reshape(x.shape)


def _refuse_strided(x: Array) -> Array:
    if not x.flags.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return x


def _primals_read_by(read: Callable[[Array], Array]) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Any:
        if all(x.flags.c_contiguous for x in call.primals):
            return d
        return call.at(*map(read, call.primals)).gradients()[i]

    return change


FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "ignored cotangent",
        "ignores-cotangent",
        "the gradient of {x} is that of a cotangent of ones",
        wrong_cotangent(_for_each_output(np.ones_like)),
    ),
    FaultKind(
        "another output's cotangent",
        "wrong-cotangent",
        "the gradient of {x} takes the first output's cotangent for all outputs",
        wrong_cotangent(_first_for_all_outputs),
    ),
    FaultKind(
        "another output's cotangent",
        "wrong-cotangent",
        "the gradient of {x} exchanges the cotangents of the first two outputs",
        wrong_cotangent(_first_two_exchanged),
    ),
    FaultKind(
        "nonlinear in the cotangent",
        "nonlinear-in-cotangent",
        "the gradient of {x} is that of the cotangent g |g|",
        wrong_cotangent(_for_each_output(lambda g: g * np.abs(g))),
    ),
    FaultKind(
        "nonlinear in the cotangent",
        "nonlinear-in-cotangent",
        "the gradient of {x} is that of g clipped to -1 ... 1",
        wrong_cotangent(_for_each_output(lambda g: g.clip(-1, 1))),
    ),
    FaultKind(
        "nonlinear in the cotangent",
        "nonlinear-in-cotangent",
        "the gradient of {x} is that of g clipped to -100 ... 100",
        wrong_cotangent(_for_each_output(lambda g: g.clip(-100, 100))),
    ),
    FaultKind(
        "nonlinear in the cotangent",
        "nonlinear-in-cotangent",
        "the gradient of {x} ignores a negative g",
        wrong_cotangent(_for_each_output(lambda g: np.where(g < 0, np.zeros_like(g), g))),
    ),
    FaultKind(
        "contiguous only",
        "assumes-contiguous",
        "the gradient of {x} takes g in the order in which it lies in memory",
        wrong_cotangent(_for_each_output(in_memory_order)),
    ),
    FaultKind(
        "contiguous only",
        "assumes-contiguous",
        "the gradient of {x} reads g as if it were C-contiguous",
        wrong_cotangent(_for_each_output(raw_buffer)),
    ),
    FaultKind(
        "contiguous only",
        "assumes-contiguous",
        "the gradient of {x} raises where g is not C-contiguous",
        wrong_cotangent(_for_each_output(_refuse_strided)),
    ),
    FaultKind(
        "contiguous only",
        "assumes-contiguous",
        "the gradient of {x} takes the primals in the order in which they lie in memory",
        wrong_gradient(_primals_read_by(in_memory_order)),
    ),
    FaultKind(
        "contiguous only",
        "assumes-contiguous",
        "the gradient of {x} reads the primals as if they were C-contiguous",
        wrong_gradient(_primals_read_by(raw_buffer)),
    ),
)
