"""Checks of large gradients along random directions: ``python benchmarks/directional.py`` (with ``[bench]``).

What they catch beside torch's gradcheck in fast mode, what they cost against the number of elements, and a whole
network beside torch's. Without torch only gradlab's rows are printed. The exit status is 1 if fewer than 99 of 100
wrong elements are caught, a check takes 100 evaluations or more before it says so, or the check of the whole network
is less than ten times as fast as torch's.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from gradlab import check_gradient
from gradlab.report.numbers import seconds
from gradlab.report.tables import table
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models.model_check import check_model

STYLES = {"table": "simple", "markdown": "github"}
SIZES = (10_000, 1_000_000)
GOAL, EVALUATIONS, FASTER = 0.99, 100, 10
ONLY = {"checks": ["matches_numerical"], "explore": False, "full_below": 0}

Row = tuple[str, ...]


def weighted_sine(n: int):
    """Return a point, a function of it and its gradient: n terms of size 1."""
    rng = np.random.default_rng(n)
    x, w = rng.standard_normal(n), rng.standard_normal(n)
    return x, w, lambda x: np.sum(w * np.sin(x)), lambda x: w * np.cos(x)


def caught_by_gradlab(n: int, tries: int) -> tuple[Row, bool]:
    """Double one element of the gradient in each try, another one each time, and count the verdicts."""
    x, _, f, gradient = weighted_sine(n)
    caught, named, showed, total, times = 0, 0, [], [], []
    for k in np.random.default_rng(0).integers(n, size=tries):

        def wrong(x, k=k):
            g = gradient(x)
            g[k] *= 2
            return g

        start = perf_counter()
        report = check_gradient(f, wrong, x, seed=int(k), name="sine", repair=False, **ONLY)
        times.append(perf_counter() - start)
        (row,) = report.rows
        caught += not row.verdict.ok
        named += row.worst_index == (k,)
        total.append(row.evaluations)
        shown = re.search(r"(\d+) evaluations showed it", row.note)
        showed.append(int(shown[1]) if shown else row.evaluations)
    counts = (f"{caught} of {tries}", f"{named} of {tries}", str(max(showed)), f"{np.median(total):.0f}")
    enough = caught >= GOAL * tries and max(showed) < EVALUATIONS
    return (f"{n:,}", "gradlab", *counts, seconds(float(np.median(times)))), enough


def caught_by_torch(n: int, tries: int) -> Row:
    """Do the same with a `torch.autograd.Function`, and count how often gradcheck's fast mode says no."""
    import torch

    x, w, _, _ = weighted_sine(n)
    weights, caught, times = torch.from_numpy(w), 0, []
    # having said no, it would look at every element for its message: hours, for a million
    torch.autograd.gradcheck.__globals__["_run_slow_mode_and_get_error"] = lambda *_, **__: "wrong"

    class Sine(torch.autograd.Function):
        wrong = 0

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sum(weights * torch.sin(x))

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            gradient = g * weights * torch.cos(x)
            gradient[Sine.wrong] *= 2
            return gradient

    for k in np.random.default_rng(0).integers(n, size=tries):
        Sine.wrong = int(k)
        given = torch.from_numpy(x.copy()).requires_grad_()
        start = perf_counter()
        caught += not torch.autograd.gradcheck(Sine.apply, (given,), fast_mode=True, raise_exception=False)
        times.append(perf_counter() - start)
    return (
        f"{n:,}",
        "torch, fast mode",
        f"{caught} of {tries}",
        "none",
        "",
        "",
        seconds(float(np.median(times))),
    )


def cost(n: int) -> Row:
    """Return evaluations and seconds of a check of a right gradient of n elements."""
    x, _, f, gradient = weighted_sine(n)
    start = perf_counter()
    (row,) = check_gradient(f, gradient, x, **ONLY).rows
    took = perf_counter() - start
    start = perf_counter()
    f(x)
    once = perf_counter() - start
    share = re.search(r"(\S+) of them (?:are|is) smaller", row.note)[1]
    return f"{n:,}", str(row.evaluations), seconds(took), seconds(once), str(row.verdict), share


