"""gradlab's nodes and torch's own, forward and backward, side by side: ``python benchmarks/against_torch.py``.

The same sizes, the same dtype, the same number of threads (one, unless ``--threads`` says otherwise). The two take
turns, and each one's best time counts, so that what else the machine does falls on both. That they compute the same
is for ``tests/against`` to say.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own habit)

from gradlab.nodes import NODES
from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by
from gradlab.report.tables import table

STYLES = {"table": "simple", "markdown": "github"}
# At most these, by the issue that asked for the table: the geometric mean in either dtype, and any single ratio.
GOALS, MOST = {"float64": 1.0, "float32": 2.0}, 4.0

Step = Callable[[], object]
Build = Callable[[], tuple[Step, Step]]


def steps_of(
    name: str,
    primals: Sequence[np.ndarray],
    theirs: Callable[..., Any],
    extra: Sequence[torch.nn.Parameter] = (),
    **settings: Any,
) -> tuple[Step, Step]:
    """Return one forward and backward by gradlab and one by torch, which is given the primals as tensors.

    `extra` are the parameters that torch keeps in a module, differentiated too.
    """
    node = NODES[name]
    output, _ = node.forward(*primals, **settings)
    rng = np.random.default_rng(1)
    g = (
        tuple(rng.standard_normal(y.shape).astype(y.dtype) for y in output)
        if isinstance(output, tuple)
        else np.asarray(rng.standard_normal(np.shape(output))).astype(output.dtype)
    )
    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in primals]

    def ours() -> object:
        return node.backward(node.forward(*primals, **settings)[1], g)

    with torch.no_grad():
        like = theirs(*tensors)
    # of several outputs the first gets a cotangent
    cotangent = torch.randn_like(like)

    def torchs() -> object:
        return torch.autograd.grad(theirs(*tensors), [*tensors, *extra], cotangent, allow_unused=True)

    return ours, torchs


def rows(dtype: str) -> Iterator[tuple[str, str, Build]]:
    """Yield node and size of every row of the table, and what makes its steps."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    def row(name: str, sizes: str, /, *arguments: Any, **settings: Any) -> tuple[str, str, Build]:
        return name, sizes, partial(steps_of, name, *arguments, **settings)

    kind = getattr(torch, dtype)
    for n, d, h in ((100, 784, 50), (256, 1024, 1024)):
        primals = normal(n, d), normal(d, h), normal(h)
        yield row("affine", f"{n} x {d} -> {h}", primals, lambda x, W, b: x @ W + b)
    for shape, filters, stride in (((32, 16, 28, 28), 32, 1), ((8, 64, 32, 32), 64, 2)):
        primals = normal(*shape), normal(filters, shape[1], 3, 3), normal(filters)
        size = f"{' x '.join(map(str, shape))}, {filters} filters 3 x 3, padding 1, stride {stride}"
        settings = {"stride": stride, "padding": 1}
        yield row("conv2d", size, primals, partial(F.conv2d, **settings), **settings)
    images, channels = normal(32, 64, 28, 28), (normal(64), normal(64))
    pooled = partial(F.max_pool2d, kernel_size=2)
    yield row("max_pool2d", "32 x 64 x 28 x 28, windows 2 x 2", (images,), pooled, size=2)

    def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
        return F.batch_norm(x, None, None, gamma, beta, training=True)

    yield row("batch_norm", "32 x 64 x 28 x 28", (images, *channels), batch_norm)
    matrix, features = normal(512, 1024), (normal(1024), normal(1024))

    def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
        return F.layer_norm(x, (1024,), gamma, beta)

    yield row("layer_norm", "512 x 1024", (matrix, *features), layer_norm)
    t = rng.integers(0, 1024, 512)
    crossed = partial(F.cross_entropy, target=torch.from_numpy(t))
    yield row("softmax_with_loss", "512 x 1024", (matrix,), crossed, t=t)
    yield row("gelu", "512 x 1024", (matrix,), F.gelu)
    ids = rng.integers(0, 512, (32, 28))
    looked_up = partial(F.embedding, torch.from_numpy(ids))
    yield row("embedding", "512 words x 1024, ids 32 x 28", (matrix,), looked_up, ids=ids)
    x, h, c = normal(32, 50, 128), normal(32, 128), normal(32, 128)
    size = "batch 32, 50 steps, 128 units"
    for name, states, gates, module in (("lstm", (h, c), 4, nn.LSTM), ("gru", (h,), 3, nn.GRU)):
        layer = module(128, 128, batch_first=True, dtype=kind)
        weights = [0.1 * normal(128, gates * 128) for _ in range(2)]

        # torch's weights are the module's own, and as many
        def run(x: Any, h: Any, *rest: Any, layer: Any = layer, several: bool = len(states) > 1) -> Any:
            return layer(x, (h[None], rest[0][None]) if several else h[None])[0]

        parameters = list(layer.parameters())
        yield row(name, size, (x, *states, *weights, normal(gates * 128)), run, parameters)
    labels = rng.integers(1, 30, (32, 20))
    lengths = {"label_lengths": np.full(32, 20), "input_lengths": np.full(32, 100)}

    def ctc(x: Any) -> Any:
        targets, target_lengths, input_lengths = map(torch.from_numpy, (labels, *lengths.values()))
        return F.ctc_loss(F.log_softmax(x, 2), targets, input_lengths, target_lengths)

    size = "batch 32, 100 frames, 30 classes, 20 labels"
    yield row("ctc", size, (normal(100, 32, 30),), ctc, labels=labels, **lengths)
    attention = nn.MultiheadAttention(256, 8, batch_first=True, dtype=kind)

    def attended(query: Any, key: Any, value: Any, *others: Any) -> Any:
        return attention(query, key, value, need_weights=False)[0]

    primals = *(normal(8, 128, 256) for _ in range(3)), *(0.1 * normal(256, 256) for _ in range(4))
    biases = [normal(256) for _ in range(3)]
    parameters = list(attention.parameters())
    size = "8 x 128 x 256, 8 heads"
    yield row("multi_head_attention", size, (*primals, *biases), attended, parameters, heads=8)


