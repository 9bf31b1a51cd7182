"""``gradlab verify``: every node's backward against its numerical gradient, or the textbooks' networks as wholes."""

import argparse
from functools import partial
from pathlib import Path

from gradlab.commands.common_arguments import add_budget, add_workers, count, workers_of
from gradlab.commands.output import OK, WRONG, add_baseline, add_detail, add_html, baseline_of, finish
from gradlab.report.files import place_of
from gradlab.report.numbers import count as count_text
from gradlab.report.pages import write_pages
from gradlab.report.text import report_text
from gradlab.running.selection import UnknownNameError, select_nodes
from gradlab.running.verify import verify
from gradlab.workers.worker_map import processors

# From so many nodes on processes save more time than they take to start.
MANY = 16
HELP = "compare every node's backward with its numerical gradient"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab verify``."""
    parser.add_argument("node", nargs="*", metavar="NODE", help="nodes to verify (default: all)")
    parser.add_argument(
        "--models", action="store_true", help="the textbooks' networks instead, each as a whole"
    )
    parser.add_argument("--family", help="only the nodes of this family")
    parser.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    parser.add_argument(
        "--no-explore",
        dest="explore",
        action="store_false",
        help="look at the samples only, not at primals derived from them",
    )
    parser.add_argument(
        "--method",
        choices=("auto", "central"),
        default="auto",
        help="numerical side: the ladder that knows its error, or the textbook's central differences",
    )
    add_budget(parser, None, "node")
    add_detail(parser)
    add_html(parser)
    add_baseline(parser)
    add_workers(parser, "one for each processor, where there are many nodes")
    parser.add_argument("--seed", type=count, default=0, help="seed of samples and cotangents")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write errors.md and timings.md (or models.md) there"
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    """Verify nodes or, with --models, networks; print the report, write its pages, return the exit status."""
    against = baseline_of(arguments)
    if arguments.models:
        return _verify_models(arguments, command)
    if arguments.workers is None and arguments.scheduler is None:
        many = len(select_nodes(arguments.node, arguments.family)) >= MANY
        arguments.workers = processors() if many else 1
    # JSON has the times of every row, whoever reads it, and a baseline may limit them
    timings = arguments.timings or arguments.output or arguments.baseline or arguments.format == "json"
    with workers_of(arguments) as workers:
        report = verify(
            *arguments.node,
            family=arguments.family,
            seed=arguments.seed,
            checks=arguments.checks,
            explore=arguments.explore,
            method=arguments.method,
            max_seconds=arguments.max_seconds,
            max_evaluations=arguments.max_evaluations,
            workers=workers,
            progress=True,
            timings=bool(timings),
        )
    written = write_pages(report, arguments.output, command) if arguments.output else []
    if arguments.html:
        from gradlab.report.web import report_page, write_page

        about = f"gradlab verify: {count_text(len({row.node for row in report.rows}), 'node')}"
        page = place_of(arguments.html, report.interrupted)
        written.append(write_page(report_page(report, about, command), page))
    detail = {"verbose": arguments.verbose, "timings": arguments.timings}
    status = finish(arguments, report, partial(report_text, report, **detail), written)
    return against(report) if against and status in (OK, WRONG) else status


def _verify_models(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.commands._models_page import write_page
    from gradlab.textbook.systems_benchmark import verify_models

    if arguments.node or arguments.family or arguments.checks or arguments.html or arguments.baseline:
        raise UnknownNameError(
            "--models verifies the textbooks' networks: give no nodes, --family, --checks, --html or --baseline"
        )
    report = verify_models(progress=True)
    written = write_page(report, arguments.output, command) if arguments.output else []
    return finish(arguments, report, report.to_table, written)
