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
        path, place = Path(repair.file), f"{repair.shown_file}, line {repair.line}"
        try:
            same = path.read_text(encoding="utf-8") == repair.text
        except (OSError, UnicodeDecodeError) as error:
            yield f"{place}: not mended, as it cannot be read ({error}): mend it by hand"
            continue
        if not same:
            yield f"{place}: not mended, as the file has changed since it was read: check again"
        elif dry_run or (dry_run is None and not _is_committed(path)):
            why = "" if dry_run else ", as git does not have it as it is: commit it, or say --no-dry-run"
            yield f"{place}: would be mended{why}"
        else:
            mode = path.stat().st_mode
            write_atomically(path, repair.mended)
            os.chmod(path, mode)
            yield f"{place}: mended"


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
