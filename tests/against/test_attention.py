"""Every node of the family attention agrees with torch, on random shapes, masks, ids and positions."""

import numpy as np
import pytest

from ._torch import F, batch, compare, numbers, torch


def lengths(rng, count):
    return tuple(int(n) for n in rng.integers(1, 5, count))


def masking(rng, shape):
    """Return settings of a mask that broadcasts to `shape`, queries without any key among it, or none."""
    settings = {"causal": True} if rng.integers(3) == 0 else {}
    if rng.integers(2):
        wanted = [1 if rng.integers(4) == 0 else n for n in shape]
        settings["mask"] = rng.random(wanted[rng.integers(len(shape) - 1) :]) < 0.6
    return settings


def seen(settings, shape):
    """Return where a query sees a key: torch takes a mask or causal, not both."""
    mask = np.broadcast_to(settings.get("mask", True), shape)
    return torch.tensor(np.tril(mask) if settings.get("causal") else mask.copy())


def scaled_dot_product_attention(rng):
    lead = tuple(batch(rng) if i == 0 else int(rng.integers(1, 4)) for i in range(rng.integers(0, 4)))
    queries, keys, features, values = lengths(rng, 4)
    # torch has another route for values with as many features as the queries
    values = features if rng.integers(2) else values
    primals = (
        numbers(rng, *lead, queries, features),
        numbers(rng, *lead, keys, features),
        numbers(rng, *lead, keys, values),
    )
    settings = masking(rng, (*lead, queries, keys))
    if rng.integers(3) == 0:
        settings["scale"] = float(rng.uniform(-2, 2))

    def function(q, k, v):
        if "mask" not in settings:
            causal = settings.get("causal", False)
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=settings.get("scale"))
        may = seen(settings, (*lead, queries, keys))
        return F.scaled_dot_product_attention(q, k, v, may, scale=settings.get("scale"))

    return primals, settings, function


def multi_head_attention(rng):
    heads, per_head, queries, keys = lengths(rng, 4)
    # torch takes no mask for no examples
    count, features = max(1, batch(rng)), heads * per_head
    primals = (
        *(numbers(rng, count, length, features) for length in (queries, keys, keys)),
        *(rng.standard_normal((features, features)) / np.sqrt(features) for _ in range(4)),
        *(numbers(rng, features) for _ in range(3)),
    )
    settings = {"heads": heads, **masking(rng, (count, heads, queries, keys))}
    hidden = ~seen(settings, (count, heads, queries, keys)).reshape(count * heads, queries, keys)

    def function(query, key, value, Wq, Wk, Wv, Wo, bq, bv, bo):
        y, _ = F.multi_head_attention_forward(
            *(x.swapaxes(0, 1) for x in (query, key, value)),
            features,
            heads,
            None,
            torch.cat([bq, torch.zeros_like(bq), bv]),
            None,
            None,
            False,
            0.0,
            Wo.T,
            bo,
            need_weights=False,
            attn_mask=hidden,
            use_separate_proj_weight=True,
            q_proj_weight=Wq.T,
            k_proj_weight=Wk.T,
            v_proj_weight=Wv.T,
        )
        return y.swapaxes(0, 1)

    return primals, settings, function


def embedding(rng):
    words, features = lengths(rng, 2)
    W = numbers(rng, words, features)
    shape = tuple(batch(rng) for _ in range(rng.integers(0, 4)))
    settings = {"ids": rng.integers(words, size=shape, dtype=rng.choice([np.int64, np.int32, np.uint8]))}
    if rng.integers(2):
        settings["padding_idx"] = padding = int(rng.integers(words))
        # torch reads that row, the node has 0 for it
        W[padding] = 0
    ids = torch.tensor(settings["ids"].astype(np.int64))
    return (W,), settings, lambda W: F.embedding(ids, W, padding_idx=settings.get("padding_idx"))


def positional_bias(rng):
    # torch has no such function: its embedding picks the numbers of the table
    heads, queries, keys, distances = lengths(rng, 4)
    lead = tuple(batch(rng) for _ in range(rng.integers(0, 3)))
    most = distances - 1
    apart = torch.arange(keys) - torch.arange(queries)[:, None]

    def function(scores, table):
        return scores + F.embedding(apart.clip(-most, most) + most, table.T).movedim(-1, 0)

    return (numbers(rng, *lead, heads, queries, keys), numbers(rng, heads, 2 * most + 1)), {}, function


def rotary(rng):
    # torch has no such function: its complex numbers turn the pairs
    lead = tuple(batch(rng) for _ in range(rng.integers(0, 3)))
    steps, half = lengths(rng, 2)
    settings = {"base": float(rng.uniform(2, 10000)), "interleaved": bool(rng.integers(2))}
    places = torch.arange(steps, dtype=torch.float64)
    if rng.integers(2):
        wanted = [1 if rng.integers(3) == 0 else n for n in (*lead, steps)]
        settings["positions"] = 100 * rng.standard_normal(wanted[rng.integers(len(wanted)) :])
        places = torch.tensor(settings["positions"])
    angles = places[..., None] * settings["base"] ** -(torch.arange(half, dtype=places.dtype) / half)

    def function(x):
        first, second = (x[..., ::2], x[..., 1::2]) if settings["interleaved"] else x.chunk(2, dim=-1)
        turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
        if settings["interleaved"]:
            return torch.stack([turned.real, turned.imag], dim=-1).flatten(-2)
        return torch.cat([turned.real, turned.imag], dim=-1)

    return (numbers(rng, *lead, steps, 2 * half),), settings, function


# Where a softmax is saturated, the gradients of queries and keys are what rounding leaves of a difference of equals.
FLOOR = 1e-12  # a lone key has no gradient but what torch rounds: 4e-13, beside gradients of 3

DRAWN = {
    "embedding": embedding,
    "multi_head_attention": multi_head_attention,
    "positional_bias": positional_bias,
    "rotary": rotary,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name], FLOOR)
