"""A call in a main thread, which alone can be interrupted by a timer: where there is none, in a process of its own.

A map's workers may be threads, as those of a Dask cluster are by default.
"""

import os
import pickle
import sys
import threading
from collections.abc import Callable
from subprocess import PIPE, Popen
from typing import Any


def in_main_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, computed in the main thread of this process or else of another.

    Raises
    ------
    RuntimeError
        If that other process dies. Whatever `function` raises is raised here.
    """
    if threading.current_thread() is threading.main_thread():
        return function(*arguments)
    # not multiprocessing, which lets no worker that is a daemon have children
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = Popen([sys.executable, "-m", __name__], stdin=PIPE, stdout=PIPE, env={**os.environ, **paths})
    told = _asked(child, pickle.dumps((function, arguments)))
    if not told:
        raise RuntimeError(f"the process that computed this died with status {child.returncode}")
    returned, value = pickle.loads(told)
    if not returned:
        raise value
    return value


def _asked(child: Popen[bytes], call: bytes) -> bytes:
    """Return what a process answers to `call`; nothing if it dies. Its stdin stays open until then."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child:
            child.stdin.write(call)
            child.stdin.flush()
            return child.stdout.read()
    except BrokenPipeError:
        return b""


def _answer() -> None:
    """Read a call from stdin, and write what came of it to stdout, which what is called cannot reach."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        outcome = True, function(*arguments)
    except Exception as error:
        outcome = False, error
    with os.fdopen(answer, "wb") as file:
        pickle.dump(outcome, file)


def _end_with_the_caller() -> None:
    # nothing more is sent: this returns when the caller has died, or has its answer
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    _answer()
