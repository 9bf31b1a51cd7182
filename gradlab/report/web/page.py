"""The page: what it is made of, and how it is written."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from gradlab.nodes import NODES
from gradlab.repair import Repair
from gradlab.report._report import Report
from gradlab.report.comparison import Comparison
from gradlab.report.figures import can_plot
from gradlab.report.files import write_atomically
from gradlab.report.overview import ORDER, Overview, Problem, overview
from gradlab.report.pictures import Picture, pictures_of
from gradlab.report.plain_words import plain
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
NUMBERS = {"error", *TIMES, "mutants", "killed", "elements", "loss", "step", "epoch", "time", "ratio"}
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
    repairs : sequence of Repair
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
    repairs: Sequence[Repair] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    remarks: Sequence[str] = field(default=())
    hint: str = ""


def report_page(report: Report, about: str, command: str, remarks: Sequence[str] = ()) -> Page:
    """Return the page of a report."""
    view = overview(report)
    problems = [
        _problem(problem, report.comparisons if k < MOST_PICTURED else ())
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
        view.repairs,
        [_table(view)] if view.lines else [],
        _pictures_of_right_ones(report, view),
        remarks,
        "" if can_plot() else HINT,
    )


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
    return environment.from_string(source).render(
        page={**vars(page), "changes": _changes(page.repairs), "suspects": suspects_text(page.repairs)}
        | {"tables": [_cells(table) for table in page.tables], "pictures": list(map(_image, page.pictures))},
        style=Markup(style),
        script=Markup(script),
        signs=SIGNS,
        numbers=NUMBERS,
        suspected=SUSPECTS,
    )


def _problem(problem: Problem, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    facts = [
        ("mistake", problem.reason),
        ("where", problem.where),
        ("wrong", problem.region),
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
    own = re.split(r"[:.\s]", name)[-1]
    alike = {re.sub(r"[_\d]", "", known): known for known in NODES}
    known = own if own in NODES else alike.get(re.sub(r"[_\d]", "", own).lower())
    if known is None:
        return None
    about = known if known == own else f"gradlab's own {known}"
    return {"about": about, "text": NODES[known].doc}


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
    verdicts = [str(verdict) for verdict in ORDER if any(str(verdict) in row for row in table.rows)]
    return {
        "caption": table.caption,
        "headers": table.headers,
        "verdicts": verdicts,
        "rows": [[{"text": cell, "value": _sorted_by(cell)} for cell in row] for row in table.rows],
    }


def _sorted_by(cell: str) -> str:
    """Return what a cell is sorted by: a number without its sign and unit, a verdict by how bad it is, or its text."""
    if cell in SIGNS:
        return str(ORDER.index(Verdict(cell)))
    found = re.fullmatch(r"(?:< )?(\d[\d,.]*(?:e[+-]\d+)?)\s?(s|ms|µs|ns|x|%)?", cell)
    if not found:
        return cell
    units = {"ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    return repr(float(found[1].replace(",", "")) * units.get(found[2] or "", 1.0))


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
    data = base64.b64encode(picture.svg.encode("utf-8")).decode("ascii")
    return {"uri": f"data:image/svg+xml;base64,{data}", "alt": picture.alt, "title": picture.title}
