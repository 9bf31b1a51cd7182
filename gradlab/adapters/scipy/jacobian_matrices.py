"""Jacobians in the forms that SciPy takes: arrays, sparse matrices and arrays of every format, linear operators."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gradlab.adapters.scipy.entry_mistakes import explanations
from gradlab.checks.trial import ContractError
from gradlab.diagnosis import Finding
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate, Method, estimate_jacobian
from gradlab.numerical.finite_difference import number_array, numerical_jacobian
from gradlab.report import Row
from gradlab.verdict import compare

# Up to so many entries, each has an estimate of its own. Of more, those rows do, and so many at the most, in which an
# entry is off from plain differences by this share of it, and of the largest in its column.
ENTRIES, ROWS, SUSPECT, SUSPECT_BESIDE = 1_000, 10, 1e-4, 1e-7
# So many numbers of f's outputs are kept, as every row of the Jacobian asks for the same points.
KEPT = 4_000_000


@dataclass(frozen=True, eq=False)
class Matrix:
    """A Jacobian of shape (outputs, elements).

    Attributes
    ----------
    transposed : callable
        ``transposed(g)``: its transpose times a vector.
    parts : tuple of (str, ndarray)
        Its entries; of a linear operator once as its matvec, and once as its rmatvec gives them.
    sparse : object or None
        The sparse matrix that it was given as.
    dense : ndarray or None
        The array that it was given as.
    """

    transposed: Callable[[Array], Array]
    parts: tuple[tuple[str, Array], ...]
    sparse: Any = None
    dense: Array | None = None


def matrix(
    given: Any, outputs: tuple[int, ...], elements: tuple[int, ...], what: str, whole: bool = False
) -> Matrix:
    """Return a Jacobian in any of SciPy's forms as a `Matrix`; `whole` asks a linear operator for all its entries.

    Raises
    ------
    ContractError
        If it is no matrix of that shape.
    """
    m, n = int(np.prod(outputs)), int(np.prod(elements))
    if hasattr(given, "matvec") and not isinstance(given, np.ndarray):
        return _of_operator(given, m, n, what, whole)
    sparse = given if hasattr(given, "toarray") else None
    array = np.asarray(given.toarray() if sparse is not None else given)
    allowed = [(m, n), (*outputs, *elements), *([elements] if m == 1 else [])]
    if array.shape not in allowed:
        raise ContractError(
            f"{what} returned shape {array.shape}, f has outputs of shape {outputs} and x has shape {elements}: "
            f"return shape ({m}, {n})"
        )
    if array.dtype.kind not in "fiub":
        raise ContractError(f"{what} returned {array.dtype}: return real floats")
    flat = array.reshape(m, n)
    return Matrix(lambda g: flat.T @ g, ((what, flat),), sparse, array)


def _of_operator(given: Any, m: int, n: int, what: str, whole: bool) -> Matrix:
    if given.shape != (m, n):
        raise ContractError(
            f"{what} returned an operator of shape {given.shape}: return one of shape ({m}, {n})"
        )
    parts = []
    adjoint = _has_adjoint(given, m)
    if whole or not adjoint:
        columns = [np.asarray(given.matvec(e)).reshape(m) for e in np.eye(n)]
        parts.append((f"{what}.matvec", np.stack(columns, axis=1) if columns else np.empty((m, 0))))
    if whole and adjoint:
        rows = [np.asarray(given.rmatvec(e)).reshape(n) for e in np.eye(m)]
        parts.append((f"{what}.rmatvec", np.stack(rows) if rows else np.empty((0, n))))
    if adjoint:
        return Matrix(lambda g: np.asarray(given.rmatvec(g)).reshape(n), tuple(parts))
    return Matrix(lambda g: parts[0][1].T @ g, tuple(parts))


def _has_adjoint(given: Any, m: int) -> bool:
    try:
        given.rmatvec(np.zeros(m))
    except NotImplementedError:
        return False
    return True


def entries(
    f: Callable[[Array], Array],
    jac: Callable[[Array], Any],
    x: Array,
    node: str,
    rtol: float | None,
    atol: float | None,
    method: Method,
) -> Iterator[tuple[Row, list[Finding]]]:
    """Yield a row for a Jacobian's worst entry, with its findings; nothing where f and jac cannot be compared."""
    try:
        y = number_array(f(x.copy()))
        found = matrix(jac(x.copy()), y.shape, x.shape, "jac", whole=True)
    except Exception:  # the checks before this one have told it
        return
    if not np.isfinite(y).all():
        return
    for name, part in found.parts:
        rows = np.arange(y.size) if y.size * x.size <= ENTRIES else _suspects(f, x, part)
        estimate = _estimate(f, x, rows, method)
        result = compare(part[rows], estimate, rtol=rtol, atol=atol, primal=name)
        if result.worst_index is not None:
            index = (int(rows[result.worst_index[0]]), result.worst_index[1])
            result = replace(result, worst_index=index)
        mistakes = list(explanations(found.sparse, part, rows, estimate, result))
        result = replace(result, note="; ".join([*filter(None, [result.note]), *map(_said, mistakes)]))
        yield Row(node, "given", "matches_numerical", dtype=str(x.dtype), **asdict(result)), mistakes


def _said(mistake: Finding) -> str:
    return f"{mistake.evidence}: {mistake.cure}"


def _suspects(f: Callable[[Array], Array], x: Array, part: Array) -> Array:
    """Return the rows of a Jacobian that plain differences cast doubt on, or the one that is off by most."""
    size = float(np.abs(x).max(initial=0.0)) or 1.0
    try:
        plain = numerical_jacobian(lambda at: f(at.copy()).reshape(-1), x.astype(np.float64), 1e-4 * size)
    except ValueError:  # a step leaves the domain, and nothing is known of any row
        return np.arange(min(1, part.shape[0]))
    off = np.abs(part - plain.reshape(part.shape))
    off = off / (
        SUSPECT * np.abs(plain.reshape(part.shape)) + SUSPECT_BESIDE * np.abs(part).max(axis=0) + 1e-300
    )
    worst = off.max(axis=1)
    order = np.argsort(-worst)[:ROWS]
    return np.sort(order[worst[order] > 1] if (worst > 1).any() else order[:1])


def _estimate(f: Callable[[Array], Array], x: Array, rows: Array, method: Method) -> Estimate:
    """Return some rows of the Jacobian by differences, shape (rows, elements); f is called once for each point."""

    @lru_cache(maxsize=max(1, KEPT // max(1, len(rows))))
    def at(numbers: bytes, kind: str) -> Array:
        return np.array(f(np.frombuffer(numbers, kind).reshape(x.shape).copy())).reshape(-1)[rows]

    found = estimate_jacobian(lambda moved: at(moved.tobytes(), moved.dtype.str), x, method=method)
    shape = (len(rows), x.size)
    arrays = {
        key: getattr(found, key).reshape(shape)
        for key in ("value", "error", "lower", "upper", "scale", "terms")
    }
    return replace(found, **arrays)
