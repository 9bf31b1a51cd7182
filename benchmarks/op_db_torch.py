"""Torch's operators by every question that gradcheck has for them: the jobs of ``benchmarks/op_db.py``.

The database says of each operator which questions it has an answer to.
"""

from functools import partial
from typing import Any

import torch
from cost_jobs import Ways, evenly_chosen
from cost_operators import database, warm_up
from torch.autograd import gradcheck, gradgradcheck
from trust_operators import SAMPLES, small_samples

from gradlab import check_torch

__all__ = ["job", "names", "warm_up"]

FLOAT, COMPLEX = "float64", "complex128"
# What both are asked, in the words of the ways of a job.
QUESTIONS = ("reverse mode", "forward mode", "second order")


def names(limit: int | None) -> list[str]:
    """Return the names of the jobs: an operator, a dtype and the number of a sample; some samples may be missing."""
    chosen = evenly_chosen(list(database()), limit)
    return [f"{name}, {dtype} #{i}" for name in chosen for dtype in (FLOAT, COMPLEX) for i in range(SAMPLES)]


def job(name: str) -> tuple[int, Ways]:
    """Return the elements of a sample, and who is asked what; nobody is where there is no such sample."""
    rest, _, number = name.rpartition(" #")
    title, _, called = rest.rpartition(", ")
    op, dtype = database()[title], getattr(torch, called)
    if dtype not in op.supported_backward_dtypes("cpu"):
        return 0, {}
    found = small_samples(op, dtype)
    if int(number) >= len(found):
        return 0, {}
    fn, tensors = found[int(number)]
    return sum(tensor.numel() for tensor in tensors), ways_of(op, fn, tensors, title)


def ways_of(op: Any, fn: Any, tensors: list[torch.Tensor], title: str) -> Ways:
    """Return gradlab and gradcheck with each question that the operator has an answer to."""
    more = {"nondet_tol": op.gradcheck_nondet_tol, "check_batched_grad": False}
    ours = partial(check_torch, fn, *tensors, name=title)
    ways: dict[str, Any] = {
        "gradlab, reverse mode": ours,
        "torch, reverse mode": lambda: gradcheck(fn, tuple(tensors), **more),
    }
    if op.supports_forward_ad:
        ways["gradlab, forward mode"] = partial(ours, checks=["forward_mode"])
        ways["torch, forward mode"] = lambda: gradcheck(
            fn,
            tuple(tensors),
            check_forward_ad=True,
            check_backward_ad=False,
            check_undefined_grad=False,
            **more,
        )
    if op.supports_gradgrad:
        ways["gradlab, second order"] = partial(ours, checks=["second_derivative"], order=2)
        ways["torch, second order"] = lambda: gradgradcheck(
            fn, tuple(tensors), check_fwd_over_rev=op.supports_fwgrad_bwgrad, **more
        )
    return ways
