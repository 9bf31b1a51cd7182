"""Einstein summation of two arrays: products of their elements, summed over the indices that the output lacks.

forward:  out = sum, over every index not in the output, of x y, as `subscripts` says: "ij,jk->ik" is a matrix product
backward: dx = sum, over every index not in x, of g y, repeated along the indices that x alone has; dy likewise

Source: the product rule, term by term: each product is handed its output's cotangent times the other factor, and
what was summed is spread again.

`subscripts` names every axis of x, of y and of the output with a letter of its own, the output written out: a
diagonal ("ii,i->i"), an implicit output ("ij,jk"), an ellipsis and axes of size 1 that are stretched are refused.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(x: Array, y: Array, *, subscripts: str) -> tuple[Array, Any]:
    names = _names(subscripts)
    of_x, of_y, of_out = names
    if len(of_x) != x.ndim or len(of_y) != y.ndim:
        raise ValueError(
            f"subscripts is {subscripts!r} for x of shape {x.shape} and y of shape {y.shape}: "
            "give one letter for each axis"
        )
    lengths = dict(zip(of_x, x.shape, strict=True))
    for name, length in zip(of_y, y.shape, strict=True):
        if lengths.setdefault(name, length) != length:
            raise ValueError(
                f"in {subscripts!r} the index {name} has {lengths[name]} places in x of shape {x.shape}, and "
                f"{length} in y of shape {y.shape}: give axes of one length, or letters of their own"
            )
    return np.einsum(f"{of_x},{of_y}->{of_out}", x, y), (x, y, names)


def _names(subscripts: str) -> tuple[str, str, str]:
    """Return the indices of x, of y and of the output."""
    found = re.fullmatch(r"([a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*)", subscripts.replace(" ", ""))
    if found is None:
        raise ValueError(f'subscripts is {subscripts!r}: give two operands and the output, like "ij,jk->ik"')
    of_x, of_y, of_out = found.groups()
    if any(len(set(names)) < len(names) for names in found.groups()) or not set(of_out) <= set(of_x + of_y):
        raise ValueError(
            f"subscripts is {subscripts!r}: give each operand's axes different letters, "
            "and the output some of them, each once"
        )
    return of_x, of_y, of_out


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x, y, (of_x, of_y, of_out) = residuals
    return _share(g, of_out, y, of_y, x, of_x), _share(g, of_out, x, of_x, y, of_y)


def _share(g: Array, of_out: str, other: Array, of_other: str, like: Array, names: str) -> Array:
    """Return the gradient of the operand `like`, whose indices are `names`."""
    known = "".join(name for name in names if name in of_out + of_other)
    total = np.einsum(f"{of_out},{of_other}->{known}", g, other)
    kept = [length if name in known else 1 for name, length in zip(names, like.shape, strict=True)]
    return np.broadcast_to(np.reshape(total, kept), like.shape).copy()


def reference(x: Array, y: Array, *, subscripts: str) -> Any:
    operands, of_out = subscripts.replace(" ", "").split("->")
    of_x, of_y = operands.split(",")
    every = sorted({*of_x, *of_y}, key=lambda name: (name not in of_out, of_out.find(name)))
    aligned = []
    for operand, names in ((x, of_x), (y, of_y)):
        operand = operand.transpose([names.index(name) for name in every if name in names])
        aligned.append(np.expand_dims(operand, [i for i, name in enumerate(every) if name not in names]))
    return np.sum(aligned[0] * aligned[1], axis=tuple(range(len(of_out), len(every))))


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    for name, subscripts, x_shape, y_shape in (
        ("batch, output turned round", "bij, bjk -> kbi", (2, 1, 2), (2, 2, 3)),
        ("summed in one operand alone", "aij,jk->ki", (2, 1, 2), (2, 3)),
        ("both summed alone, to a number", "ij,k->", (2, 3), (2,)),
        ("square, element by element", "ij,ji->ji", (2, 2), (2, 2)),
    ):
        yield Sample(name, (normal(rng, *x_shape), normal(rng, *y_shape)), {"subscripts": subscripts})
