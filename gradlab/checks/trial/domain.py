"""The numbers that a function is meant for, and how other numbers are brought among them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.workers.strange_objects import shown, text_of

# Brings an array of any numbers into a domain, and leaves one that lies in it as it is.
Inside = Callable[[Array], Array]
# How far inside the numbers come to lie that would lie on an end which is no part of the domain.
INSIDE = 2.0**-10
CURE = "give 'positive', 'unit', 'simplex', (low, high), a function of an array, or a dict of these by primal"


def domains_of(given: Any) -> Mapping[str, Inside] | Inside | None:
    """Return what `domain=` says, as one function of arrays, or one for each primal that is named.

    Parameters
    ----------
    given : {"positive", "unit", "simplex"}, pair, callable, mapping or None
        A pair is an interval, whose ends may be None, as SciPy's bounds are given.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(given, Mapping):
        return {str(name): _inside(part) for name, part in given.items()}
    return None if given is None else _inside(given)


def _inside(given: Any) -> Inside:
    if callable(given):
        return partial(_by_function, given)
    if isinstance(given, str) and given in NAMED:
        return NAMED[given]
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        low, high = (None if end is None or np.isinf(end) else float(end) for end in given)
        if low is None or high is None or low < high:
            return partial(_between, low, high)
    raise ValueError(f"domain is {shown(given)}: {CURE}")


def check_domain_names(domains: Mapping[str, Inside] | Inside | None, names: Sequence[str]) -> None:
    """Raise ValueError if a domain is given for a primal that there is not."""
    unknown = [name for name in domains if name not in names] if isinstance(domains, Mapping) else []
    if unknown:
        raise ValueError(f"domain names {', '.join(unknown)}: the primals are {', '.join(names)}")


def brought_inside(
    domains: Mapping[str, Inside] | Inside | None, names: Sequence[str], primals: Sequence[Array]
) -> tuple[Array, ...]:
    """Return the primals, each brought into its domain if it has one."""
    if domains is None:
        return tuple(primals)
    own = domains.get if isinstance(domains, Mapping) else lambda name: domains
    return tuple(x if (to := own(name)) is None else to(x) for name, x in zip(names, primals, strict=True))


def _by_function(function: Callable[[Array], Any], x: Array) -> Array:
    try:
        moved = np.asarray(function(x.copy()), x.dtype)
    except Exception as error:
        told = f"domain raised {type(error).__name__} ({text_of(error)})"
        raise ValueError(f"{told}: let it take any array of floats") from error
    if moved.shape != x.shape:
        raise ValueError(
            f"domain returned shape {moved.shape} for {x.shape}: return an array of the same shape"
        )
    return moved


def _positive(x: Array) -> Array:
    return np.asarray(np.where(x == 0, INSIDE, np.abs(x)), x.dtype)


def _unit(x: Array) -> Array:
    mirrored = _between(0.0, 1.0, x)
    at_zero, at_one = mirrored == 0, mirrored == 1
    return np.asarray(np.where(at_zero, INSIDE, np.where(at_one, 1 - INSIDE, mirrored)), x.dtype)


def _between(low: float | None, high: float | None, x: Array) -> Array:
    """Return the numbers mirrored at the ends, as often as it takes."""
    if low is None or high is None:
        if low is not None:
            x = np.where(x < low, 2 * low - x, x)
        if high is not None:
            x = np.where(x > high, 2 * high - x, x)
        return np.asarray(x)
    width = high - low
    turns = np.mod(x - low, 2 * width)
    mirrored = low + np.where(turns > width, 2 * width - turns, turns)
    return np.asarray(np.where((low <= x) & (x <= high), x, np.clip(mirrored, low, high)), x.dtype)


def _simplex(x: Array) -> Array:
    """Return rows, along the last axis, of numbers that are not negative and add up to 1."""
    size = np.abs(x)
    total = size.sum(axis=-1, keepdims=True)
    rows = np.where(total > 0, size, 1) / np.where(total > 0, total, x.shape[-1] if x.ndim else 1)
    lies_inside = (x >= 0).all(axis=-1, keepdims=True) & (np.abs(total - 1) <= 1e-6)
    return np.asarray(np.where(lies_inside, x, rows), x.dtype)


NAMED: Mapping[str, Inside] = {"positive": _positive, "unit": _unit, "simplex": _simplex}
