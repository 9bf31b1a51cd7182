"""``gradlab list``: the nodes, with their families, primals and samples."""

import argparse

from gradlab.commands.output import OK, print_text, style_of
from gradlab.node import primal_names
from gradlab.report.envelope import environment, to_json
from gradlab.report.tables import table
from gradlab.running.selection import select_nodes

HELP = "list the nodes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab list``."""
    parser.add_argument("--family", help="only the nodes of this family")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Print a row for each node; return the exit status."""
    rows = []
    for node in select_nodes((), arguments.family):
        samples = node.draw_samples()
        primals = primal_names(node.forward, max(len(sample.primals) for sample in samples))
        names = [sample.name for sample in samples]
        rows.append({"node": node.name, "family": node.family, "primals": primals, "samples": names})
    if arguments.format == "json":
        print(to_json(True, rows, environment()))
    else:
        shown = [(r["node"], r["family"], ", ".join(r["primals"]), str(len(r["samples"]))) for r in rows]
        style = style_of(arguments)
        print_text(table(("node", "family", "primals", "samples"), shown, style), style)
    return OK
