"""The arguments of ``gradlab check``."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradlab.commands.check._check_task import CheckTask
from gradlab.commands.check._input_specs import parse_input
from gradlab.commands.check._typed_values import parse_named_values, parse_values
from gradlab.commands.common_arguments import add_budget, count, positive_count
from gradlab.commands.output import add_baseline, add_detail, add_html
from gradlab.running.options import MAX_SECONDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gradlab check``."""
    parser.add_argument(
        "target",
        nargs="+",
        metavar="MODULE:OBJECT",
        help="a class, an object, a pair MODULE:FORWARD,BACKWARD, or a list of them; MODULE may be a path to a file",
    )
    add_making(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="check every layer class that a module defines and that can be made",
    )
    add_budget(parser, MAX_SECONDS, "object")
    parser.add_argument("--rtol", type=_tolerance, help="(default: from the dtype)")
    parser.add_argument("--atol", type=_tolerance, help="(default: from the size of the gradient)")
    parser.add_argument(
        "--strict", action="store_true", help="breaches that leave the numbers right are errors, not warnings"
    )
    add_detail(parser)
    add_baseline(parser)
    parser.add_argument(
        "--workers", type=positive_count, default=1, help="objects that are checked at a time (default: 1)"
    )
    parser.add_argument("--seed", type=count, default=0, help="seed of weights, inputs and cotangents")
    parser.add_argument(
        "--repair",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look for a change of the source that mends what is wrong, and show it (default: yes)",
    )
    parser.add_argument("--fix", action="store_true", help="write the repairs into their files")
    parser.add_argument(
        "--dry-run",
        action=argparse.BooleanOptionalAction,
        help="with --fix, only say what would be written (default: of files that git does not have as they are)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write check.md there")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write pictures there, as .svg")
    add_html(parser)


def add_making(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how an object is made, called, and given inputs, and how long that may take."""
    parser.add_argument(
        "--init",
        type=_as_argument(parse_values),
        metavar="VALUES",
        help="what a class is made with: W=4x5,b=5 (arrays of those shapes), 4,5 in the constructor's order, or JSON",
    )
    parser.add_argument(
        "--settings",
        type=_as_argument(parse_named_values),
        default={},
        metavar="VALUES",
        help="keyword arguments of forward, train=false,scale=2, or JSON",
    )
    for name, what in (("forward", "forward(layer, ...)"), ("backward", "backward(layer, g)")):
        parser.add_argument(
            f"--{name}",
            default="",
            metavar="NAME",
            help=f"a layer's method for it, or MODULE:FUNCTION, {what} (default: found out)",
        )
    parser.add_argument(
        "--cotangent",
        default="",
        metavar="NAME",
        help="what backward calls the gradient that it is given, or the attribute that this goes into",
    )
    derivative = parser.add_mutually_exclusive_group()
    for name, what in (("grad", "gradient, of a scalar function"), ("jac", "Jacobian, of a vector function")):
        derivative.add_argument(
            f"--{name}",
            default="",
            metavar="FUNCTION",
            help=f"the function {name}(x, ...) that gives the target's {what}",
        )
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--input",
        type=_as_argument(parse_input),
        action="append",
        default=[],
        metavar="SHAPE[:KIND]",
        help="what forward takes, once for each: 100x784, scalar; KIND is a dtype, int<N, onehot, positive or "
        "probabilities (default: shapes that fit are looked for, and said)",
    )
    given.add_argument(
        "--samples",
        default="",
        metavar="MODULE:FUNCTION",
        help="samples(rng) returns or yields the inputs, tuples or dicts by name",
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="seconds for each object (default: 60)"
    )


def task_of(arguments: argparse.Namespace) -> CheckTask:
    """Return the task that these arguments set for every target; its own target is still empty."""
    return replace(
        task_of_making(arguments),
        rtol=arguments.rtol,
        atol=arguments.atol,
        strict=arguments.strict,
        max_seconds=arguments.max_seconds,
        max_evaluations=arguments.max_evaluations,
        repair=arguments.repair,
        pictures=bool(arguments.plot or arguments.html),
        # what a limit compares has to be measured
        timings=arguments.timings or arguments.format == "json" or "time" in arguments.fail_if,
    )


def task_of_making(arguments: argparse.Namespace) -> CheckTask:
    """Return the task that the arguments of `add_making` and --seed set."""
    return CheckTask(
        "",
        init=arguments.init,
        inputs=tuple(arguments.input),
        settings=arguments.settings,
        forward=arguments.forward,
        backward=arguments.backward,
        cotangent=arguments.cotangent,
        grad=arguments.grad,
        jac=arguments.jac,
        samples=arguments.samples,
        seed=arguments.seed,
        timeout=arguments.timeout,
    )


def _as_argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _seconds(text: str) -> float:
    return _number(text, 1e-3, "no number of seconds: give one such as 60")


def _tolerance(text: str) -> float:
    return _number(text, 0.0, "no tolerance: give a number such as 1e-6")


def _number(text: str, least: float, refusal: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is {refusal}")
    return number
