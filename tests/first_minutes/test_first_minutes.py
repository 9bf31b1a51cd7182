"""The first minutes of new users, each in a fresh environment; -s shows the seconds that they took.

Five begin at their page of the site, docs/start, and run every command and session on it, one after the other.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.docs.page_blocks import FIVE, PAGES, blocks_of, run_commands, run_sessions, users_environment

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell")
NOT_FETCHED = ("Could not find a version", "No matching distribution")


@pytest.fixture
def source(tmp_path):
    """A copy of what is built, so that several builds at once do not meet in one folder."""
    folder = tmp_path / "gradlab"
    shutil.copytree(ROOT / "gradlab", folder / "gradlab", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder / file)
    return folder


@pytest.mark.parametrize("page", FIVE)
def test_a_page(page, tmp_path, source):
    blocks = blocks_of((PAGES / page).read_text("utf-8"))
    assert not blocks.others
    folder = tmp_path / "project"
    folder.mkdir()
    for title, content in blocks.files.items():
        (folder / title).write_text(content, "utf-8")
    quiet = {**users_environment(), "COLUMNS": "80", "NO_COLOR": "1"}
    begin = time.monotonic()
    told = run_commands(blocks.commands, folder, quiet, "")
    if any(words in told for words in NOT_FETCHED):
        pytest.skip("the packages cannot be fetched here")
    assert not told, told
    python = folder / ".venv" / "bin" / "python"
    if blocks.sessions:
        told = run_sessions(blocks.sessions, folder, quiet, str(python))
        assert not told, told
    print(f"\n{page}: {time.monotonic() - begin:.0f} s, environment and all")


@pytest.fixture
def first_minutes(tmp_path, source):
    def run(name, encoding="utf-8"):
        folder = tmp_path / "project"
        folder.mkdir()
        begin = time.monotonic()
        done = subprocess.run(
            ["sh", str(HERE / f"{name}.sh"), str(source)],
            cwd=folder,
            env=users_environment(),
            capture_output=True,
            timeout=900,
        )
        out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
        if any(words in err for words in NOT_FETCHED):
            pytest.skip("the packages cannot be fetched here")
        print(f"\n{name}: {time.monotonic() - begin:.0f} s, environment and all\n{out}\n{err}")
        assert "Traceback" not in out + err
        assert done.returncode == 0, out + err
        return folder, out

    return run


def test_a_notebook(first_minutes):
    _, out = first_minutes("notebook")
    assert "== report ['text/html', 'text/markdown', 'text/plain']" in out
    assert "**WRONG: Affine, the gradient of b.**" in out
    assert "== report.plot() ['image/png', 'text/plain']" in out
    sizes = out.partition("'text/plain'] [")[2].partition("]")[0].split(", ")
    assert int(sizes[2]) < 250, "a line, and no page of dataclasses"
    assert "<gradlab.Report: WRONG: Affine, the gradient of b." in out


def test_a_korean_console(first_minutes):
    _, out = first_minutes("korean_console", "cp949")
    assert "WRONG: 계층.py:시그모이드, the gradient of x." in out
    assert "WRONG: 시그모이드, the gradient of x." in out
    assert " us " in out
    assert "status 1" in out
