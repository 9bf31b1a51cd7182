"""MkDocs' hook: what the site shows of gradlab's own runs is made where the site is built, and never stands still."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import command_line
import gallery
import verdict_pictures


def on_files(files: Files, config: Any) -> Files:
    """Add the gallery, the pictures of how a verdict is reached, the command line, and what was measured."""
    made = {**gallery.pages(), **verdict_pictures.pages(), **command_line.pages(), **_reports()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def _reports() -> dict[str, bytes]:
    """Return the pages and pictures of the folder reports, which benchmarks and commands have written."""
    folder = Path(__file__).parents[2] / "reports"
    return {f"reports/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
