"""A process that ends when its parent does, however that ends: killed, a parent can tell nobody."""

import _thread
import os
from collections.abc import Callable
from time import sleep

# In seconds, from one look at the parent to the next.
PAUSE_S = 0.5


def end_with_parent(parent: int, end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """Have this process call `end` soon after its parent has died, or at once if it has.

    The thread that looks is none of `threading`'s, since nothing waits for it and it is in nobody's way. Where parents
    have no numbers, as on Windows, nothing is done.

    Parameters
    ----------
    parent : int
        The number of the process that this one was started for; a server of forks may stand between them.
    end : callable
    """
    if not hasattr(os, "getppid"):
        return

    def watch() -> None:
        is_child = os.getppid() == parent
        # a child of the dead is another's, who need not have taken notice of the death yet
        while os.getppid() == parent if is_child else _exists(parent):
            sleep(PAUSE_S)
        end()

    _thread.start_new_thread(watch, ())


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
