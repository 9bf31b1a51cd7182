"""Every command, session and output on the site is run, and prints what the page says."""

import importlib.util
import os
import re
import sys

import pytest

from tests.docs.page_blocks import (
    FIVE,
    PAGES,
    SET_UP,
    blocks_of,
    environment_here,
    run_commands,
    run_sessions,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the pages' commands are for a POSIX shell")
# Named at the head of a page, as ``needs: [torch]``.
NEEDS = re.compile(r"\A---\nneeds: \[(.*)\]\n---\n")
HERE = f"""
python() {{ {sys.executable} "$@"; }}
gradlab() {{ python -m gradlab "$@"; }}
pytest() {{ python -m pytest "$@"; }}
"""
# The five first pages are run by tests/first_minutes, in environments of their own.
ALL = sorted(
    name for name in (path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.md")) if name not in FIVE
)


@pytest.fixture
def folder(tmp_path):
    """The page's folder, a project of four times the patience: what else the machine does must not matter."""
    (tmp_path / "pyproject.toml").write_text("[tool.gradlab]\nmax_seconds = 40.0\n")
    return tmp_path


@pytest.fixture
def page(request, folder):
    text = (PAGES / request.param).read_text("utf-8")
    needs = NEEDS.match(text)
    for name in filter(None, (needs[1] if needs else "").split(", ")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{request.param} needs {name}: pip install {name}")
    blocks = blocks_of(text)
    for title, content in blocks.files.items():
        path = folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return blocks


@pytest.mark.parametrize("page", ALL, indirect=True)
def test_what_the_page_shows(page, folder, installed):
    environment = environment_here(installed)
    assert not page.others, (
        f"blocks that nothing runs: {page.others}; make them console, pycon or a titled file"
    )
    commands = [(command, printed) for command, printed in page.commands if not SET_UP.match(command)]
    if commands:
        told = run_commands(commands, folder, environment, HERE)
        assert not told, told
    if page.sessions:
        told = run_sessions(page.sessions, folder, environment)
        assert not told, told


def test_a_page_that_lies_is_caught(tmp_path, installed):
    text = "```console\n$ echo one\ntwo\n$ cat a.txt\nthree\n```\n\n```pycon\n>>> 1 + 1\n3\n```\n```text\nhm\n```\n"
    blocks = blocks_of('```python title="a.txt"\nthree\n```\n' + text)
    (tmp_path / "a.txt").write_text(blocks.files["a.txt"])
    told = run_commands(blocks.commands, tmp_path, environment_here(installed), HERE)
    assert told == "$ echo one\none\n\ninstead of\ntwo\n"
    assert "Expected:\n    3" in run_sessions(blocks.sessions, tmp_path, environment_here(installed))
    assert blocks.others == ["text"]
    assert blocks_of("```pycon\n1 + 1\n2\n```\n").others == ["pycon"]