def best_and_first(step: Callable[[], object], rounds: int) -> tuple[float, float]:
    times = []
    for _ in range(rounds):
        start = perf_counter()
        step()
        times.append(perf_counter() - start)
    return min(times), times[0]


def whole_network(rounds: int) -> tuple[list[Row], float | None]:
    """Check the 39,760 parameters of TwoLayerNet as one vector; return the rows, and torch's time over gradlab's."""
    rng = np.random.default_rng(0)
    x = rng.random((100, 784)) * (rng.random((100, 784)) < 0.2)
    t = rng.integers(10, size=100)
    net = TwoLayerNet(784, 50, 10, rng=0)
    ways = {"gradlab, check_model": lambda: check_model(net, x, t)}
    if has_torch():
        ways["torch, gradcheck in fast mode"] = torch_network(net, x, t)
    evaluations = [str(check_model(net, x, t).rows[-1].evaluations), "8"]
    rows, best_of = [], []
    for (name, step), count in zip(ways.items(), evaluations, strict=False):
        best, first = best_and_first(step, rounds)
        best_of.append(best)
        rows.append((name, count, seconds(first), seconds(best)))
    return rows, best_of[1] / best_of[0] if len(best_of) > 1 else None


def torch_network(net: TwoLayerNet, x, t) -> Callable[[], object]:
    import torch
    from torch.nn import functional

    params = [torch.from_numpy(p.copy()).requires_grad_() for p in net.params.values()]
    inputs, targets = torch.from_numpy(x), torch.from_numpy(t)

    def loss(W1, b1, W2, b2):
        return functional.cross_entropy(torch.sigmoid(inputs @ W1 + b1) @ W2 + b2, targets)

    return lambda: torch.autograd.gradcheck(loss, params, fast_mode=True)


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def compared(style: str, tries: int, torch_tries: int, largest: int, rounds: int) -> tuple[str, bool]:
    """Return all tables with what they say of the goals, and whether these are met."""
    rows, good = [], True
    with threadpool_limits(1):
        if has_torch():
            import torch

            torch.set_num_threads(1)
        for n in SIZES:
            row, enough = caught_by_gradlab(n, tries)
            rows.append(row)
            good &= enough
            rows += [caught_by_torch(n, torch_tries)] if has_torch() else []
        costs = [cost(10**power) for power in range(2, largest + 1)]
        network, ratio = whole_network(rounds)
    headers = ("elements", "by", "caught", "named", "evaluations, at most", "with naming", "seconds, median")
    parts = [
        "One element is twice what it should be, another one in each try; one thread each.",
        table(headers, rows, style),
        f"Caught at least {GOAL:.0%} in under {EVALUATIONS} evaluations: {'yes' if good else 'no'}.",
        "A right gradient. smaller: the share of its elements that could be off by their own size.",
        table(("elements", "evaluations", "seconds", "f once", "verdict", "smaller"), costs, style),
        "TwoLayerNet 784-50-10, batch of 100, 39,760 parameters, right gradients.",
        table(("check", "losses", "first call", "best"), network, style),
    ]
    if ratio is not None:
        parts.append(f"gradlab's check is {ratio:.1f} times as fast as torch's (goal {FASTER}).")
        good &= ratio >= FASTER
    return "\n\n".join(parts), good


def main() -> int:
    parser = argparse.ArgumentParser(description="Print what checks along random directions catch and cost.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--torch-tries", type=int, default=100)
    parser.add_argument("--largest", type=int, default=7, help="the power of ten of the largest gradient")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    text, good = compared(
        STYLES[options.format], options.tries, options.torch_tries, options.largest, options.rounds
    )
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
