"""The command line: arguments in, exit status out."""

import argparse
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from gradlab.commands.check import add_arguments, check, task_of, write_page
from gradlab.node import primal_names
from gradlab.report import Row
from gradlab.report.envelope import environment, to_json
from gradlab.report.pages import made_by, write_pages
from gradlab.report.tables import number, summary, table
from gradlab.running.selection import UnknownNameError, select_nodes
from gradlab.running.verify import verify
from gradlab.workers.worker_map import Workers, WorkersError

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
    except (ValueError, OSError, ImportError, WorkersError) as error:
        if not _is_expected(error):
            raise
        print(f"gradlab: {_in_one_line(error)}", file=sys.stderr)
        return UNUSABLE
    return status


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be written ({error.strerror}): give --output a folder that can be"
    return " ".join(str(error).split())


def _is_expected(error: Exception) -> bool:
    from gradlab.textbook.datasets import DatasetError

    return isinstance(error, UnknownNameError | DatasetError | OSError | ImportError | WorkersError)


@contextmanager
def _workers(arguments: argparse.Namespace) -> Iterator[Workers]:
    """Give what --workers or --scheduler say."""
    if arguments.scheduler is None:
        yield arguments.workers
        return
    from gradlab.workers.dask_cluster import on_cluster

    with on_cluster(arguments.scheduler) as over:
        yield over


def _verify(arguments: argparse.Namespace, command: str) -> int:
    if arguments.models:
        return _verify_models(arguments, command)
    with _workers(arguments) as workers:
        report = verify(
            *arguments.node,
            family=arguments.family,
            seed=arguments.seed,
            checks=arguments.checks,
            explore=arguments.explore,
            method=arguments.method,
            workers=workers,
            progress=True,
        )
    written = write_pages(report, arguments.output, command) if arguments.output else []
    return _told(arguments, report, lambda style: summary(report, style), written)


