"""Faults in the sum that undoes a broadcast."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import Change, FaultContext, FaultKind, wrong_gradient
from gradlab.node import Array


def unsummed(call: FaultContext, i: int) -> Array | None:
    """Return the gradient of a broadcast primal before it is summed, in the output's shape; None without a broadcast.

    A primal was broadcast if forward gives the same output for the primal stretched beforehand to the output's shape,
    and the gradient of the stretched primal is the one to be summed.
    """
    if isinstance(call.output, tuple):
        return None
    x, shape = call.primals[i], np.shape(call.output)
    if x.shape == shape:
        return None
    try:
        stretched = np.broadcast_to(x, shape).copy()
        there = call.at(*call.primals[:i], stretched, *call.primals[i + 1 :])
        if not np.array_equal(there.output, call.output):
            return None
        d = np.asarray(there.gradients()[i])
    except Exception:  # forward does not take the stretched primal, so it does not broadcast
        return None
    return d if d.shape == shape else None


def stretched_axes(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of `to` along which an array of `shape` is repeated."""
    added = len(to) - len(shape)
    return tuple(a for a in range(len(to)) if a < added or (shape[a - added] == 1 and to[a] != 1))


def _instead_of_sum(reduced: Callable[[Array, tuple[int, ...]], Any]) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Any:
        full = unsummed(call, i)
        if full is None:
            return d
        return np.asarray(reduced(full, stretched_axes(d.shape, full.shape))).reshape(d.shape)

    return change


def _first_slice(full: Array, axes: tuple[int, ...]) -> Array:
    return full[tuple(slice(1) if a in axes else slice(None) for a in range(full.ndim))]


def _last_slice(full: Array, axes: tuple[int, ...]) -> Array:
    return full[tuple(slice(-1, None) if a in axes else slice(None) for a in range(full.ndim))]


def _not_summed(d: Array, call: FaultContext, i: int) -> Array:
    full = unsummed(call, i)
    return d if full is None else full


def _one_axis_missed(full: Array, axes: tuple[int, ...]) -> Array:
    # with a single axis to sum over this would be the first slice once more
    return _first_slice(full.sum(axis=axes[1:], keepdims=True), axes[:1]) if len(axes) > 1 else full.sum(axes)


def _wrong_axis(d: Array, call: FaultContext, i: int) -> Any:
    """Return the sum over the last axis, where it has the right shape as well."""
    full = unsummed(call, i)
    if full is None or full.ndim != d.ndim + 1:
        return d
    other = full.sum(axis=-1)
    return other if other.shape == d.shape else d


def _over_everything(d: Array, call: FaultContext, i: int) -> Any:
    full = unsummed(call, i)
    return d if full is None else np.full_like(d, full.sum())


def _sum_fault(diagnosis: str, text: str, change: Change) -> FaultKind:
    # at x = 0 the sum of x equals that of a stretched x, and looks like a broadcast
    make_passes = wrong_gradient(change)
    return FaultKind(
        "broadcast sum", diagnosis, f"the gradient of {{x}} {text}", make_passes, at_samples=True
    )


FAULTS: tuple[FaultKind, ...] = (
    _sum_fault("missing-broadcast-sum", "is not summed where {x} was broadcast", _not_summed),
    _sum_fault(
        "missing-broadcast-sum",
        "is the first slice, not the sum, where {x} was broadcast",
        _instead_of_sum(_first_slice),
    ),
    _sum_fault(
        "missing-broadcast-sum",
        "is the last slice, not the sum, where {x} was broadcast",
        _instead_of_sum(_last_slice),
    ),
    _sum_fault(
        "missing-broadcast-sum",
        "is summed over all but one of the axes along which {x} was broadcast",
        _instead_of_sum(_one_axis_missed),
    ),
    _sum_fault(
        "constant-factor",
        "is the mean, not the sum, where {x} was broadcast",
        _instead_of_sum(lambda full, axes: full.mean(axis=axes)),
    ),
    _sum_fault("wrong-sum-axis", "is summed over the last axis, not the first one added", _wrong_axis),
    _sum_fault("wrong-sum-axis", "is summed over all axes where {x} was broadcast", _over_everything),
)
