"""A call in a main thread, since a timer can interrupt no other thread.

A map's workers may be threads, as those of a Dask cluster are by default: from there the call goes to a process of its
own.
"""

import os
import pickle
import sys
import threading
from collections.abc import Callable
from subprocess import PIPE, Popen
from typing import Any

from gradlab.workers.sent_exceptions import as_received, as_sent

# The child is told the parent's sys.path: files in the current folder must not stand in for anybody's modules.
_CODE = (
    "import sys; sys.path[:] = sys.argv[1:]; sys.argv[1:] = []; "
    "from gradlab.workers.main_thread import answer_the_caller; answer_the_caller()"
)


def in_main_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, computed in the main thread of this process or, if need be, of a new one.

    Raises
    ------
    RuntimeError
        If the new process dies. Exceptions of `function` are raised here.
    """
    if threading.current_thread() is threading.main_thread():
        return function(*arguments)
    # not multiprocessing, in which a worker that is a daemon may have no children
    child = Popen([sys.executable, "-c", _CODE, *filter(None, sys.path)], stdin=PIPE, stdout=PIPE)
    answer = _answer_of(child, pickle.dumps((function, arguments)))
    if not answer:
        raise RuntimeError(f"the process that computed this died with status {child.returncode}")
    returned, value = pickle.loads(answer)
    if not returned:
        raise as_received(value)
    return value


def _answer_of(child: Popen[bytes], call: bytes) -> bytes:
    """Return the answer of a process to `call`; nothing if the process dies. Its stdin stays open until it answers."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child:
            child.stdin.write(call)
            child.stdin.flush()
            return child.stdout.read()
    except BrokenPipeError:
        return b""


def answer_the_caller() -> None:
    """Read a call from stdin, and write its result or exception to stdout, which the called function cannot reach."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        result = True, function(*arguments)
    except Exception as error:
        result = False, as_sent(error)
    with os.fdopen(answer, "wb") as file:
        pickle.dump(result, file)


def _end_with_the_caller() -> None:
    # nothing more is sent: the read returns when the caller has died, or has its answer
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
