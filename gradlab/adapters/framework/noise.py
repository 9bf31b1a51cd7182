"""Noise: gradients that are not the same from call to call, and whether what they differ by is all that is wrong."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradlab.checks import Trial, quiet
from gradlab.report import Row
from gradlab.verdict import Verdict

# So many calls show how far gradients differ from call to call; they are held to so many times as much.
CALLS, HELD_TO = 4, 10
# By default gradients may differ by this part of the largest element, or so many units in the last place.
USUAL, USUAL_ULPS = 1e-5, 100
CURE = " from call to call: keep nothing between calls, or allow it with nondet_tol="


def noise_of(trial: Trial, nondet_tol: float | None) -> float:
    """Return how far the gradients of one cotangent differ from call to call; 0 if they do not, or by too much.

    Parameters
    ----------
    trial : Trial
    nondet_tol : float or None
        By how much they may differ, as an absolute number; None for what is usual of sums in another order.
    """
    with quiet():
        try:
            # the first of all among them: what adds up over calls may have grown until a call more is little
            calls = [trial.own_gradients, *(trial.gradients(trial.cotangent()) for _ in range(CALLS - 1))]
        except Exception:  # which the checks tell
            return 0.0
    several = [np.stack(ds) for ds in zip(*calls, strict=True) if ds[0].size]
    noise = max((float(np.ptp(ds, axis=0).max()) for ds in several), default=0.0)
    allowed = nondet_tol
    if allowed is None:
        eps = max((float(np.finfo(ds.dtype).eps) for ds in several if ds.dtype.kind == "f"), default=0.0)
        size = max((float(np.abs(ds).max()) for ds in several), default=0.0)
        allowed = max(USUAL, USUAL_ULPS * eps) * size
    return noise if 0 < noise <= allowed else 0.0


def held_to_noise(trial: Trial, noise: float) -> Trial:
    """Return a trial whose gradients are held to no less than their own noise."""
    return replace(trial, noise=HELD_TO * noise)


def is_noise(row: Row) -> bool:
    """Return whether a row says that two calls gave two gradients."""
    return row.check == "repeatable" and ("called again" in row.note or CURE in row.note)


def stated(rows: Sequence[Row], noise: float, nondet_tol: float | None) -> list[Row]:
    """Return the rows with the noise in them: a warning of what repeats otherwise, none if it is allowed."""
    said = f"gradients differ by up to {noise:.2g}"
    found = []
    for row in rows:
        if is_noise(row):
            verdict = Verdict.WARNING if nondet_tol is None else Verdict.PASS
            row = replace(row, verdict=verdict, note=f"{said}{CURE}" if nondet_tol is None else said)
        elif row.check == "matches_numerical" and row.verdict is Verdict.PASS:
            row = replace(
                row,
                note="; ".join(
                    filter(None, [f"{said} from call to call, and are held to no less", row.note])
                ),
            )
        found.append(row)
    return found
