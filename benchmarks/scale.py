"""What numerical gradients cost at scale: ``python benchmarks/scale.py`` (with ``pip install '.[bench]'``).

On the real MNIST if GRADLAB_MNIST names it.

The exit status is 1 if a goal is missed. Each part is a function that returns its
section of reports/scale.md, and whether all is as wanted; `PARTS` has them in order.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import backprop
import directional
import numpy as np
from threadpoolctl import threadpool_limits

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from gradlab.textbook.datasets import Dataset, load_dataset
from gradlab.textbook.layers import CrossEntropy, Softmax
from gradlab.textbook.models import TwoLayerNet

STYLES = {"table": "simple", "markdown": "github"}
# At least so many times as fast, and at most so far from the loop, over the gradient's largest entry.
FASTER, APART = 250, 1e-9
BATCHES, HIDDEN, CLASSES, H = (1, 10, 100, 1000), (10, 50, 100, 500), 10, 1e-4
WHOLE = (100, 50)  # the batch and the hidden units for which the textbook's loop runs to its end
PART_SECONDS = 1.0  # of the textbook's loop, for the others

Gradient = dict[str, np.ndarray]
Section = tuple[str, bool]


def textbook_loss(params: Gradient, x, t):
    """Return the loss as the textbook's TwoLayerNet computes it."""
    W1, W2 = params["W1"], params["W2"]
    b1, b2 = params["b1"], params["b2"]
    a1 = np.dot(x, W1) + b1
    z1 = 1 / (1 + np.exp(-a1))
    a2 = (np.dot(z1, W2) + b2).T
    a2 = a2 - np.max(a2, axis=0)
    y = (np.exp(a2) / np.sum(np.exp(a2), axis=0)).T
    batch_size = y.shape[0]
    return -np.sum(np.log(y[np.arange(batch_size), t] + 1e-7)) / batch_size


def textbook_gradient(f, x):
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    while not it.finished:
        grad[it.multi_index] = textbook_element(f, x, it.multi_index)
        it.iternext()
    return grad


def textbook_element(f, x, idx):
    tmp_val = x[idx]
    x[idx] = float(tmp_val) + H
    fxh1 = f(x)
    x[idx] = tmp_val - H
    fxh2 = f(x)
    x[idx] = tmp_val
    return (fxh1 - fxh2) / (2 * H)


def incremental(data: Dataset, style: str) -> Section:
    """Return the textbook's loop beside incremental differences, for several batches and numbers of hidden units."""
    lines, ok, said = [], True, ""
    for batch in BATCHES:
        for hidden in HIDDEN:
            whole = (batch, hidden) == WHOLE
            loop, ours, apart, count = compared(data, batch, hidden, whole)
            ratio = loop / ours
            ok &= apart <= APART
            if whole:
                ok &= ratio >= FASTER
                said = (
                    f"784-50-10, batch of 100, all {count:,} parameters: the textbook's loop takes {seconds(loop)}, "
                    f"incremental differences {seconds(ours)}: {ratio:.0f} times as fast (goal {FASTER})."
                )
            shown = f"{batch:,}", f"{hidden}", f"{count:,}", seconds(loop), seconds(ours)
            lines.append((*shown, f"{ratio:,.0f}x", f"{apart:.0e}", "all" if whole else "some"))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    headers = (
        "batch",
        "hidden",
        "parameters",
        "textbook's loop",
        "incremental",
        "times as fast",
        "apart",
        "timed",
    )
    about = (
        f"The full numerical gradient of 784-hidden-10 on {data.name}, by central differences. Where not all of the "
        f"textbook's loop was timed, it ran on elements of each parameter that were drawn at random, for at least "
        f"{PART_SECONDS:g} s, and the time for each parameter is the median of an element's times their number. "
        "Incremental differences: the median of several whole gradients, some before the loop and some after it. Where "
        "all of the loop was timed: the better of two loops, and the best of the whole gradients before, between and "
        "after them. Both have as many threads of NumPy's BLAS as the loop is fastest with. "
        "Apart: the largest difference between the two on the elements compared, over the gradient's largest entry; "
        "for this the network ends as the textbook's does, with a delta in the logarithm."
    )
    text = "\n\n".join([about, table(headers, lines, STYLES[style]), said])
    return f"## Incremental differences\n\n{text}", ok


