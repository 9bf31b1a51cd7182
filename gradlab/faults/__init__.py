"""Fault injection: wrong backward passes, made from a right one on purpose.

A check that passes is worth no more than the faults that it would have caught. `mutants` puts one fault at a time
into a node: into the source of its backward, or around it. `equivalent` tells a mutant that is the same function
after all from a mutant that the checks have missed, and `run_bounded` keeps a mutant that never ends from holding
up the run.
"""

from gradlab.faults._derived_samples import derived_samples
from gradlab.faults._mutant import Mutant
from gradlab.faults.behaviour_mutants import behaviour_mutants
from gradlab.faults.bounded_call import BoundedOutcome, run_bounded
from gradlab.faults.equivalence import equivalent
from gradlab.faults.source_mutants import source_mutants
from gradlab.node import Node

__all__ = [
    "BoundedOutcome",
    "Mutant",
    "behaviour_mutants",
    "derived_samples",
    "equivalent",
    "mutants",
    "run_bounded",
    "source_mutants",
]


def mutants(node: Node, seed: int = 0) -> list[Mutant]:
    """Return every mutant of a node: those of its source first, then those of its behaviour.

    Parameters
    ----------
    node : Node
        A right node.
    seed : int
        Fixes whatever is drawn (which element is wrong, the noise), not negative. The same seed gives the same
        mutants in the same order, so that a worker process can be sent a mutant's number instead of a function.

    Returns
    -------
    list of Mutant
        No two alike, neither in their normalised source nor in what they do where they were tried.
    """
    return [*source_mutants(node), *behaviour_mutants(node, seed)]
