"""``gradlab sweep``: the error of a numerical derivative against its step, as a table, a page and a picture."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path

from gradlab.checks.trial import Trial
from gradlab.commands.check import add_making, compared
from gradlab.commands.common_arguments import count
from gradlab.commands.output import OK, WRONG, print_paths, print_text, style_of
from gradlab.node import primal_names
from gradlab.report import Comparison, StepErrors
from gradlab.report.envelope import environment, to_json
from gradlab.report.numbers import number
from gradlab.report.pages import made_by
from gradlab.report.problems import headword
from gradlab.report.tables import TERMINAL, table
from gradlab.running.pictured import step_errors
from gradlab.running.selection import UnknownNameError, select_nodes
from gradlab.running.step_sweep import METHODS, SweepRow, sketch, sweep
from gradlab.verdict import Verdict

HELP = "show the error of a numerical derivative against its step, and Taylor's test"
MAKING = ("init", "settings", "forward", "backward", "cotangent", "grad", "jac", "input", "samples")
TAYLOR = ("h", "change of f", "less backprop's share", "falls as", "textbook's error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab sweep``."""
    parser.add_argument(
        "node", metavar="NODE", help="a node, or MODULE:OBJECT, which gradlab check takes, of your own"
    )
    parser.add_argument("--primal", help="the input to move (default: the first)")
    parser.add_argument("--seed", type=count, default=0, help="seed of inputs and cotangent")
    add_making(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write sweep_NAME.md (and .svg) there")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Sweep the step at one input; print the errors, write the page, return the exit status."""
    if arguments.node.endswith(".py"):
        raise UnknownNameError(f"{arguments.node} is a module: name an object in it, {arguments.node}:NAME")
    if ":" in arguments.node:
        return _run_of_target(arguments, command)
    _refuse_making(arguments)
    (node,) = select_nodes([arguments.node])
    names = primal_names(node.forward, len(node.draw_samples()[0].primals))
    wanted = arguments.primal or names[0]
    if wanted not in names:
        raise UnknownNameError(f"{node.name} has no primal {wanted!r}: there are {', '.join(names)}")
    rows, against = sweep(node, names.index(wanted), arguments.seed)
    title = f"{node.name}, {wanted}: relative error against the step (truth: {against})"
    trial = Trial(node, node.draw_samples(arguments.seed)[0], arguments.seed)
    steps = step_errors(trial, names.index(wanted))
    name = f"{node.name}, {wanted}"
    if arguments.output:
        made = made_by(command, environment(seed=arguments.seed))
        taylor_parts = _taylor_parts(name, steps, "github")
        path = arguments.output / f"sweep_{node.name}.md"
        print_paths(write_page(rows, title, path, made, taylor_parts))
    if arguments.format == "json":
        taylor = [row | {"table": "taylor"} for row in _taylor_rows(steps)]
        print(
            to_json(
                steps.verdict is not Verdict.WRONG,
                [asdict(r) for r in rows],
                environment(seed=arguments.seed, truth=against, taylor=taylor, said=steps.sentence),
            )
        )
        return _status(steps)
    style = style_of(arguments)
    parts = [title, _error_table(rows, style), *([sketch(rows)] if style == TERMINAL else [])]
    print_text("\n\n".join([*parts, *_taylor_parts(name, steps, style)]), style)
    return _status(steps)


def _refuse_making(arguments: argparse.Namespace) -> None:
    """Refuse what makes an object of somebody's own, which a node has no use for."""
    given = next((name for name in MAKING if getattr(arguments, name)), None)
    if given:
        raise UnknownNameError(
            f"--{given} is for an object of your own, MODULE:OBJECT: leave it out, or name one"
        )


def _run_of_target(arguments: argparse.Namespace, command: str) -> int:
    """Do Taylor's test of somebody's own function."""
    found = compared(arguments.node, arguments)
    names = list(dict.fromkeys(both.primal for both in found))
    wanted = arguments.primal or names[0]
    both = next((both for both in found if both.primal == wanted), None)
    if both is None:
        raise UnknownNameError(f"{arguments.node} has no input {wanted!r}: there are {', '.join(names)}")
    steps = both.steps
    if steps is None:
        raise UnknownNameError(
            f"{wanted} of {arguments.node} cannot be moved along a line: give another --input"
        )
    title = f"{arguments.node}, {wanted}"
    if arguments.output:
        made = made_by(command, environment(seed=arguments.seed))
        print_paths(_write_taylor(both, steps, title, arguments.output, made))
    if arguments.format == "json":
        ok = steps.verdict is not Verdict.WRONG
        print(to_json(ok, _taylor_rows(steps), environment(seed=arguments.seed, said=steps.sentence)))
    else:
        style = style_of(arguments)
        print_text("\n\n".join(_taylor_parts(title, steps, style)), style)
    return _status(steps)


def _status(steps: StepErrors) -> int:
    return WRONG if steps.verdict is Verdict.WRONG else OK


def _taylor_rows(steps: StepErrors) -> list[dict[str, float | None]]:
    columns = steps.steps, steps.without, steps.with_gradient, steps.orders(), steps.central
    names = ("h", "without", "with_gradient", "order", "central")
    return [
        {name: None if value is None else float(value) for name, value in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def _taylor_parts(title: str, steps: StepErrors, style: str) -> list[str]:
    """Return Taylor's test as text: what it says, and a row for each step."""
    rows = [
        (f"{row['h']:.0e}", number(row["without"]), number(row["with_gradient"]),
         _fall(row["with_gradient"], row["order"]) if k else "", number(row["central"]))
        for k, row in enumerate(_taylor_rows(steps))
    ]  # fmt: skip
    said = f"{headword(steps.verdict)}: {title}: by Taylor's test\n{steps.sentence}."
    said += (
        ""
        if steps.verdict is Verdict.PASS or steps.order is None
        else "\nWith a right gradient it falls as h^2."
    )
    return [said, table(TAYLOR, rows, style)]


def _fall(left: float | None, order: float | None) -> str:
    if left is None or not isfinite(left):
        return ""
    return "rounding" if order is None else f"h^{order:.2f}"


def _write_taylor(both: Comparison, steps: StepErrors, title: str, folder: Path, made: str) -> list[Path]:
    """Write the page of Taylor's test, and beside it its picture if the extra `plot` is installed."""
    from gradlab.report.figures import can_plot
    from gradlab.report.files import write_atomically

    path = folder / f"sweep_{re.sub(r'[^A-Za-z0-9_]+', '_', title)}.md"
    parts = [f"# {title}", made, *_taylor_parts(title, steps, "github")]
    paths = [path]
    if can_plot():
        from gradlab.report.pictures import pictures_of

        picture = pictures_of(both)[-1]
        paths.append(path.with_suffix(".svg"))
        write_atomically(paths[1], picture.svg)
        parts.append(f"![{picture.alt}]({paths[1].name})")
    write_atomically(path, "\n\n".join(parts) + "\n")
    return paths


def write_page(
    rows: Sequence[SweepRow], title: str, path: Path, made: str, more: Sequence[str] = ()
) -> list[Path]:
    """Write the page, and beside it its figure if the extra `plot` is installed; return their paths.

    `made` is the line that says which command made the page, `more` what stands at its end.
    """
    from gradlab.report.figures import can_plot, sweep_figure
    from gradlab.report.files import write_atomically

    parts = [f"# {title}", made, _error_table(rows, "github")]
    paths = [path]
    if can_plot():
        paths.append(path.with_suffix(".svg"))
        sweep_figure(paths[1], title, {method: _curve(rows, method) for method in METHODS})
        parts.append(f"![{title}]({paths[1].name})")
    parts += more
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
