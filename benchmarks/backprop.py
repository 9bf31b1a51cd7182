"""One gradient of TwoLayerNet by backprop, beside torch's and JAX's: ``python benchmarks/backprop.py``.

The same network (784-50-10), parameters and batch of 100, four pixels in five black as in MNIST; the gradient alone,
without an update. The ways take turns, and each one's best time counts, so that what else the machine does falls on
all; each number of threads has a process of its own, as JAX asks only once how many processors there are. The exit
status is 1 where float64 in the default number of threads misses a goal, or where two ways give another gradient.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gradlab.report.numbers import seconds
from gradlab.report.tables import table
from gradlab.textbook.layers import Affine
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models._two_layer_step import KeptStep

STYLES = {"table": "simple", "markdown": "github"}
OURS = "gradlab"
# At most these: gradlab's time over theirs.
GOALS = {"torch": 0.8, "jax jit": 0.4}
TOLERANCES = {"float64": 1e-12, "float32": 1e-5}

Step = Callable[[], Sequence[Any]]


def a_batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(100, 784)) * (rng.uniform(size=(100, 784)) < 0.2)
    return x, rng.integers(10, size=100)


def ways(dtype: str, threads: int | None) -> Iterator[tuple[str, Step]]:
    """Yield each way's name and the function that makes one gradient of W1, b1, W2 and b2."""
    net, (x, t) = TwoLayerNet(784, 50, 10), a_batch()
    x = x.astype(dtype)
    params = [p.astype(dtype) for p in net.params.values()]
    if dtype == "float64":
        yield OURS, lambda: list(net.gradient(x, t).values())
        yield "gradlab, layer by layer", partial(layers_step, TwoLayerNet(784, 50, 10), x, t)
    else:
        yield OURS, kept_step(params, x, t)
    yield "torch", torch_step(params, x, t, threads)
    yield "jax jit", jax_step(params, x, t)


def kept_step(params: Sequence[np.ndarray], x: np.ndarray, t: np.ndarray) -> Step:
    # what the network's own gradient runs; its constructor knows float64 alone
    first, second = Affine(*params[:2]), Affine(*params[2:])
    step = KeptStep(first, second, x)

    def run() -> Sequence[np.ndarray]:
        step.run(x, t)
        return first.grads + second.grads

    return run


def layers_step(net: TwoLayerNet, x: np.ndarray, t: np.ndarray) -> Sequence[np.ndarray]:
    net.loss(x, t)
    dout = net.last_layer.backward()
    for layer in reversed(net.layers):
        dout = layer.backward(dout)
    return [g for layer in net.layers for g in layer.grads]


def torch_step(params: Sequence[np.ndarray], x: np.ndarray, t: np.ndarray, threads: int | None) -> Step:
    import torch
    from torch.nn.functional import cross_entropy

    if threads:
        torch.set_num_threads(threads)
    W1, b1, W2, b2 = tensors = [torch.from_numpy(p.copy()).requires_grad_() for p in params]
    images, labels = torch.from_numpy(x), torch.from_numpy(t)

    def run() -> Sequence[Any]:
        hidden = torch.sigmoid(torch.addmm(b1, images, W1))
        return torch.autograd.grad(cross_entropy(torch.addmm(b2, hidden, W2), labels), tensors)

    return run


def jax_step(params: Sequence[np.ndarray], x: np.ndarray, t: np.ndarray) -> Step:
    import jax

    jax.config.update("jax_enable_x64", True)

    def loss(params: Any, x: Any, t: Any) -> Any:
        W1, b1, W2, b2 = params
        scores = jax.nn.sigmoid(x @ W1 + b1) @ W2 + b2
        return -jax.numpy.mean(jax.nn.log_softmax(scores)[jax.numpy.arange(len(t)), t])

    gradient = jax.jit(jax.grad(loss))
    given = jax.device_put((list(params), x, t))
    return lambda: jax.block_until_ready(gradient(*given))


def measured(threads: int | None, rounds: int) -> list[tuple[str, str, float, float]]:
    """Return dtype, way, best time and distance from the first way's gradient, in this process and for good."""
    if threads and hasattr(os, "sched_setaffinity"):
        # JAX heeds no number of threads, but it can be left no more processors
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    found = []
    with threadpool_limits(threads):
        for dtype in TOLERANCES:
            names, steps = zip(*ways(dtype, threads), strict=True)
            gradients = [np.concatenate([np.ravel(g) for g in step()]) for step in steps]
            apart = [float(np.abs(g - gradients[0]).max() / np.abs(g).max()) for g in gradients]
            found += list(zip([dtype] * len(names), names, best_times(steps, rounds), apart, strict=True))
    return found


def best_times(steps: Sequence[Step], rounds: int) -> list[float]:
    """Return the best time of each, in seconds; they take turns, a few steps each."""
    best = [np.inf] * len(steps)
    for _ in range(rounds):
        for k, step in enumerate(steps):
            for _ in range(5):
                start = perf_counter()
                step()
                best[k] = min(best[k], perf_counter() - start)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description="Time one gradient by backprop, beside torch's and JAX's.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    text, ok = compared(options.rounds, STYLES[options.format])
    print(text)
    return 0 if ok else 1


def compared(rounds: int, style: str) -> tuple[str, bool]:
    """Return the table with what it says of the goals, and whether all is as wanted."""
    lines, said, ok = [], [], True
    for threads in (1, None):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found = process.submit(measured, threads, rounds).result()
        ours = {dtype: time for dtype, way, time, _ in found if way == OURS}
        for dtype, way, time, apart in found:
            ratio = ours[dtype] / time
            lines.append(
                (str(threads or "default"), dtype, way, seconds(time), f"{ratio:.2f}", f"{apart:.0e}")
            )
            ok &= apart <= TOLERANCES[dtype]
            if way in GOALS and threads is None and dtype == "float64":
                said.append(f"{ratio:.2f} of {way}'s time (goal {GOALS[way]})")
                ok &= ratio <= GOALS[way]
    headers = ("threads", "dtype", "way", "a gradient", "gradlab / this", "apart")
    told = f"float64, default threads: gradlab takes {' and '.join(said)}."
    return f"{table(headers, lines, style)}\n\n{told}", ok


if __name__ == "__main__":
    sys.exit(main())
