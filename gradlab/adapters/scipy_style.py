"""A scalar function and its gradient, as `scipy.optimize` takes them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks._trial import same_bits
from gradlab.compare import Verdict
from gradlab.directional import FULL_BELOW
from gradlab.harness import check_vjp, float_primal
from gradlab.node import Array
from gradlab.report import Report


def check_gradient(
    f: Callable[..., Any],
    grad: Callable[..., Any],
    x: Array,
    *,
    args: tuple[Any, ...] = (),
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    checks: Sequence[str] | None = None,
    explore: bool = True,
    strict: bool = False,
    full_below: int | None = FULL_BELOW,
    name: str | None = None,
) -> Report:
    """Check the gradient of a scalar function.

    Parameters
    ----------
    f : callable
        ``f(x, *args) -> scalar``.
    grad : callable
        ``grad(x, *args) -> ndarray`` of the shape of `x`.
    x : ndarray of floats
        The point.
    args : tuple
        Further arguments of both.
    rtol, atol, seed, checks, explore, name
        As for `check_vjp`.
    strict : bool
        Whether to hold `grad` to the whole node contract; otherwise a breach of it that leaves the numbers right is
        a warning.
    full_below : int, optional
        An `x` of more elements than this, 10,000, is checked along random directions: as for `check_vjp`.

    Returns
    -------
    Report

    Examples
    --------
    >>> check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, np.array([3.0, 4.0])).ok
    True
    """
    breaches: dict[str, str] = {}

    def forward(x: Array) -> tuple[Array, Array]:
        value = np.asarray(f(x, *args))
        if value.shape != ():
            raise ValueError(f"f returned shape {value.shape}: return one real number, for example its sum")
        # a copy: the caller may move x before backward looks at it
        return value, x.copy()

    def backward(x: Array, g: Array) -> tuple[Array, ...]:
        # what grad does to its x, and to what it returned before, no longer shows in a product with g
        given, last = x.copy(), kept.get("last")
        d = np.asarray(grad(given, *args))
        if not same_bits(given, x):
            breaches["leaves_arguments_unchanged"] = "grad writes into x: write into a copy"
        if np.shares_memory(d, given) or (last is not None and np.shares_memory(d, last)):
            breaches["owns_its_memory"] = (
                "grad returns x itself, or the same array in every call: return a copy"
            )
        kept["last"] = d
        return (np.asarray(g * d),)

    kept: dict[str, Array] = {}
    name = name or getattr(f, "__name__", type(f).__name__)
    report = check_vjp(
        forward,
        backward,
        (float_primal(x, "x"),),
        rtol=rtol,
        atol=atol,
        seed=seed,
        checks=checks,
        explore=explore,
        strict=strict,
        full_below=full_below,
        name=name,
    )
    verdict = Verdict.WRONG if strict else Verdict.WARNING
    rows = [
        replace(row, verdict=verdict, note=breaches[row.check]) if row.check in breaches else row
        for row in report.rows
    ]
    return replace(report, rows=rows)