def best_times(steps: Sequence[Step], rounds: int) -> list[float]:
    """Return the best time of each, in seconds; they take turns."""
    times: list[list[float]] = [[] for _ in steps]
    for step in steps:
        step()
    for _ in range(rounds):
        for step, taken in zip(steps, times, strict=True):
            start = perf_counter()
            step()
            taken.append(perf_counter() - start)
    return [min(taken) for taken in times]


def main() -> None:
    options = argparse.ArgumentParser(description="Time gradlab's nodes and torch's, forward and backward.")
    options.add_argument("node", nargs="*", metavar="NODE", help="only rows of these nodes")
    options.add_argument("--format", choices=STYLES, default="table")
    options.add_argument("--rounds", type=int, default=15, help="how often each is timed")
    options.add_argument("--threads", type=int, default=1, help="of NumPy's BLAS and of torch")
    options.add_argument("--output", type=Path, metavar="DIR", help="write torch.md there")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    with threadpool_limits(chosen.threads):
        compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    lines, ratios = [], {}
    for dtype in GOALS:
        ratios[dtype] = []
        for name, size, build in rows(dtype):
            if chosen.node and name not in chosen.node:
                continue
            ours, theirs = best_times(build(), chosen.rounds)
            ratios[dtype].append(ours / theirs)
            lines.append((name, size, dtype, seconds(ours), seconds(theirs), f"{ours / theirs:.2f}"))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    headers = ("node", "size", "dtype", "gradlab", "torch", "gradlab / torch")
    said = [
        f"{dtype}: geometric mean {geometric_mean(of):.2f} (goal {GOALS[dtype]}), the largest {max(of):.2f} "
        f"(goal {MOST:.0f}); {sum(r > MOST for r in of)} above it."
        for dtype, of in ratios.items()
        if of
    ]
    told = "\n".join(said)
    print(f"{table(headers, lines, STYLES[chosen.format])}\n\n{told}")
    if chosen.output:
        command = " ".join(["python benchmarks/against_torch.py", *sys.argv[1:]])
        about = environment(torch=torch.__version__, threads=chosen.threads)
        page = [
            "# gradlab's nodes beside torch's", made_by(command, about),
            "Forward and backward together, the best of several turns, the same number of threads.",
            table(headers, lines, "github"), told,
        ]  # fmt: skip
        write_atomically(chosen.output / "torch.md", "\n\n".join(page) + "\n")


if __name__ == "__main__":
    main()
