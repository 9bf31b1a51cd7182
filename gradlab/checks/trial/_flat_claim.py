"""A trial's function, gradients and cotangent as those of one vector, in double precision."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from gradlab.directions import Claim, Confirmation
from gradlab.node import Array, as_tuple
from gradlab.numerical.estimate import PARTS


def flat_claim(trial: Any) -> Claim:
    """Return the claim that a trial's backward makes of its gradients in double precision."""
    primals = [_in_double(x) for x in trial.sample.primals]
    shapes = [x.shape for x in primals]
    ends = [0, *np.cumsum([x.size for x in primals])]
    function = trial.function

    def parts(x: Array) -> list[Array]:
        return [x[a:b].reshape(shape) for (a, b), shape in zip(pairwise(ends), shapes, strict=True)]

    def outputs(x: Array) -> Array:
        return _joined(as_tuple(function(*parts(x))))

    def gradient(g: Array) -> Array:
        # copies, which a layer may write into
        output, residuals = trial.node.forward(*(x.copy() for x in primals), **trial.settings())
        returned = trial.node.backward(residuals, _like(g, output))
        return _joined(trial.well_formed(returned))

    spans = [slice(a, b) for a, b in pairwise(ends)]
    return Claim(outputs, gradient, _joined(primals), spans, _joined(as_tuple(trial.cotangent())))


def shaped(told: Confirmation, shape: tuple[int, ...]) -> Confirmation:
    """Return what confirms a gradient, its estimate in the primal's shape."""
    parts = {name: getattr(told.estimate, name).reshape(shape) for name in PARTS}
    return told._replace(estimate=replace(told.estimate, **parts))


def _like(g: Array, output: Any) -> Any:
    """Return the cotangents in a row as those of an output, or of several."""
    outputs = [np.asarray(y) for y in as_tuple(output)]
    cuts = np.cumsum([y.size for y in outputs])[:-1]
    parts = [a.reshape(y.shape).astype(y.dtype) for a, y in zip(np.split(g, cuts), outputs, strict=True)]
    return tuple(parts) if isinstance(output, tuple) else parts[0]


def _joined(arrays: Sequence[Any]) -> Array:
    joined = np.concatenate([np.ravel(x) for x in arrays] or [np.empty(0)])
    return joined.astype(np.promote_types(joined.dtype, np.float64), copy=False)


def _in_double(x: Array) -> Array:
    return x.astype(np.promote_types(x.dtype, np.float64))
