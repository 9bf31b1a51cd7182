"""Backward gives the same whatever the layout of its arguments in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import with_batch
from gradlab.checks.trial import ContractError, Trial, map_arrays, quiet
from gradlab.checks.trial.same_gradient import compare_with_own
from gradlab.node import Array
from gradlab.verdict import CheckResult, Verdict

Layout = Callable[[Array], Array]
CURE = "read arrays by index, or take np.ascontiguousarray of them first"


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare every layout of the primals, and of the cotangent, with plain copies of the same numbers."""
    g = trial.cotangent()
    expected = trial.gradients(g)
    wrong = []
    for layout, lay in LAYOUTS.items():
        wrong += _differs(trial, trial.primals(), map_arrays(lay, g), expected, f"the cotangent is {layout}")
        primals = tuple(map(lay, trial.primals()))
        wrong += _differs(trial, primals, map_arrays(np.array, g), expected, f"the primals are {layout}")
    wrong += _stretched(trial)
    wrong += _without_elements(trial)
    yield from wrong or [CheckResult(Verdict.PASS)]


def _fortran(x: Array) -> Array:
    return np.array(x, order="F")


def _every_second(x: Array) -> Array:
    if not x.ndim:
        return x
    room = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
    view = room[..., ::2]
    view[...] = x
    return view


def _reversed(x: Array) -> Array:
    return np.flip(np.flip(x).copy())


def _read_only(x: Array) -> Array:
    x = np.array(x)
    x.flags.writeable = False
    return x


LAYOUTS: Mapping[str, Layout] = {
    "in Fortran order": _fortran,
    "every second element of an array": _every_second,
    "a reversed view": _reversed,
    "read-only": _read_only,
}


def _differs(
    trial: Trial, primals: Sequence[Array], g: Any, expected: Sequence[Array], where: str
) -> list[CheckResult]:
    """Return what backward gives otherwise than expected, or that it gives nothing at all."""
    try:
        _, residuals = trial.node.forward(*primals, **trial.settings())
        found = trial.well_formed(trial.node.backward(residuals, g))
    except (ContractError, np.linalg.LinAlgError):
        raise
    except Exception as error:
        note = f"raised {type(error).__name__} where {where} ({error}): {CURE}"
        return [CheckResult(Verdict.WRONG, note=note)]
    results = [compare_with_own(trial, i, a, b) for i, (a, b) in enumerate(zip(found, expected, strict=True))]
    note = f"otherwise than for plain copies where {where}: {CURE}"
    return [replace(result, note=note) for result in results if result.verdict is Verdict.WRONG]


def _stretched(trial: Trial) -> list[CheckResult]:
    """Look at stride 0: one number for the whole cotangent, and one row of each primal for all its rows."""
    rows = [np.broadcast_to(x[:1], x.shape) if x.ndim else x for x in trial.primals()]
    g = map_arrays(_one_number, trial.cotangent())
    wrong = _differs(trial, trial.primals(), g, trial.gradients(g), "the cotangent is one number, broadcast")
    there = trial.at("one row for all", [np.array(x) for x in rows])
    if there.accepted:
        g = there.cotangent()
        with suppress(np.linalg.LinAlgError):  # equal rows make a matrix that has no inverse
            expected = there.gradients(g)
            wrong += _differs(trial, rows, map_arrays(np.array, g), expected, "the primals are broadcast")
    return wrong


def _one_number(x: Array) -> Array:
    return np.broadcast_to(x.reshape(-1)[0], x.shape) if x.size else x


def _without_elements(trial: Trial) -> list[CheckResult]:
    """Look at a batch of 0, where forward accepts it: a gradient without elements is right, an error is not."""
    with quiet():
        fault = ""
        first = trial.sample.primals[0]
        if not trial.registered and first.shape[:1] and first.shape[0] in first.shape[1:]:
            return []  # a square has no batch axis
        for there in with_batch(trial, "a batch of 0", 0):
            try:
                there.gradients(there.cotangent())
                return []
            except Exception as error:
                fault = (
                    fault or f"forward accepts a batch of 0, and backward does not ({error}): allow for it"
                )
    # nobody who checks a function of their own has asked for that
    return [CheckResult(Verdict.WRONG if trial.registered else Verdict.WARNING, note=fault)] if fault else []
