"""Attention in several heads at once, between linear maps of queries, keys, values and the result.

forward:  y = [A_1 ... A_h] Wo + bo, A_i = softmax(q_i k_i^T / sqrt(d)) v_i over the keys that a query may attend to,
          with q = query Wq + bq, k = key Wk, v = value Wv + bv, each cut into h heads of d = D / h features
backward: dWo = [A]^T g and dbo = sum of g, [dA] = g Wo^T; back through each head's softmax to dq, dk and dv; of these
          dquery = dq Wq^T, dWq = query^T dq and dbq = sum of dq, and so for key and value

Source: affine layers around scaled dot-product attention; Vaswani and others, 2017, arXiv:1706.03762. query has the
shape (B, Tq, D), key and value (B, Tk, D), each W (D, D), each b (D,); mask broadcasts to (B, heads, Tq, Tk), True
where a query may attend; causal leaves a query the keys at no later place than its own. There is no bk: it would add
the same number to all scores of a query, which softmax does not see, so its gradient is 0 everywhere.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.nodes.attention._attention import (
    allowed,
    attend,
    attend_backward,
    attend_plainly,
    merge_heads,
    split_heads,
)
from gradlab.sampling import away_from, normal

EQUIVALENT_MUTANTS = {
    "g = g.reshape(query.shape)": "query and what the heads gave have the same shape, as rows"
}


def forward(
    query: Array,
    key: Array,
    value: Array,
    Wq: Array,
    Wk: Array,
    Wv: Array,
    Wo: Array,
    bq: Array,
    bv: Array,
    bo: Array,
    *,
    heads: int,
    mask: Any = None,
    causal: bool = False,
) -> tuple[Array, Any]:
    _check(query, key, value, {"Wq": Wq, "Wk": Wk, "Wv": Wv, "Wo": Wo}, {"bq": bq, "bv": bv, "bo": bo}, heads)
    rows = [x.reshape(-1, x.shape[2]) for x in (query, key, value)]
    q = split_heads(rows[0] @ Wq + bq, query.shape, heads)
    k = split_heads(rows[1] @ Wk, key.shape, heads)
    v = split_heads(rows[2] @ Wv + bv, value.shape, heads)
    may = allowed(mask, causal, (*q.shape[:3], key.shape[1]))
    y, attention = attend(q, k, v, may, math.sqrt(heads / len(Wq)))
    merged = merge_heads(y)
    residuals = query.shape, key.shape, heads, rows, (Wq, Wk, Wv, Wo), merged, attention
    return (merged @ Wo + bo).reshape(query.shape), residuals


def _check(
    query: Array, key: Array, value: Array, weights: dict[str, Array], biases: dict[str, Array], heads: int
) -> None:
    fit = query.ndim == key.ndim == 3 and key.shape == value.shape
    if not fit or query.shape[::2] != key.shape[::2] or not key.shape[1]:
        raise ValueError(
            f"query has shape {query.shape}, key {key.shape}, value {value.shape}: "
            "give (B, Tq, D), (B, Tk, D) and (B, Tk, D), Tk at least 1"
        )
    features = query.shape[2]
    for found, shape in ((weights, (features, features)), (biases, (features,))):
        for name, parameter in found.items():
            if parameter.shape != shape:
                raise ValueError(
                    f"{name} has shape {parameter.shape}: give {shape}, as query has {features} features"
                )
    if heads < 1 or features % heads or not features:
        raise ValueError(f"heads is {heads}, with {features} features: give a number that divides them")


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    queries, keys, heads, (query, key, value), (Wq, Wk, Wv, Wo), merged, attention = residuals
    g = g.reshape(merged.shape)
    dA = split_heads(g @ Wo.T, queries, heads)
    dq, dk, dv = map(merge_heads, attend_backward(attention, dA))
    return (
        (dq @ Wq.T).reshape(queries),
        (dk @ Wk.T).reshape(keys),
        (dv @ Wv.T).reshape(keys),
        query.T @ dq,
        key.T @ dk,
        value.T @ dv,
        merged.T @ g,
        dq.sum(axis=0),
        dv.sum(axis=0),
        g.sum(axis=0),
    )


def reference(
    query: Array,
    key: Array,
    value: Array,
    Wq: Array,
    Wk: Array,
    Wv: Array,
    Wo: Array,
    bq: Array,
    bv: Array,
    bo: Array,
    *,
    heads: int,
    mask: Any = None,
    causal: bool = False,
) -> Any:
    seen = np.broadcast_to(True if mask is None else mask, (len(query), heads, query.shape[1], key.shape[1]))
    y = np.broadcast_to(bo, query.shape).copy()
    for head, columns in enumerate(np.split(np.arange(len(Wq)), heads)):
        q = np.einsum("btc,cd->btd", query, Wq[:, columns]) + bq[columns]
        k = np.einsum("btc,cd->btd", key, Wk[:, columns])
        v = np.einsum("btc,cd->btd", value, Wv[:, columns]) + bv[columns]
        attended = attend_plainly(q, k, v, seen[:, head], causal, len(columns) ** -0.5)
        y += np.einsum("btd,dc->btc", attended, Wo[columns])
    return y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def arrays(batch: int, queries: int, keys: int, features: int) -> tuple[Array, ...]:
        lengths = (queries, keys, keys)
        return (
            *(normal(rng, batch, length, features) for length in lengths),
            *(0.5 * normal(rng, features, features) for _ in range(4)),
            *(normal(rng, features) for _ in range(3)),
        )

    query, _, value, _, _, Wv, Wo, bq, *others = arrays(2, 1, 2, 2)
    key, Wq, Wk = (away_from(rng, *shape, distance=0.6) for shape in ((2, 2, 2), (2, 2), (2, 2)))
    query, bq = 0.3 * query, 0.3 * bq
    # what one factor of a product is larger, the other is smaller, so that no softmax saturates
    large = np.array([20.0, 0.05])
    Wq, Wk = Wq * large[:, None], Wk / large[:, None]
    far_out = query / large, key.mT * large, value, Wq, Wk, Wv, Wo, bq, *others
    query, _, value, Wq, Wk, Wv, Wo, bq, *others = arrays(2, 2, 3, 1)
    key = away_from(rng, 2, 3, 1)
    shifted = query, key, value, Wq, 0.1 * Wk, Wv, Wo, bq - 20.0, *others
    padding = np.array([[[[True, True, False]]], [[[False, True, True]]]])
    yield Sample("batch of 1, 2 heads of 2 features", arrays(1, 1, 2, 4), {"heads": 2})
    yield Sample("batch of 2, 2 heads of 1, far-out", far_out, {"heads": 2})
    yield Sample(
        "padding and causal, a query without any key",
        shifted,
        {"heads": 1, "mask": padding, "causal": True},
    )
