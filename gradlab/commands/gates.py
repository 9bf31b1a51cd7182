"""``gradlab gates``: the truth tables of perceptrons, and what a perceptron or the net 2-6-1 learns of them."""

import argparse
from collections.abc import Callable
from functools import partial

from gradlab.commands.output import OK, print_text, style_of
from gradlab.report.envelope import environment, to_json
from gradlab.running.selection import UnknownNameError

HELP = "print the truth tables of perceptrons, of NAND alone, and what one learns"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab gates``."""
    parser.add_argument("--train", metavar="GATE", help="train the net 2-6-1 instead, such as --train XOR")
    parser.add_argument(
        "--gradient",
        choices=("stacked", "numerical", "backprop"),
        help="to train by: central differences all at once (default), in the textbook's loop, or backprop",
    )


def run(arguments: argparse.Namespace, command: str) -> int:
    """Print the gates' tables or, with --train, how the net 2-6-1 learns one gate; return the exit status."""
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
    if arguments.format == "json":
        print(to_json(True, rows, environment()))
    else:
        print_text(as_text(style_of(arguments)), style_of(arguments))
    return OK
