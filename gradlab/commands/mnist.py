"""``gradlab mnist``: networks trained on MNIST, and the textbook's by either gradient."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.commands.common_arguments import add_workers, count, positive_count, rate, workers_of
from gradlab.commands.output import add_html, finish
from gradlab.report.files import place_of, write_atomically
from gradlab.report.numbers import number
from gradlab.report.pages import made_by
from gradlab.running.selection import UnknownNameError
from gradlab.verdict import Verdict

if TYPE_CHECKING:
    from gradlab.report.figures import AccuracyCurve
    from gradlab.textbook.mnist_benchmark import MnistReport
    from gradlab.textbook.training import TrainingHistory

HELP = "train on MNIST: the textbook's TwoLayerNet, or another model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab mnist``."""
    parser.add_argument("--model", choices=("two-layer", "sequential", "conv"), default="two-layer")
    parser.add_argument(
        "--gradient",
        choices=("backprop", "numerical", "both"),
        help="both (default) compares them and trains by backprop, numerical compares and trains by each",
    )
    parser.add_argument(
        "--steps", type=positive_count, help="(default: 10000, with --gradient numerical 1000)"
    )
    parser.add_argument("--epochs", type=positive_count, help="of sequential and conv (default: 10 and 3)")
    parser.add_argument("--batch-size", type=positive_count, help="(default: 100, sequential 128, conv 32)")
    parser.add_argument("--hidden", type=positive_count, help="hidden units (default: 50, conv 64)")
    parser.add_argument("--learning-rate", type=rate, help="(default: 0.1, others 0.001)")
    add_workers(parser)
    parser.add_argument("--seed", type=count, default=0, help="seed of weights and batches")
    parser.add_argument("--data", metavar="DIR|digits", help="MNIST's folder, or the embedded digits")
    add_html(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write mnist.md (and mnist.svg) there")


def run(arguments: argparse.Namespace, command: str) -> int:
    """Train the model asked for; print its report, write its page, return the exit status."""
    if arguments.model == "two-layer":
        report, page = _two_layer(arguments), {}
    else:
        report = _graph_model(arguments)
        page = {"name": f"mnist_{arguments.model}", "title": f"MNIST: model {arguments.model}"}
    written = write_page(report, arguments.output, command, **page) if arguments.output else []
    if arguments.html:
        written.append(_write_html(report, arguments.html, command))
    return finish(arguments, report, report.to_table, written)


def _two_layer(arguments: argparse.Namespace) -> "MnistReport":
    from gradlab.textbook import mnist_benchmark
    from gradlab.textbook.datasets import load_dataset

    if arguments.epochs:
        raise UnknownNameError(
            "--epochs is for --model sequential and conv: give --steps, 600 an epoch of MNIST"
        )
    gradient = arguments.gradient or "both"
    # incremental differences take a minute for 1,000 steps; the textbook's loop took half a minute for one
    steps = arguments.steps or (1000 if gradient == "numerical" else 10_000)
    data = load_dataset(arguments.data)
    with workers_of(arguments) as workers:
        return mnist_benchmark.run(
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


def _graph_model(arguments: argparse.Namespace) -> "MnistReport":
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


def write_page(
    report: "MnistReport",
    folder: Path,
    command: str,
    name: str = "mnist",
    title: str = "MNIST: why nobody trains by numerical gradients",
) -> list[Path]:
    """Write NAME.md into `folder`, and NAME.svg if the extra `plot` is installed; return their paths."""
    from gradlab.report.figures import can_plot, write_svg

    parts = [f"# {title}", made_by(command, report.environment), report.to_table("github")]
    name = place_of(Path(name), report.interrupted).name
    paths = [folder / f"{name}.md"]
    if can_plot():
        paths.insert(0, folder / f"{name}.svg")
        write_svg(_figure(report), paths[0])
        parts.append(f"![share of errors over the epochs on {report.data}]({name}.svg)")
    write_atomically(paths[-1], "\n\n".join(parts) + "\n")
    return paths


def _write_html(report: "MnistReport", path: Path, command: str) -> Path:
    from gradlab.report.figures import can_plot, svg_of
    from gradlab.report.pictures import Picture
    from gradlab.report.web import Page, Table
    from gradlab.report.web import write_page as write_web_page

    compared = [row for row in report.gradients if row.primal == "all"]
    if compared:
        headline = f"Both gradients {'agree' if report.ok else 'do NOT agree'}; the numerical one "
        headline += f"takes {compared[0].speedup:,.0f} times as long."
    else:
        headline = "The network was trained by backprop."
    tables = [Table(caption, headers, rows) for caption, headers, rows, _ in report.tables()]
    remarks = [remark for *_, remark in report.tables() if remark]
    said = "The share of errors over the epochs, and how far two nets are apart; the table has the numbers."
    pictures = [Picture("mnist", "Errors", said, svg_of(_figure(report)))] if can_plot() else []
    page = Page(
        f"gradlab mnist: {report.data}",
        Verdict.PASS if report.ok else Verdict.WRONG,
        headline,
        "" if report.apart is None else f"Two nets were never further apart than {number(report.apart)}.",
        command,
        report.environment,
        tables=tables,
        pictures=pictures,
        remarks=remarks,
        hint="" if pictures else "For the curves: pip install 'gradlab[plot]'",
    )
    return write_web_page(page, place_of(path, report.interrupted))


def _figure(report: "MnistReport") -> Any:
    from gradlab.report.figures import accuracy_figure

    return accuracy_figure(f"{report.data}: errors", _curves(report.training), _apart(report))


def _curves(training: "Mapping[str, TrainingHistory]") -> "dict[str, AccuracyCurve]":
    """Return the epochs and the accuracies of each training."""
    from gradlab.report.figures import AccuracyCurve

    return {
        way: AccuracyCurve(
            *zip(*((p.epoch, p.train_accuracy, p.test_accuracy) for p in history.points), strict=True)
        )
        for way, history in training.items()
        if history.points
    }


def _apart(report: "MnistReport") -> tuple[list[float], list[float]] | None:
    """Return the epochs, and how far two nets were apart at their ends; None where only one was trained."""
    if not report.distances:
        return None
    points = next(iter(report.training.values())).points[1:]
    return [point.epoch for point in points], [report.distances[point.step - 1] for point in points]
