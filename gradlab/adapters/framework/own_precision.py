"""Gradients in half precision, judged by the tolerance of their own dtype."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from math import log2

import numpy as np

from gradlab.adapters.framework.leaves import Leaf
from gradlab.checks import Trial
from gradlab.checks.trial import error_text, map_arrays
from gradlab.checks.trial.large_primals import directional_outcome_of
from gradlab.node import Array
from gradlab.report import Row
from gradlab.verdict import ATOL_ULPS, RTOL, CheckResult, Verdict, atol_for, compare

# The spacing of numbers at 1; the tolerance of bfloat16 is as many of its ulps as that of float16 is of its own.
HALF_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def is_half(leaf: Leaf) -> bool:
    """Return whether a leaf is of half precision."""
    return leaf.dtype in HALF_EPS


def own_precision(leaves: Sequence[Leaf], trial: Trial) -> Iterator[Row]:
    """Yield a row for each gradient in the leaves' own precision, compared with the trial's estimate.

    Parameters
    ----------
    leaves : sequence of Leaf
    trial : Trial
        The same numbers in double precision, or, of a function that takes no other, in their own.
    """
    try:
        found = list(_judged(leaves, trial))
    except Exception as error:
        found = [CheckResult(Verdict.WRONG, note=error_text(error))]
    own = {leaf.name: leaf.dtype for leaf in leaves}
    everything = ", ".join(dict.fromkeys(own.values()))
    for result in found:
        dtype = own.get(result.primal, everything)
        yield Row(
            trial.node.name, f"given, in {everything}", "matches_numerical", dtype=dtype, **asdict(result)
        )


def _judged(leaves: Sequence[Leaf], trial: Trial) -> Iterator[CheckResult]:
    residuals = trial.node.forward(*(leaf.value.copy() for leaf in leaves), **trial.settings())[1]
    g = trial.cotangent()
    own = replace(trial, sample=replace(trial.sample, primals=tuple(leaf.value for leaf in leaves)))
    gradients = own.well_formed(trial.node.backward(residuals, map_arrays(np.array, g)))
    # one array rounds as much as the coarsest that it was computed from
    coarsest = max((leaf.dtype for leaf in leaves if is_half(leaf)), key=lambda name: HALF_EPS[name])
    rtol = _rtol(coarsest) if trial.rtol is None else trial.rtol
    if trial.is_large:
        yield from _along_directions(trial, gradients, rtol, HALF_EPS[coarsest])
        return
    ratio = HALF_EPS[coarsest] / float(np.finfo(np.float32).eps)
    for name, d, estimate in zip(trial.names, gradients, trial.estimates, strict=True):
        atol = ratio * atol_for(estimate, np.float32) if trial.atol is None else trial.atol
        result = compare(d, estimate, rtol=rtol, atol=atol, primal=name)
        size, off = (float(np.max(np.abs(x), initial=0.0)) for x in (estimate.value, d - estimate.value))
        lost = bits_lost(off, ulp(size, coarsest))
        yield replace(result, note="; ".join(filter(None, [result.note, lost])))


def ulp(size: float, dtype: str) -> float:
    """Return the unit in the last place of a number of this size; 0 for no number."""
    if not size or not np.isfinite(size):
        return 0.0
    dtype = {"complex128": "float64", "complex64": "float32"}.get(dtype, dtype)
    eps = HALF_EPS[dtype] if dtype in HALF_EPS else float(np.finfo(dtype).eps)
    return float(eps * 2.0 ** np.floor(np.log2(size)))


def bits_lost(off: float, unit: float) -> str:
    """Return how many of the bits of a number an error takes, in words."""
    return f"loses {log2(off / unit):.1f} bits" if unit and off > unit else "loses no bits"


def _rtol(dtype: str) -> float:
    return RTOL["float16"] * HALF_EPS[dtype] / HALF_EPS["float16"]


def _along_directions(
    trial: Trial, gradients: Sequence[Array], rtol: float, eps: float
) -> Iterator[CheckResult]:
    size = max(float(np.nan_to_num(np.abs(d)).max(initial=0.0)) for d in gradients)
    atol = ATOL_ULPS * eps * size if trial.atol is None else trial.atol
    yield from directional_outcome_of(trial, gradients, rtol, atol).results
