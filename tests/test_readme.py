"""That what the README shows of wrong layers is what gradlab prints of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(first_line):
    """Return the fenced block that begins with this line, without it."""
    return re.search(rf"```\w+\n{re.escape(first_line)}\n(.*?)```", README, re.DOTALL)[1]


def mistake(text):
    """Return what is said of the mistake: its name, what was seen, the cure."""
    lines = [line.strip("E ") for line in text.splitlines()]
    first = next(k for k, line in enumerate(lines) if line.startswith("mistake "))
    return lines[first : first + 4]


@pytest.fixture
def with_layers(project):
    project.makepyfile(layers=block("# layers.py"), test_layers=block("# test_layers.py"))
    return project


def test_the_shell_page(with_layers):
    command = [sys.executable, "-m", "gradlab", "check", "layers.py:BatchNorm", "--input", "5x3"]
    done = subprocess.run(command, cwd=with_layers.path, capture_output=True, text=True, env=os.environ)
    shown = block("$ gradlab check layers.py:BatchNorm --input 5x3")
    assert done.returncode == 1
    assert mistake(shown) == mistake(done.stdout)
    assert shown.splitlines()[0] == done.stdout.splitlines()[0]
    assert shown.rpartition("comparisons")[2].strip() == done.stdout.rpartition("comparisons")[2].strip()


def test_the_test_suite_page(with_layers):
    result = with_layers.runpytest_subprocess("-q", "test_layers.py")
    assert result.ret == 1
    assert mistake(block("=" * 35 + " FAILURES " + "=" * 35)) == mistake(result.stdout.str())
