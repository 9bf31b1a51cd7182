"""The report on all gradients that a run of pytest checked: a table, a page in markdown, and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

from gradlab.report import Report
from gradlab.report.envelope import to_json
from gradlab.report.escaping import code, one_line
from gradlab.report.files import place_of, write_atomically
from gradlab.report.numbers import count, error_of
from gradlab.report.overview import overview
from gradlab.report.pages import made_by
from gradlab.report.problems import NUMERICAL, ORDER
from gradlab.report.tables import check_table
from gradlab.report.tables import table as tabled
from gradlab.report.text import failure_text, problem_text
from gradlab.testing.check_record import Record
from gradlab.verdict import Verdict

HEADERS = ("test", "what", "error", "verdict", "reason")


def table(records: Sequence[Record], style: str) -> str:
    """Return a row for each op of each test function: the worst error, the worst verdict, and why.

    There is no row for each test: `parametrize_nodes` gives one function so many tests that they would fill pages.
    """
    return tabled(HEADERS, _table_rows(records), style)


def _table_rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        for op in dict.fromkeys(row.node for row in record.rows):
            groups.setdefault((record.function, op), []).append(record)
    return [_line(function, op, of) for (function, op), of in groups.items()]


def _line(function: str, op: str, records: Sequence[Record]) -> tuple[str, ...]:
    test = records[0].test if len(records) == 1 else f"{function} ({len(records)} tests)"
    rows = [row for record in records for row in record.rows if row.node == op]
    lines = [
        line
        for record in records
        for report in record.reports
        for line in overview(report).lines
        if line.what == op
    ]
    worst = max(lines, key=lambda line: ORDER.index(line.verdict))
    expected = "" if worst.verdict.ok or not all(record.ok for record in records) else ", as expected"
    compared = [row for row in rows if row.check == NUMERICAL]
    return test, op, error_of(compared), f"{worst.verdict}{expected}", worst.reason


def warnings(records: Sequence[Record]) -> str:
    """Return what is warned of, each with the first test that shows it: no failure of a test tells of it."""
    told: dict[str, str] = {}
    for record in records:
        for report in record.reports:
            for problem in overview(report).problems:
                if problem.verdict is Verdict.WARNING:
                    told.setdefault(problem_text(problem), record.test)
    return "\n\n".join(f"{text}\n  test     {one_line(test)}" for text, test in told.items())


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
        *_warned(records),
        *_checks(records),
    ]
    rows = [{"test": r.test, "outcome": r.outcome, **asdict(row)} for r in records for row in r.rows]
    contents = {"gradlab.md": "\n\n".join(parts) + "\n", "gradlab.json": to_json(ok, rows, environment)}
    pages = {place_of(folder / name, interrupted): text for name, text in contents.items()}
    for path, text in pages.items():
        write_atomically(path, text)
    return list(pages)


def write_html(
    records: Sequence[Record], path: Path, environment: Mapping[str, Any], interrupted: bool
) -> Path:
    """Write all that the run checked as one page for a browser; return its path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from gradlab.report.web import Table, report_page, write_page

    # a test that expects a wrong gradient is no failure, and stands apart
    expected = list(filter(_is_expected, records))
    tests = count(len(records), "test")
    records = [record for record in records if not _is_expected(record)]
    named = [
        report.renamed(partial("{} {}".format, record.test))
        for record in records
        for report in record.reports
    ]
    together = Report(
        [row for report in named for row in report.rows],
        environment,
        interrupted,
        [place for report in named for place in report.explored],
        {name: found for report in named for name, found in report.findings.items()},
        list(dict.fromkeys(repair for report in named for repair in report.repairs)),
        [both for report in named for both in report.comparisons],
    )
    page = report_page(together, f"pytest: {tests}", "pytest")
    if expected:
        apart = Table("Not right, as the test expects", HEADERS, _table_rows(expected))
        page = replace(page, tables=[*page.tables, apart])
    if expected and not records:
        page = replace(page, verdict=Verdict.PASS, headline="Nothing is wrong but what the tests expect.")
    return write_page(page, place_of(path, interrupted))


def _is_expected(record: Record) -> bool:
    """Return whether a test has wrong gradients, and is content."""
    return record.ok and not all(report.ok for report in record.reports)


def _verdict(records: Sequence[Record], ok: bool) -> str:
    if not records:
        return "Nothing was checked."
    tests = f"{len(records)} test{'s' if len(records) > 1 else ''}"
    return f"Verdict: **{'all right' if ok else 'not all right'}**, in {tests}."


def _wrong(records: Sequence[Record]) -> list[str]:
    wrong = [
        f"{code(record.test)}\n\n{failure_text(report, 'github')}"
        for record in records
        if not record.ok
        for report in record.reports
        if not report.ok
    ]
    return ["## What is wrong", *wrong] if wrong else []


def _warned(records: Sequence[Record]) -> list[str]:
    told = warnings(records)
    # indented and not fenced: no line of a stranger's ends it
    return ["## What is warned of", indent(told, "    ")] if told else []


def _checks(records: Sequence[Record]) -> list[str]:
    rows = [row for record in records for row in record.rows]
    return ["## What each check concluded", check_table(Report(rows), "github")] if rows else []
