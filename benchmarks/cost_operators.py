"""gradlab beside gradcheck over torch's operators: the jobs and the section "operators" of ``benchmarks/cost.py``.

Torch's own database of operators gives most of them, one sample each; the rest are well-known ones at larger sizes.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import torch
from cost_jobs import (
    GRADLAB,
    Measured,
    Ways,
    evenly_chosen,
    first_sentence,
    gradchecks,
    measure,
    verdict_of,
    warm_up_torch,
)
from torch.nn import functional as F  # noqa: N812  (torch's own habit)
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradlab import check_torch
from gradlab.report.numbers import seconds
from gradlab.report.tables import table

# Below so many elements gradlab may take so many times as long as gradcheck, in the geometric mean.
BINS = ((25, 5.0), (100, 2.0), (1_000, 1.0), (float("inf"), 0.1))
SIZES = (300, 3_000)
SLOWEST = 12
BAD = ("accused", "undecided", "not ended")

OF_ONE = {
    "exp": torch.exp, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "erf": torch.erf, "expm1": torch.expm1,
    "square": torch.square, "abs": torch.abs, "sigmoid": torch.sigmoid, "relu": F.relu, "gelu": F.gelu, "silu": F.silu,
    "elu": F.elu, "softplus": F.softplus, "leaky_relu": F.leaky_relu, "hardtanh": F.hardtanh, "sum": torch.sum,
    "mean": lambda x: x.mean(-1), "amax": lambda x: x.amax(-1), "var": lambda x: x.var(-1),
    "norm": lambda x: x.norm(dim=-1), "logsumexp": lambda x: x.logsumexp(-1), "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1), "cumsum": lambda x: x.cumsum(-1), "sort": lambda x: x.sort(-1)[0],
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
}  # fmt: skip
OF_POSITIVE = {
    "log": torch.log, "sqrt": torch.sqrt, "log1p": torch.log1p, "reciprocal": torch.reciprocal,
    "prod": lambda x: x.prod(-1),
}  # fmt: skip
OF_TWO = {
    "add": torch.add, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum, "atan2": torch.atan2,
    "matmul": lambda x, y: x.T @ y, "linear": F.linear, "cdist": torch.cdist,
}  # fmt: skip

Function = Callable[..., Any]


@cache
def database() -> dict[str, Any]:
    """Return torch's operators that have a gradient in float64, by name and variant."""
    from torch.testing._internal.common_methods_invocations import op_db

    usable = [op for op in op_db if op.supports_autograd and op.supports_dtype(torch.float64, "cpu")]
    return {f"{op.name} {op.variant_test_name}".strip(): op for op in usable}


