"""A large model's gradient along random directions: all parameters together are one vector."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from gradlab.directions import check_along_directions, flat_point
from gradlab.node import Array, named_rng
from gradlab.numerical.estimate import Method
from gradlab.report import Row
from gradlab.verdict import CheckResult, Verdict

# The worst first.
ORDER = (Verdict.WRONG, Verdict.INCONCLUSIVE, Verdict.KINK, Verdict.PASS)


def rows_along(
    loss: Callable[[], float],
    here: float,
    params: Mapping[str, Array],
    analytic: Mapping[str, Array],
    common: Mapping[str, Any],
    seed: int,
    rtol: float | None,
    atol: float | None,
    method: Method,
) -> list[Row]:
    """Return a row for each parameter, and one named "all", of a loss that is computed with these very arrays.

    `here` is the loss with them as they are. The arrays are moved in place, and restored.
    """
    shaped = [key for key, p in params.items() if key in analytic and analytic[key].shape == p.shape]
    moved = [params[key] for key in shaped]
    saved = [p.copy() for p in moved]

    def f(*values: Array) -> float:
        for p, value in zip(moved, values, strict=True):
            p[...] = value
        return loss()

    results: dict[str, CheckResult] = {}
    try:
        point = flat_point(f, saved, [analytic[key] for key in shaped], shaped, abs(here))
        rng = named_rng(seed, common["node"], "directions")
        found = (
            check_along_directions(point, rng, rtol=rtol, atol=atol, method=method).results if shaped else []
        )
        results = {result.primal: result for result in found}
    finally:
        for p, value in zip(moved, saved, strict=True):
            p[...] = value
    for key in params:
        results.setdefault(key, _shapeless(key, analytic.get(key), params[key]))
    ordered = [results[key] for key in params]
    dtypes = [str(analytic[key].dtype) if key in analytic else "" for key in params]
    size = sum(p.size for p in params.values())
    return [
        Row(check="matches_numerical", dtype=dtype, **common, **asdict(result))
        for result, dtype in zip([*ordered, _all(ordered, size)], [*dtypes, dtypes[0]], strict=True)
    ]


def _shapeless(key: str, analytic: Array | None, parameter: Array) -> CheckResult:
    shape = "missing" if analytic is None else f"of shape {analytic.shape}"
    note = f"the gradient is {shape}, and the parameter of shape {parameter.shape}"
    return CheckResult(Verdict.WRONG, key, note=note)


def _all(results: Sequence[CheckResult], size: int) -> CheckResult:
    """Return the worst result as that of all parameters."""
    worst = min(results, key=lambda result: ORDER.index(result.verdict))
    known, of_element = (
        max((value for r in results if (value := getattr(r, name)) is not None), default=None)
        for name in ("sensitivity", "element_sensitivity")
    )
    evaluations = max((r.evaluations for r in results if r.evaluations is not None), default=None)
    note = f"{size:,} elements as one vector, along random directions; worst: {worst.primal}"
    return replace(
        worst,
        primal="all",
        worst_index=None,
        sensitivity=known,
        element_sensitivity=of_element,
        evaluations=evaluations,
        note=note,
    )
