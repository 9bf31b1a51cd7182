"""Tables for the console and for markdown."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from tabulate import tabulate

from gradlab.repair import Repair
from gradlab.report.rows import Explored, Fault, Row
from gradlab.verdict import Verdict

TIMES = ("forward", "backward", "numerical", "ratio")
# From the best to the worst.
ORDER = [Verdict.PASS, Verdict.KINK, Verdict.WARNING, Verdict.INCONCLUSIVE, Verdict.WRONG]


class Tabulated(Protocol):
    """What the tables below read of a `gradlab.report.Report`."""

    @property
    def rows(self) -> Sequence[Row]:
        """A row for each comparison."""

    @property
    def faults(self) -> Sequence[Fault]:
        """The likeliest mistakes, and every row that shows one."""

    @property
    def explored(self) -> Sequence[Explored]:
        """Where was looked beyond the samples."""

    @property
    def repairs(self) -> Sequence[Repair]:
        """Changes of the source that mend what is wrong."""

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], style: str) -> str:
    """Return a table in one of tabulate's styles; text as it is, numbers already formatted."""
    return tabulate(rows, headers, tablefmt=style, disable_numparse=True, colalign=_alignment(headers))


def summary(report: Tabulated, style: str) -> str:
    """Return one row a node and primal with the worst over its samples, then every failure in full."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        if row.check == "matches_numerical":
            groups.setdefault((row.node, row.primal), []).append(row)
    by_node: dict[str, list[Row]] = {}
    for row in report.rows:
        by_node.setdefault(row.node, []).append(row)
    timed = any(row.forward_s is not None for row in report.rows)
    shown: list[tuple[str, ...]] = [
        (
            node,
            primal,
            str(len(rows)),
            error(rows),
            _sensitivity(rows),
            _verdict(by_node[node], primal),
            *(_times(rows) if timed else ()),
        )
        for (node, primal), rows in groups.items()
    ]
    headers = (
        "node",
        "primal",
        "samples",
        "relative error",
        "sensitivity",
        "verdict",
        *(TIMES if timed else ()),
    )
    blank = [""] * (len(headers) - 6)
    shown += [
        (node, "", "", "", _verdict(rows, ""), "", *blank)
        for node, rows in by_node.items()
        if not any(key[0] == node for key in groups)
    ]
    return "\n\n".join(filter(None, [table(headers, shown, style), failures(report, style), _totals(report)]))


# Checks that fail wherever the values of a gradient are wrong.
OF_WRONG_VALUES = ("complex_step_agrees", "hessian_is_symmetric")


def failures(report: Tabulated, style: str) -> str:
    """Return a line for each row that is wrong, undecided or warned of, and the likeliest mistakes below.

    What several checks fail for is told once, and of a node the likeliest mistake of all, then that of each primal.
    """
    bullet = "- " if style == "github" else ""
    rows = [row for row in report.rows if not row.verdict.ok or row.verdict is Verdict.WARNING]
    # a diagnosis that was cut off has evidence, and no confidence
    named = [fault for fault in report.faults if fault.evidence]
    lines: list[str] = []
    told: set[tuple[str, bool]] = set()
    for first, others in _by_reason(rows):
        lines.append(bullet + first.sentence())
        if others:
            lines.append(
                f"  {bullet}for the same reason: {', '.join(dict.fromkeys(row.check for row in others))}"
            )
        warns = first.verdict.ok
        if warns and first.analytic is not None:
            continue  # values that may well be right have no mistake
        best = next(
            (
                f
                for f in named
                if (f.node, f.warns) == (first.node, warns)
                and ((f.node, warns) not in told or f.primal == first.primal)
            ),
            None,
        )
        told.add((first.node, warns))
        if best:
            named = [f for f in named if (f.node, f.primal) != (best.node, best.primal)]
            likely = "likely mistake: " if best.confidence and not warns else ""
            lines.append(f"  {bullet}{likely}{best.sentence}")
    return "\n".join([*lines, *_repairs(report, style)])


def _repairs(report: Tabulated, style: str) -> Iterator[str]:
    """Yield, for each repair, what it was proven with, and the change."""
    for repair in report.repairs:
        if not repair.diff:
            yield repair.sentence
            continue
        yield f"\nA repair, proven with {repair.proven_with}:"
        yield f"```diff\n{repair.diff}\n```" if style == "github" else repair.diff


def _by_reason(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Return each row with those that follow and fail at the same place for the same reason.

    That is told in the same words; or it is a gradient whose values are wrong, which then is that of no function, and
    differs from what the complex step gives; or an argument that is written into, which then must be writeable.
    """
    found: dict[tuple[str, ...], tuple[Row, list[Row]]] = {}
    wrong: dict[tuple[str, ...], tuple[str, ...]] = {}
    writes = {(row.node, row.sample): row for row in rows if row.check == "leaves_arguments_unchanged"}
    for i, row in enumerate(rows):
        same = row.note if row.analytic is None and row.note else str(i)
        key: tuple[str, ...] = (row.node, row.sample, same)
        if row.check == "matches_numerical" and row.verdict is Verdict.WRONG:
            wrong.setdefault(key[:2], key)
        elif row.check in OF_WRONG_VALUES and row.verdict is Verdict.WRONG:
            key = wrong.get(key[:2], key)
        elif (by := writes.get((row.node, row.sample))) and (row is by or _is_of_writing(row)):
            key = (row.node, row.sample, "writes into an argument")
            found.setdefault(key, (by, []))
            if row is by:
                continue
        if key in found:
            found[key][1].append(row)
        else:
            found[key] = (row, [])
    return list(found.values())


