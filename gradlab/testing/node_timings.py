"""A library's own nodes as benchmarks: one id for each node, sample and direction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gradlab.checks.trial import Trial, map_arrays
from gradlab.node import Node
from gradlab.testing.node_cases import labelled, unique

PARTS = ("forward", "backward")


@dataclass(frozen=True, eq=False)
class NodeTiming:
    """One direction of a node at one of its samples.

    Attributes
    ----------
    node : Node
    sample : int
        The number of the sample.
    part : {"forward", "backward"}
    """

    node: Node
    sample: int
    part: str

    def call(self) -> Callable[[], Any]:
        """Return what is to be timed: a call of forward, or of backward with what one forward has saved."""
        trial = Trial(self.node, self.node.draw_samples(0)[self.sample])
        primals, settings = trial.primals(), trial.settings()
        if self.part == "forward":
            return lambda: self.node.forward(*primals, **settings)
        residuals, g = self.node.forward(*primals, **settings)[1], map_arrays(np.array, trial.cotangent())
        return lambda: self.node.backward(residuals, g)


def parametrize_benchmarks(registry: Iterable[Any]) -> pytest.MarkDecorator:
    """Give a benchmark forward and backward of each sample of each node: the list that drives `parametrize_nodes`.

    It decorates a function with the argument ``node_call``, a function without arguments that pytest-benchmark, or
    whatever else, is to time.

    Parameters
    ----------
    registry : iterable or mapping
        As for `parametrize_nodes`.

    Returns
    -------
    pytest.MarkDecorator
        A ``pytest.mark.parametrize`` whose ids are NODE-SAMPLE-forward and NODE-SAMPLE-backward.

    Raises
    ------
    TypeError
        If something in the registry is no node.
    ValueError
        If the registry is empty.

    Examples
    --------
    >>> from gradlab.nodes import NODES
    >>> @parametrize_benchmarks([NODES["relu"]])
    ... def test_speed(benchmark, node_call):
    ...     benchmark(node_call)
    """
    parameters = [
        pytest.param(NodeTiming(node, i, part), id=f"{label}-{sample}-{part}")
        for label, node in labelled(registry)
        for i, sample in enumerate(unique(sample.name for sample in node.draw_samples()))
        for part in PARTS
    ]
    if not parameters:
        raise ValueError("the registry is empty: give it at least one node")
    return pytest.mark.parametrize("node_call", parameters, indirect=True)
