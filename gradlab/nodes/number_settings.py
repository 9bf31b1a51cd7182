"""Settings that are plain numbers, as Python floats: arithmetic with these leaves float32 arrays in float32."""

import math
from typing import Any


def number(value: Any, name: str) -> float:
    """Return `value` as a Python float, which may be infinite.

    Raises
    ------
    ValueError
        If `value` is no number, or NaN.
    """
    found = _float_or_nan(value)
    if math.isnan(found):
        raise ValueError(f"{name} is {value!r}: give a number, which may be inf or -inf")
    return found


def finite_number(value: Any, name: str) -> float:
    """Return `value` as a Python float.

    Raises
    ------
    ValueError
        If `value` is no number, infinite or NaN.
    """
    found = _float_or_nan(value)
    if not math.isfinite(found):
        raise ValueError(f"{name} is {value!r}: give a finite number")
    return found


def _float_or_nan(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
