"""What a page of the site shows, taken apart: its files, its commands with what they print, its Python sessions."""

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"
FIVE = [f"start/{name}.md" for name in ("learner", "course", "torch-jax", "scipy", "maintainer")]
FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# What makes the environment; the tests of the first five minutes run it, the others have one.
SET_UP = re.compile(r"(python3 -m venv|\. \.venv|pip install)\b")
SEPARATOR = "\x1e"


@dataclass
class Blocks:
    """The fenced blocks of one page.

    Attributes
    ----------
    files : dict
        What stands in each file that the page shows, by its title.
    commands : list of (str, str)
        Each command after a ``$``, and what is said that it prints.
    sessions : list of str
        What is typed at Python's prompt, with the answers.
    others : list of str
        The languages of blocks that are none of these, which nothing could run.
    """

    files: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[str, str]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def blocks_of(text: str) -> Blocks:
    """Return the blocks of a page's text."""
    blocks = Blocks()
    for indent, language, options, body in FENCE.findall(text):
        content = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        if title := re.search(r'title="([^"]+)"', options):
            assert title[1] not in blocks.files, f"{title[1]} stands twice on the page"
            blocks.files[title[1]] = content
        elif language == "console":
            for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                while command.endswith("\\"):
                    more, _, printed = printed.partition("\n")
                    command = command[:-1] + more.removeprefix("> ")
                blocks.commands.append((command, printed))
        elif language == "pycon" and content.startswith(">>> "):
            blocks.sessions.append(content)
        elif language != "mermaid":
            blocks.others.append(language)
    return blocks


def run_commands(
    commands: list[tuple[str, str]], folder: Path, environment: dict[str, str], start: str
) -> str:
    """Run the commands one after the other in one shell, and say which of them printed something else.

    Of what makes the environment no word is expected, and none is shown on the pages.
    """
    lines = [start, "exec 2>&1"]
    for command, _ in commands:
        lines += [command, f"printf '{SEPARATOR}'"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=folder, env=environment, capture_output=True, timeout=900
    )
    # how far long work has come is told where it takes ten seconds, on a slow machine
    told = re.compile(r"^gradlab: [^\n]* in \d+ s\n", re.MULTILINE)
    printed = [told.sub("", part) for part in done.stdout.decode().split(SEPARATOR)[: len(commands)]]
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    wrong = [
        f"$ {command}\n{got}\ninstead of\n{want}"
        for (command, want), got in zip(commands, printed, strict=True)
        # pip may warn of what is the matter with an index
        if (
            "ERROR" in got
            if SET_UP.match(command)
            else not doctest.OutputChecker().check_output(want, got, flags)
        )
    ]
    return "\n\n".join(wrong)


def run_sessions(
    sessions: list[str], folder: Path, environment: dict[str, str], python: str = sys.executable
) -> str:
    """Type what the sessions say at one prompt, and say what was answered otherwise."""
    # an empty line that is printed is empty on the page; doctest wants a word for it
    printed = re.compile(r"\n\n(?!>>> |\Z)")
    typed = [printed.sub("\n<BLANKLINE>\n", session) for session in sessions]
    (folder / "sessions.txt").write_text("\n".join(typed), "utf-8")
    options = [part for flag in ("ELLIPSIS", "NORMALIZE_WHITESPACE") for part in ("-o", flag)]
    command = [python, "-m", "doctest", *options, "sessions.txt"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    return done.stdout + done.stderr


def environment_here(site: Path) -> dict[str, str]:
    """Return an environment in which this checkout is installed, at a width and without colours."""
    own = {"PYTHONPATH": os.pathsep.join(map(str, (site, ROOT))), "COLUMNS": "80", "NO_COLOR": "1"}
    return {**users_environment(), **own, "PYTEST_ADDOPTS": "-p no:cacheprovider", "GRADLAB_MNIST": ""}


def users_environment() -> dict[str, str]:
    """Return the environment of a user who has nothing to do with these tests, nor with what runs them."""
    own = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONIOENCODING", "GRADLAB_MNIST", "PYTHONSAFEPATH")
    return {k: v for k, v in os.environ.items() if k not in own and not k.startswith("PYTEST_")}
