"""Attention: each query gets the average of the values, weighted by how well their keys fit it.

forward:  y = P v, P = softmax(scale q k^T) over the keys that a query may attend to: those with mask True, and if
          causal those at no later place than its own; a query without any gets y = 0
backward: dS = P (g v^T - sum over keys of P g v^T), dq = scale dS k, dk = scale dS^T q, dv = P^T g; a query without
          any key has the gradient 0, and gives none

Source: two matrix products with a softmax between them; Vaswani and others, 2017, arXiv:1706.03762. q has the shape
(..., Tq, D), k (..., Tk, D) and v (..., Tk, E), and scale is 1 / sqrt(D) unless it is given.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.attention._attention import allowed, attend, attend_backward, attend_plainly
from gradlab.nodes.number_settings import finite_number
from gradlab.sampling import normal


def forward(
    q: Array, k: Array, v: Array, *, mask: Any = None, causal: bool = False, scale: float | None = None
) -> tuple[Array, Any]:
    fit = min(q.ndim, k.ndim, v.ndim) > 1 and q.shape[:-2] == k.shape[:-2] and k.shape[:-1] == v.shape[:-1]
    if not fit or q.shape[-1] != k.shape[-1] or not all(k.shape[-2:]):
        raise ValueError(
            f"q has shape {q.shape}, k {k.shape}, v {v.shape}: "
            "give (..., Tq, D), (..., Tk, D) and (..., Tk, E), Tk and D at least 1"
        )
    may = allowed(mask, causal, (*q.shape[:-1], k.shape[-2]))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else finite_number(scale, "scale")
    return attend(q, k, v, may, scale)


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    return attend_backward(residuals, g)


def reference(
    q: Array, k: Array, v: Array, *, mask: Any = None, causal: bool = False, scale: float | None = None
) -> Any:
    return attend_plainly(q, k, v, mask, causal, q.shape[-1] ** -0.5 if scale is None else scale)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(q: tuple[int, ...], k: tuple[int, ...], features: int) -> tuple[Array, ...]:
        return normal(rng, *q), normal(rng, *k), normal(rng, *k[:-1], features)

    q, k, v = arrays((3, 2), (2, 2), 1)
    far_out = np.array([20.0, 0.05])
    holes = np.array([[[True, False]], [[False, True]]])
    yield Sample("batch of 2, 2 queries, 3 keys", arrays((2, 2, 1), (2, 3, 1), 2))
    yield Sample("causal, a query too many, far-out", (q * far_out, k / far_out, v), {"causal": True})
    yield Sample(
        "causal, and a query without any key",
        arrays((2, 2, 1), (2, 2, 1), 1),
        {"mask": holes, "causal": True, "scale": 0.3},
    )
    yield Sample(
        "scores of 1e4 and -1e4", (np.array([[100.0]]), np.array([[-100.0], [100.0]]), normal(rng, 2, 1))
    )
