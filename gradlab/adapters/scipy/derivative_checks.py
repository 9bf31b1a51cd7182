"""Gradients, Jacobians and Hessians as `scipy.optimize` takes them."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, Unpack

import numpy as np

from gradlab.adapters.scipy.derivatives import (
    Breaches,
    columns_of,
    name_of,
    plain_array,
    point,
    split,
    together,
)
from gradlab.adapters.scipy.jacobian_matrices import entries, matrix
from gradlab.checks import CHECKS
from gradlab.checks.trial import quiet
from gradlab.node import Array
from gradlab.report import Report
from gradlab.running.check_vjp import report_on_functions
from gradlab.running.foreign_function import place_of
from gradlab.running.options import CheckKeywords, options_of, takes_options
from gradlab.workers.strange_objects import shown
from gradlab.workers.threads import one_at_a_time


@one_at_a_time
@takes_options()
def check_gradient(
    f: Callable[..., Any],
    grad: Callable[..., Any] | bool,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the gradient of a scalar function.

    Parameters
    ----------
    f : callable
        ``f(x, *args) -> scalar``; with ``grad=True``, ``f(x, *args) -> (scalar, gradient)``.
    grad : callable or True
        ``grad(x, *args) -> ndarray`` of the shape of `x`.
    x : ndarray of floats
        The point; whole numbers are taken as floats.
    args : tuple
        Further arguments of both.

    Returns
    -------
    Report

    Examples
    --------
    >>> check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, np.array([3.0, 4.0])).ok
    True
    """
    options = options_of(check_gradient, keywords)
    f, grad = split(f, grad, "grad")
    options = replace(options, name=options.name or name_of(f))
    placed = {options.name or "": place} if (place := place_of(grad)) else {}
    x, seen = point(x), Breaches("grad")
    f, grad = seen.given(args, f, grad)
    _refuse_vector(f, x)
    forward, backward = _gradient_pair(f, grad, x.shape, seen)
    # of a scalar's gradient the user knows the numbers, which a factor would hide
    report = report_on_functions(forward, backward, (x,), options, fixed_shapes=True, unit_cotangent=True)
    report = replace(report, places=placed)
    return seen.told(report, options.strict)


def _refuse_vector(f: Callable[..., Any], x: Array) -> None:
    """Raise ValueError if a function gives an array; what else it may do, the report says."""
    with quiet():
        try:
            shape = np.shape(f(x.copy()))
        except Exception:
            return
    if prod(shape) != 1:
        raise ValueError(f"f returned shape {shape}: return one real number, or use check_jacobian")


