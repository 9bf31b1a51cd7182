"""What a mended backward has to give: the gradients at the point where it was found to be wrong."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.interruptible import within
from gradlab.node import Array
from gradlab.verdict import atol_for
from gradlab.workers.threads import printing_into

# How near to the numerical gradient a candidate has to come to be looked at more closely, relative to each element
# and to the largest one.
RTOL, ATOL = 1e-6, 1e-8
# What one call of a candidate may take: an edit can make a loop endless.
SECONDS = 2.0
# And what it may take beside the time of backward as it is: so many times as long, and the noise of a busy machine.
SLOWER, LEAST_S = 20, 0.2
# Arrays of up to so many elements are put back after each call.
LARGEST_KEPT = 100_000


@dataclass(frozen=True, eq=False)
class Judge:
    """The gradients that are wanted at one trial, as one vector.

    Attributes
    ----------
    trial : Trial
    wanted, allowed : ndarray
        What the gradients should be, and how far they may be off; infinite where nothing is known.
    outputs : ndarray
        What forward gives, which no change may touch.
    kept : list of pairs
        Arrays, lists and dicts that the functions hold, and what is in them: an edit may write there.
    seconds : float
        What one call may take.
    """

    trial: Trial
    wanted: Array
    allowed: Array
    outputs: Array
    kept: Sequence[tuple[Any, Any]] = ()
    seconds: float = SECONDS

    def gradients(self) -> Array | None:
        """Return the gradients that backward gives now; None where it raises, or forward gives something else."""
        try:
            returned: Array | None = within(Budget(), self._gradients, None, self.seconds)
        finally:
            self.put_back()
        return returned

    def put_back(self) -> None:
        """Put back what is in the arrays, lists and dicts that the functions hold."""
        for value, before in self.kept:
            if isinstance(value, np.ndarray):
                np.copyto(value, before)
            elif isinstance(value, list):
                value[:] = before
            elif value.keys() != before.keys() or any(value[key] is not before[key] for key in before):
                value.clear()
                value.update(before)

    def _gradients(self) -> Array | None:
        with quiet(), printing_into(io.StringIO()), contextlib.suppress(Exception, SystemExit):
            outputs, residuals = self.trial.forward()
            if not np.array_equal(_flat(outputs), self.outputs, equal_nan=True):
                return None
            returned = self.trial.node.backward(residuals, self.trial.cotangent())
            return self._in_a_row(returned)
        return None

    def _in_a_row(self, returned: Any) -> Array | None:
        """Return gradients as one vector, NaN where one has another shape; None where there are more or fewer."""
        primals = self.trial.sample.primals
        if not isinstance(returned, tuple) or len(returned) != len(primals):
            return None
        parts = [np.asarray(d) for d in returned]
        return np.concatenate(
            [
                d.astype(float).ravel() if d.shape == x.shape else np.full(x.size, np.nan)
                for d, x in zip(parts, primals, strict=True)
            ]
        )

    def fits(self, gradients: Array | None) -> bool:
        """Return whether gradients are the ones that are wanted."""
        return gradients is not None and not self.off(gradients).any()

    def off(self, gradients: Array) -> Array:
        """Return where gradients are not the ones that are wanted."""
        return np.asarray(~(np.abs(gradients - self.wanted) <= self.allowed) & np.isfinite(self.allowed))

    def wrong_primals(self, gradients: Array) -> list[str]:
        """Return the names of the primals whose gradients are not the ones that are wanted."""
        names, sizes = self.trial.names, [x.size for x in self.trial.sample.primals]
        off = np.split(self.off(gradients), np.cumsum(sizes)[:-1])
        return [name for name, part in zip(names, off, strict=True) if part.any()]

    def of_each_wrong_primal(self, base: Array | None) -> "list[Judge]":
        """Return a judge for each primal whose gradient is wrong, to which those of the other wrong ones are equal."""
        if base is None:
            return []
        sizes = [x.size for x in self.trial.sample.primals]
        primal = np.repeat(np.arange(len(sizes)), sizes)
        off = self.off(base)
        wrong = [i for i in range(len(sizes)) if off[primal == i].any()]
        others = {i: np.isin(primal, [j for j in wrong if j != i]) for i in wrong}
        return [replace(self, allowed=np.where(others[i], np.inf, self.allowed)) for i in wrong]


def judge_of(trial: Trial, held: Sequence[Any] = ()) -> Judge | None:
    """Return the judge at a trial; None where the gradients that are wanted are not known, element by element.

    `held` are the arrays, lists and dicts that its functions hold.
    """
    if trial.is_large:
        return None
    estimates = [
        told.estimate if told and told.factor == 1 else trial.estimate_of_elements(i)
        for i, told in enumerate(trial.confirmed)
    ]
    allowed = []
    for estimate, x in zip(estimates, trial.sample.primals, strict=True):
        size = np.abs(estimate.value)
        dtype = np.promote_types(x.dtype, np.float32)
        narrow = float(np.finfo(dtype).eps) ** 0.5
        near = max(RTOL, narrow) * size + max(ATOL, narrow / 10) * size.max(initial=0.0)
        within_kink = np.where(estimate.kink | estimate.jump, np.inf, 0.0)
        allowed.append(near + estimate.error + atol_for(estimate, dtype) + within_kink)
    wanted = np.concatenate([np.nan_to_num(e.value).ravel() for e in estimates])
    tolerance = np.concatenate([np.nan_to_num(a, nan=np.inf, posinf=np.inf).ravel() for a in allowed])
    with quiet():
        outputs = _flat(trial.forward()[0])
    kept = [
        (value, value.copy()) for value in held if not isinstance(value, np.ndarray) or _is_put_back(value)
    ]
    start = monotonic()
    judge = Judge(trial, wanted, tolerance, outputs, kept)
    judge.gradients()
    return replace(judge, seconds=min(SECONDS, LEAST_S + SLOWER * (monotonic() - start)))


def _is_put_back(array: Array) -> bool:
    return array.flags.writeable and array.size <= LARGEST_KEPT


def _flat(values: Any) -> Array:
    arrays = values if isinstance(values, tuple | list) else (values,)
    return np.concatenate([np.ravel(np.asarray(value, dtype=float)) for value in arrays])
