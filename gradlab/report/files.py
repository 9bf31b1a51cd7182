"""Reports and other files on disk."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that whoever looks sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.
    """
    write_bytes_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_bytes_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write(file)`` write a file so that whoever looks sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        If the folder cannot be made or written to. Whatever `write` raises leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error  # not the name of a passing file
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _umask() -> int:
    # a temporary file is private; the report should have the rights of any other new file
    current = os.umask(0)
    os.umask(current)
    return current
