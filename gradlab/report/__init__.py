"""What a run found: `Report`, `Row`, `Explored`, `Fault`, `GradientError`; the files beside this one render them."""

from gradlab.report._report import GradientError, Report
from gradlab.report.rows import Explored, Fault, Row

__all__ = ["Explored", "Fault", "GradientError", "Report", "Row"]
