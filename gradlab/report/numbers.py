"""Numbers, times and counts as a reader is shown them."""

import math
from collections.abc import Sequence

from gradlab.report.rows import Row


def number(value: float | None) -> str:
    """Return an error in two digits, exact zero as 0."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def error_of(rows: Sequence[Row]) -> str:
    """Return the largest relative error of some rows, or what it lies below where the numerical side knows no more."""
    known = [(_most(row), row) for row in rows if row.relative_error is not None]
    if not known:
        return ""
    most, row = max(known, key=lambda pair: pair[0])
    return short(row.relative_error or 0.0) if _is_measured(row) else below(most)


def short(error: float) -> str:
    """Return an error in two digits, one that everybody can picture without an exponent."""
    return f"{error:.2g}" if 1e-3 <= error < 1e3 else number(error)


def below(bound: float) -> str:
    """Return the power of ten that a bound lies below."""
    if not 0 < bound < math.inf:
        return "0" if bound == 0 else ""
    return f"< 1e{math.ceil(math.log10(bound)):+03d}"


def _is_measured(row: Row) -> bool:
    """Return whether an error is larger than what the numerical side may be off by, or neither side is off at all."""
    error, bound = row.relative_error or 0.0, row.relative_bound or 0.0
    return error > bound or error == bound == 0


def _most(row: Row) -> float:
    error, bound = row.relative_error or 0.0, row.relative_bound or 0.0
    return error if _is_measured(row) else error + bound


def seconds(value: float | None) -> str:
    """Return a time with its unit."""
    if value is None:
        return ""
    if value == 0:
        return "0 s"
    if value >= 1000:
        return f"{value:,.0f} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def count(number: int, of: str) -> str:
    """Return a number of things, in words."""
    return f"{number} {of}{'' if number == 1 else 's'}"
