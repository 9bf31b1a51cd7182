"""The command line: arguments in, exit status out."""

import argparse
import difflib
import errno
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import NoReturn

from gradlab import commands
from gradlab.commands.encodings import encodable
from gradlab.commands.output import INTERRUPTED, OK, UNUSABLE
from gradlab.report.escaping import one_line
from gradlab.running.project_settings import project_settings
from gradlab.running.selection import UnknownNameError
from gradlab.workers.worker_map import WorkersError

# The subcommands that the help begins with, in its order; further ones stand behind them.
FIRST = ("verify", "gates", "check", "list", "sweep", "explain", "mutate", "compare", "mnist")


# What is said of a stdout that is full or was closed.
_CANNOT_BE_WRITTEN = {errno.ENOSPC, errno.EIO, errno.EBADF, getattr(errno, "EDQUOT", errno.ENOSPC)}

GREETING = """\
gradlab compares backprop with numerical gradients, and says what is wrong.
Try

  gradlab verify softmax relu     two of its own layers, compared
  gradlab check layers.py:Affine  the class Affine of your file layers.py
  gradlab explain batch_norm      the formulas of one layer, and how right

gradlab --help shows all commands."""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line that ends with the cure."""

    def error(self, message: str) -> NoReturn:
        message = _nearest_command(message)
        self.exit(UNUSABLE, f"{self.prog}: {message}: see {self.prog} --help\n")


def _nearest_command(message: str) -> str:
    """Return argparse's complaint of a command that there is not, with the one that may be meant."""
    found = re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)", message)
    if not found:
        return message
    names = [name.strip("' ") for name in found[2].split(",")]
    near = difflib.get_close_matches(found[1], names, 1, 0.5)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"there is no command {found[1]!r}: {meant}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: all right; 1: a gradient is wrong or could not be decided; 2: the call or its input is unusable, said in
    one line; 130: ended by Ctrl-C, what was reached is printed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        print("gradlab: stdout is closed: let it go to a file, or to /dev/null", file=sys.stderr)
        return UNUSABLE
    with encodable(sys.stdout), encodable(sys.stderr):
        return _run(words) if words else _greet()


def _greet() -> int:
    """Print what a newcomer may try; nothing was checked, so that the status is no success."""
    print(GREETING)
    return UNUSABLE


def _run(words: Sequence[str]) -> int:
    command = "gradlab " + shlex.join(words)
    try:
        arguments = _parser().parse_args(words)
        status: int = arguments.run(arguments, command)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()  # whoever read us has stopped
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError, ImportError, WorkersError) as error:
        if not _is_expected(error):
            raise
        if isinstance(error, OSError) and not error.filename:
            _drop_stdout()  # it is full, or was closed
        print(f"gradlab: {_in_one_line(error)}", file=sys.stderr)
        return UNUSABLE
    return status


def _drop_stdout() -> None:
    """Keep Python from complaining when it flushes at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return one_line(f"{error.filename} cannot be written ({error.strerror}): name a place that can be")
    if isinstance(error, OSError) and error.errno in _CANNOT_BE_WRITTEN:
        return f"stdout cannot be written ({error.strerror}): let it go where there is room"
    return one_line(" ".join(str(error).split()))


def _is_expected(error: Exception) -> bool:
    from gradlab.textbook.datasets import DatasetError

    return isinstance(error, UnknownNameError | DatasetError | OSError | ImportError | WorkersError)


def _subcommands() -> list[ModuleType]:
    """Return the modules of `gradlab.commands` that are a subcommand, in the order of the help."""
    names = sorted(module.name for module in iter_modules(commands.__path__))
    ordered = sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    found = [import_module(f"{commands.__name__}.{name}") for name in ordered]
    return [module for module in found if hasattr(module, "HELP")]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradlab", description="A gradient verification lab.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"gradlab {version('gradlab')}")
    settings = project_settings(Path.cwd())
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _subcommands():
        subparser = subparsers.add_parser(
            command.__name__.rpartition(".")[2],
            help=command.HELP,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            allow_abbrev=False,
        )
        subparser.add_argument("--format", choices=("table", "markdown", "json", "github"), default="table")
        command.add_arguments(subparser)
        known = {action.dest for action in subparser._actions}
        subparser.set_defaults(**{name: value for name, value in settings.items() if name in known})
        subparser.set_defaults(run=command.run)
    return parser
