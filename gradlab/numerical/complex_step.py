"""Derivatives by the complex step: to machine precision where f is analytic, and refused where f is not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradlab.node import Array, as_tuple
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.workers.strange_objects import text_of
from gradlab.workers.threads import noticing

# The step relative to x: its square is lost beside x, so that nothing is truncated; and nothing is subtracted.
STEP = 1e-30
# The real step of the witness, a central difference, and how far truncation may put the witness off; both relative.
WITNESS_STEP, WITNESS_RTOL = 1e-4, 1e-3


def complex_step(
    f: Callable[..., Any], points: Sequence[Array], which: int, cotangent: Any
) -> tuple[Array, int]:
    """Return the cotangent times the Jacobian for one primal, and the number of evaluations.

    Raises
    ------
    ValueError
        Where f is not analytic: it takes an absolute value, compares, casts to real numbers, or knows no complex
        numbers at all. Each element is held against a real central difference, the witness.

    Notes
    -----
    f(x + ih) = f(x) + i h f'(x) - h^2 f''(x) / 2 - ... Source: Squire and Trapp, 1998, SIAM Review 40.
    """
    x = points[which]

    def scalar(moved: Array) -> Any:
        return _inner(cotangent, f(*points[:which], moved, *points[which + 1 :]))

    value = np.empty_like(x)
    for index in np.ndindex(x.shape):
        moved = x.astype(np.result_type(x, np.complex64))
        h = STEP * max(float(abs(x[index])), 1e-200)
        moved[index] += 1j * h
        value[index] = _imaginary(scalar, moved) / h
        _check_with_witness(scalar, x, index, value[index])
    return value, 3 * x.size


def _imaginary(scalar: Callable[[Array], Any], moved: Array) -> Any:
    try:
        with noticing(np.exceptions.ComplexWarning) as discarded:
            value = np.imag(scalar(moved))
        if discarded:
            raise TypeError("it discards the imaginary part")
        return value
    except TypeError as error:
        raise ValueError(
            f"f does not compute in complex numbers ({text_of(error)}): use method='auto'"
        ) from error


def _check_with_witness(scalar: Callable[[Array], Any], x: Array, index: tuple[int, ...], value: Any) -> None:
    """Raise ValueError unless a real central difference agrees with the derivative `value`."""

    def line(at: Array) -> Any:
        moved = x.copy()
        moved[index] = at
        return np.real(scalar(moved))

    h = WITNESS_STEP * float(abs(x[index]) or 1.0)
    with np.errstate(all="ignore"):
        witness = numerical_gradient(line, np.array(x[index]), h)
    size = abs(line(x[index])) * float(np.finfo(x.dtype).eps) / h
    if not abs(value - witness) <= WITNESS_RTOL * abs(witness) + 100 * size:
        place = ", ".join(map(str, index))
        raise ValueError(
            f"f is not analytic at x[{place}]: the complex step gives {value:.6g}, real differences "
            f"{float(witness):.6g}: use method='auto'"
        )


def _inner(cotangent: Any, output: Any) -> Any:
    return sum(np.sum(g * y) for g, y in zip(as_tuple(cotangent), as_tuple(output), strict=True))
