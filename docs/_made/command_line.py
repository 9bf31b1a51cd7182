"""The page of the command line: what ``--help`` prints, which each Python breaks into lines in its own way."""

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = ("verify", "check", "compare", "sweep", "explain", "list", "mutate", "gates", "mnist")
ROOT = Path(__file__).parents[2]


def pages() -> dict[str, str]:
    """Return the page, by its place in the site."""
    parts = ["# The command line", "What `--help` prints, at a width of 80.", _shown("--help")]
    for command in COMMANDS:
        parts += [f"## {command}", _shown(command, "--help")]
    return {"reference/command-line.md": "\n\n".join(parts) + "\n"}


def _shown(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "gradlab", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return f"```console\n$ gradlab {' '.join(arguments)}\n{done.stdout}```"
