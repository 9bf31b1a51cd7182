"""Reports and other files on disk."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from gradlab.workers.leftovers import is_of_the_dead, mark_as_mine

# How a file that is being written ends; what ends so and is nobody's any more is left of a run that was killed.
ENDING = ".gradlab-part"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that whoever looks sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.
    """
    write_bytes_atomically(path, lambda file: file.write(text.encode("utf-8", "replace")))


def write_bytes_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write(file)`` write a file so that whoever looks sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        If the folder cannot be made or written to; its `filename` is the path. Whatever `write` raises leaves the old
        file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for left in path.parent.glob(f".{_escaped(path.name)}.*{ENDING}"):
            if is_of_the_dead(left):
                with suppress(OSError):
                    left.unlink()
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{ENDING}")
        # made as any new file is, with the rights that the user gives to new files
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                mark_as_mine(file.fileno())
                write(file)
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        # not the name of a passing file, and a full disk names none
        raise type(error)(error.errno, error.strerror, str(path)) from error


def place_of(path: Path, interrupted: bool) -> Path:
    """Return where a report is written: beside the one of a whole run, if its own run was interrupted."""
    return path.with_name(f"{path.stem}.partial{path.suffix}") if interrupted else path


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
