"""One forward and the backwards after it, observed so that several checks can read from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.checks.trial._trial import Trial, map_arrays, same_bits
from gradlab.checks.trial.linearity import (
    FIRST,
    SECOND,
    demanded_cotangents,
    is_near,
    of_values,
    relations_between,
)
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property


@dataclass(eq=False)
class ObservedRun:
    """One forward at a trial's primals, and the backwards after it, one for each of `demanded_cotangents`.

    Attributes
    ----------
    trial : Trial
    arguments : mapping of str to object
        The primals and settings that forward was given, as they are after all backwards.
    cotangents, meant : mapping
        The cotangents as they are after all backwards, and as they were.
    returned : tuple of ndarray
        What backward returned for the first cotangent, itself and no copy. To it 1 was added after the second backward.
    kept : bool
        Whether the second backward left it as it was.
    gradients : mapping
        Copies of what backward returned, by cotangent. Where the node holds on to what it returned, those after the
        second are spoilt.
    """

    trial: Trial
    arguments: Mapping[str, Any]
    cotangents: Mapping[Any, Any]
    meant: Mapping[Any, Any]
    returned: tuple[Array, ...]
    kept: bool
    gradients: Mapping[Any, tuple[Array, ...]]

    @cached_property
    def combines(self) -> bool:
        """Whether the gradients are as linear in the cotangent as rounding lets them be, where they have a value."""
        return all(map(is_near, map(of_values, relations_between(self.gradients, self.meant))))


def observed(trial: Trial) -> ObservedRun | None:
    """Return the run that the checks of a trial share, always the same; None where it cannot be observed."""
    run: ObservedRun | None = trial.remembered("run", _observed)
    return run


def _observed(trial: Trial) -> ObservedRun | None:
    try:
        return observe(trial)
    except Exception:  # the checks say what it is
        return None


def observe(trial: Trial) -> ObservedRun:
    """Run forward once, and backward for every cotangent that linearity demands."""
    primals, settings = trial.primals(), trial.settings()
    _, residuals = trial.run_forward(primals, settings)
    meant = demanded_cotangents(trial)
    given = {which: map_arrays(np.array, g) for which, g in meant.items()}
    gradients: dict[Any, tuple[Array, ...]] = {}
    returned: tuple[Array, ...] = ()
    kept = True
    for which, g in given.items():
        found = trial.well_formed(trial.node.backward(residuals, g))
        gradients[which] = tuple(map(np.array, found))
        if which == FIRST:
            returned = found
        elif which == SECOND:
            kept = all(map(same_bits, returned, gradients[FIRST]))
            for gradient in returned:
                if gradient.flags.writeable and gradient.dtype.kind == "f":
                    gradient += 1
    arguments = dict(zip(trial.names, primals, strict=True)) | settings
    return ObservedRun(trial, arguments, given, meant, returned, kept, gradients)
