"""``gradlab explain``: one node's formulas, contract, samples and errors."""

import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradlab.commands.output import OK, print_text, style_of
from gradlab.node import Node, primal_names
from gradlab.report import Report, Row
from gradlab.report.envelope import to_json
from gradlab.report.numbers import error_of, number
from gradlab.report.tables import table
from gradlab.running.selection import select_nodes
from gradlab.running.verify import verify

HELP = "show a node's formulas, contract, samples and errors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab explain``."""
    parser.add_argument("node", metavar="NODE")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Print everything that is known of a node; return the exit status."""
    (node,) = select_nodes([arguments.node])
    report = verify(node.name, checks=["matches_numerical"])
    rows = _sample_rows(node, report)
    if arguments.format == "json":
        print(to_json(report.ok, rows, report.environment))
        return OK
    contract = (
        f"forward{_plain_signature(node.forward)} -> output, residuals\nbackward(residuals, g) -> gradients"
    )
    shown = [
        (r["sample"], r["primals"], r["settings"], error, number(r["sensitivity"]), r["note"])
        for r, error in zip(rows, _errors(rows, report), strict=True)
    ]
    headers = ("sample", "inputs", "settings", "error", "sensitivity", "note")
    reference = (
        "forward is compared with an independent reference" if node.reference else "there is no reference"
    )
    style = style_of(arguments)
    print_text(
        f"{node.name} ({node.family})\n\n{node.doc}\n\n{contract}\n{reference}\n\n"
        f"{table(headers, shown, style)}\n\n"
        "error: backprop against the numerical gradient, relative; after < it is less\n"
        "than the numerical side's own. sensitivity: an error of this size, relative to\n"
        "the largest element, would have been caught in any one.",
        style,
    )
    return OK


def _errors(rows: Sequence[Mapping[str, Any]], report: Report) -> list[str]:
    return [error_of([row for row in report.rows if row.sample == shown["sample"]]) for shown in rows]


def _sample_rows(node: Node, report: Report) -> list[dict[str, Any]]:
    """Return a row for each sample of a node: its primals, and its largest errors in the report."""
    by_sample: dict[str, list[Row]] = {}
    for row in report.rows:
        by_sample.setdefault(row.sample, []).append(row)
    rows: list[dict[str, Any]] = []
    for sample in node.draw_samples():
        names = primal_names(node.forward, len(sample.primals))
        shapes = ", ".join(f"{name} {x.shape}" for name, x in zip(names, sample.primals, strict=True))
        of = by_sample.get(sample.name, [])
        rows.append(
            {
                "sample": sample.name,
                "primals": shapes,
                "settings": ", ".join(sample.settings),
                "relative_error": max((r.relative_error or 0.0 for r in of), default=None),
                "bound": max((r.reference_error or 0.0 for r in of), default=None),
                "sensitivity": max((r.sensitivity or 0.0 for r in of), default=None),
                "note": "; ".join(dict.fromkeys(r.note for r in of if r.note)),
            }
        )
    return rows


def _plain_signature(function: Callable[..., object]) -> inspect.Signature:
    """Return a function's signature without annotations."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
