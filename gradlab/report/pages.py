"""The markdown pages in reports/: errors and timings apart, so that one can be read without the other's noise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradlab.report._report import Report
from gradlab.report.escaping import code
from gradlab.report.files import place_of, write_atomically
from gradlab.report.tables import check_table, error_table, explored_table, timing_table
from gradlab.report.text import failure_text


def write_pages(report: Report, folder: Path, command: str) -> list[Path]:
    """Write errors.md and timings.md into `folder`, each whole or not at all; return their paths.

    `command` is what made the report, and stands on each page.
    """
    errors = [
        "# Backward against numerical gradient",
        made_by(command, report.environment),
        f"Verdict: **{'all right' if report.ok else 'not all right'}**."
        + (" Interrupted: the rest was not checked." if report.interrupted else ""),
        failure_text(report, "github"),
        "## What each check concluded",
        check_table(report, "github"),
        "## Every sample",
        error_table(report, "github"),
        "## What was explored beyond the samples",
        explored_table(report, "github"),
    ]
    timings = [
        "# Forward, backward and numerical gradient in time",
        made_by(command, report.environment),
        "Best of several runs. The numerical gradient is the textbook's central difference over all primals; "
        "the ratio is its time over that of forward and backward together.",
        timing_table(report, "github"),
    ]
    pages = {
        place_of(folder / f"{name}.md", report.interrupted): parts
        for name, parts in (("errors", errors), ("timings", timings))
    }
    for path, parts in pages.items():
        write_atomically(path, "\n\n".join(filter(None, parts)) + "\n")
    return list(pages)


def made_by(command: str, environment: Mapping[str, Any]) -> str:
    """Return the line that says which command, on what, made a page."""
    return (
        f"Made by {code(command)} with "
        + ", ".join(f"{key} {value}" for key, value in environment.items())
        + "."
    )


def write_pictures(report: Report, folder: Path) -> list[Path]:
    """Write the pictures of a report into `folder` as SVG, those of what fails first; return their paths."""
    from gradlab.report.pictures import pictures_of

    paths = []
    for comparison in sorted(report.comparisons, key=lambda both: not both.wrong.any()):
        for picture in pictures_of(comparison):
            paths.append(folder / f"{picture.name}.svg")
            write_atomically(paths[-1], picture.svg)
    return paths
