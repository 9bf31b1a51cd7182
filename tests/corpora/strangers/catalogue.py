"""Every entry of the corpus of strangers."""

from importlib import import_module
from pathlib import Path

from ._entry import Stranger

STRANGERS: list[Stranger] = [
    entry
    for path in sorted(Path(__file__).parent.glob("[ab]_*.py"))
    for entry in import_module(f".{path.stem}", __package__).ENTRIES
]
