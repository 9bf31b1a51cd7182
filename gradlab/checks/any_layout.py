"""Backward gives the same gradients whatever the layout of its arguments in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import trials_with_batch
from gradlab.checks.trial import ContractError, Trial, error_text, map_arrays, quiet
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict
from gradlab.workers.strange_objects import text_of

Layout = Callable[[Array], Array]
CURE = "read arrays by index, or take np.ascontiguousarray of them first"


def check(trial: Trial) -> Iterator[CheckResult]:
    """Compare the gradients for every layout of primals and cotangent with those for plain copies."""
    g = trial.cotangent()
    expected = trial.own_gradients
    wrong = []
    for layout, laid_out in LAYOUTS.items():
        cotangent, primals = map_arrays(laid_out, g), tuple(map(laid_out, trial.primals()))
        if _lie_otherwise(as_tuple(cotangent), as_tuple(g)):
            where = f"the cotangent is {layout}"
            wrong += _differences(trial, trial.primals(), cotangent, expected, where)
        if _lie_otherwise(primals, trial.primals()):
            where = f"the primals are {layout}"
            wrong += _differences(trial, primals, map_arrays(np.array, g), expected, where)
    wrong += _broadcast_faults(trial)
    wrong += _empty_batch_faults(trial)
    yield from wrong or [CheckResult(Verdict.PASS)]


def _lie_otherwise(arrays: Sequence[Array], plain: Sequence[Array]) -> bool:
    """Return whether any array lies in memory otherwise than a plain copy, or may not be written into."""
    return any(
        x.strides != copy.strides or not x.flags.writeable for x, copy in zip(arrays, plain, strict=True)
    )


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


def _differences(
    trial: Trial,
    primals: Sequence[Array],
    g: Any,
    expected: Sequence[Array],
    where: str,
    point: Trial | None = None,
) -> list[CheckResult]:
    """Return the gradients that are not as expected, or the error that backward raises instead.

    `point` is the trial at these primals, if they are not the given ones.
    """
    try:
        output, residuals = trial.node.forward(*primals, **trial.settings())
        found = trial.well_formed(trial.node.backward(residuals, g))
    except (ContractError, np.linalg.LinAlgError):
        raise
    except Exception as error:
        note = f"{error_text(error)}, where {where}: {CURE}"
        return [CheckResult(Verdict.WRONG, note=note)]
    results = [
        compare_two_gradients(trial, i, a, b, point=point, g=g)
        for i, (a, b) in enumerate(zip(found, expected, strict=True))
    ]
    note = f"otherwise than for plain copies where {where}: {CURE}"
    wrong = [replace(result, note=note) for result in results if result.verdict is Verdict.WRONG]
    here = (trial if point is None else point).output
    if wrong and not _are_near(output, here):
        # what a function of the memory itself gives is another matter than its gradient
        note = f"forward itself gives something else where {where}: {CURE}"
        note = trial.told_elsewhere(note)
        return [replace(result, verdict=trial.elsewhere, note=note) for result in wrong]
    return wrong


def _are_near(outputs: Any, others: Any) -> bool:
    return all(
        np.allclose(a, b, rtol=1e-5, atol=1e-8 * np.nan_to_num(np.abs(b)).max(initial=0.0), equal_nan=True)
        for a, b in zip(as_tuple(outputs), as_tuple(others), strict=True)
    )


def _broadcast_faults(trial: Trial) -> list[CheckResult]:
    """Return the faults at stride 0: one number is the whole cotangent, and one row of each primal all its rows."""
    rows = [np.broadcast_to(x[:1], x.shape) if x.ndim else x for x in trial.primals()]
    g = map_arrays(_one_number, trial.cotangent())
    wrong = _differences(
        trial, trial.primals(), g, trial.gradients(g), "the cotangent is one number, broadcast"
    )
    equal_rows = trial.at("one row for all", [np.array(x, order="C") for x in rows])
    if equal_rows.accepted:
        g = equal_rows.cotangent()
        # nobody has asked for equal rows: a matrix of them has no inverse, and of equal elements any may be taken
        with suppress(np.linalg.LinAlgError if trial.registered else Exception):
            expected = equal_rows.gradients(g)
            plain = map_arrays(np.array, g)
            found = _differences(trial, rows, plain, expected, "the primals are broadcast", equal_rows)
            found = [r for r in found if not _is_a_choice(equal_rows, r)]
            if not trial.takes_overlapping_memory:
                found = [
                    replace(r, verdict=trial.elsewhere, note=trial.told_elsewhere(r.note)) for r in found
                ]
            wrong += found
    return wrong


def _is_a_choice(trial: Trial, result: CheckResult) -> bool:
    """Return whether a gradient sits at a kink where two layouts differ, so that either may be right."""
    if not trial.names or result.primal not in trial.names or trial.is_large:
        return False
    kinks = trial.estimate_of_elements(trial.names.index(result.primal)).kink
    return bool(kinks[result.worst_index] if result.worst_index is not None else kinks.any())


def _one_number(x: Array) -> Array:
    return np.broadcast_to(x.reshape(-1)[0], x.shape) if x.size else x


def _empty_batch_faults(trial: Trial) -> list[CheckResult]:
    """Return the fault at a batch of 0, where forward accepts one: backward raises an error there."""
    with quiet():
        fault = ""
        first = trial.sample.primals[0]
        if not trial.takes_empty_batches:
            return []
        if not trial.registered and first.shape[:1] and first.shape[0] in first.shape[1:]:
            return []  # a square has no batch axis
        for empty in trials_with_batch(trial, "a batch of 0", 0):
            try:
                empty.gradients(empty.cotangent())
                return []
            except Exception as error:
                fault = (
                    fault
                    or f"forward accepts a batch of 0, and backward does not ({text_of(error)}): allow for it"
                )
    # somebody who checks a function of their own has not asked for a batch of 0
    return [CheckResult(Verdict.WRONG if trial.registered else Verdict.WARNING, note=fault)] if fault else []
