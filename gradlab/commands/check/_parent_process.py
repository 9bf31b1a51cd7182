"""The parent process: it runs one task in a child process, and ends the child, whatever the task does."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradlab.commands.check._check_task import OUTCOME, STAGE, TASK, CheckTask, TaskOutcome
from gradlab.workers.leftovers import is_of_the_dead, mark_as_mine

# How a folder of a run begins, and the file in it that is locked while the run lasts.
PREFIX, MARK = "gradlab-check-", "in-use"
# How soon a task ends after Ctrl-C.
MOMENT_S = 0.25
# The child is told the parent's sys.path: files in the current directory must not stand in for gradlab's modules.
_CODE = (
    "import sys; folder, parent, *sys.path[:] = sys.argv[1:]; from pathlib import Path; "
    "from gradlab.commands.check._child_process import main; main(Path(folder), int(parent))"
)


def in_process(task: CheckTask, stop: threading.Event) -> TaskOutcome:
    """Return the outcome of a task that a child process runs, in no more time than the task's `timeout`.

    What the child prints is lost, so that it spoils no report. `stop` ends the child and whatever it has started; what
    is returned then says nothing.
    """
    with _own_folder() as folder:
        (folder / TASK).write_bytes(pickle.dumps(task))
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(folder), str(os.getpid()), *filter(None, sys.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(process, task.timeout, stop)
        except subprocess.TimeoutExpired:
            cure = "give it longer with --timeout, or smaller inputs"
            return TaskOutcome(unusable=f"{_stage(folder)} takes more than {task.timeout:g} s: {cure}")
        finally:
            _end(process)
        outcome = folder / OUTCOME
        if outcome.exists():
            answer: TaskOutcome = pickle.loads(outcome.read_bytes())
            return answer
        return TaskOutcome(unusable=f"{_stage(folder)} {_ending(process.returncode)}")


def _wait(process: "subprocess.Popen[bytes]", timeout: float, stop: threading.Event) -> None:
    """Wait for the end of a process; raise TimeoutExpired after so many seconds, or where it is to stop."""
    end = time.monotonic() + timeout
    while True:
        try:
            process.wait(min(MOMENT_S, max(0.0, end - time.monotonic())))
            return
        except subprocess.TimeoutExpired:
            if stop.is_set() or time.monotonic() >= end:
                raise


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a folder for what parent and child tell each other, after taking those of runs that were killed away."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"):
        if is_of_the_dead(mark):
            shutil.rmtree(mark.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, (Path(name) / MARK).open("w") as mark_file:
        mark_as_mine(mark_file.fileno())
        yield Path(name)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process, if it has not ended, and whatever it has started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _stage(folder: Path) -> str:
    """Return the step that a child was at."""
    stage = folder / STAGE
    return stage.read_text() if stage.exists() else "starting Python"


def _ending(status: int) -> str:
    """Return how a process ended that gave no outcome, and what to do."""
    if status >= 0:
        return f"ends the process, with status {status}: let it raise an error instead"
    name = signal.Signals(-status).name
    return f"ends the process by {name}: run it in one of your own to see where, or give smaller inputs"
