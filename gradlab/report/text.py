"""A report as text: for a terminal, for a pipe, and as markdown."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from gradlab.repair import Repair
from gradlab.report.escaping import markdown, one_line, visible
from gradlab.report.numbers import number
from gradlab.report.overview import Line, Overview, overview
from gradlab.report.plain_words import plain
from gradlab.report.problems import Problem, Reported, headword
from gradlab.report.tables import TERMINAL, TIMES, table, times

HEADERS = ("what", "input", "error", "verdict", "reason")
DETAIL = ("samples", "sensitivity")
NUMBERS = {"error", *DETAIL, *TIMES}
SUSPECTS = "Look at these lines; another value of any one would explain all that is wrong:"
# Beyond so many lines the beginning is off the screen, and the verdict is told once more.
SCREEN = 15
# Of a pipe nobody knows the width; more than this is hard to read.
WIDTH = 79


def report_text(
    report: Reported, style: str, *, verbose: bool = False, timings: bool = False, on: Any = None
) -> str:
    """Return the verdict, what is wrong and what to change, and a table with a line for each input.

    Parameters
    ----------
    report : Reported
    style : str
        "terminal", or one of tabulate's: "simple" for a pipe, "github" for markdown.
    verbose : bool
        Whether to tell checks, samples, bounds and sensitivities as well.
    timings : bool
        Whether the table has the times, which only some commands measure.
    on : rich.console.Console, optional
        The terminal; by default stdout.
    """
    view = overview(report)
    closing = f"{view.headline}\n{view.closing}" if len(view.lines) > SCREEN else view.closing
    tables = list(_tables(view.lines, verbose, timings))
    if style == TERMINAL:
        from gradlab.report import terminal  # rich loads where somebody looks

        parts = [
            *([] if _is_told_by_its_headline(view) else [terminal.shown_headline(view, view.headline)]),
            *(terminal.shown_problem(*_titled(view, problem, verbose)) for problem in view.problems),
            *(terminal.shown_repair(repair) for repair in view.repairs if repair.diff),
            *(
                [terminal.shown_places(SUSPECTS, suspects)]
                if (suspects := suspects_text(view.repairs))
                else []
            ),
            *(
                terminal.rich_table(headers, rows, [h in NUMBERS for h in headers])
                for headers, rows in tables
            ),
            terminal.shown_headline(view, closing),
        ]
        return terminal.rendered(parts, on)
    shown = [table(headers, rows, style) for headers, rows in tables]
    return "\n\n".join([*_told(view, style, verbose), *shown, closing])


def failure_text(report: Reported, style: str = "simple") -> str:
    """Return the verdict and all that is wrong, without a table; empty where nothing is to be said."""
    view = overview(report)
    return "\n\n".join(_told(view, style, verbose=True)) if view.problems else ""


def _tables(lines: Sequence[Line], verbose: bool, timings: bool) -> Iterator[tuple[Sequence[str], list[Any]]]:
    """Yield headers and rows of the table, and of the tables of details, which would not fit beside it."""
    if not lines:
        return
    yield HEADERS, [(line.what, line.input, line.error, str(line.verdict), line.reason) for line in lines]
    compared = [line for line in lines if line.rows]
    if verbose:
        yield (*HEADERS[:2], *DETAIL), list(map(_detail, compared))
    if timings:
        yield (*HEADERS[:2], *TIMES), [(line.what, line.input, *times(line.rows)) for line in compared]


def _detail(line: Line) -> tuple[str, ...]:
    known = [row.sensitivity for row in line.rows if row.sensitivity is not None]
    return line.what, line.input, str(len(line.rows)), number(max(known)) if known else ""


def problem_fields(problem: Problem, verbose: bool = False) -> list[tuple[str, str]]:
    """Return what is told of a problem, each with its label."""
    told = [
        ("where", problem.where),
        ("region", problem.region),
        ("mistake", f"{problem.reason} ({problem.fault.name})" if problem.fault else ""),
        ("seen", problem.seen),
        ("cure", problem.cure),
        ("input", problem.python),
        *(problem.details if verbose else ()),
    ]
    return [(label, value) for label, value in told if value]


def _is_told_by_its_headline(view: Overview) -> bool:
    """Return whether the headline is the title of the one thing that there is to be told."""
    if len(view.problems) != 1 or view.problems[0].verdict is not view.verdict:
        return False
    (problem,) = view.problems
    return view.headline.startswith(f"{headword(problem.verdict)}: {problem.what}")


def _titled(view: Overview, problem: Problem, verbose: bool) -> tuple[str, Problem, list[tuple[str, str]]]:
    title = view.headline if _is_told_by_its_headline(view) else problem.title_line
    return title, problem, problem_fields(problem, verbose)


def _told(view: Overview, style: str, verbose: bool) -> Iterator[str]:
    github = style == "github"
    if github or not _is_told_by_its_headline(view):
        yield f"**{markdown(view.headline)}**" if github else view.headline
    for problem in view.problems:
        title, _, fields = _titled(view, problem, verbose)
        if github:
            yield "\n".join(
                [f"- {markdown(problem.title_line)}", *(f"  - {k}: {markdown(value)}" for k, value in fields)]
            )
        else:
            yield _block(title, fields)
    yield from (_told_repair(repair, style) for repair in view.repairs if repair.diff)
    if suspects := suspects_text(view.repairs):
        bullet = "- " if github else "  "
        yield "\n".join([SUSPECTS, *(f"{bullet}{place}" for place in suspects)])


def problem_text(problem: Problem) -> str:
    """Return one problem as text for a pipe."""
    return _block(problem.title_line, problem_fields(problem))


def _block(title: str, fields: Sequence[tuple[str, str]]) -> str:
    return "\n".join([title, *(_wrapped(label, value) for label, value in fields)])


def _wrapped(label: str, value: str) -> str:
    """Return a labelled text, wrapped beside its label; Python as it is, for whoever copies it."""
    begin = f"  {label:<9}"
    if label == "input":
        return begin + value
    return textwrap.fill(
        value,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def suspects_text(repairs: Sequence[Repair]) -> list[str]:
    """Return the lines of which each could be at fault, where no change was found that mends it."""
    return [
        one_line(f"{each.shown_file}, line {each.line}: {each.before.strip()}")
        for each in repairs
        if not each.diff
    ]


def _told_repair(repair: Repair, style: str) -> str:
    begin, diff = f"Change this (proven with {plain(repair.proven_with)}):", visible(repair.diff.rstrip())
    if style == "github":
        return f"{begin}\n\n```diff\n{diff}\n```"
    return "\n".join([textwrap.fill(begin, WIDTH), diff])
