"""Losses as sums over the rows of the batch, so that a row that has moved is not added up with all others anew.

Each loss is the forward formula of its node, written for copies of some rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.nodes.class_labels import batch_size, target_rows
from gradlab.textbook.incremental.node_kinds import registered_name

Terms = Callable[[Array, Array], Array]

# Sums of exponentials between these are taken as they are, and otherwise with the largest exponent at 0.
SMALL, LARGE = 1e-30, 1e30


@dataclass(frozen=True)
class RowLoss:
    """A loss that is a sum over rows.

    Attributes
    ----------
    of_rows : callable
        ``of_rows(rows)`` takes the numbers of M rows of the batch and returns a function of copies of them, shape
        (M, ...), that gives M losses; those of all rows add up to the loss of the batch.
    of_columns : callable
        ``of_columns(rows, units, moved)`` returns the same losses, shape (B, M), where column ``units[i]`` of a
        matrix's rows holds ``moved[i]``; terms that do not depend on the column are left out, so that only differences
        mean something.
    """

    of_rows: Callable[[Array], Callable[[Array], Array]]
    of_columns: Callable[[Array, Array, Array], Array]


def row_loss(forward: Callable[..., Any], x: Array, t: Array, settings: Mapping[str, Any]) -> RowLoss | None:
    """Return the loss of a registered node as a sum over rows, or None if it is not known as such a sum.

    Parameters
    ----------
    forward : callable
        The node's.
    x, t : ndarray
        The value that the loss is taken of, for the whole batch, and the targets.
    settings : mapping
        The node's other settings.
    """
    make = _LOSSES.get(registered_name(forward))
    if make is None or not set(settings) <= {"delta"}:
        return None
    return make(x, np.asarray(t), **settings)


def sum_of_terms(terms: Terms, t: Array, count: float) -> RowLoss:
    """Return a loss that has a term for each element, ``terms(x, t)``, and is their sum divided by `count`."""

    def of_rows(rows: Array) -> Callable[[Array], Array]:
        wanted = copied_rows(t, rows)
        return lambda x: sum_by_row(terms(x, wanted)) / count

    def of_columns(rows: Array, units: Array, moved: Array) -> Array:
        return terms(moved, copied_columns(t, rows, units)) / count

    return RowLoss(of_rows, of_columns)


def copied_rows(array: Array, rows: Array) -> Array:
    """Return copies of some rows; those of a matrix lie in memory column by column, as a stack is computed."""
    return array.T.take(rows, axis=1).T if array.ndim == 2 else array[rows]


def copied_columns(matrix: Array, rows: Array, units: Array) -> Array:
    """Return the values of some columns in copies of some rows, shape (len(units), len(rows))."""
    columns: Array = matrix.T[units]
    return columns.take(rows, axis=1)


def sum_by_row(terms: Array) -> Array:
    """Return the sum over all axes but the first."""
    return np.asarray(terms.sum(axis=tuple(range(1, terms.ndim))))


def _cross_entropy(y: Array, t: Array, delta: float = 1e-7) -> RowLoss:
    return sum_of_terms(lambda y, t: -t * np.log(y + delta), target_rows(t, y), batch_size(y))


def _categorical_cross_entropy(y: Array, t: Array) -> RowLoss:
    return sum_of_terms(lambda y, t: -t * np.log(np.where(t != 0, y, 1)), target_rows(t, y), batch_size(y))


def _sum_squares_error(y: Array, t: Array) -> RowLoss:
    return sum_of_terms(lambda y, t: (y - t) ** 2, t, 2)


def _mean_squared_error(y: Array, t: Array) -> RowLoss:
    return sum_of_terms(lambda y, t: (y - t) ** 2, t, y.size)


def _mean_absolute_error(y: Array, t: Array) -> RowLoss:
    return sum_of_terms(lambda y, t: np.abs(y - t), t, y.size)


def _huber(y: Array, t: Array, delta: float = 1.0) -> RowLoss:
    def terms(y: Array, t: Array) -> Array:
        error = y - t
        cut = np.clip(error, -delta, delta)
        return np.asarray(cut * (error - cut / 2))

    return sum_of_terms(terms, t, y.size)


def _sigmoid_with_loss(x: Array, t: Array) -> RowLoss:
    return sum_of_terms(
        lambda x, t: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))) - t * x, t.astype(x.dtype), x.size
    )


def _binary_cross_entropy(y: Array, t: Array) -> RowLoss:
    def terms(y: Array, t: Array) -> Array:
        yes, no = np.where(t != 0, y, 1), np.where(t != 1, y, 0)
        return np.asarray(-(t * np.log(yes) + (1 - t) * np.log1p(-no)))

    return sum_of_terms(terms, t.astype(y.dtype), y.size)


def _softmax_with_loss(x: Array, t: Array) -> RowLoss:
    targets = target_rows(t, x)
    weights, count = targets.sum(axis=-1), batch_size(x)
    log_sum_exp_of_others = cache(lambda: _log_sum_exp_of_others(x))

    def of_rows(rows: Array) -> Callable[[Array], Array]:
        weight, picked = weights[rows], _picked(targets, rows)
        return lambda scores: sum_by_row(weight * _log_sum_exp(scores) - picked(scores)) / count

    def of_columns(rows: Array, units: Array, moved: Array) -> Array:
        others = copied_columns(log_sum_exp_of_others(), rows, units)
        wanted = copied_columns(targets, rows, units)
        return np.asarray((weights[rows] * np.logaddexp(others, moved) - wanted * moved) / count)

    return RowLoss(of_rows, of_columns)


def _picked(targets: Array, rows: Array) -> Callable[[Array], Array]:
    """Return a function that gives the sum of targets times scores for stacks of these rows."""
    if targets.ndim == 2 and ((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all():
        # one-hot: in a stack that is kept in columns, one number of each row
        places = targets.argmax(axis=1)[rows] * len(rows) + np.arange(len(rows))
        return lambda scores: scores.T.reshape(-1).take(places)
    wanted = copied_rows(targets, rows)
    return lambda scores: np.asarray((wanted * scores).sum(axis=-1))


def _log_sum_exp(x: Array) -> Array:
    with np.errstate(over="ignore"):
        total = np.exp(x).sum(axis=-1)
    # between these nothing is lost without the shift, which costs two more passes
    if total.min(initial=1.0) > SMALL and total.max(initial=1.0) < LARGE:
        return np.asarray(np.log(total))
    top = x.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(x - top).sum(axis=-1)) + top[..., 0])


def _log_sum_exp_of_others(x: Array) -> Array:
    """Return, for each score, the logarithm of the sum of the exponentials of the others in its row."""
    top = x.max(axis=-1, keepdims=True)
    y = np.exp(x - top)
    # added up from both sides: taking a score's own part away from the whole sum would lose digits
    others = np.zeros_like(y)
    others[..., 1:] = np.cumsum(y[..., :-1], axis=-1)
    others[..., :-1] += np.cumsum(y[..., :0:-1], axis=-1)[..., ::-1]
    with np.errstate(divide="ignore"):  # nothing is left of the others
        return np.asarray(np.log(others) + top)


_LOSSES: dict[str, Callable[..., RowLoss]] = {
    "loss.binary_cross_entropy": _binary_cross_entropy,
    "loss.categorical_cross_entropy": _categorical_cross_entropy,
    "loss.cross_entropy": _cross_entropy,
    "loss.huber": _huber,
    "loss.mean_absolute_error": _mean_absolute_error,
    "loss.mean_squared_error": _mean_squared_error,
    "loss.sigmoid_with_loss": _sigmoid_with_loss,
    "loss.softmax_with_loss": _softmax_with_loss,
    "loss.sum_squares_error": _sum_squares_error,
}
