"""``gradlab check --fix``: the repairs of a report, written into the files that they are of."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradlab.repair import Repair
from gradlab.report.files import write_atomically


def fix(repairs: Sequence[Repair], dry_run: bool | None) -> Iterator[str]:
    """Write repairs into their files, and yield what was done with each.

    Parameters
    ----------
    repairs : sequence of Repair
    dry_run : bool or None
        Whether only to say what would be written; None: where git does not have the file as it is.
    """
    for repair in repairs:
        if not repair.mended:
            continue
        # a link stays one
        path, place = Path(repair.file).resolve(), f"{repair.shown_file}, line {repair.line}"
        try:
            raw = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield f"{place}: not mended, as it cannot be read ({error}): mend it by hand"
            continue
        written = _as_in(raw, repair)
        if written is None:
            yield f"{place}: not mended, as the file has changed since it was read: check again"
        elif dry_run or (dry_run is None and not _is_committed(path)):
            why = "" if dry_run else ", as git does not have it as it is: commit it, or say --no-dry-run"
            yield f"{place}: would be mended{why}"
        else:
            mode = path.stat().st_mode
            write_atomically(path, written)
            os.chmod(path, mode)
            yield f"{place}: mended"


def _as_in(raw: str, repair: Repair) -> str | None:
    """Return the mended text with the ends of lines that the file has; None if the file has another text."""
    ends = "\r\n" if "\r\n" in raw else "\n"
    before, after = (text.replace("\n", ends) for text in (repair.text, repair.mended))
    if raw == before:
        return after
    # of a file whose last line has no end, Python's own reader adds one
    return after.removesuffix(ends) if raw + ends == before else None


def _is_committed(path: Path) -> bool:
    """Return whether a file is tracked by git, and is as it was committed."""
    return _git(path, "ls-files", "--error-unmatch") is not None and _git(path, "status", "--porcelain") == ""


def _git(path: Path, *words: str) -> str | None:
    """Return what git says of a file; None where it fails, or there is none."""
    command = ["git", "-C", str(path.parent.resolve()), *words, "--", path.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
