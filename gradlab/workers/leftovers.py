"""What a killed run leaves on the disk, told from what another run has in use."""

import os
from contextlib import suppress
from pathlib import Path
from time import time

# Between making a file and marking it there is a moment: nothing younger than this, in seconds, is touched.
YOUNG_S = 60.0


def mark_as_mine(handle: int) -> None:
    """Mark an open file or folder as in use, for as long as this process lives and has it open."""
    with suppress(ImportError, OSError):  # there are no such locks on Windows, and on some shared disks
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_of_the_dead(path: Path) -> bool:
    """Return whether a file or folder that was marked is in nobody's use any more; False where that cannot be told."""
    try:
        import fcntl

        status = path.lstat()
        if status.st_uid != os.getuid() or time() - status.st_mtime < YOUNG_S:
            return False
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
