"""Faults that are there only where a primal has certain values, and show at no other sample."""

from collections.abc import Callable

import numpy as np

from gradlab.faults._fault_kinds import Change, FaultContext, FaultKind, value_fault
from gradlab.node import Array


def _wrong_where(condition: Callable[[Array], Array], wrong: Callable[[Array], Array]) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Array:
        d[...] = np.where(condition(call.primals[i]), wrong(d), d)
        return d

    return change


def tied(x: Array) -> Array:
    """Return which elements are equal to another element of the array."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray(counts[which.reshape(x.shape)] > 1)


def _last(x: Array) -> Array:
    return np.asarray(np.arange(x.size).reshape(x.shape) == x.size - 1)


def _doubled(d: Array) -> Array:
    return np.asarray(2 * d)


def _halved(d: Array) -> Array:
    return np.asarray(d / 2)


def _negated(d: Array) -> Array:
    return np.asarray(-d)


def _zero(d: Array) -> Array:
    return np.zeros_like(d)


def _nan(d: Array) -> Array:
    return np.full_like(d, np.nan)


def _infinite(d: Array) -> Array:
    return np.full_like(d, np.inf)


FAULTS: tuple[FaultKind, ...] = (
    value_fault(
        "region of the domain",
        "masked-region",
        "the gradient of {x} is zero where {x} < -2",
        _wrong_where(lambda x: x < -2, _zero),
    ),
    value_fault(
        "region of the domain",
        "masked-region",
        "the gradient of {x} is twice too large where {x} > 2",
        _wrong_where(lambda x: x > 2, _doubled),
    ),
    value_fault(
        "region of the domain",
        "masked-region",
        "the gradient of {x} has the wrong sign where {x} < 0",
        _wrong_where(lambda x: x < 0, _negated),
    ),
    value_fault(
        "region of the domain",
        "masked-region",
        "the gradient of {x} is halved where |{x}| > 10",
        _wrong_where(lambda x: np.abs(x) > 10, _halved),
    ),
    value_fault(
        "region of the domain",
        "masked-region",
        "the gradient of {x} is zero where {x} is exactly 0",
        _wrong_where(lambda x: x == 0, _zero),
    ),
    value_fault(
        "ties",
        "tie-or-kink",
        "the gradient of {x} is twice too large where {x} has equal values",
        _wrong_where(tied, _doubled),
    ),
    value_fault(
        "ties",
        "tie-or-kink",
        "the gradient of {x} is zero where {x} has equal values",
        _wrong_where(tied, _zero),
    ),
    value_fault(
        "not finite",
        "not-finite",
        "the gradient of {x} is NaN in its last element",
        _wrong_where(_last, _nan),
    ),
    value_fault(
        "not finite",
        "not-finite",
        "the gradient of {x} is NaN where {x} is exactly 0",
        _wrong_where(lambda x: x == 0, _nan),
    ),
    value_fault(
        "not finite",
        "not-finite",
        "the gradient of {x} is infinite where |{x}| > 10",
        _wrong_where(lambda x: np.abs(x) > 10, _infinite),
    ),
)
