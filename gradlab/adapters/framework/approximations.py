"""Gradients that are right to a few digits, where that may be all that their author wanted.

The adjoint of a differential equation is solved to a tolerance, as is a linear system, or a fixed point; what differs
from forward's slopes by as much is no mistake. Nor is it where what forward computes in half precision makes stairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.adapters.framework.function_pair import FunctionPair
from gradlab.checks import Trial, quiet
from gradlab.node import as_tuple
from gradlab.report import Row
from gradlab.verdict import Verdict

# A backward that iterates may be off by this part of the largest element.
CLOSE = 1e-3
# So little, relative to the arguments, moves what is computed in float32 or better.
STEP = 1e-6

STAIRS = "half precision on the way makes stairs of it, which differences cannot judge: leave out the casts"


def undecided_where_approximate(rows: Sequence[Row], pair: FunctionPair[Any], trial: Trial) -> list[Row]:
    """Return the rows, those of wrong gradients as undecided where nobody knows how right they are meant to be."""
    if not any(row.check == "matches_numerical" and _is_wrong(row) for row in rows):
        return list(rows)
    note = ""
    if getattr(pair, "output_eps", 0.0) and _is_staircase(pair):
        note = STAIRS
    elif trial.rtol is None and (apart := _apart(trial)) is not None and pair.iterates():
        note = (
            f"backward iterates, and is within {apart:.1e} of the largest element: if it solves to a tolerance, say to "
            "which by rtol=, otherwise it is wrong"
        )
    if not note:
        return list(rows)
    return [_undecided(row, note) if _is_wrong(row) else row for row in rows]


def _is_wrong(row: Row) -> bool:
    # what stops at a tolerance stops elsewhere for another cotangent
    return row.check in ("matches_numerical", "linear_in_cotangent") and row.verdict is Verdict.WRONG


def _undecided(row: Row, note: str) -> Row:
    return replace(row, verdict=Verdict.INCONCLUSIVE, note="; ".join(filter(None, [note, row.note])))


def _is_staircase(pair: FunctionPair[Any]) -> bool:
    """Return whether a function stands still where its arguments move by less than half precision tells apart."""
    dtype = None if pair.narrow else np.float64
    with quiet():
        try:
            here, there = (
                pair.value(
                    *(np.asarray(leaf.value, dtype) * (1 + by) for leaf in pair.leaves), **pair.settings
                )
                for by in (0.0, STEP)
            )
        except Exception:
            return False
    return all(np.array_equal(a, b) for a, b in zip(as_tuple(here), as_tuple(there), strict=True))


def _apart(trial: Trial) -> float | None:
    """Return how far the gradients are from the numerical ones, each relative to its largest; None if that is far."""
    if trial.is_large:
        return None
    try:
        with quiet():
            pairs = list(zip(trial.own_gradients, trial.estimates, strict=True))
    except Exception:  # which the checks tell
        return None
    with quiet():
        parts = [
            float(
                np.abs(found - estimate.value).max(initial=0.0)
                / (np.abs(estimate.value).max(initial=0.0) or 1.0)
            )
            for found, estimate in pairs
        ]
    apart = max(parts, default=0.0)
    return apart if apart <= CLOSE else None
