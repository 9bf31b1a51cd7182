"""The report on all gradients that a run of pytest checked: a table, a page in markdown, and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gradlab.report import Report
from gradlab.report.envelope import to_json
from gradlab.report.files import write_atomically
from gradlab.report.numbers import error_of
from gradlab.report.overview import ORDER
from gradlab.report.pages import made_by
from gradlab.report.tables import check_table
from gradlab.report.text import failure_text
from gradlab.testing.check_record import Record


def table(records: Sequence[Record], style: str) -> str:
    """Return a row for each op of each test function: the number of comparisons, the worst error and the worst verdict.

    There is no row for each test: `parametrize_nodes` gives one function so many tests that they would fill pages.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        for op in dict.fromkeys(row.node for row in record.rows):
            groups.setdefault((record.function, op), []).append(record)
    shown = [_line(function, op, of) for (function, op), of in groups.items()]
    headers = ("test", "op", "rows", "worst relative error", "verdict")
    alignment = ("left", "left", "right", "right", "left")
    return tabulate(shown, headers, tablefmt=style, disable_numparse=True, colalign=alignment)


def _line(function: str, op: str, records: Sequence[Record]) -> tuple[str, ...]:
    test = records[0].test if len(records) == 1 else f"{function} ({len(records)} tests)"
    rows = [row for record in records for row in record.rows if row.node == op]
    worst = max((row.verdict for row in rows), key=ORDER.index)
    expected = "" if worst.ok or not all(record.ok for record in records) else ", as expected"
    return test, op, str(len(rows)), error_of(rows), f"{worst}{expected}"


def write(
    records: Sequence[Record], folder: Path, environment: Mapping[str, Any], interrupted: bool
) -> list[Path]:
    """Write gradlab.md and gradlab.json into `folder`, each whole or not at all; return their paths.

    The page has no times, so that it is the same however the tests were spread over processes.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.
    """
    ok = bool(records) and all(record.ok for record in records)
    parts = [
        "# Gradients that pytest checked",
        made_by("pytest", environment),
        _verdict(records, ok) + (" Interrupted: the rest was not checked." if interrupted else ""),
        *([table(records, "github")] if records else []),
        *_wrong(records),
        *_checks(records),
    ]
    rows = [{"test": r.test, "outcome": r.outcome, **asdict(row)} for r in records for row in r.rows]
    contents = {"gradlab.md": "\n\n".join(parts) + "\n", "gradlab.json": to_json(ok, rows, environment)}
    for name, text in contents.items():
        write_atomically(folder / name, text)
    return [folder / name for name in contents]


def _verdict(records: Sequence[Record], ok: bool) -> str:
    if not records:
        return "Nothing was checked."
    tests = f"{len(records)} test{'s' if len(records) > 1 else ''}"
    return f"Verdict: **{'all right' if ok else 'not all right'}**, in {tests}."


def _wrong(records: Sequence[Record]) -> list[str]:
    wrong = [
        f"`{record.test}`\n\n{failure_text(report, 'github')}"
        for record in records
        if not record.ok
        for report in record.reports
        if not report.ok
    ]
    return ["## What is wrong", *wrong] if wrong else []


def _checks(records: Sequence[Record]) -> list[str]:
    rows = [row for record in records for row in record.rows]
    return ["## What each check concluded", check_table(Report(rows), "github")] if rows else []
