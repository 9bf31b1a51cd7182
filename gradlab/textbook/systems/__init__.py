"""The textbooks' systems, each with its data and its training."""

from gradlab.textbook.systems import graphs, networks, optimizers
from gradlab.textbook.systems._system import System, first_rows

SYSTEMS = (*networks.SYSTEMS, *graphs.SYSTEMS, *optimizers.SYSTEMS)

__all__ = ["SYSTEMS", "System", "first_rows"]
