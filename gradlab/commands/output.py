"""The output of a subcommand: a report on stdout, the names of written files on stderr, an exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradlab.report.tables import TERMINAL
from gradlab.running.selection import UnknownNameError

# The exit statuses; `gradlab.cli.main` says what each means.
OK, WRONG, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
# The name that tabulate has for each --format that is a table.
STYLES = {"table": "simple", "markdown": "github", "github": "simple"}


def add_detail(parser: argparse.ArgumentParser) -> None:
    """Add --verbose and --timings."""
    parser.add_argument(
        "--verbose", action="store_true", help="tell checks, samples, bounds and sensitivities as well"
    )
    parser.add_argument("--timings", action="store_true", help="show how long each side takes")


def add_html(parser: argparse.ArgumentParser) -> None:
    """Add --html."""
    parser.add_argument(
        "--html", type=_page, metavar="FILE", help="write all of it as one page for a browser"
    )


def _page(text: str) -> Path:
    """Return the path of a page; a place that cannot be written is told before a run, whose report would be lost."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written (it is a folder): name a file in it")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "no rights" if nearest.is_dir() else "it is no folder"
        raise argparse.ArgumentTypeError(f"{nearest} cannot be written ({why}): name another place")
    return path


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add --fail-if."""
    parser.add_argument(
        "--fail-if",
        default="",
        metavar="LIMITS",
        help="what else than a worse verdict is worse: error:10x for an error ten times as large, time:20%% for a "
        "forward or backward that takes a fifth longer than all others do",
    )


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """Add --baseline, with --fail-if."""
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="OLD.json",
        help="fail only on what is worse than in this report, which --format json has written",
    )
    add_limits(parser)


def style_of(arguments: argparse.Namespace) -> str:
    """Return the style of tables: that of a terminal where a person looks, else one of tabulate's."""
    if arguments.format == "table" and sys.stdout.isatty():
        return TERMINAL
    return STYLES[arguments.format]


def finish(
    arguments: argparse.Namespace, report: Any, as_text: Callable[[str], str], written: Iterable[Path]
) -> int:
    """Name the written files, print the report, and return the exit status that the report means."""
    print_paths(written)
    print_report(arguments, report, as_text)
    return INTERRUPTED if report.interrupted else OK if report.ok else WRONG


def baseline_of(arguments: argparse.Namespace) -> "Callable[[Any], int] | None":
    """Return what tells, of a report, what is worse than in --baseline, and the exit status; None without one.

    Raises
    ------
    UnknownNameError
        If the baseline, or a limit, cannot be read: before anything is run.
    """
    from gradlab.report.compared import UnreadableReportError, compare_reports, limits_of, rows_in

    if arguments.baseline is None:
        if arguments.fail_if:
            raise UnknownNameError(
                "--fail-if says what is worse than in a --baseline: give one, or leave it out"
            )
        return None
    try:
        limits, (before, _) = limits_of(arguments.fail_if), rows_in(arguments.baseline)
    except UnreadableReportError as error:
        raise UnknownNameError(str(error)) from error

    def against(report: Any) -> int:
        compared = compare_reports(before, map(asdict, report.rows), limits, report.environment)
        style = style_of(arguments) if arguments.format != "json" else STYLES["table"]
        text = f"Against {arguments.baseline}:\n\n{compared.to_table(style)}"
        if arguments.format == "json":
            print(text, file=sys.stderr)  # stdout is the report's
        else:
            print_text(f"\n{text}", style)
        return OK if compared.ok else WRONG

    return against


def print_report(arguments: argparse.Namespace, report: Any, as_text: Callable[[str], str]) -> None:
    """Print a report in the --format asked for; `as_text` makes a text of it, in one of the styles of tables."""
    if arguments.format == "json":
        print(report.to_json())
        return
    style = style_of(arguments)
    print_text(as_text(style), style)
    if arguments.format == "github":
        _annotate(report, as_text)


def _annotate(report: Any, as_text: Callable[[str], str]) -> None:
    """Print what GitHub shows beside the lines of a pull request, and add the report to the job's summary."""
    from gradlab.report import Report
    from gradlab.report.annotations import annotations

    found = getattr(report, "report", report)
    if isinstance(found, Report):
        print(*annotations(found), sep="\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(as_text("github") + "\n\n")


def print_text(text: str, style: str) -> None:
    """Print a text in a style; on a terminal its lines are wrapped between words."""
    if style != TERMINAL:
        print(text)
        return
    from gradlab.report.terminal import print_wrapped

    print_wrapped(text)


def print_paths(written: Iterable[Path]) -> None:
    """Print a line on stderr for each file that was written."""
    for path in written:
        whole = path.with_name(path.name.replace(".partial.", "."))
        beside = "" if path == whole else f" (interrupted: {whole.name} is as it was)"
        print(f"wrote {path}{beside}", file=sys.stderr)
