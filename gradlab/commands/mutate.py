"""``gradlab mutate``: faults put into right nodes, and how many of them the checks notice."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.common_arguments import add_workers, count, workers_of
from gradlab.commands.output import add_html, finish
from gradlab.report.files import place_of, write_atomically
from gradlab.report.numbers import count as count_text
from gradlab.report.pages import made_by
from gradlab.verdict import Verdict

if TYPE_CHECKING:
    from gradlab.running.mutation import MutationReport

# A page that lists more faults than these would be slow to load.
MOST_TOLD = 3000
HELP = "put faults into right nodes, and count those that the checks notice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab mutate``."""
    parser.add_argument("node", nargs="*", metavar="NODE", help="nodes to put faults into (default: all)")
    parser.add_argument("--family", help="only the nodes of this family")
    parser.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    add_workers(parser)
    parser.add_argument("--seed", type=count, default=0, help="seed of samples, cotangents and faults")
    add_html(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write mutation.md there")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Put the faults in; print what became of each, write the page, return the exit status."""
    from gradlab.running.mutation import mutate

    with workers_of(arguments) as workers:
        report = mutate(
            *arguments.node,
            family=arguments.family,
            seed=arguments.seed,
            checks=arguments.checks,
            workers=workers,
            progress=True,
        )
    written = write_page(report, arguments.output, command) if arguments.output else []
    if arguments.html:
        written.append(_write_html(report, arguments.html, command))
    return finish(arguments, report, report.to_table, written)


def write_page(report: "MutationReport", folder: Path, command: str) -> list[Path]:
    """Write mutation.md into `folder`, whole or not at all; return its path in a list."""
    parts = [
        "# What the checks notice",
        f"{made_by(command, report.environment)} The whole run took {report.seconds:.0f} s.",
        report.totals(),
        report.to_table("github"),
    ]
    path = place_of(folder / "mutation.md", report.interrupted)
    write_atomically(path, "\n\n".join(parts) + "\n")
    return [path]


def _write_html(report: "MutationReport", path: Path, command: str) -> Path:
    from gradlab.report.web import Page, Table
    from gradlab.report.web import write_page as write_web_page
    from gradlab.running.mutation import KILLED, NEVER_FIRST, SURVIVING

    survivors = sum(row.outcome == SURVIVING for row in report.rows)
    headline = "Every fault was noticed." if report.ok else "Nothing was tried."
    if survivors:
        headline = f"Not noticed: {survivors} of {count_text(len(report.rows), 'fault')}."
    # of thousands nobody reads the killed ones
    told = [row for row in report.rows if row.outcome != KILLED or len(report.rows) <= MOST_TOLD]
    rows = [
        (r.node, r.fault, r.primal, r.description, r.outcome, r.killed_by, r.note)
        for r in sorted(told, key=lambda row: row.outcome != SURVIVING)
    ]
    headers = ("node", "fault", "input", "change", "outcome", "noticed by", "note")
    caption = "Every fault" if len(told) == len(report.rows) else "Every fault that was not noticed"
    faults, tables = Table(caption, headers, rows), [Table(*tabled) for tabled in report.tables()]
    # who has survivors wants to see them; who has none, the counts
    tables.insert(0 if survivors else len(tables), faults)
    about = "gradlab mutate: faults put into right nodes"
    verdict = Verdict.PASS if report.ok else Verdict.WRONG if survivors else Verdict.INCONCLUSIVE
    page = Page(
        about,
        verdict,
        headline,
        report.totals(),
        command,
        report.environment,
        tables=tables,
        remarks=[NEVER_FIRST],
    )
    return write_web_page(page, place_of(path, report.interrupted))
