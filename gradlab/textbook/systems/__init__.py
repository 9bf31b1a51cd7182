"""The textbooks' systems, each with its data and with what it is to learn."""

from gradlab.textbook.systems import graphs, optimizers, textbook
from gradlab.textbook.systems._system import System, first_rows

SYSTEMS = (*textbook.SYSTEMS, *graphs.SYSTEMS, *optimizers.SYSTEMS)

__all__ = ["SYSTEMS", "System", "first_rows"]
