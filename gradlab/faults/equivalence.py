"""Evidence that a mutant that survived is the same function as the right node after all."""

from collections.abc import Sequence

import numpy as np

from gradlab.faults._observed_behaviour import observe, observed_calls
from gradlab.node import Node, Sample


def equivalent(mutant: Node, node: Node, samples: Sequence[Sample], rng: np.random.Generator) -> bool:
    """Return whether a mutant does bit for bit what the right node does (of the two zeros, either will do).

    Compared are the gradients (values, shapes, dtypes), the arguments after the call, and which arrays share memory:
    over a row of calls in which two forwards come before the first one's backward, with primals and cotangents in
    several layouts. A mutant that raises is equivalent to a node that raises the same. This is evidence, not proof: it
    says nothing about primals that are not among the samples, where a fault may show. So pass `derived_samples` as
    well.

    Parameters
    ----------
    mutant, node : Node
        A freshly made mutant, and the right node.
    samples : sequence of Sample
        Where to compare: the node's own samples, and those derived from them.
    rng : numpy.random.Generator
        Draws two cotangents for each sample and layout: one of usual size and one that any clip would cut.
    """
    calls = [*observed_calls(node, samples, rng), *observed_calls(node, samples, rng, scale=1e3)]
    return observe(mutant, calls) == observe(node, calls)
