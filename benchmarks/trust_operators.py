"""What gradlab and gradcheck say of the gradients of torch's operators: the jobs and rows of ``benchmarks/trust.py``.

Torch's own database gives the operators, in float64 on the CPU, each at its first few small samples.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from cost_jobs import GRADLAB, Ways, evenly_chosen, gradchecks
from cost_operators import database, is_differentiated, samples_of, warm_up

from gradlab import check_torch

__all__ = ["job", "names", "warm_up"]

SAMPLES, ELEMENTS = 3, 400  # of an operator so many samples at most, with so many elements in all
MODES = ("slow", "fast")


def names(limit: int | None) -> list[str]:
    """Return the names of the jobs: an operator and the number of a sample; some samples may be missing."""
    chosen = evenly_chosen(list(database()), limit)
    return [f"{name} #{number}" for name in chosen for number in range(SAMPLES)]


def small_samples(
    op: Any, dtype: torch.dtype = torch.float64
) -> list[tuple[Callable[..., Any], list[torch.Tensor]]]:
    """Return an operator as functions of their differentiable tensors at its first small samples."""
    small = (
        (fn, tensors)
        for fn, tensors in samples_of(op, is_differentiated, dtype)
        if sum(tensor.numel() for tensor in tensors) <= ELEMENTS
    )
    return list(islice(small, SAMPLES))


def job(name: str) -> tuple[int, Ways]:
    """Return the elements of a sample, and who checks it; nobody does where there is no such sample."""
    title, _, number = name.rpartition(" #")
    op = database()[title]
    found = small_samples(op)
    if int(number) >= len(found):
        return 0, {}
    fn, tensors = found[int(number)]
    ways = {
        **gradchecks(fn, tensors, MODES, nondet_tol=op.gradcheck_nondet_tol, check_batched_grad=False),
        GRADLAB: lambda: check_torch(fn, *tensors, name=title),
    }
    return sum(tensor.numel() for tensor in tensors), ways
