"""Tables for the console and for markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from gradlab.report.escaping import markdown, one_line
from gradlab.report.numbers import number, seconds
from gradlab.report.problems import ORDER, Reported
from gradlab.report.rows import Row
from gradlab.verdict import Verdict

# The style of a table for a terminal, beside tabulate's.
TERMINAL = "terminal"
TIMES = ("forward", "backward", "numerical", "numerical / backprop")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], style: str) -> str:
    """Return a table for a terminal or in one of tabulate's styles; numbers are formatted already."""
    escape = markdown if style == "github" else one_line
    rows = [tuple(escape(str(cell)) for cell in row) for row in rows]
    if style == TERMINAL:
        from gradlab.report.terminal import rendered, rich_table  # rich loads where somebody looks

        return rendered([rich_table(headers, rows, [side == "right" for side in _alignment(headers)])])
    return tabulate(rows, headers, tablefmt=style, disable_numparse=True, colalign=_alignment(headers))


def error_table(report: Reported, style: str) -> str:
    """Return the comparison of every sample and primal, without times."""
    rows = [
        (r.node, r.sample, r.primal, number(r.textbook_error), number(r.relative_error),
         number(r.absolute_error), number(r.reference_error), number(r.sensitivity),
         f"({', '.join(map(str, r.worst_index or ()))})",
         f"{r.analytic:.9g}", f"{r.numerical:.9g}", str(r.verdict))
        for r in report.rows
        if r.check == "matches_numerical" and r.analytic is not None and r.numerical is not None
    ]  # fmt: skip
    headers = ("node", "sample", "primal", "textbook's error, h = 1e-4", "relative error",
               "absolute error", "bound", "sensitivity", "worst at", "analytic", "numerical", "verdict")  # fmt: skip
    return table(headers, rows, style)


def check_table(report: Reported, style: str) -> str:
    """Return how many comparisons each check made, and what became of them."""
    counts: dict[str, dict[Verdict, int]] = {}
    for row in report.rows:
        of_check = counts.setdefault(row.check, dict.fromkeys(ORDER, 0))
        of_check[row.verdict] += 1
    rows = [(check, *(str(n) for n in by_verdict.values())) for check, by_verdict in sorted(counts.items())]
    return table(("check", *map(str, ORDER)), rows, style)


def timing_table(report: Reported, style: str) -> str:
    """Return forward, backward and numerical time of every sample, and their ratio."""
    timed = {(r.node, r.sample): r for r in report.rows if r.forward_s is not None}
    rows = [(node, sample, *times([r])) for (node, sample), r in timed.items()]
    return table(("node", "sample", *TIMES), rows, style)


def times(rows: Sequence[Row]) -> tuple[str, str, str, str]:
    """Return the times of the slowest of some rows, and how many times as long as backprop the numerical side took."""
    timed = [row for row in rows if row.speedup is not None]
    if not timed:
        return "", "", "", ""
    slowest = max(timed, key=lambda row: row.numerical_s or 0.0)
    ratio = f"{slowest.speedup:.3g}x"
    return seconds(slowest.forward_s), seconds(slowest.backward_s), seconds(slowest.numerical_s), ratio


def explored_table(report: Reported, style: str) -> str:
    """Return, for each sample, the ways in which primals were derived from it and looked at, and what was cut off."""
    cut = any(places.cut for places in report.explored)
    rows = [
        (
            places.node,
            places.sample,
            str(len(places.derived)),
            "; ".join(places.derived),
            *([places.cut] if cut else ()),
        )
        for places in report.explored
    ]
    return table(("node", "sample", "points", "derived", *(("cut off",) if cut else ())), rows, style)


def _alignment(headers: Sequence[str]) -> list[str]:
    text = {
        "node",
        "sample",
        "primal",
        "verdict",
        "check",
        "family",
        "primals",
        "data",
        "h",
        "settings",
        "note",
        "method",
        "derived",
        "cut off",
        "fault",
        "killed first by",
        "system",
        "network",
        "learned",
        "equation",
        "moved",
        "what",
        "gate",
        "input",
        "inputs",
        "reason",
        "test",
    }
    return ["left" if header in text else "right" for header in headers]
