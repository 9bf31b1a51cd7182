"""The task that a child process is given, and the outcome that it answers with."""

from dataclasses import dataclass, field
from typing import Any

from gradlab.commands.check._input_specs import InputSpec
from gradlab.report import Report
from gradlab.running.options import MAX_SECONDS

# The files in the folder that parent and child share.
TASK, STAGE, OUTCOME = "task", "stage", "outcome"


@dataclass(frozen=True)
class CheckTask:
    """One object to check, and the options that the command line gives for it.

    Attributes
    ----------
    target : str
        ``MODULE:OBJECT``, or a module.
    every : bool
        Whether the layer classes of a module are to be named, and nothing checked.
    part : bool
        Whether the target was found in a list, and so may not be a list itself.
    init : dict, list or None
        The constructor's arguments, as JSON has them.
    inputs : tuple of InputSpec
    samples : str
        The ``MODULE:FUNCTION`` that gives the inputs, or empty.
    settings : dict
        Keyword arguments of forward, as JSON has them.
    forward, backward, cotangent : str
        As for `gradlab.check_layer`, with ``MODULE:FUNCTION`` for a function; of a function's pair, `backward` is the
        other one. Empty where they are to be found out.
    grad, jac : str
        The function that gives the target's gradient or Jacobian, in its module or as ``MODULE:FUNCTION``, or empty.
    seed, rtol, atol, strict, max_seconds, max_evaluations, repair
        As for `gradlab.check_layer`.
    pictures : bool
        Whether right gradients, too, are to have all that pictures are drawn of.
    timings : bool
        Whether forward, backward and the numerical gradient are to be timed.
    values_only : bool
        Whether nothing is asked but whether the numbers are right at the given inputs.
    timeout : float
        In seconds.
    """

    target: str
    every: bool = False
    part: bool = False
    init: Any = None
    inputs: tuple[InputSpec, ...] = ()
    samples: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    forward: str = ""
    backward: str = ""
    cotangent: str = ""
    grad: str = ""
    jac: str = ""
    seed: int = 0
    rtol: float | None = None
    atol: float | None = None
    strict: bool = False
    max_seconds: float | None = MAX_SECONDS
    max_evaluations: int | None = None
    timeout: float = 60.0
    repair: bool = True
    pictures: bool = False
    timings: bool = False
    values_only: bool = False


@dataclass(frozen=True)
class TaskOutcome:
    """The outcome of a task.

    Attributes
    ----------
    report : Report or None
    parts : tuple of str
        The targets that the task's target stands for, if that is a list or a module.
    taken : str
        The options of the command that would have said what was guessed.
    unusable : str
        Why nothing, or not every sample, could be checked: one line that ends with the cure.
    """

    report: Report | None = None
    parts: tuple[str, ...] = ()
    taken: str = ""
    unusable: str = ""
