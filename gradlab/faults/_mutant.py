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
        The class of the fault ("sign flipped", "source: operator swapped"), by which tables are sorted.
    description : str
        One line for a reader: what was changed; for a change of the source, the line before and after.
    make : callable
        ``make() -> Node`` returns the mutated node, a new one in each call: some faults remember (they accumulate, or
        keep the first residuals they got), so every check that is judged by itself needs a node of its own. `make`
        can be pickled where the node's own functions can.
    primal : str
        The primal whose gradient is wrong; empty where the backward as a whole is wrong.
    diagnosis : str
        The name of the mistake that a diagnosis should give; empty for a change of the source, which may look like
        any mistake.
    """

    node: str
    fault: str
    description: str
    make: Callable[[], Node]
    primal: str = ""
    diagnosis: str = ""
