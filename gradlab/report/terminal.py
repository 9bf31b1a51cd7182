"""What a person sees on a terminal, by rich: the width that there is, colours if wanted, wide characters."""

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, Literal

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradlab.repair import Repair
from gradlab.report.escaping import visible
from gradlab.report.overview import Overview
from gradlab.report.plain_words import plain
from gradlab.report.problems import Problem
from gradlab.verdict import Verdict

# Columns whose cells are too short to be broken.
SHORT = {"input", "error", "verdict", "samples", "sensitivity", "forward", "backward", "numerical"}
COLOURS = {
    Verdict.PASS: "green",
    Verdict.KINK: "green",
    Verdict.WARNING: "yellow",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.WRONG: "bold red",
}


def print_wrapped(text: str) -> None:
    """Print a text that may hold colours and tables; what is longer than a line is wrapped between words."""
    Console(highlight=False).print(Text.from_ansi(text))


def on_a_console_of(width: int, *, colours: bool) -> Console:
    """Return a console that nobody sees, of a width, for what somebody else prints."""
    return Console(
        file=StringIO(),
        width=width,
        force_terminal=colours,
        color_system="standard" if colours else None,
        highlight=False,
    )


def rendered(parts: Iterable[Any], on: Console | None = None) -> str:
    """Return what a console would show, with an empty line between the parts, and no space at the ends of lines."""
    shown = on or Console(highlight=False)
    texts = []
    for part in parts:
        with shown.capture() as captured:
            shown.print(part)
        texts.append("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))
    return "\n\n".join(texts)


def rich_table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> Table:
    """Return a table whose columns take no more than there is room for; `right` says which are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", collapse_padding=True)
    for header, to_right in zip(headers, right, strict=True):
        side: Literal["right", "left"] = "right" if to_right else "left"
        table.add_column(header, justify=side, overflow="fold", no_wrap=header in SHORT)
    for row in rows:
        table.add_row(*map(coloured, row))
    return table


def coloured(cell: str) -> Text:
    """Return a cell of a table, a verdict in its colour."""
    return Text(cell, COLOURS[Verdict(cell)] if cell in set(Verdict) else "")


def labelled(pairs: Iterable[tuple[str, Any]]) -> Padding:
    """Return labels with what they are the labels of, which is wrapped beside them and not below."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(label, value)
    return Padding(grid, (0, 0, 0, 2))


def shown_headline(view: Overview, closing: str) -> Text:
    """Return a text in which the headline, if it is there, has the verdict's colour."""
    text = Text(closing)
    if closing.startswith(view.headline):
        text.stylize(COLOURS[view.verdict], 0, len(view.headline))
    return text


def shown_problem(title: str, problem: Problem, fields: Iterable[tuple[str, str]]) -> Group:
    """Return what is wrong, where, and what to change, under a title."""
    return Group(
        Text(title, COLOURS[problem.verdict]), labelled((name, Text(value)) for name, value in fields)
    )


def shown_repair(repair: Repair) -> Any:
    """Return a repair with its change in colours."""
    begin = Text("Change this", "bold").append(f" (proven with {plain(repair.proven_with)}):", "not bold dim")
    return Group(begin, *map(_coloured_change, visible(repair.diff.rstrip()).split("\n")))


def shown_places(title: str, places: Iterable[str]) -> Group:
    """Return lines of somebody's source below a title."""
    return Group(Text(title, "bold"), *(Padding(Text(place), (0, 0, 0, 2)) for place in places))


def _coloured_change(line: str) -> Text:
    if line.startswith(("+++", "---")):
        return Text(line, "bold")
    return Text(line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))
