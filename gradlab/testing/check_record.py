"""The record of one test's checks, and the text in which reports travel between processes of pytest-xdist."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gradlab.diagnosis import Finding
from gradlab.report import Explored, Report, Row
from gradlab.verdict import Verdict


@dataclass(frozen=True)
class Record:
    """The reports of the checks that one test made, and the outcome of the test.

    Attributes
    ----------
    test : str
        The test's id.
    function : str
        The test's id without parameters.
    place : int
        The place of the test among all tests that were collected.
    outcome : str
        "passed", "failed", "skipped" or "xfailed".
    reports : list of Report
        One for each check that the test made.
    """

    test: str
    function: str
    place: int
    outcome: str
    reports: list[Report]

    @property
    def ok(self) -> bool:
        """Whether all is right, or the test expects it not to be."""
        return self.outcome != "failed" or all(report.ok for report in self.reports)

    @property
    def rows(self) -> list[Row]:
        """The rows of all reports."""
        return [row for report in self.reports for row in report.rows]


def packed(report: Report) -> str:
    """Return a report as text."""
    return json.dumps(asdict(report), default=lambda number: number.item())


def unpacked(text: str) -> Report:
    """Return the report that `packed` made this text of."""
    content = json.loads(text)
    return Report(
        [_row(row) for row in content["rows"]],
        content["environment"],
        content["interrupted"],
        [Explored(**{**places, "derived": tuple(places["derived"])}) for places in content["explored"]],
        {node: [Finding(**finding) for finding in found] for node, found in content["findings"].items()},
    )


def _row(row: Mapping[str, Any]) -> Row:
    index = row["worst_index"]
    typed = {"verdict": Verdict(row["verdict"]), "worst_index": None if index is None else tuple(index)}
    return Row(**{**row, **typed})
