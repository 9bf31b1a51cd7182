"""A trial whose numerical side is shared by several workers."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.checks import Trial
from gradlab.node import Array
from gradlab.numerical.estimate import ELEMENTS_A_TASK, Estimate, estimate_vjp
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

    @property
    def function(self) -> Callable[..., Any]:
        """Forward without its residuals, as a function of the primals that can be sent to other processes."""
        return Output(self.node.forward, self.sample.settings)

    def estimated(self) -> tuple[Estimate, ...]:
        """Compute the estimates."""
        primals = self.sample.primals
        # one task alone is not worth the way
        workers = self.over if any(x.size > ELEMENTS_A_TASK for x in primals) else None
        return estimate_vjp(self.function, primals, self.cotangent(), method=self.method, workers=workers)


@dataclass(frozen=True)
class Output:
    """Forward without its residuals, as an object that can be sent to processes; each call copies its arguments."""

    forward: Callable[..., tuple[Any, Any]]
    settings: Mapping[str, Any]

    def __call__(self, *primals: Array) -> Any:
        """Return the output at these primals."""
        return self.forward(*map(np.array, primals), **deepcopy(dict(self.settings)))[0]
