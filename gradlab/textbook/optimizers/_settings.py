"""The settings of optimizers, checked: each function returns a Python float or says what to give.

A NumPy scalar would make float32 arithmetic float64; a Python float does not.
"""

import reprlib
from math import inf, nan
from numbers import Real
from typing import Any


def positive(name: str, value: Any, example: float) -> float:
    """Return a number above 0."""
    number = _real(value)
    if not 0 < number < inf:
        raise ValueError(f"{name} is {_shown(value)}: give a positive number, such as {example}")
    return number


def not_negative(name: str, value: Any) -> float:
    """Return a number from 0 up."""
    number = _real(value)
    if not 0 <= number < inf:
        raise ValueError(f"{name} is {_shown(value)}: give a number from 0 up")
    return number


def decay(name: str, value: Any) -> float:
    """Return the share of an average that is kept at each step, in [0, 1)."""
    number = _real(value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} is {_shown(value)}: give a number from 0 up to, but without, 1")
    return number


def _real(value: Any) -> float:
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan


def _shown(value: Any) -> str:
    return " ".join(reprlib.repr(value).split())
