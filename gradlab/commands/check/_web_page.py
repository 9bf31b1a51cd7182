"""The page of ``gradlab check`` for a browser."""

from pathlib import Path

from gradlab.commands.check._targets_report import TargetsReport
from gradlab.report.files import place_of
from gradlab.report.web import report_page, write_page


def write_html_page(found: TargetsReport, path: Path, command: str) -> Path:
    """Write what was found of all targets as one page; return its path."""
    about = f"gradlab check: {', '.join(found.asked)}"
    page = report_page(found.report, about, command, found.remarks("simple"))
    return write_page(page, place_of(path, found.interrupted))
