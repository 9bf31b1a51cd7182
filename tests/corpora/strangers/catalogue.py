"""Every entry of the corpora of strangers: of the first, and of nine more, each written later."""

import json
from importlib import import_module
from pathlib import Path

from ._entry import Stranger


def _entries(files: str) -> list[Stranger]:
    return [
        entry
        for path in sorted(Path(__file__).parent.glob(files))
        for entry in import_module(f".{path.stem}", __package__).ENTRIES
    ]


FILES = {
    "first": "[ab]_*.py",
    "second": "[cd]_*.py",
    "third": "[ef]_*.py",
    "fourth": "[gh]_*.py",
    "fifth": "[ij]_*.py",
    "sixth": "[k-n]_*.py",
    "seventh": "[o-r]_*.py",
    "eighth": "[s-v]_*.py",
    "ninth": "[w-z]_*.py",
    "tenth": "t[a-d]_*.py",
}
CORPORA = {title: _entries(files) for title, files in FILES.items()}
STRANGERS = [entry for entries in CORPORA.values() for entry in entries]


def first_sight_of(title: str) -> dict[str, list[str]]:
    """Return what was said of each entry of a corpus when the code first saw it: the verdict, and the name."""
    name = "first_sight.json" if title == "first" else f"first_sight_of_{title}.json"
    found: dict[str, list[str]] = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
    return found
