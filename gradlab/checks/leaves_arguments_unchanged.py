"""Neither forward nor backward writes into primals, settings or cotangents."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, copied, map_arrays, same_bits
from gradlab.checks.trial.observed_run import ObservedRun, observed
from gradlab.node import as_tuple
from gradlab.verdict import CheckResult, Verdict


def check(trial: Trial) -> Iterator[CheckResult]:
    """Run forward and backward once, and compare every argument with the copy made before."""
    run = observed(trial)
    if run and is_clear(run):
        yield CheckResult(Verdict.PASS)
        return
    primals, g = trial.primals(), map_arrays(np.array, trial.cotangent())
    settings = trial.settings()
    arguments: dict[str, Any] = dict(zip(trial.names, primals, strict=True)) | settings
    before = _copied(arguments), map_arrays(np.array, g)
    _, residuals = trial.node.forward(*primals, **settings)
    written = [
        f"forward writes into {name}" for name in arguments if not _same(arguments[name], before[0][name])
    ]
    after_forward = _copied(arguments)
    trial.node.backward(residuals, g)
    written += [
        f"backward writes into {name}"
        for name in arguments
        if not _same(arguments[name], after_forward[name])
    ]
    if not all(_same(a, b) for a, b in zip(as_tuple(g), as_tuple(before[1]), strict=True)):
        written.append("backward writes into the cotangent")
    if written:
        yield CheckResult(trial.breach, note="; ".join(written) + ": write into a copy")
    else:
        yield CheckResult(Verdict.PASS)


check_elsewhere = check


def is_clear(run: ObservedRun) -> bool:
    """Return whether a run has left all its arguments as they were."""
    primals = zip(run.trial.names, run.trial.sample.primals, strict=True)
    before: dict[str, Any] = {**dict(primals), **run.trial.sample.settings}
    return all(_same(run.arguments[name], before[name]) for name in before) and all(
        all(map(same_bits, as_tuple(g), as_tuple(run.meant[which]))) for which, g in run.cotangents.items()
    )


def _copied(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: copied(value) for name, value in arguments.items()}


def _same(a: Any, b: Any) -> bool:
    try:
        return _equal(a, b)
    except Exception:  # one that cannot be compared, or that holds itself
        return True


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return same_bits(a, b)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(value, b[key]) for key, value in a.items())
    return bool(a == b)