@cache
def larger() -> dict[str, tuple[Function, list[torch.Tensor]]]:
    """Return well-known operators with tensors of about so many elements in all as each of `SIZES` says."""
    torch.manual_seed(0)
    made = {}
    for size in SIZES:
        rows = round(size**0.5 / 1.5)
        x, y, z = (torch.randn(rows, size // n // rows, dtype=torch.float64) for n in (1, 2, 2))
        for operators, inputs in ((OF_ONE, [x]), (OF_POSITIVE, [0.5 + x.abs()]), (OF_TWO, [y, z])):
            for name, operator in operators.items():
                made[f"{name} of {size:,}"] = operator, [tensor.requires_grad_() for tensor in inputs]
    return made


def warm_up() -> None:
    """Load what a check loads, and the database."""
    warm_up_torch()
    database()


def is_differentiated(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad


def is_given(leaf: object) -> bool:
    """Return whether a leaf of a sample is an argument of its own: check_torch would differentiate other floats."""
    return is_differentiated(leaf) or (
        isinstance(leaf, torch.Tensor) and not leaf.is_floating_point() and not leaf.is_complex()
    )


def samples_of(
    op: Any,
    takes: Callable[[object], bool] = is_given,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> Iterator[tuple[Function, list[torch.Tensor]]]:
    """Yield an operator as a function of tensors, for each sample that has elements to differentiate.

    `takes` tells which leaves of the sample are arguments of the function; it has the others to itself.
    """
    torch.manual_seed(0)
    for sample in op.sample_inputs(device, dtype, requires_grad=True):
        leaves, structure = tree_flatten((sample.input, sample.args, sample.kwargs))
        if not sum(leaf.numel() for leaf in leaves if is_differentiated(leaf)):
            continue
        places = [i for i, leaf in enumerate(leaves) if takes(leaf)]

        def call(*tensors: Any, sample=sample, leaves=leaves, structure=structure, places=places) -> Any:
            filled = list(leaves)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            first, args, kwargs = tree_unflatten(filled, structure)
            return sample.output_process_fn_grad(op.gradcheck_wrapper(op.op, first, *args, **kwargs))

        yield call, [leaves[place] for place in places]


def function_of(op: Any) -> tuple[Function, list[torch.Tensor]]:
    """Return an operator as a function of the tensors of its first sample that has elements to differentiate.

    Raises
    ------
    ValueError
        If there is no such sample.
    """
    for found in samples_of(op):
        return found
    raise ValueError("no sample has an element to differentiate")


def job(name: str, mode: str) -> tuple[int, Ways]:
    """Return the elements of an operator's inputs, and gradcheck and gradlab of it."""
    op = database()[name] if name not in larger() else None
    fn, inputs = function_of(op) if op else larger()[name]
    tolerance = {"nondet_tol": op.gradcheck_nondet_tol} if op else {}
    # what gradcheck refuses raises, and gradlab is not asked
    ways = {
        **gradchecks(fn, inputs, [mode], **tolerance),
        GRADLAB: lambda: check_torch(fn, *inputs, name=name),
    }
    return sum(tensor.numel() for tensor in inputs if tensor.requires_grad), ways


def section(options: argparse.Namespace, style: str) -> tuple[str, bool]:
    """Return the section, and whether every goal in it is met."""
    mode = "fast" if options.fast else "slow"
    chosen = evenly_chosen([*database(), *larger()], options.limit)
    found = list(measure("cost_operators", chosen, options.patience, "operator", mode=mode))
    peer = f"gradcheck, {mode}"
    # what gradcheck does not pass, or not in time, is no measure
    left = [e for e in found if (e.failed and e.running == peer) or (e.raised and e.running != GRADLAB)]
    asked = [each for each in found if each not in left]
    ended = [each for each in asked if not each.failed and not each.raised]
    lines, ok = bins(ended, peer, with_goals=not options.fast)
    told = {kind: [e for e in asked if verdict_of(e) == kind] for kind in ("refused", *BAD)}
    headers = ("elements", "operators", "gradlab", peer, "ratio", "goal", "median ratio", "p90")
    about = (
        f"`check_torch` with default arguments beside `gradcheck` in {mode} mode: float64, one thread, the best of "
        f"several calls in turns. Of {len(chosen)} operators that were tried, gradcheck itself passes {len(left)} not, "
        f"or not in {options.patience:g} s. The times are medians, the ratio is the geometric mean of gradlab's time "
        "over gradcheck's."
    )
    counted = ", ".join(f"{len(those)} {kind}" for kind, those in told.items())
    parts = [
        about,
        table(headers, lines, style),
        f"Of {len(asked)} right operators: {counted} (goal 0 of the last three).",
        *(
            "\n".join(f"- {e.name}: {kind}: {first_sentence(e)[0]}" for e in those)
            for kind, those in told.items()
        ),
        "Each operator:" if options.every else f"The {SLOWEST} with the largest ratios:",
        each_table(ended, peer, style, len(ended) if options.every else SLOWEST),
        "\n".join(f"- {e.name}: not passed by gradcheck: {e.failed or e.raised[:100]}" for e in left),
    ]
    good = ok and not any(told[kind] for kind in BAD)
    return "\n\n".join(filter(None, ["## Torch's operators", *parts])), good


def bins(ended: Sequence[Measured], peer: str, with_goals: bool) -> tuple[list[tuple[str, ...]], bool]:
    """Return a line of the table for each range of elements, and whether every goal is met."""
    lines, ok, low = [], True, 0
    for high, goal in BINS:
        inside = [each for each in ended if low <= each.elements < high]
        label = f"{low:,} to {high - 1:,}" if high < float("inf") else f"{low:,} and more"
        low = int(high) if high < float("inf") else low
        if not inside:
            continue
        ratios = [ratio for each in inside if (ratio := each.ratio(peer))]
        mean = geometric_mean(ratios)
        ok &= mean <= goal or not with_goals
        times = (seconds(median(each.seconds[way] for each in inside)) for way in (GRADLAB, peer))
        spread = f"{median(ratios):.3g}", f"{np.percentile(ratios, 90):.3g}"
        lines.append(
            (label, f"{len(inside)}", *times, f"{mean:.3g}", f"{goal:g}" if with_goals else "", *spread)
        )
    return lines, ok


def each_table(ended: Sequence[Measured], peer: str, style: str, most: int) -> str:
    """Return a table of so many operators, the largest ratio first."""
    rows = [
        (
            each.name,
            f"{each.elements:,}",
            *(seconds(each.seconds[way]) for way in (GRADLAB, peer)),
            f"{ratio:.3g}",
        )
        for each in sorted(ended, key=lambda each: -(each.ratio(peer) or 0))[:most]
        if (ratio := each.ratio(peer))
    ]
    return table(("operator", "elements", "gradlab", peer, "ratio"), rows, style)
