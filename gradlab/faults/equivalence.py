"""Evidence that a mutant which survived is the same function after all."""

from collections.abc import Sequence

import numpy as np

from gradlab.faults._observed_behaviour import look_at, observe
from gradlab.node import Node, Sample


def equivalent(mutant: Node, node: Node, samples: Sequence[Sample], rng: np.random.Generator) -> bool:
    """Return whether a mutant does bit for bit what the right node does (of the two zeros, either will do).

    Compared are the gradients (values, shapes, dtypes), what is left of the arguments, what shares memory with
    what, and all of this over a row of calls in which two forwards come before the first one's backward, with
    primals and cotangents in several layouts. A mutant that raises is equivalent to a node that raises the same.
    It is evidence, not proof: it says nothing about primals that are not among the samples, and the faults that
    live where nobody sampled are there. So look at `derived_samples` as well.

    Parameters
    ----------
    mutant, node : Node
        A freshly made mutant, and the right node.
    samples : sequence of Sample
        Where to look: the node's own, and those derived from them.
    rng : numpy.random.Generator
        Draws the cotangents, two for each sample and layout: one of usual size and one that any clip would cut.
    """
    looks = [*look_at(node, samples, rng), *look_at(node, samples, rng, scale=1e3)]
    return observe(mutant, looks) == observe(node, looks)
