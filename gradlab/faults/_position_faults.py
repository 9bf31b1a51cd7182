"""Faults of position: elements that are wrong because of their place, or that stand in the wrong place."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import (
    Change,
    FaultContext,
    FaultKind,
    FaultyPasses,
    Gradients,
    MakePasses,
    value_fault,
    wrong_gradient_with_state,
)
from gradlab.node import Array


def _one_element(factor: float) -> MakePasses:
    def make_change(rng: np.random.Generator) -> Change:
        where = rng.random()

        def change(d: Array, call: FaultContext, i: int) -> Array:
            if d.size > 1:  # with one element alone it would be the whole gradient
                d[np.unravel_index(int(where * d.size), d.shape)] *= factor
            return d

        return change

    return wrong_gradient_with_state(make_change)


def _middle_row(factor: float) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Array:
        if d.ndim > 1 and len(d) > 2:  # with two rows both are the border
            d[len(d) // 2] *= factor
        return d

    return change


def _border(axis: int, places: Callable[[int], list[int]], factor: float, ndim: int) -> Change:
    def change(d: Array, call: FaultContext, i: int) -> Array:
        if d.ndim >= ndim and len(places(d.shape[axis])) < d.shape[axis]:
            np.moveaxis(d, axis, 0)[places(d.shape[axis])] *= factor
        return d

    return change


def _has_batch(x: Array) -> bool:
    return x.ndim > 1


def _first_example_only(d: Array, call: FaultContext, i: int) -> Array:
    if _has_batch(d):
        d[1:] = 0
    return d


def _first_example_for_all(d: Array, call: FaultContext, i: int) -> Array:
    if _has_batch(d):
        d[1:] = d[:1]
    return d


def _wrong_for_one(d: Array, call: FaultContext, i: int) -> Any:
    batch = call.primals[0]
    return 2 * d if _has_batch(batch) and len(batch) == 1 else d


def _transposed(d: Array, call: FaultContext, i: int) -> Array:
    return d.T.copy() if d.ndim == 2 and d.shape[0] == d.shape[1] else d


def _axes_permuted(d: Array, call: FaultContext, i: int) -> Array:
    pairs = [(a, b) for a in range(d.ndim) for b in range(a + 1, d.ndim) if 1 < d.shape[a] == d.shape[b]]
    return d.swapaxes(*pairs[0]).copy() if d.ndim > 2 and pairs else d


def _rolled(d: Array, call: FaultContext, i: int) -> Array:
    return np.roll(d, 1, axis=-1) if d.ndim else d


def _moved_on(d: Array, call: FaultContext, i: int) -> Array:
    if d.ndim:
        d[1:] = d[:-1].copy()
        d[:1] = 0
    return d


def _swapped(rng: np.random.Generator, i: int) -> FaultyPasses:
    def backward(call: FaultContext) -> Gradients:
        gradients = list(call.gradients())
        alike = [j for j in range(i + 1, len(gradients)) if np.shape(gradients[j]) == np.shape(gradients[i])]
        if alike:
            gradients[i], gradients[alike[0]] = gradients[alike[0]], gradients[i]
        return tuple(gradients)

    return FaultyPasses(backward)


FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "one element",
        "single-element",
        "one element of the gradient of {x} is twice too large",
        _one_element(2),
    ),
    FaultKind("one element", "single-element", "one element of the gradient of {x} is zero", _one_element(0)),
    FaultKind(
        "one element",
        "single-element",
        "one element of the gradient of {x} has the wrong sign",
        _one_element(-1),
    ),
    value_fault(
        "one row",
        "masked-region",
        "one inner row of the gradient of {x} is twice too large",
        _middle_row(2),
    ),
    value_fault("one row", "masked-region", "one inner row of the gradient of {x} is zero", _middle_row(0)),
    value_fault(
        "border",
        "border",
        "the gradient of {x} is twice too large at the first index of its first axis",
        _border(0, lambda n: [0], 2, ndim=2),
    ),
    value_fault(
        "border",
        "border",
        "the gradient of {x} is zero at the last index of its last axis",
        _border(-1, lambda n: [n - 1], 0, ndim=2),
    ),
    value_fault(
        "border",
        "border",
        "the gradient of {x} is halved at both ends of its last axis",
        _border(-1, lambda n: [0, n - 1], 0.5, ndim=1),
    ),
    value_fault(
        "batch of 1",
        "masked-region",
        "right for a batch of 1 only: beyond the first example the gradient of {x} is zero",
        _first_example_only,
    ),
    value_fault(
        "batch of 1",
        "masked-region",
        "right for a batch of 1 only: every example has the first one's gradient of {x}",
        _first_example_for_all,
    ),
    value_fault(
        "batch of 1",
        "constant-factor",
        "wrong for a batch of 1 only: there the gradient of {x} is twice too large",
        _wrong_for_one,
    ),
    value_fault(
        "transposed", "transposed", "the gradient of {x} is transposed where it is square", _transposed
    ),
    value_fault(
        "axes permuted",
        "axes-permuted",
        "two axes of equal length are swapped in the gradient of {x}",
        _axes_permuted,
    ),
    value_fault("shifted", "shifted", "the gradient of {x} is rolled by one along its last axis", _rolled),
    value_fault(
        "shifted",
        "shifted",
        "the gradient of {x} is moved on by one along its first axis, a zero coming in",
        _moved_on,
    ),
    FaultKind(
        "swapped primals",
        "swapped-primals",
        "the gradients of {x} and of the next primal of its shape are swapped",
        _swapped,
    ),
)