def _is_of_writing(row: Row) -> bool:
    """Return whether a row tells what comes of writing into an argument: it must be writeable, and is handed back."""
    if row.check == "owns_its_memory":
        return "shares memory with the cotangent" in row.note
    return row.check == "any_layout" and "read-only" in row.note


def error_table(report: Tabulated, style: str) -> str:
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


def check_table(report: Tabulated, style: str) -> str:
    """Return how many comparisons each check made, and what became of them."""
    counts: dict[str, dict[Verdict, int]] = {}
    for row in report.rows:
        of_check = counts.setdefault(row.check, dict.fromkeys(ORDER, 0))
        of_check[row.verdict] += 1
    rows = [(check, *(str(n) for n in by_verdict.values())) for check, by_verdict in sorted(counts.items())]
    return table(("check", *map(str, ORDER)), rows, style)


def timing_table(report: Tabulated, style: str) -> str:
    """Return forward, backward and numerical time of every sample, and their ratio."""
    timed = {(r.node, r.sample): r for r in report.rows if r.forward_s is not None}
    rows = [(node, sample, *_times([r])) for (node, sample), r in timed.items()]
    return table(("node", "sample", *TIMES), rows, style)


def number(value: float | None) -> str:
    """Return an error in two digits, exact zero as 0."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def seconds(value: float | None) -> str:
    """Return a time with its unit."""
    if value is None:
        return ""
    if value == 0:
        return "0 s"
    if value >= 1000:
        return f"{value:,.0f} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def error(rows: Sequence[Row]) -> str:
    """Return the largest relative error of some rows."""
    known = [row.relative_error for row in rows if row.relative_error is not None]
    return number(max(known)) if known else ""


def _sensitivity(rows: Sequence[Row]) -> str:
    known = [row.sensitivity for row in rows if row.sensitivity is not None]
    return number(max(known)) if known else ""


def _times(rows: Sequence[Row]) -> tuple[str, str, str, str]:
    timed = [row for row in rows if row.speedup is not None]
    if not timed:
        return "", "", "", ""
    slowest = max(timed, key=lambda row: row.numerical_s or 0.0)
    ratio = f"{slowest.speedup:.3g}x"
    return seconds(slowest.forward_s), seconds(slowest.backward_s), seconds(slowest.numerical_s), ratio


def _verdict(rows: Sequence[Row], primal: str) -> str:
    """Return the worst verdict about this primal, or about the node as a whole."""
    concerned = [row.verdict for row in rows if row.primal in ("", primal) or row.primal.startswith("output")]
    return str(max(concerned, key=ORDER.index)) if concerned else ""


def _totals(report: Tabulated) -> str:
    nodes = len({row.node for row in report.rows})
    counts = {verdict: sum(row.verdict is verdict for row in report.rows) for verdict in ORDER}
    parts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    points, cuts = sum(len(places.derived) for places in report.explored), _cuts(report)
    beyond = f" Explored beyond the given primals: {count(points, 'point')}{cuts}." if points or cuts else ""
    cut = " Interrupted: the rest was not checked." if report.interrupted else ""
    counted = f"{count(nodes, 'node')}, {count(len(report.rows), 'comparison')}"
    return f"{counted}: {parts or 'none'}.{beyond}{cut}"


def _cuts(report: Tabulated) -> str:
    """Return what was not looked at, of the first sample of which anything is to be said."""
    cuts = [places.cut for places in report.explored if places.cut]
    more = f", and {count(len(cuts) - 1, 'other sample')} likewise" if len(cuts) > 1 else ""
    return f" ({cuts[0]}{more})" if cuts else ""


def count(number: int, of: str) -> str:
    """Return a number of things, in words."""
    return f"{number} {of}{'' if number == 1 else 's'}"


def explored_table(report: Tabulated, style: str) -> str:
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
    }
    return ["left" if header in text else "right" for header in headers]
