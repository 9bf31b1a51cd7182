"""The page: what it is made of, and how it is written."""

import ast
import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from gradlab.repair import Repair
from gradlab.report import Report
from gradlab.report.comparison import Comparison
from gradlab.report.figures import can_plot
from gradlab.report.files import write_atomically
from gradlab.report.overview import Overview, overview
from gradlab.report.pictures import Picture, pictures_of
from gradlab.report.plain_words import plain
from gradlab.report.problems import ORDER, Problem
from gradlab.report.tables import TIMES, times
from gradlab.report.text import HEADERS, SUSPECTS, suspects_text
from gradlab.report.web.heat_map import HeatMap, heat_map
from gradlab.verdict import Verdict

# A sign beside each colour, for who sees none.
SIGNS = {
    str(Verdict.PASS): "\N{CHECK MARK}",
    str(Verdict.KINK): "\N{CHECK MARK}",
    str(Verdict.WARNING): "!",
    str(Verdict.INCONCLUSIVE): "?",
    str(Verdict.WRONG): "\N{MULTIPLICATION X}",
}
# Columns whose values are few, and can be chosen from.
CHOSEN = ("verdict", "outcome")
# A word of more letters than these may be broken.
LONG_WORD = 20
# A table of more rows than these can be searched.
FEW_ROWS = 8
HINT = "For pictures of both gradients, their Jacobians and Taylor's test: pip install 'gradlab[plot]'"
# Problems beyond these have no pictures: a browser has to hold the page.
MOST_PICTURED = 12


@dataclass(frozen=True)
class Table:
    """A table; its cells are texts."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Page:
    """What a page shows, the verdict first.

    Attributes
    ----------
    about : str
        What was run.
    verdict : Verdict
    headline, counts : str
    command : str
    environment : mapping
    problems : sequence of mapping
        As `report_page` makes them.
    tables : sequence of Table
    pictures : sequence of Picture
    remarks : sequence of str
    hint : str
    """

    about: str
    verdict: Verdict
    headline: str
    counts: str
    command: str
    environment: Mapping[str, Any]
    problems: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    remarks: Sequence[str] = field(default=())
    hint: str = ""


def report_page(report: Report, about: str, command: str, remarks: Sequence[str] = ()) -> Page:
    """Return the page of a report."""
    view = overview(report)
    repairs = _by_problem(view.repairs, view.problems)
    problems = [
        {
            **_problem(problem, report.comparisons if k < MOST_PICTURED else ()),
            **_repaired(repairs.get(k, [])),
        }
        for k, problem in enumerate(view.problems)
    ]
    return Page(
        about,
        view.verdict,
        view.headline,
        view.closing,
        command,
        report.environment,
        problems,
        [_table(view)] if view.lines else [],
        _pictures_of_right_ones(report, view),
        remarks,
        _hint(view),
    )


def _hint(view: Overview) -> str:
    if not can_plot():
        return HINT
    if len(view.problems) > MOST_PICTURED:
        return f"Only the first {MOST_PICTURED} of {len(view.problems)} have pictures: check one alone to see its own."
    return ""


def write_page(page: Page, path: Path) -> Path:
    """Write a page, whole or not at all; return its path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "it is a folder", str(path))
    write_atomically(path, _rendered(page))
    return path


def _rendered(page: Page) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("gradlab.report.web")
    source, style, script = (
        folder.joinpath(f"page.{end}").read_text("utf-8") for end in ("html.j2", "css", "js")
    )
    environment = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    environment.filters["breakable"] = _breakable
    return environment.from_string(source).render(
        page={
            **vars(page),
            "tables": list(map(_cells, page.tables)),
            "pictures": list(map(_image, page.pictures)),
        },
        style=Markup(style),
        script=Markup(script),
        signs=SIGNS,
        suspected=SUSPECTS,
    )


def _breakable(text: str) -> Any:
    """Return a text whose long words, paths most of all, may be broken where a reader would break them."""
    from markupsafe import Markup, escape

    def broken(word: str) -> Markup:
        return Markup("<wbr>").join(re.split(r"(?<=[/:_.])", word)) if len(word) > LONG_WORD else escape(word)

    return Markup(" ").join(map(broken, text.split(" ")))


