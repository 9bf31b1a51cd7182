"""Registered nodes at the sizes that people have: the jobs and the section "nodes" of ``benchmarks/cost.py``."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from cost_jobs import GRADLAB, Measured, Ways, evenly_chosen, first_sentence, measure, verdict_of

from gradlab import check_vjp
from gradlab.nodes import NODES
from gradlab.report.numbers import count, seconds
from gradlab.report.tables import table

DTYPES = ("float64", "float32")
MEDIAN, MOST = 0.15, 1.0  # seconds

Case = tuple[tuple[np.ndarray, ...], dict[str, Any]]


def cases(rng: np.random.Generator) -> Iterator[tuple[str, tuple[np.ndarray, ...], dict[str, Any]]]:
    """Yield names, the first word the node's, with primals and settings."""
    normal = rng.standard_normal

    def ties(*shape: int) -> np.ndarray:
        return np.round(4 * normal(shape)) / 4

    def zeros(*shape: int) -> np.ndarray:
        return np.where(rng.random(shape) < 0.3, 0.0, normal(shape))

    small, large = (32, 64), (16, 64, 32)
    x, labels = normal(small), rng.integers(0, 64, 32)
    edges = {"low": -1.0, "high": 1.0}
    yield "relu", (x,), {}
    yield "relu with zeros", (zeros(*small),), {}
    yield "relu with zeros, large", (zeros(*large),), {}
    yield "leaky_relu with zeros", (zeros(*small),), {}
    yield "absolute with zeros", (zeros(*small),), {}
    yield "absolute with zeros, large", (zeros(*large),), {}
    yield "hard_tanh at its edges", (ties(*small),), {}
    yield "clip", (x,), edges
    yield "clip at its edges", (ties(*small),), edges
    yield "sort", (x,), {}
    yield "sort with ties", (ties(*small),), {}
    yield "sort, large", (normal(large),), {}
    yield "max", (x,), {"axis": 1}
    yield "max with ties", (ties(*small),), {"axis": 1}
    yield "maximum with ties", (ties(*small), ties(*small)), {}
    yield "max_pool2d", (normal((2, 3, 16, 16)),), {"size": 2}
    yield "max_pool2d with ties", (ties(2, 3, 16, 16),), {"size": 2}
    yield "sigmoid", (x,), {}
    yield "tanh, large", (normal(large),), {}
    yield "gelu", (x,), {}
    yield "gelu, large", (normal(large),), {}
    yield "silu", (x,), {}
    yield "softmax", (x,), {}
    yield "softmax, large", (normal(large),), {}
    yield "log_softmax", (x,), {}
    yield "logsumexp", (x,), {"axis": 1}
    yield "l2_norm", (x,), {"axis": 1}
    yield "cumsum", (x,), {}
    yield "affine", (x, normal((64, 32)), normal(32)), {}
    yield "matmul", (x, normal((64, 32))), {}
    yield "conv2d", (normal((2, 3, 12, 12)), normal((8, 3, 3, 3)), normal(8)), {}
    yield "batch_norm", (x, normal(64), normal(64)), {}
    yield "layer_norm", (x, normal(64), normal(64)), {}
    yield "layer_norm, large", (normal(large), normal(32), normal(32)), {}
    yield "cross_entropy", (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),), {"t": labels}
    yield "softmax_with_loss", (x,), {"t": labels}
    yield "mean_squared_error", (x, normal(small)), {}
    yield "huber", (x, normal(small)), {}
    yield "embedding", (normal((64, 32)),), {"ids": rng.integers(0, 64, (8, 12))}
    yield "gather", (x,), {"ids": rng.integers(0, 64, (32, 40)), "axis": 1}
    yield "scaled_dot_product_attention", tuple(normal((4, 16, 16)) for _ in range(3)), {}


def warm_up() -> None:
    """Load what a report loads."""
    node = NODES["tanh"]
    check_vjp(node.forward, node.backward, (np.linspace(0.1, 1, 4),))


def job(name: str, seed: int, dtype: str) -> tuple[int, Ways]:
    """Return the elements and the check of a case."""
    (primals, settings), *_ = (of for title, *of in cases(np.random.default_rng(seed)) if title == name)
    primals = tuple(x.astype(dtype) for x in primals)
    node = NODES[name.split()[0].rstrip(",")]

    def check():
        return check_vjp(
            node.forward, node.backward, primals, settings=settings, seed=seed, strict=True, name=name
        )

    return sum(x.size for x in primals), {GRADLAB: check}


def section(options: argparse.Namespace, style: str) -> tuple[str, bool]:
    """Return the section, and whether every goal in it is met."""
    names = evenly_chosen([name for name, *_ in cases(np.random.default_rng(0))], options.limit)
    runs = {
        (dtype, seed): list(measure("cost_nodes", names, options.patience, "node", seed=seed, dtype=dtype))
        for seed in range(options.seeds)
        for dtype in DTYPES
    }
    by_case = list(zip(*runs.values(), strict=True))
    lines = [
        (
            found[0].name,
            f"{found[0].elements:,}",
            *(
                time_of([each for (d, _), each in zip(runs, found, strict=True) if d == dtype])
                for dtype in DTYPES
            ),
            ", ".join(f"{n} {verdict}" for verdict, n in Counter(map(verdict_of, found)).items()),
        )
        for found in by_case
    ]
    every = [each for found in by_case for each in found]
    # what did not end took longer than any other
    times = [each.seconds.get(GRADLAB, options.patience) for each in every]
    told = Counter(map(verdict_of, every))
    met = median(times) <= MEDIAN and max(times) <= MOST and set(told) == {"right"}
    bad = [
        f"- {each.name}, {dtype}, seed {seed}: {verdict_of(each)}: {sentence}"
        for (dtype, seed), found in runs.items()
        for each in found
        for sentence in first_sentence(each)
    ]
    headers = ("check", "elements", *(f"{dtype}, median" for dtype in DTYPES), "verdicts")
    parts = [
        "`check_vjp` of registered nodes with default arguments, `strict=True`, at one point of the size given, "
        f"for {count(options.seeds, 'seed')}; one thread, the best of several calls, a single one where it takes more "
        "than a second.",
        table(headers, lines, style),
        f"Median {seconds(median(times))} (goal {seconds(MEDIAN)}), the longest {seconds(max(times))} (goal "
        f"{seconds(MOST)}); of {len(every)} checks {told['accused']} accused (goal 0), {told['undecided']} undecided "
        f"(goal 0), {told['not ended']} not ended (goal 0).",
        "\n".join(bad),
    ]
    return "\n\n".join(filter(None, ["## Registered nodes at real sizes", *parts])), met


def time_of(found: Sequence[Measured]) -> str:
    """Return the median time of a case over its seeds; of what did not end, nothing."""
    times = [each.seconds[GRADLAB] for each in found if GRADLAB in each.seconds]
    return seconds(median(times)) if times else ""
