"""What a child process is asked, and what it answers."""

from dataclasses import dataclass
from typing import Any

from gradlab.commands.check._input_specs import InputSpec
from gradlab.report import Report

# The files in the folder that parent and child share.
TASK, STAGE, OUTCOME = "task", "stage", "outcome"


@dataclass(frozen=True)
class CheckTask:
    """One object to check, and what was said of it on the command line.

    Attributes
    ----------
    target : str
        ``MODULE:OBJECT``, or a module.
    every : bool
        Whether the layer classes of a module are to be named, and nothing checked.
    part : bool
        Whether it was found in a list, so that it is no list itself.
    init : dict, list or None
        What the constructor is given, as JSON has it.
    inputs : tuple of InputSpec
    samples : str
        ``MODULE:FUNCTION``, or empty.
    seed, rtol, atol, strict
        As for `gradlab.check_layer`.
    timeout : float
        In seconds.
    """

    target: str
    every: bool = False
    part: bool = False
    init: Any = None
    inputs: tuple[InputSpec, ...] = ()
    samples: str = ""
    seed: int = 0
    rtol: float | None = None
    atol: float | None = None
    strict: bool = False
    timeout: float = 60.0


@dataclass(frozen=True)
class TaskOutcome:
    """What became of a task.

    Attributes
    ----------
    report : Report or None
    parts : tuple of str
        The targets that it stands for, if it is a list or a module of them.
    taken : str
        What nobody said and was therefore guessed, as options of the command.
    unusable : str
        Why nothing could be checked, or not all samples, in one line that ends with the cure.
    """

    report: Report | None = None
    parts: tuple[str, ...] = ()
    taken: str = ""
    unusable: str = ""
