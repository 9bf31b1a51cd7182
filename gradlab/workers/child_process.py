"""A call in a child process that shares this one's objects, so that what kills it kills nobody else.

Forked, since functions of other people's can seldom be sent to a fresh process; where there is no fork nothing is run.
"""

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from gradlab.workers.orphans import end_with_parent
from gradlab.workers.sent_exceptions import as_received, as_sent
from gradlab.workers.threads import without_warnings

Result = TypeVar("Result")


class ChildDiedError(RuntimeError):
    """The child ended without a result; the message says of what."""


def can_fork() -> bool:
    """Return whether this system can make a child that shares this process's objects."""
    return "fork" in multiprocessing.get_all_start_methods()


def in_child(task: Callable[[], Result], timeout: float | None = None) -> Result:
    """Return ``task()``, computed in a child process; the result is pickled.

    Parameters
    ----------
    task : callable
    timeout : float, optional
        After so many seconds the child is killed.

    Raises
    ------
    ChildDiedError
        If it dies, or is killed. Exceptions of `task` are raised here.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(task, sender, os.getpid()))
    with without_warnings():
        # JAX, and Python from 3.12, warn of every fork beside threads: the child runs none of theirs
        child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            raise ChildDiedError(f"it did not end in {timeout:g} seconds")
        returned, value = receiver.recv()
    except EOFError:
        child.join()
        raise ChildDiedError(_cause(child.exitcode)) from None
    finally:
        # not left behind, whatever happens here
        child.kill()
        child.join()
        receiver.close()
    if not returned:
        raise as_received(value)
    return value  # type: ignore[no-any-return]


def _cause(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it ended with status {status}"
    try:
        return f"it died of {signal.Signals(-status).name}"
    except ValueError:
        return f"it died of signal {-status}"


def _answer(task: Callable[[], Any], sender: Connection, parent: int) -> None:
    end_with_parent(parent)
    # how it dies is the parent's to tell
    faulthandler.disable()
    # Ctrl-C is the parent's to hear
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = (True, task())
    except Exception as error:
        answer = (False, as_sent(error))
    sender.send(answer)
    sender.close()