def _verify_models(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.textbook.systems_benchmark import verify_models, write_page

    if arguments.node or arguments.family or arguments.checks:
        raise UnknownNameError(
            "--models verifies the textbooks' networks: give no nodes, --family or --checks"
        )
    report = verify_models(progress=True)
    made = made_by(command, report.environment)
    written = write_page(report, arguments.output, made) if arguments.output else []
    return _told(arguments, report, report.to_table, written)


def _gates(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.textbook.models.gates import learning_rows, truth_tables
    from gradlab.textbook.models.logic_gate import training_rows, training_tables

    if arguments.gradient and not arguments.train:
        raise UnknownNameError("--gradient is for training the net 2-6-1: give --train GATE with it")
    as_text: Callable[[str], str]
    if arguments.train:
        rows = training_rows(arguments.train, arguments.gradient or "stacked", progress=True)
        as_text = partial(training_tables, arguments.train, rows)
    else:
        rows, as_text = learning_rows(), truth_tables
    json = arguments.format == "json"
    print(to_json(True, rows, environment()) if json else as_text(STYLES[arguments.format]))
    return OK


def _told(
    arguments: argparse.Namespace, report: Any, as_text: Callable[[str], str], written: Iterable[Path]
) -> int:
    """Print a report in the format asked for, and which files it went to; return the exit status it means."""
    for path in written:
        print(f"wrote {path}", file=sys.stderr)
    print(report.to_json() if arguments.format == "json" else as_text(STYLES[arguments.format]))
    return INTERRUPTED if report.interrupted else OK if report.ok else WRONG


def _check(arguments: argparse.Namespace, command: str) -> int:
    found = check(arguments.target, task_of(arguments), every=arguments.all, progress=True)
    if arguments.format == "json" or found.report.rows or found.interrupted:
        _told(arguments, found, found.to_table, ())
    if not found.report.rows:
        for line in found.unchecked_lines():
            print(f"gradlab: {line}", file=sys.stderr)
    if arguments.output:
        for path in write_page(found, arguments.output, made_by(command, found.report.environment)):
            print(f"wrote {path}", file=sys.stderr)
    if found.interrupted:
        return INTERRUPTED
    return WRONG if found.wrong else OK if found.ok else UNUSABLE


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


def _sweep(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.report.figures import can_plot, sweep_figure
    from gradlab.report.files import write_atomically
    from gradlab.running.step_sweep import sketch, sweep

    (node,) = select_nodes([arguments.node])
    names = primal_names(node.forward, len(node.draw_samples()[0].primals))
    wanted = arguments.primal or names[0]
    if wanted not in names:
        raise UnknownNameError(f"{node.name} has no primal {wanted!r}: there are {', '.join(names)}")
    rows, against = sweep(node, names.index(wanted), arguments.seed)
    title = f"{node.name}, {wanted}: relative error against the step (truth: {against})"
    headers = ("h", "forward", "central", "extrapolated", "complex-step")
    shown = [
        (f"{r.h:.0e}", *(number(e) or "none" for e in (r.forward, r.central, r.extrapolated, r.complex_step)))
        for r in rows
    ]
    if arguments.output:
        made = made_by(command, environment(seed=arguments.seed))
        page = [f"# {title}", made, table(headers, shown, "github")]
        paths = [arguments.output / f"sweep_{node.name}.md"]
        if can_plot():
            paths.append(paths[0].with_suffix(".svg"))
            errors = {name: [getattr(r, name.replace("-", "_")) for r in rows] for name in headers[1:]}
            curves = {
                name: (
                    [r.h for r, e in zip(rows, of, strict=True) if e is not None],
                    [e for e in of if e is not None],
                )
                for name, of in errors.items()
            }
            sweep_figure(paths[1], title, curves)
            page.append(f"![{title}]({paths[1].name})")
        write_atomically(paths[0], "\n\n".join(page) + "\n")
        for path in paths:
            print(f"wrote {path}", file=sys.stderr)
    if arguments.format == "json":
        print(to_json(True, [asdict(r) for r in rows], environment(seed=arguments.seed, truth=against)))
    else:
        print(f"{title}\n\n{table(headers, shown, STYLES[arguments.format])}")
        if arguments.format == "table" and sys.stdout.isatty():
            print(f"\n{sketch(rows)}")
    return OK


def _explain(arguments: argparse.Namespace, command: str) -> int:
    (node,) = select_nodes([arguments.node])
    report = verify(node.name, checks=["matches_numerical"])
    by_sample: dict[str, list[Row]] = {}
    for row in report.rows:
        by_sample.setdefault(row.sample, []).append(row)
    rows: list[dict[str, str | float | None]] = []
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
    if arguments.format == "json":
        print(to_json(report.ok, rows, report.environment))
        return OK
    contract = (
        f"forward{_plain_signature(node.forward)} -> output, residuals\nbackward(residuals, g) -> gradients"
    )
    shown = [tuple(v if isinstance(v, str) else number(v) for v in r.values()) for r in rows]
    headers = ("sample", "primals", "settings", "relative error", "bound", "sensitivity", "note")
    reference = (
        "forward is compared with an independent reference" if node.reference else "there is no reference"
    )
    print(
        f"{node.name} ({node.family})\n\n{node.doc}\n\n{contract}\n{reference}\n\n"
        f"{table(headers, shown, STYLES[arguments.format])}\n\n"
        "relative error: analytic against numerical. bound: what the numerical side may be off by, by truncation "
        "and\nby the rounding of forward; an error below it is the numerical side's own. sensitivity: a relative "
        "error of\nthis size in any one element would have been caught."
    )
    return OK


def _plain_signature(function: Callable[..., object]) -> inspect.Signature:
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _mutate(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.running.mutation import mutate, write_page

    with _workers(arguments) as workers:
        report = mutate(
            *arguments.node,
            family=arguments.family,
            seed=arguments.seed,
            checks=arguments.checks,
            workers=workers,
            progress=True,
        )
    made = made_by(command, report.environment)
    written = write_page(report, arguments.output, made) if arguments.output else []
    return _told(arguments, report, report.to_table, written)


def _mnist(arguments: argparse.Namespace, command: str) -> int:
    from gradlab.textbook.mnist_benchmark import write_page

    if arguments.model == "two-layer":
        report, page = _two_layer(arguments), {}
    else:
        report = _graph_model(arguments)
        page = {"name": f"mnist_{arguments.model}", "title": f"MNIST: model {arguments.model}"}
    made = made_by(command, report.environment)
    written = write_page(report, arguments.output, made, **page) if arguments.output else []
    return _told(arguments, report, report.to_table, written)


def _two_layer(arguments: argparse.Namespace) -> Any:
    from gradlab.textbook.datasets import load_dataset
    from gradlab.textbook.mnist_benchmark import run

    if arguments.epochs:
        raise UnknownNameError(
            "--epochs is for --model sequential and conv: give --steps, 600 an epoch of MNIST"
        )
    gradient = arguments.gradient or "both"
    # incremental differences take a minute for 1,000 steps; the textbook's loop took half a minute for one
    steps = arguments.steps or (1000 if gradient == "numerical" else 10_000)
    data = load_dataset(arguments.data)
    with _workers(arguments) as workers:
        return run(
            data,
            gradient=gradient,
            steps=steps,
            batch_size=arguments.batch_size or 100,
            hidden=arguments.hidden or 50,
            lr=arguments.learning_rate or 0.1,
            seed=arguments.seed,
            workers=workers,
            progress=True,
        )


def _graph_model(arguments: argparse.Namespace) -> Any:
    from gradlab.textbook.datasets import load_dataset
    from gradlab.textbook.mnist_benchmark import run_graph_model

    if arguments.steps:
        raise UnknownNameError(f"--steps is for --model two-layer: give --epochs with {arguments.model}")
    if arguments.gradient not in (None, "backprop"):
        raise UnknownNameError(
            f"--gradient {arguments.gradient} is for --model two-layer: for others see gradlab verify --models"
        )
    if arguments.workers or arguments.scheduler:
        raise UnknownNameError(
            f"{arguments.model} trains in one process: leave --workers and --scheduler out"
        )
    return run_graph_model(
        load_dataset(arguments.data),
        arguments.model,
        hidden=arguments.hidden,
        batch_size=arguments.batch_size,
        lr=arguments.learning_rate,
        epochs=arguments.epochs,
        seed=arguments.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradlab", description="A gradient verification lab.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"gradlab {version('gradlab')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = _command(commands, "verify", "compare every node's backward with its numerical gradient", _verify)
    check.add_argument("node", nargs="*", metavar="NODE", help="nodes to verify (default: all)")
    check.add_argument(
        "--models", action="store_true", help="the textbooks' networks instead, each as a whole"
    )
    check.add_argument("--family", help="only the nodes of this family")
    check.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    check.add_argument(
        "--no-explore",
        dest="explore",
        action="store_false",
        help="look at the samples only, not at primals derived from them",
    )
    check.add_argument(
        "--method",
        choices=("auto", "central"),
        default="auto",
        help="numerical side: the ladder that knows its error, or the textbook's central differences",
    )
    _add_workers(check)
    check.add_argument("--seed", type=_count, default=0, help="seed of samples and cotangents")
    check.add_argument(
        "--output", type=Path, metavar="DIR", help="write errors.md and timings.md (or models.md) there"
    )

    gates = _command(
        commands, "gates", "print the truth tables of perceptrons, of NAND alone, and what one learns", _gates
    )
    gates.add_argument("--train", metavar="GATE", help="train the net 2-6-1 instead, such as --train XOR")
    gates.add_argument(
        "--gradient",
        choices=("stacked", "numerical", "backprop"),
        help="to train by: central differences all at once (default), in the textbook's loop, or backprop",
    )

    foreign = _command(
        commands, "check", "check layers and functions that somebody else wrote, by their names", _check
    )
    add_arguments(foreign)
    foreign.add_argument("--seed", type=_count, default=0, help="seed of weights, inputs and cotangents")
    foreign.add_argument("--output", type=Path, metavar="DIR", help="write check.md there")

    listing = _command(commands, "list", "list the nodes", _list)
    listing.add_argument("--family", help="only the nodes of this family")

    step = _command(commands, "sweep", "show the error of a numerical derivative against its step", _sweep)
    step.add_argument("node", metavar="NODE")
    step.add_argument("--primal", help="the primal to move (default: the first)")
    step.add_argument("--seed", type=_count, default=0, help="seed of sample and cotangent")
    step.add_argument("--output", type=Path, metavar="DIR", help="write sweep_NODE.md (and .svg) there")

    explain = _command(commands, "explain", "show a node's formulas, contract, samples and errors", _explain)
    explain.add_argument("node", metavar="NODE")

    mutation = _command(
        commands, "mutate", "put faults into right nodes, and count those that the checks notice", _mutate
    )
    mutation.add_argument("node", nargs="*", metavar="NODE", help="nodes to put faults into (default: all)")
    mutation.add_argument("--family", help="only the nodes of this family")
    mutation.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks")
    _add_workers(mutation)
    mutation.add_argument("--seed", type=_count, default=0, help="seed of samples, cotangents and faults")
    mutation.add_argument("--output", type=Path, metavar="DIR", help="write mutation.md there")

    mnist = _command(
        commands, "mnist", "train on MNIST: the textbook's TwoLayerNet, or another model", _mnist
    )
    mnist.add_argument("--model", choices=("two-layer", "sequential", "conv"), default="two-layer")
    mnist.add_argument(
        "--gradient",
        choices=("backprop", "numerical", "both"),
        help="both (default) compares them and trains by backprop, numerical compares and trains by each",
    )
    mnist.add_argument("--steps", type=_positive, help="(default: 10000, with --gradient numerical 1000)")
    mnist.add_argument("--epochs", type=_positive, help="of sequential and conv (default: 10 and 3)")
    mnist.add_argument("--batch-size", type=_positive, help="(default: 100, sequential 128, conv 32)")
    mnist.add_argument("--hidden", type=_positive, help="hidden units (default: 50, conv 64)")
    mnist.add_argument("--learning-rate", type=_rate, help="(default: 0.1, others 0.001)")
    _add_workers(mnist)
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


def _add_workers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--workers", type=_positive, help="processes that share the work (default: none but this)"
    )
    group.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="the Dask cluster that does the work")


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
