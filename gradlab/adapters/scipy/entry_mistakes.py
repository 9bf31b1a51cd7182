"""The mistakes that explain a wrong Jacobian, entry by entry."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.diagnosis import Finding
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate
from gradlab.verdict import CheckResult, Verdict, compare

# A column is a multiple of the right one if no more than this share of its largest entry is left.
LEFT = 1e-5


def explanations(
    sparse: Any, part: Array, rows: Array, estimate: Estimate, result: CheckResult
) -> Iterator[Finding]:
    """Yield the mistakes that would explain a wrong entry.

    Parameters
    ----------
    sparse : object or None
        The sparse matrix that the Jacobian was given as.
    part : ndarray
        The Jacobian.
    rows : ndarray of int
        Those of its rows that the estimate is of.
    estimate : Estimate
    result : CheckResult
        What comparing them gave.
    """
    if result.verdict is not Verdict.WRONG or result.worst_index is None:
        return
    whole = part.shape[0] == len(rows)
    square = whole and part.shape[0] == part.shape[1]
    if square and compare(part.T, estimate).verdict.ok:
        yield Finding("transposed", result.primal, 1.0, "its transpose is right", "exchange rows and columns")
    if square and any(compare(mirrored, estimate).verdict.ok for mirrored in _mirrored(part)):
        evidence = "only one of its triangles is filled in, and mirrored it is right"
        yield Finding("missing-term", result.primal, 1.0, evidence, "fill in the other triangle too")
    if _is_forgotten(sparse, result.worst_index):
        row, column = result.worst_index
        evidence = f"the sparsity pattern has no entry ({row}, {column})"
        yield Finding("missing-term", result.primal, 1.0, evidence, "add it")
    elif part.size > 2 and _with_one_mended(part[rows], estimate):
        evidence = f"one entry alone is wrong, {result.worst_index} of shape {part.shape}"
        yield Finding("single-element", result.primal, 0.95, evidence, "look for an assignment to one entry")
    elif whole and part.any() and min(part.shape) > 1:
        yield from _of_slices(part, estimate, result.primal)


def _of_slices(part: Array, estimate: Estimate, primal: str) -> Iterator[Finding]:
    """Yield the mistake of a matrix that is diagonal, or of which some columns, or some rows, are wrong."""
    right = estimate.value
    own: Array = np.eye(*part.shape) == 1
    diagonal = part.shape[0] == part.shape[1] and _fits(np.where(own, part, right), estimate)
    if diagonal and not part[~own].any():
        evidence = "its diagonal is right, and all beside it is zero"
        cure = "fill in how each output depends on the other elements"
        yield Finding("missing-term", primal, 0.95, evidence, cure)
        return
    for what, axis in (("column", 1), ("row", 0)):
        there, meant = np.moveaxis(part, axis, 0), np.moveaxis(right, axis, 0)
        wrong = [k for k in range(len(meant)) if not _fits(_with_slice(right, axis, k, there[k]), estimate)]
        if len(wrong) < len(meant):
            yield from _of_some(there, meant, wrong, what, primal)
            return
        order = _order(there, meant)
        if order:
            evidence = f"its {what}s are the right ones in the order {', '.join(map(str, order))}"
            yield Finding("columns-exchanged", primal, 0.95, evidence, f"put each {what} in its place")
            return


def _of_some(there: Array, meant: Array, wrong: list[int], what: str, primal: str) -> Iterator[Finding]:
    """Yield what some wrong slices have in common, the others being right."""
    named = f"{what}{'s' if len(wrong) > 1 else ''} {' and '.join(map(str, wrong))}"
    if len(wrong) > 1 and _order(there[wrong], meant[wrong]):
        evidence = f"{named} stand in each other's place"
        yield Finding("columns-exchanged", primal, 0.95, evidence, f"put each {what} in its place")
        return
    factor = float(np.sum(there[wrong] * meant[wrong]) / (np.sum(meant[wrong] ** 2) or 1.0))
    size = float(np.abs(meant[wrong]).max())
    if np.abs(there[wrong] - factor * meant[wrong]).max() > LEFT * size:
        evidence = f"{named} alone {'are' if len(wrong) > 1 else 'is'} wrong"
        yield Finding("masked-region", primal, 0.9, evidence, "look at what is computed there alone")
    elif abs(factor) < LEFT:
        yield Finding("missing-term", primal, 0.95, f"{named} of it: empty", "fill it in")
    elif abs(factor + 1) < LEFT:
        yield Finding("sign-flipped", primal, 0.95, f"analytic = -numerical in {named}", "turn its sign")
    else:
        cure = "look for a factor that is missing, or doubled, there"
        yield Finding("constant-factor", primal, 0.95, f"analytic = {factor:.6g} numerical in {named}", cure)


def _order(there: Array, meant: Array) -> list[int]:
    """Return which of the right slices each slice is; empty if they are not the right ones in another order."""
    near = LEFT * float(np.abs(meant).max())
    alike = (np.abs(there[:, None] - meant[None]) <= near).all(axis=2)
    exact = bool((alike.sum(axis=0) == 1).all() and (alike.sum(axis=1) == 1).all())
    order = [int(k) for k in alike.argmax(axis=1)]
    return order if exact and order != sorted(order) else []


def _fits(part: Array, estimate: Estimate) -> bool:
    return compare(part, estimate).verdict.ok


def _with_slice(right: Array, axis: int, k: int, values: Array) -> Array:
    """Return the right matrix with one column, or row, in the place of its own."""
    changed = right.copy()
    np.moveaxis(changed, axis, 0)[k] = values
    return changed


def _mirrored(part: Array) -> Iterator[Array]:
    """Yield a matrix of which one triangle is empty with that filled in from the other."""
    for one, other in ((np.triu(part, 1), np.tril(part, -1)), (np.tril(part, -1), np.triu(part, 1))):
        if one.any() and not other.any():
            yield part + one.T


def _with_one_mended(part: Array, estimate: Estimate) -> bool:
    """Return whether all is right but the worst entry."""
    mended = part.copy()
    worst = np.unravel_index(np.argmax(np.abs(part - estimate.value)), part.shape)
    mended[worst] = estimate.value[worst]
    return compare(mended, estimate).verdict.ok


def _is_forgotten(sparse: Any, index: tuple[int, ...]) -> bool:
    """Return whether an entry is missing from the sparsity pattern."""
    if sparse is None:
        return False
    pattern = sparse.tocoo()
    rows, columns = (np.zeros_like(pattern.coords[0]), *pattern.coords)[-2:]  # a vector is one row
    return not bool(((rows == index[0]) & (columns == index[1])).any())
