"""What a run found: `Report`, `Row`, `Comparison` and others; the files beside this one render them."""

from gradlab.report._report import GradientError, Report
from gradlab.report.comparison import Comparison, StepErrors
from gradlab.report.rows import Explored, Fault, Row

__all__ = ["Comparison", "Explored", "Fault", "GradientError", "Report", "Row", "StepErrors"]