def compared(data: Dataset, batch: int, hidden: int, whole: bool) -> tuple[float, float, float, int]:
    """Return the seconds of both ways, how far they are apart, and the number of parameters."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(data.x_train), batch, replace=False)
    x, t = data.x_train[chosen], data.t_train[chosen]
    net = TwoLayerNet(data.x_train.shape[1], hidden, CLASSES, rng=rng)
    params = {name: p.copy() for name, p in net.params.items()}
    loop, rounds, of_several = (whole_loop, 2, min) if whole else (part_of_loop, 1, np.median)
    with threadpool_limits(best_threads(lambda: textbook_loss(params, x, t))):
        times = list(timed(lambda: net.incremental_gradient(x, t)))
        loops = []
        for _ in range(rounds):
            textbook, values = loop(params, x, t, rng)
            loops.append(textbook)
            times += timed(lambda: net.incremental_gradient(x, t))
    ours = float(of_several(times))
    return min(loops), ours, apart(net, x, t, values), sum(p.size for p in params.values())


def best_threads(loss: Callable[[], object]) -> int:
    """Return with how many threads of NumPy's BLAS the textbook's loop is fastest: on a busy machine, with one."""
    times = {}
    for threads in (1, os.cpu_count() or 1):
        with threadpool_limits(threads):
            times[threads] = np.median(list(timed(loss)))
    return min(times, key=lambda threads: times[threads])


Values = list[tuple[str, tuple[int, ...], float]]


def whole_loop(params: Gradient, x, t, _) -> tuple[float, Values]:
    start = perf_counter()
    gradient = {
        name: textbook_gradient(lambda _: textbook_loss(params, x, t), p) for name, p in params.items()
    }
    taken = perf_counter() - start
    return taken, [(name, index, value) for name, g in gradient.items() for index, value in np.ndenumerate(g)]


def part_of_loop(params: Gradient, x, t, rng: np.random.Generator) -> tuple[float, Values]:
    """Return what the whole loop would take, and the elements that were computed for it."""
    values: Values = []
    total = 0.0
    for name, p in params.items():
        times: list[float] = []
        for place in rng.permutation(p.size):
            start = perf_counter()
            index = tuple(int(i) for i in np.unravel_index(place, p.shape))
            values.append((name, index, textbook_element(lambda _: textbook_loss(params, x, t), p, index)))
            times.append(perf_counter() - start)
            if len(times) > 2 and sum(times) > PART_SECONDS / len(params):
                break
        total += float(np.median(times)) * p.size
    return total, values


def apart(net: TwoLayerNet, x, t, values: Values) -> float:
    """Return how far incremental differences of the same loss are from the loop's."""
    net.layers.append(Softmax())
    net.last_layer = CrossEntropy()
    gradient = net.incremental_gradient(x, t)
    largest = max(float(np.abs(g).max()) for g in gradient.values())
    return max(abs(gradient[name][index] - value) for name, index, value in values) / largest


def timed(run: Callable[[], object]) -> Iterator[float]:
    """Yield the seconds of some runs, about a second in all or a single one."""
    end = perf_counter() + 1
    for _ in range(20):
        start = perf_counter()
        run()
        yield perf_counter() - start
        if perf_counter() > end:
            return


def along_directions(data: Dataset, style: str) -> Section:
    """Return what checks along random directions catch and cost; on made-up data."""
    text, ok = directional.compared(STYLES[style], 100, 100, 7, 10)
    return f"## Checks along random directions\n\n{text}", ok


def one_step(data: Dataset, style: str) -> Section:
    """Return one gradient by backprop beside torch's and JAX's; on made-up data."""
    text, ok = backprop.compared(200, STYLES[style])
    return f"## Backprop\n\n{text}", ok


PARTS: tuple[Callable[[Dataset, str], Section], ...] = (incremental, along_directions, one_step)


def main() -> int:
    parser = argparse.ArgumentParser(description="Print what numerical gradients cost at scale.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write scale.md there")
    options = parser.parse_args()
    data = load_dataset()
    found = [part(data, "markdown" if options.output else options.format) for part in PARTS]
    sections = [text for text, _ in found]
    print("\n\n".join(sections))
    if options.output:
        command = " ".join(["python benchmarks/scale.py", *sys.argv[1:]])
        about = made_by(command, environment(data=data.name, seed=0))
        page = ["# Numerical gradients at scale", about, *sections]
        write_atomically(options.output / "scale.md", "\n\n".join(page) + "\n")
    return 0 if all(ok for _, ok in found) else 1


if __name__ == "__main__":
    sys.exit(main())
