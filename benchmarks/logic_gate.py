"""XOR by numerical gradients alone, as the textbook does it and all at once: ``python benchmarks/logic_gate.py``.

The ways take turns, some hundred steps a turn, and each one's best turn counts, so that what else the machine does
falls on all. All train the same network, 2-6-1 on four rows, from the same parameters. The exit status is 1 if the
stacked differences are not the loop's, bit for bit, or less than ten times as fast as the textbook's loop.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from gradlab.report.numbers import seconds
from gradlab.report.tables import table
from gradlab.textbook.datasets.gates import load_gate
from gradlab.textbook.models.logic_gate import LogicGate, train

STYLES = {"table": "simple", "markdown": "github"}
STEPS, GOAL = 20_001, 10.0
DELTA, H, RATE = 1e-7, 1e-4, 0.01


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numerical_derivative(f, x):
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    while not it.finished:
        idx = it.multi_index
        tmp_val = x[idx]
        x[idx] = tmp_val + H
        fx1 = f(x)
        x[idx] = tmp_val - H
        fx2 = f(x)
        grad[idx] = (fx1 - fx2) / (2 * H)
        x[idx] = tmp_val
        it.iternext()
    return grad


def textbook(net: LogicGate, x, t, steps: int) -> None:
    """Train as the textbook's code does, on the network's own arrays."""
    W1, b1, W2, b2 = net.params.values()
    t = t.reshape(4, 1)

    def loss(_):
        y = sigmoid(np.dot(sigmoid(np.dot(x, W1) + b1), W2) + b2)
        return -np.sum(t * np.log(y + DELTA) + (1 - t) * np.log((1 - y) + DELTA))

    for _ in range(steps):
        gradients = [numerical_derivative(loss, p) for p in (W1, b1, W2, b2)]
        for p, gradient in zip((W1, b1, W2, b2), gradients, strict=True):
            p -= RATE * gradient


Way = tuple[str, Callable[..., None], int]
WAYS: list[Way] = [
    ("the textbook's loop", textbook, 200),
    ("numerical_gradient", partial(train, gradient="numerical"), 200),
    ("stacked differences", partial(train, gradient="stacked"), 4000),
    ("backprop", partial(train, gradient="backprop"), 2000),
]


def step_times(rounds: int) -> list[float]:
    x, t = load_gate("XOR")
    best = [np.inf] * len(WAYS)
    for _ in range(rounds):
        for k, (_, way, steps) in enumerate(WAYS):
            net = LogicGate()
            start = perf_counter()
            way(net, x, t, steps=steps)
            best[k] = min(best[k], (perf_counter() - start) / steps)
    return best


def trained(way: Callable[..., None], steps: int) -> np.ndarray:
    net = LogicGate()
    way(net, *load_gate("XOR"), steps=steps)
    return net.theta


def main() -> int:
    parser = argparse.ArgumentParser(description="Print how much faster the stacked differences are.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    times = step_times(options.rounds)
    after = [trained(way, 200) for _, way, _ in WAYS]
    rows = [
        (
            name,
            seconds(time),
            f"{STEPS * time:.2f} s",
            f"{times[0] / time:.1f}x",
            f"{np.max(np.abs(p - after[1])):.1e}",
        )
        for (name, _, _), time, p in zip(WAYS, times, after, strict=True)
    ]
    headers = ("method", "a step", f"{STEPS:,} steps", "times as fast", "apart after 200 steps")
    print("Apart: the largest difference of a parameter from numerical_gradient's path.\n")
    print(table(headers, rows, STYLES[options.format]))
    same, ratio = np.array_equal(after[1], after[2]), times[0] / times[2]
    print(f"\nstacked: {ratio:.1f} times as fast as the textbook's loop; bit for bit the loop's: {same}")
    return 0 if same and ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
