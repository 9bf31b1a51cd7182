"""``gradlab mutate``: faults put into right nodes, and how many of them the checks notice."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.common_arguments import add_workers, count, workers_of
from gradlab.commands.output import finish
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by

if TYPE_CHECKING:
    from gradlab.running.mutation import MutationReport

HELP = "put faults into right nodes, and count those that the checks notice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab mutate``."""
    parser.add_argument("node", nargs="*", metavar="NODE", help="nodes to put faults into (default: all)")
    parser.add_argument("--family", help="only the nodes of this family")
    parser.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    add_workers(parser)
    parser.add_argument("--seed", type=count, default=0, help="seed of samples, cotangents and faults")
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
    return finish(arguments, report, report.to_table, written)


def write_page(report: "MutationReport", folder: Path, command: str) -> list[Path]:
    """Write mutation.md into `folder`, whole or not at all; return its path in a list."""
    parts = [
        "# What the checks notice",
        f"{made_by(command, report.environment)} The whole run took {report.seconds:.0f} s.",
        report.totals(),
        report.to_table("github"),
    ]
    path = folder / "mutation.md"
    write_atomically(path, "\n\n".join(parts) + "\n")
    return [path]
