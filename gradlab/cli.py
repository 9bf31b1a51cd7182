"""The command line: arguments in, exit status out."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from gradlab.harness import UnknownNameError, select_nodes, verify
from gradlab.node import primal_names
from gradlab.report.envelope import environment, to_json
from gradlab.report.pages import made_by, write_pages
from gradlab.report.tables import summary, table

OK, WRONG, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
STYLES = {"table": "simple", "markdown": "github"}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line that ends with the cure."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}: see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: all right; 1: a gradient is wrong or could not be decided; 2: the call or its input is unusable, said in
    one line; 130: ended by Ctrl-C, what was reached is printed.
    """
    arguments = _parser().parse_args(argv)
    command = "gradlab " + shlex.join(sys.argv[1:] if argv is None else argv)
    try:
        status: int = arguments.run(arguments, command)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read us has stopped; keep Python from complaining when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        if not _is_expected(error):
            raise
        print(f"gradlab: {' '.join(str(error).split())}", file=sys.stderr)
        return UNUSABLE
    return status


def _is_expected(error: Exception) -> bool:
    from gradlab.datasets import DatasetError

    return isinstance(error, UnknownNameError | DatasetError | OSError | ImportError)


def _verify(arguments: argparse.Namespace, command: str) -> int:
    report = verify(
        *arguments.node,
        family=arguments.family,
        seed=arguments.seed,
        checks=arguments.checks,
        method=arguments.method,
        progress=True,
    )
    if arguments.output:
        for path in write_pages(report, arguments.output, command):
            print(f"wrote {path}", file=sys.stderr)
    print(report.to_json() if arguments.format == "json" else summary(report, STYLES[arguments.format]))
    return INTERRUPTED if report.interrupted else OK if report.ok else WRONG


def _list(arguments: argparse.Namespace, command: str) -> int:
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
        print(table(("node", "family", "primals", "samples"), shown, STYLES[arguments.format]))
    return OK


def _mnist(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.datasets import load_dataset
    from gradlab.mnist_benchmark import run, write_page

    data = load_dataset(arguments.data)
    # a numerical gradient takes seconds a step, so that the textbook's 10,000 steps would take a day
    steps = arguments.steps or (10 if arguments.gradient == "numerical" else 10_000)
    report = run(
        data,
        gradient=arguments.gradient,
        steps=steps,
        batch_size=arguments.batch_size,
        hidden=arguments.hidden,
        lr=arguments.learning_rate,
        seed=arguments.seed,
        progress=True,
    )
    if arguments.output:
        for path in write_page(report, arguments.output, made_by(command, report.environment)):
            print(f"wrote {path}", file=sys.stderr)
    print(report.to_json() if arguments.format == "json" else report.to_table(STYLES[arguments.format]))
    return INTERRUPTED if report.interrupted else OK if report.ok else WRONG


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradlab", description="A gradient verification lab.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"gradlab {version('gradlab')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = _command(commands, "verify", "compare every node's backward with its numerical gradient", _verify)
    check.add_argument("node", nargs="*", metavar="NODE", help="nodes to verify (default: all)")
    check.add_argument("--family", help="only the nodes of this family")
    check.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    check.add_argument(
        "--method",
        choices=("auto", "central"),
        default="auto",
        help="numerical side: the ladder that knows its error, or the textbook's central differences",
    )
    check.add_argument("--seed", type=_count, default=0, help="seed of samples and cotangents")
    check.add_argument("--output", type=Path, metavar="DIR", help="write errors.md and timings.md there")

    listing = _command(commands, "list", "list the nodes", _list)
    listing.add_argument("--family", help="only the nodes of this family")

    mnist = _command(
        commands, "mnist", "train the textbook's TwoLayerNet, numerically and by backprop", _mnist
    )
    mnist.add_argument("--gradient", choices=("backprop", "numerical", "both"), default="both")
    mnist.add_argument("--steps", type=_positive, help="(default: 10000, with --gradient numerical 10)")
    mnist.add_argument("--batch-size", type=_positive, default=100)
    mnist.add_argument("--hidden", type=_positive, default=50, help="hidden units")
    mnist.add_argument("--learning-rate", type=_rate, default=0.1)
    mnist.add_argument("--seed", type=_count, default=0, help="seed of weights and batches")
    mnist.add_argument("--data", metavar="DIR|digits", help="MNIST's folder, or the embedded digits")
    mnist.add_argument("--output", type=Path, metavar="DIR", help="write mnist.md (and mnist.svg) there")
    return parser


def _command(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    does: str,
    run: Callable[[argparse.Namespace, str], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=does, description=does.capitalize() + ".", allow_abbrev=False)
    parser.add_argument("--format", choices=("table", "markdown", "json"), default="table")
    parser.set_defaults(run=run)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return rate
