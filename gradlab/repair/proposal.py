"""A repair: what stands where instead, as a diff, and what it was proven with."""

import difflib
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Repair:
    """A change of the source that mends a backward, or the line that is at fault where no change was found.

    Attributes
    ----------
    file : str
    line : int
        Of the file, counted from 1.
    before, after : str
        The lines that change; `after` is empty where only the line is known.
    diff : str
        The change as a unified diff; empty where only the line is known.
    proven_with : str
        What the mended backward was held to.
    mistake : str
        The name of the mistake that it takes back, one of `gradlab.diagnosis.NAMES`; empty if it has none.
    text, mended : str
        The whole file before and after.
    """

    file: str
    line: int
    before: str
    after: str
    diff: str = ""
    proven_with: str = ""
    mistake: str = ""
    text: str = ""
    mended: str = ""

    def told(self) -> dict[str, Any]:
        """Return what JSON tells of it: everything but the whole file."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in known.items() if name not in ("text", "mended")}

    @property
    def shown_file(self) -> str:
        """The file as it is called from the current folder, if it is inside."""
        return shown_path(self.file)

    @property
    def sentence(self) -> str:
        """The repair in one line."""
        place = f"{self.shown_file}, line {self.line}"
        if not self.diff:
            return f"{place}: another value of what it computes would explain everything: {self.before}"
        return f"{place}: {self.after}; proven with {self.proven_with}"


def shown_path(file: str) -> str:
    """Return a file as it is called from the current folder, if it is inside."""
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def repair_of(file: str, text: str, mended: str, proven_with: str) -> Repair:
    """Return the repair that makes one text of another."""
    before, after = text.splitlines(), mended.splitlines()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changes = [c for c in matcher.get_opcodes() if c[0] != "equal"]
    first = changes[0]
    old = "\n".join(line for c in changes for line in before[c[1] : c[2]])
    new = "\n".join(line for c in changes for line in after[c[3] : c[4]])
    shown = shown_path(file)
    diff = "\n".join(difflib.unified_diff(before, after, shown, shown, lineterm="", n=2))
    return Repair(file, first[1] + 1, old.strip(), new.strip(), diff, proven_with, text=text, mended=mended)
