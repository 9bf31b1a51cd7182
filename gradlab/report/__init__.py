"""What a run found: `Report`, `Row`, `Fault`, and `GradientError`; the files beside this one render them."""

from gradlab.report._report import Fault, GradientError, Report, Row

__all__ = ["Fault", "GradientError", "Report", "Row"]
