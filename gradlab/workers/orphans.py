"""A process that ends when its parent does, however that ends: killed, a parent can tell nobody."""

import _thread
import os
from collections.abc import Callable
from time import sleep

# In seconds, from one look at the parent to the next.
PAUSE_S = 0.5


def end_with_parent(end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """Have this process call `end` soon after its parent has died.

    The thread that looks is none of `threading`'s, since nothing waits for it and it is in nobody's way. Where parents
    have no numbers, as on Windows, nothing is done.
    """
    if not hasattr(os, "getppid"):
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(PAUSE_S)
        end()

    _thread.start_new_thread(watch, ())
