"""The record of one test's checks, and the text in which reports travel between processes of pytest-xdist."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gradlab.diagnosis import Finding
from gradlab.repair import Repair
from gradlab.report import Comparison, Explored, Report, Row, StepErrors
from gradlab.report.escaping import one_line
from gradlab.report.problems import ORDER
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


def properties(report: Report) -> list[tuple[str, str]]:
    """Return what JUnit's XML says of a test beside its outcome: the worst verdict, and the largest error."""
    worst = max((row.verdict for row in report.rows), key=ORDER.index, default=Verdict.INCONCLUSIVE)
    errors = [row.relative_error for row in report.rows if row.relative_error is not None]
    names = ", ".join(dict.fromkeys(one_line(row.node) for row in report.rows))
    told = [("gradlab.checked", names), ("gradlab.verdict", str(worst))]
    return [*told, ("gradlab.relative_error", f"{max(errors):.3g}")] if errors else told


def packed(report: Report) -> str:
    """Return a report as text; of right gradients without what pictures are drawn of."""
    wrong = [both for both in report.comparisons if both.wrong.any()]
    return json.dumps(asdict(replace(report, comparisons=wrong)), default=_plain)


def _plain(value: Any) -> Any:
    # of a long double, `tolist` makes long doubles
    return np.asarray(value, dtype=np.float64 if value.dtype.kind == "f" else None).tolist()


def unpacked(text: str) -> Report:
    """Return the report that `packed` made this text of."""
    content = json.loads(text)
    return Report(
        [_row(row) for row in content["rows"]],
        content["environment"],
        content["interrupted"],
        [Explored(**{**places, "derived": tuple(places["derived"])}) for places in content["explored"]],
        {node: [Finding(**finding) for finding in found] for node, found in content["findings"].items()},
        [Repair(**repair) for repair in content["repairs"]],
        list(map(_comparison, content["comparisons"])),
    )


def _comparison(both: Mapping[str, Any]) -> Comparison:
    arrays = {name: np.array(both[name], dtype=float) for name in ("analytic", "numerical", "bound")}
    known: dict[str, Any] = {"wrong": np.array(both["wrong"], dtype=bool), "worst": _index(both["worst"])}
    if both["jacobians"]:
        known["jacobians"] = tuple(np.array(slopes, dtype=float) for slopes in both["jacobians"])
    if both["steps"]:
        steps: dict[str, Any] = {
            name: np.array(value) if isinstance(value, list) else value
            for name, value in both["steps"].items()
        }
        known["steps"] = StepErrors(**steps)
    return Comparison(**{**both, **arrays, **known})


def _index(index: list[int] | None) -> tuple[int, ...] | None:
    return None if index is None else tuple(index)


def _row(row: Mapping[str, Any]) -> Row:
    typed = {"verdict": Verdict(row["verdict"]), "worst_index": _index(row["worst_index"])}
    return Row(**{**row, **typed})