def _problem(problem: Problem, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    facts = [
        ("mistake", problem.reason),
        ("where", problem.where),
        ("elements", problem.region),
        ("what to do", problem.cure),
        ("seen" if problem.fault else "said", problem.seen),
    ]
    at = (problem.what, problem.rows[0].sample, problem.rows[0].primal)
    shown = [both for both in comparisons if (both.node, both.sample, both.primal) == at]
    drawn = can_plot()
    return {
        "verdict": str(problem.verdict),
        "title": problem.title,
        "facts": [(label, value) for label, value in facts if value],
        "python": problem.python,
        "details": problem.details,
        "pictures": [_image(picture) for both in shown if drawn for picture in pictures_of(both)],
        "heat": _first_heat_map([] if drawn else shown),
        "formula": _formula(problem.what) if problem.verdict is Verdict.WRONG else None,
    }


def _first_heat_map(comparisons: Iterable[Comparison]) -> HeatMap | None:
    return next(filter(None, map(heat_map, comparisons)), None)


def _pictures_of_right_ones(report: Report, view: Overview) -> list[Picture]:
    """Return the pictures of what was asked for and is right: those of a few inputs, not of all registered nodes."""
    if not can_plot() or view.problems or len(report.comparisons) > MOST_PICTURED:
        return []
    return [picture for both in report.comparisons for picture in pictures_of(both)]


def _formula(name: str) -> dict[str, str] | None:
    """Return the formulas of the registered node of this name, or of one that is called alike."""
    from gradlab.nodes import NODES  # they are looked for on the disk

    own = re.split(r"[:.\s]", name)[-1]
    known = own if own in NODES else _called_alike(own.lower(), NODES)
    if known is None:
        return None
    about = known if known == own else f"what gradlab's own {known} computes"
    return {"about": about, "text": NODES[known].doc}


def _called_alike(name: str, nodes: Iterable[str]) -> str | None:
    """Return the one node whose name is this without underscores, or else digits, or else a dimension (BatchNorm2d)."""
    for dropped in (r"_", r"[_\d]", r"_|\d+d$|\d"):
        alike = [known for known in nodes if re.sub(dropped, "", known) == re.sub(dropped, "", name)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


def _table(view: Overview) -> Table:
    timed = any(any(times(line.rows)) for line in view.lines)
    headers = [*HEADERS, *(TIMES if timed else ())]
    rows = [
        (
            line.what,
            line.input,
            line.error,
            str(line.verdict),
            line.reason,
            *(times(line.rows) if timed else ()),
        )
        for line in view.lines
    ]
    return Table("All that was compared", headers, rows)


def _cells(table: Table) -> dict[str, Any]:
    chosen = next((k for k, header in enumerate(table.headers) if header in CHOSEN), None)
    choices = [] if chosen is None else list(dict.fromkeys(row[chosen] for row in table.rows))
    return {
        "caption": table.caption,
        "headers": table.headers,
        "chosen": chosen,
        "choices": choices,
        "numbers": {k for k, column in enumerate(zip(*table.rows, strict=True)) if _are_numbers(column)},
        "searched": len(choices) > 1 or len(table.rows) > FEW_ROWS,
        "rows": [[{"text": cell, "value": _sorted_by(cell)} for cell in row] for row in table.rows],
    }


def _sorted_by(cell: str) -> str:
    """Return what a cell is sorted by: a number without its sign and unit, a verdict by how bad it is, or its text."""
    if cell in SIGNS:
        return str(ORDER.index(Verdict(cell)))
    return _number(cell) or cell


def _number(cell: str) -> str:
    """Return a number without its sign and unit, as JavaScript reads it; empty where a cell is none."""
    if cell in ("inf", "nan"):
        return "Infinity"
    found = re.fullmatch(r"(?:< )?(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)\s?(s|ms|µs|ns|x|%)?", cell)
    if not found:
        return ""
    units = {"ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    return repr(float(found[1].replace(",", "")) * units.get(found[2] or "", 1.0))


def _are_numbers(column: Sequence[str]) -> bool:
    return any(column) and all(map(_number, filter(None, column)))


def _by_problem(repairs: Sequence[Repair], problems: Sequence[Problem]) -> dict[int, list[Repair]]:
    """Return the repairs of each problem: that of the function that a repair is in, or else the first."""
    found: dict[int, list[Repair]] = {}
    words = [set(re.findall(r"\w+", problem.what)) for problem in problems]
    for repair in repairs:
        names = _names_round(repair)
        found.setdefault(next((k for k, of in enumerate(words) if names & of), 0), []).append(repair)
    return found


def _names_round(repair: Repair) -> set[str]:
    """Return the names of the classes and functions that the line of a repair is in."""
    try:
        tree = ast.parse(repair.text)
    except (SyntaxError, ValueError, RecursionError):  # text that was never run whole, of a notebook for one
        return set()
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and node.lineno <= repair.line <= (node.end_lineno or node.lineno)
    }


def _repaired(repairs: Sequence[Repair]) -> dict[str, Any]:
    return {"changes": _changes(repairs), "suspects": suspects_text(repairs)}


def _changes(repairs: Sequence[Repair]) -> list[dict[str, Any]]:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return [
        {
            "proven_with": plain(repair.proven_with),
            "lines": [
                {
                    "text": line,
                    "kind": "place" if line.startswith(("+++", "---")) else kinds.get(line[:1], ""),
                }
                for line in repair.diff.rstrip().split("\n")
            ],
        }
        for repair in repairs
        if repair.diff
    ]


def _image(picture: Picture) -> dict[str, str]:
    # one that is much wider than high has small letters in half a page
    size = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', picture.svg)
    kind = "wide" if size and float(size[1]) > 1.8 * float(size[2]) else ""
    data = base64.b64encode(picture.svg.encode("utf-8")).decode("ascii")
    return {
        "uri": f"data:image/svg+xml;base64,{data}",
        "alt": picture.alt,
        "title": picture.title,
        "kind": kind,
    }
