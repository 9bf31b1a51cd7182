"""A trial whose numerical side is shared by several workers."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.checks import Trial
from gradlab.node import Array
from gradlab.numerical.estimate import ELEMENTS_A_TASK, Estimate, estimate_vjp_of_primal
from gradlab.workers.worker_map import Map


@dataclass(frozen=True)
class ParallelTrial(Trial):
    """A trial that spreads the elements of its primals, given or derived.

    Attributes
    ----------
    over : map-like callable
        As `gradlab.workers.worker_map.open_worker_map` gives it.
    """

    over: Map = map

    def estimated(self, i: int) -> Estimate:
        """Compute the estimate of primal `i`."""
        primals = self.sample.primals
        # one task alone is not worth the way
        workers = self.over if primals[i].size > ELEMENTS_A_TASK else None
        # unlike `function`, it can be sent to other processes, where nothing is counted
        output = Output(self.node.forward, self.sample.settings)
        found = estimate_vjp_of_primal(
            output, primals, self.cotangent(), i, method=self.method, workers=workers
        )
        if self.budget:
            self.budget.evaluations += found.evaluations
        return found


@dataclass(frozen=True)
class Output:
    """Forward without its residuals, as an object that can be sent to processes; each call copies its arguments."""

    forward: Callable[..., tuple[Any, Any]]
    settings: Mapping[str, Any]

    def __call__(self, *primals: Array) -> Any:
        """Return the output at these primals."""
        return self.forward(*map(np.array, primals), **deepcopy(dict(self.settings)))[0]
