"""A mutant: a node with one fault in its backward."""

from collections.abc import Callable
from dataclasses import dataclass

from gradlab.node import Node


@dataclass(frozen=True)
class Mutant:
    """A fault that can be put into a node, again and again.

    Attributes
    ----------
    node : str
        The name of the right node.
    fault : str
        The class of the fault ("sign flipped", "source: operator swapped"); every row of a table by faults.
    description : str
        One line for a reader: what was changed, and for a change of the source the line before and after.
    make : callable
        ``make() -> Node`` gives the mutated node. Some faults remember (they accumulate, or keep the first
        residuals they saw), so every check that is to be judged by itself asks for a node of its own. It can be
        pickled where the node's own functions can.
    primal : str
        The primal whose gradient is wrong; empty where it is the backward as a whole.
    diagnosis : str
        The name of the mistake that a diagnosis should give; empty for a change of the source, which may look
        like anything.
    """

    node: str
    fault: str
    description: str
    make: Callable[[], Node]
    primal: str = ""
    diagnosis: str = ""