def _gradient_pair(
    f: Callable[..., Any],
    grad: Callable[..., Any],
    shape: tuple[int, ...],
    seen: Breaches,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a scalar function and its gradient as the node contract has them."""

    def forward(x: Array) -> tuple[Array, Array]:
        value = np.asarray(f(x))
        if value.size != 1:
            raise ValueError(f"f returned shape {value.shape}: return one real number, for example its sum")
        # another number of unknowns is only for those that both can take
        if x.shape != shape and plain_array(grad(x.copy())).shape != x.shape:
            raise ValueError("grad is meant for another number of unknowns")
        # a copy: the caller may move x before backward looks at it
        return value.reshape(()), x.copy()

    def backward(x: Array, g: Array) -> tuple[Array, ...]:
        d = seen.call(lambda given: plain_array(grad(given)), x)
        if d.shape in ((1, *x.shape), (*x.shape, 1)) and x.size > 1:
            cure = "return it in the shape of x, as most of SciPy's methods refuse another"
            seen.found["shapes_and_dtypes"] = f"grad returned shape {d.shape}, x has shape {x.shape}: {cure}"
            d = d.reshape(x.shape)
        with np.errstate(all="ignore"):  # at infinity nobody has a product
            return (np.asarray(g * (d.reshape(x.shape) if d.size == x.size == 1 else d)),)

    return forward, backward


@one_at_a_time
@takes_options()
def check_jacobian(
    f: Callable[..., Any],
    jac: Callable[..., Any] | bool,
    x: Any,
    *,
    args: tuple[Any, ...] = (),
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the Jacobian of a vector-valued function, every entry of it.

    Parameters
    ----------
    f : callable
        ``f(x, *args) -> ndarray`` of shape (m,); with ``jac=True``, ``f(x, *args) -> (values, jacobian)``.
    jac : callable or True
        ``jac(x, *args)`` of shape (m, n): an array, a matrix or array of any of SciPy's sparse formats, or a
        LinearOperator. An entry that a sparse pattern forgets is a wrong entry.
    x : ndarray of floats, shape (n,)
        The point; whole numbers are taken as floats.
    args : tuple
        Further arguments of both.

    Returns
    -------
    Report
        With a row for "jac", entry by entry, whose ``worst_index`` is (row, column); for a LinearOperator one for its
        matvec and one for its rmatvec.

    Examples
    --------
    >>> report = check_jacobian(lambda x: x**2, lambda x: np.diag(3 * x), np.array([3.0, 4.0]))
    >>> report.faults[0].name
    'constant-factor'
    """
    options = options_of(check_jacobian, keywords)
    f, jac = split(f, jac, "jac")
    title = options.name or name_of(f)
    placed = {title: place} if (place := place_of(jac)) else {}
    x, seen = point(x), Breaches("jac")
    f, jac = seen.given(args, f, jac)
    forward, backward = _jacobian_pair(f, jac, x.shape, seen)
    # SciPy computes in double precision, whatever it is given
    chosen = [c for c in CHECKS if c != "works_in_float32"] if options.checks is None else options.checks
    changed = replace(options, checks=chosen, name=title)
    # a function of n unknowns is one of n unknowns: its data, which nobody sees here, have a length
    report = report_on_functions(forward, backward, (x,), changed, fixed_shapes=True)
    report = replace(report, places=placed)
    report = seen.told(report, options.strict)
    if "matches_numerical" not in chosen:
        return report
    found = list(
        entries(lambda at: plain_array(f(at)), jac, x, title, options.rtol, options.atol, options.method)
    )
    # entry by entry more is known than of products with the whole, which make other mistakes of them
    mistakes = [mistake for _, some in found for mistake in some]
    findings = dict(report.findings)
    if mistakes:
        findings[title] = mistakes
    return replace(report, rows=[*(row for row, _ in found), *report.rows], findings=findings)


def _jacobian_pair(
    f: Callable[..., Any],
    jac: Callable[..., Any],
    given_shape: tuple[int, ...],
    seen: Breaches,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a function and its Jacobian as the node contract has them."""

    def forward(x: Array) -> tuple[Array, tuple[Array, tuple[int, ...]]]:
        y = plain_array(f(x))
        if x.shape != given_shape:
            matrix(jac(x.copy()), y.shape, x.shape, "jac")
        return y, (x.copy(), y.shape)

    def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
        x, shape = residuals
        found = seen.call(lambda given: matrix(jac(given), shape, given.shape, "jac"), x)
        return (found.transposed(g.reshape(-1)).reshape(x.shape),)

    return forward, backward


@one_at_a_time
@takes_options()
def check_hessian(
    f: Callable[..., Any],
    grad: Callable[..., Any] | bool,
    hess: Callable[..., Any] | None,
    x: Any,
    *,
    hessp: Callable[..., Any] | None = None,
    args: tuple[Any, ...] = (),
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the gradient of a scalar function, and its Hessian against differences of the gradient.

    Parameters
    ----------
    f, grad, x, args
        As for `check_gradient`.
    hess : callable or None
        ``hess(x, *args)`` of shape (n, n): whatever `check_jacobian` takes for `jac`.
    hessp : callable, optional
        ``hessp(x, p, *args)``: the Hessian times a vector.

    Returns
    -------
    Report
        The rows of "NAME, gradient", "NAME, hess" and "NAME, hessp".

    Raises
    ------
    TypeError
        If there is nothing hand-written to check.

    Examples
    --------
    >>> x = np.array([3.0, 4.0])
    >>> check_hessian(lambda x: np.sum(x**3), lambda x: 3 * x**2, lambda x: np.diag(6 * x), x).ok
    True
    """
    options = options_of(check_hessian, keywords)
    f, grad = split(f, grad, "grad")
    if not callable(hess) and not callable(hessp):
        raise TypeError(f"hess is {shown(hess)}, which SciPy approximates itself: pass a function, or hessp=")
    title = options.name or name_of(f)
    common: dict[str, Any] = {**keywords, "args": args}
    parts = [check_gradient(f, grad, x, **common | {"name": f"{title}, gradient"})]

    def slope(x: Array, *args: Any) -> Array:
        return plain_array(grad(x, *args))

    if callable(hess):
        parts.append(check_jacobian(slope, hess, x, **common | {"name": f"{title}, hess"}))
    if callable(hessp):
        parts.append(check_jacobian(slope, columns_of(hessp), x, **common | {"name": f"{title}, hessp"}))
    return together(parts)
