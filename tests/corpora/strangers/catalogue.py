"""Every entry of the corpora of strangers: of the first, and of nine more, each written later."""

from importlib import import_module
from pathlib import Path

from ._entry import Stranger


def _entries(files: str) -> list[Stranger]:
    return [
        entry
        for path in sorted(Path(__file__).parent.glob(files))
        for entry in import_module(f".{path.stem}", __package__).ENTRIES
    ]


FIRST = _entries("[ab]_*.py")
SECOND = _entries("[cd]_*.py")
THIRD = _entries("[ef]_*.py")
FOURTH = _entries("[gh]_*.py")
FIFTH = _entries("[ij]_*.py")
SIXTH = _entries("[k-n]_*.py")
SEVENTH = _entries("[o-r]_*.py")
EIGHTH = _entries("[s-v]_*.py")
NINTH = _entries("[w-z]_*.py")
TENTH = _entries("t[a-d]_*.py")
STRANGERS = [*FIRST, *SECOND, *THIRD, *FOURTH, *FIFTH, *SIXTH, *SEVENTH, *EIGHTH, *NINTH, *TENTH]
