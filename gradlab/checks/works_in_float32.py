"""In single precision backward gives the same gradients, to that precision, in arrays of that precision."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, map_arrays, quiet
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.verdict import CheckResult, Verdict

EPS = float(np.finfo(np.float32).eps)


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradients of float32 primals, settings and cotangent with those of the same numbers in float64."""
    if any(x.dtype != np.float64 for x in trial.sample.primals):
        return
    single, double = (
        trial.at(
            f"in {name}",
            [x.astype(np.float32).astype(dtype) for x in trial.primals()],
            {k: _cast(_cast(v, np.float32), dtype) for k, v in trial.settings().items()},
        )
        for name, dtype in (("float32", np.float32), ("float32's numbers", np.float64))
    )
    with quiet():
        if not single.accepted or not double.accepted:
            return
        g = map_arrays(lambda part: part.astype(np.float32), trial.cotangent())
        wide = map_arrays(lambda part: part.astype(np.float64), g)
        expected = double.gradients(wide)
        found = single.gradients(
            tuple(a.astype(np.asarray(y).dtype) for a, y in zip(g, single.output, strict=True))
            if isinstance(g, tuple)
            else g.astype(np.asarray(single.output).dtype)
        )
    for i, (name, a, b) in enumerate(zip(trial.names, found, expected, strict=True)):
        if a.dtype != np.float32:
            note = f"for float32 the gradient of {name} is {a.dtype}: keep the primal's dtype (np.float64 changes it)"
            yield CheckResult(trial.breach if trial.registered else Verdict.WARNING, name, note=note)
        else:
            # in float64, so that it is the rounding of the primals alone that moves them, and not a loss of digits
            yield compare_two_gradients(trial, i, a, b, point=double, g=wide, eps=EPS)


def _cast(value: Any, dtype: Any) -> Any:
    floats = isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
    return value.astype(dtype) if floats else value
