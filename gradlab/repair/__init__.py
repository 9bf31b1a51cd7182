"""Repairs: the line of a wrong backward that is at fault, and a change of it that was proven.

The edits that faults are made of are run the other way, and beside them edits that put in what people leave out. Each
candidate runs in the place of the function that it changes; one that gives the right gradients at the point where they
were found to be wrong is held to every check, and is shown only if none rejects it.
"""

from gradlab.repair.forward_paths import LostPath, lost_paths
from gradlab.repair.proposal import Repair
from gradlab.repair.search import find_repairs

__all__ = ["LostPath", "Repair", "find_repairs", "lost_paths"]
