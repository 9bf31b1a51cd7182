"""The child process: one object is imported, made and checked in it, and can end no other process."""

import os
import pickle
import random
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.commands.check._check_task import OUTCOME, STAGE, TASK, CheckTask, TaskOutcome
from gradlab.commands.check._target_check import run_task
from gradlab.workers.orphans import end_with_parent

# The parent ends a child that takes too long; if the parent is gone, the child ends itself so many seconds later.
LATER = 5.0
_CALL = re.compile(r"say check_layer\(layer, \.\.\., backward='(\w*)'\)")
# What messages say to who calls a function, and what the command calls it.
FOR_THE_SHELL = {
    "as settings=": "by name with --settings or --samples",
    "into settings=": "into --settings or --samples",
    "pass forward='its name' to check_layer": "give --forward NAME",
    "pass backward='its name' to check_layer": "give --backward NAME",
    "give a method's name, or a function of the layer": "give a method's name, or MODULE:FUNCTION",
    "return (out, cache)": "return (out, cache), or name one function, and the other with --grad or --jac",
}


def main(folder: Path, parent: int) -> None:
    """Read a task from a folder, and write its outcome into that folder; never returns."""
    task: CheckTask = pickle.loads((folder / TASK).read_bytes())
    end_with_parent(parent, _end)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, task.timeout + LATER)
    sys.path.insert(0, os.getcwd())
    sys.argv = [task.target]
    # what is drawn without a generator of one's own is drawn the same in every run
    random.seed(task.seed)
    np.random.seed(task.seed % 2**32)  # noqa: NPY002 # other people's layers draw from it
    partial = folder / f"{OUTCOME}.part"
    partial.write_bytes(pickle.dumps(outcome_of(task, folder / STAGE)))
    partial.rename(folder / OUTCOME)
    _end()


def outcome_of(task: CheckTask, stage: Path) -> TaskOutcome:
    """Return the outcome of a task, or why it has none; the current step is written into the file `stage`."""
    try:
        outcome = run_task(task, stage.write_text)
        report = outcome.report
        if report:
            report = replace(report, rows=[replace(r, note=_for_the_shell(r.note)) for r in report.rows])
        return replace(outcome, report=report, unusable=_for_the_shell(outcome.unusable))
    except LayerError as error:
        return TaskOutcome(unusable=_for_the_shell(str(error)))
    except SystemExit as error:
        cure = "let it raise an error instead"
        return TaskOutcome(unusable=f"{stage.read_text()} calls sys.exit({error.code!r}): {cure}")
    except BaseException as error:
        cure = "mend that, or give other inputs"
        return TaskOutcome(unusable=f"{stage.read_text()} {error_text(error)}: {cure}")


def _for_the_shell(message: str) -> str:
    """Return a message in one line that names options of the command, not arguments of `check_layer`."""
    message = " ".join(message.split())
    for said, option in FOR_THE_SHELL.items():
        message = message.replace(said, option)
    return _CALL.sub(r"give --backward \1", message)


def _end() -> None:
    """End this process with all that it has started, threads and processes, and wait for none."""
    if hasattr(os, "killpg"):
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(0)
