"""Bilinear layer: every output unit weighs all products of an element of one input with one of the other.

forward:  out_k = sum over i, j of x1_i W_kij x2_j + b_k; x1 of shape (..., D1), x2 (..., D2), W (H, D1, D2), b (H,)
backward: dx1_i = sum over j, k of g_k W_kij x2_j, dx2_j = sum over i, k of g_k W_kij x1_i,
          dW_kij = g_k x1_i x2_j and db_k = g_k, both summed over the batch

Source: torch.nn.Bilinear; the affine node on the products x1_i x2_j, and the outer node for these.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal

EQUIVALENT_MUTANTS = {
    "batch = tuple(range(x1.ndim - 1))": "x1 and the output have the same batch axes",
    "batch = tuple(range(x2.ndim - 1))": "x2 and the output have the same batch axes",
}


def forward(x1: Array, x2: Array, W: Array, b: Array) -> tuple[Array, Any]:
    ends = (*x1.shape[-1:], *x2.shape[-1:])
    if x1.shape[:-1] != x2.shape[:-1] or W.shape != (*b.shape, *ends) or W.ndim != 3:
        raise ValueError(
            f"x1, x2, W and b have the shapes {x1.shape}, {x2.shape}, {W.shape} and {b.shape}: "
            "give (..., D1), (..., D2), (H, D1, D2) and (H,)"
        )
    products = x1[..., :, None] * x2[..., None, :]
    return np.tensordot(products, W, axes=((-2, -1), (1, 2))) + b, (x1, x2, W)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    x1, x2, W = residuals
    dproducts = np.tensordot(g, W, axes=1)
    batch = tuple(range(g.ndim - 1))
    products = x1[..., :, None] * x2[..., None, :]
    return (
        np.sum(dproducts * x2[..., None, :], axis=-1),
        np.sum(dproducts * x1[..., :, None], axis=-2),
        np.tensordot(g, products, axes=(batch, batch)),
        np.sum(g, axis=batch),
    )


def reference(x1: Array, x2: Array, W: Array, b: Array) -> Any:
    return np.einsum("...i,kij,...j->...k", x1, W, x2) + b


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    for name, batch, (units, first, second) in (
        ("batch of 2, 1 and 2 to 3", (2,), (3, 1, 2)),
        ("square, two batch axes", (2, 1), (2, 2, 2)),
        ("single pair", (), (1, 3, 2)),
    ):
        x1, x2 = normal(rng, *batch, first), normal(rng, *batch, second)
        yield Sample(name, (x1, x2, normal(rng, units, first, second), normal(rng, units)))
