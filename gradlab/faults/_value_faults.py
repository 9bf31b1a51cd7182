"""Faults in the values of every element of a gradient: signs, factors, biases, terms, digits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.faults._fault_kinds import FaultContext, FaultKind, value_fault
from gradlab.node import Array, as_tuple

Factor = Callable[[FaultContext, int], float]


def _length(call: FaultContext, i: int, axis: int) -> int:
    x = call.primals[i]
    return x.shape[axis] if x.ndim else 1


# a length of 0 divides nothing, as then the gradient has no elements and _scaled leaves it alone
FACTORS: tuple[tuple[str, Factor], ...] = (
    ("is twice too large", lambda call, i: 2.0),
    ("is halved", lambda call, i: 0.5),
    ("is multiplied by the batch, the first axis of the first primal", lambda call, i: _length(call, 0, 0)),
    ("is divided by the batch, the first axis of the first primal", lambda call, i: 1 / _length(call, 0, 0)),
    ("is multiplied by the length of its last axis", lambda call, i: _length(call, i, -1)),
    ("is divided by the length of its last axis", lambda call, i: 1 / _length(call, i, -1)),
    ("is multiplied by the length of its first axis", lambda call, i: _length(call, i, 0)),
    ("is divided by the length of its first axis", lambda call, i: 1 / _length(call, i, 0)),
    ("is multiplied by the number of its elements", lambda call, i: call.primals[i].size),
    ("is divided by the number of its elements", lambda call, i: 1 / call.primals[i].size),
    ("is multiplied by the root of its last axis' length", lambda call, i: math.sqrt(_length(call, i, -1))),
    ("is divided by the root of its last axis' length", lambda call, i: 1 / math.sqrt(_length(call, i, -1))),
)


def _scaled(name: str, text: str, factor: Factor) -> FaultKind:
    def change(d: Array, call: FaultContext, i: int) -> Array:
        return d * float(factor(call, i)) if d.size else d

    return value_fault(name, "constant-factor", text, change)


def _scale_error(error: float) -> FaultKind:
    text = f"the gradient of {{x}} is too large by a factor 1 + {error:g}"
    return _scaled("small scale error", text, lambda call, i: 1 + error)


def _largest(d: Array) -> float:
    return float(np.max(np.abs(d), initial=0.0))


def _without_term(d: Array, term: Any, call: FaultContext) -> Any:
    # softmax's gradients sum to zero but for the rounding of its cotangent: to take their mean away is no fault
    sizes = [_largest(d), *(_largest(np.asarray(g)) for g in as_tuple(call.g))]
    return d - term if _largest(term) > 64 * np.finfo(d.dtype).eps * max(sizes) else d


def _without_mean(d: Array, call: FaultContext, i: int) -> Any:
    return _without_term(d, d.mean(axis=-1, keepdims=True), call) if d.ndim and d.size else d


def _with_batch_mean(d: Array, call: FaultContext, i: int) -> Any:
    return _without_term(d, -d.mean(axis=0), call) if d.ndim and d.size else d


def _without_projection(d: Array, along: Any, call: FaultContext) -> Any:
    # on a single element the projection is everything, which is the zero gradient
    if isinstance(along, tuple) or d.shape != np.shape(along) or d.size < 2 or not np.any(along):
        return d
    return _without_term(d, along * (np.sum(d * along) / np.sum(along * along)), call)


FAULTS: tuple[FaultKind, ...] = (
    value_fault(
        "sign flipped",
        "sign-flipped",
        "the gradient of {x} has the wrong sign",
        lambda d, call, i: -d,
    ),
    *(_scaled("factor", f"the gradient of {{x}} {text}", factor) for text, factor in FACTORS),
    *(_scale_error(error) for error in (1e-3, 1e-4, 1e-5)),
    value_fault(
        "zero gradient",
        "zero-gradient",
        "the gradient of {x} is zero",
        lambda d, call, i: np.zeros_like(d),
    ),
    value_fault(
        "additive bias",
        "additive-bias",
        "a thousandth of its largest element is added to the gradient of {x}",
        lambda d, call, i: d + 1e-3 * _largest(d),
    ),
    value_fault(
        "additive bias",
        "additive-bias",
        "the constant 0.001 is added to the gradient of {x}",
        lambda d, call, i: d + 1e-3,
    ),
    value_fault(
        "float32 round trip",
        "float32-round-trip",
        "the gradient of {x} went through float32",
        lambda d, call, i: d.astype(np.float32).astype(d.dtype),
    ),
    value_fault(
        "missing term",
        "missing-term",
        "the gradient of {x} lacks its mean over the last axis",
        _without_mean,
    ),
    value_fault(
        "missing term",
        "missing-term",
        "the gradient of {x} has its mean over the first axis added",
        _with_batch_mean,
    ),
    value_fault(
        "missing term",
        "missing-term",
        "the gradient of {x} lacks its projection on the output",
        lambda d, call, i: _without_projection(d, call.output, call),
    ),
    value_fault(
        "missing term",
        "missing-term",
        "the gradient of {x} lacks its projection on {x}",
        lambda d, call, i: _without_projection(d, call.primals[i], call),
    ),
)
