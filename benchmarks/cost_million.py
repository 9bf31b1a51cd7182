"""A million elements beside gradcheck's fast mode: the jobs and the section "million" of ``benchmarks/cost.py``."""

import argparse

import torch
from cost_jobs import GRADLAB, Ways, first_sentence, gradchecks, measure, warm_up_torch

from gradlab import check_torch
from gradlab.report.numbers import seconds
from gradlab.report.tables import table

N, PLACE = 1_000_000, 123_456
RIGHT, WRONG, PEER = "right", "one element doubled", "gradcheck, fast"
SLOWER = 15  # gradlab may take so many times as long as gradcheck's fast mode


def warm_up() -> None:
    """Load what a check loads, and let a no of the fast mode be all that it says."""
    warm_up_torch()
    # it would look at every element for its message: hours, for a million
    torch.autograd.gradcheck.__globals__["_run_slow_mode_and_get_error"] = lambda *_, **__: "wrong"


def job(name: str) -> tuple[int, Ways]:
    """Return the elements, and gradcheck and gradlab of sum(x sin x)."""
    torch.manual_seed(0)
    x = torch.randn(N, dtype=torch.float64)

    class WeightedSine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sum(x * torch.sin(x))

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            gradient = g * (torch.sin(x) + x * torch.cos(x))
            if name == WRONG:
                gradient[PLACE] *= 2
            return gradient

    # a no of gradcheck's is a result here
    inputs = [x.clone().requires_grad_()]
    theirs = gradchecks(WeightedSine.apply, inputs, ["fast"], raise_exception=False)
    return N, {**theirs, GRADLAB: lambda: check_torch(WeightedSine, x)}


def section(options: argparse.Namespace, style: str) -> tuple[str, bool]:
    """Return the section, and whether every goal in it is met."""
    right, wrong = measure("cost_million", [RIGHT, WRONG], options.patience, "gradient")
    lines, said = [], {}
    for found in (right, wrong):
        for way in (PEER, GRADLAB):
            ok = found.told.get(way, {}).get("ok")
            said[found.name, way] = {True: "right", False: "wrong"}.get(ok, found.failed or found.raised)
            lines.append((found.name, way, seconds(found.seconds.get(way)), said[found.name, way]))
    ratio = right.ratio(PEER)
    fast = ratio is not None and ratio <= SLOWER
    parts = [
        "sum(x sin x) with a backward by hand, float64: `check_torch` with default arguments beside gradcheck's fast "
        "mode, one thread.",
        table(("gradient", "by", "time", "says"), lines, style),
        f"gradlab takes {'' if ratio is None else f'{ratio:.3g}'} times as long as the fast mode (goal {SLOWER}). "
        f"The wrong element is {said[wrong.name, GRADLAB]} to gradlab (goal wrong), "
        f"{said[wrong.name, PEER]} to the fast mode.",
        "\n".join(
            f"- {found.name}: {sentence}" for found in (right, wrong) for sentence in first_sentence(found)
        ),
    ]
    met = fast and said[right.name, GRADLAB] == "right" and said[wrong.name, GRADLAB] == "wrong"
    return "\n\n".join(filter(None, ["## A million elements", *parts])), met
