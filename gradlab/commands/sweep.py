"""``gradlab sweep``: the error of a numerical derivative against its step, as a table, a page and a picture."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gradlab.commands.common_arguments import count
from gradlab.commands.output import OK, STYLES, print_paths
from gradlab.node import primal_names
from gradlab.report.envelope import environment, to_json
from gradlab.report.numbers import number
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from gradlab.running.selection import UnknownNameError, select_nodes
from gradlab.running.step_sweep import METHODS, SweepRow, sketch, sweep

HELP = "show the error of a numerical derivative against its step"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab sweep``."""
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("--primal", help="the primal to move (default: the first)")
    parser.add_argument("--seed", type=count, default=0, help="seed of sample and cotangent")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write sweep_NODE.md (and .svg) there")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Sweep the step at one primal of a node; print the errors, write the page, return the exit status."""
    (node,) = select_nodes([arguments.node])
    names = primal_names(node.forward, len(node.draw_samples()[0].primals))
    wanted = arguments.primal or names[0]
    if wanted not in names:
        raise UnknownNameError(f"{node.name} has no primal {wanted!r}: there are {', '.join(names)}")
    rows, against = sweep(node, names.index(wanted), arguments.seed)
    title = f"{node.name}, {wanted}: relative error against the step (truth: {against})"
    if arguments.output:
        made = made_by(command, environment(seed=arguments.seed))
        print_paths(write_page(rows, title, arguments.output / f"sweep_{node.name}.md", made))
    if arguments.format == "json":
        print(to_json(True, [asdict(r) for r in rows], environment(seed=arguments.seed, truth=against)))
    else:
        print(f"{title}\n\n{_error_table(rows, STYLES[arguments.format])}")
        if arguments.format == "table" and sys.stdout.isatty():
            print(f"\n{sketch(rows)}")
    return OK


def write_page(rows: Sequence[SweepRow], title: str, path: Path, made: str) -> list[Path]:
    """Write the page, and beside it its figure if the extra `plot` is installed; return their paths.

    `made` is the line that says which command made the page.
    """
    from gradlab.report.figures import can_plot, sweep_figure
    from gradlab.report.files import write_atomically

    parts = [f"# {title}", made, _error_table(rows, "github")]
    paths = [path]
    if can_plot():
        paths.append(path.with_suffix(".svg"))
        sweep_figure(paths[1], title, {method: _curve(rows, method) for method in METHODS})
        parts.append(f"![{title}]({paths[1].name})")
    write_atomically(path, "\n\n".join(parts) + "\n")
    return paths


def _error_table(rows: Sequence[SweepRow], style: str) -> str:
    shown = [(f"{row.h:.0e}", *(number(_error(row, method)) or "none" for method in METHODS)) for row in rows]
    return table(("h", *METHODS), shown, style)


def _curve(rows: Sequence[SweepRow], method: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a method has an error, and these errors."""
    points = [(row.h, error) for row in rows if (error := _error(row, method)) is not None]
    return [h for h, _ in points], [error for _, error in points]


def _error(row: SweepRow, method: str) -> float | None:
    error: float | None = getattr(row, method.replace("-", "_"))
    return error
