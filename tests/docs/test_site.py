"""The site builds without a warning, and its picture of a terminal is what gradlab prints."""

import html
import importlib.util
import os
import re
import subprocess
import sys

import pytest

from tests.docs.page_blocks import PAGES, ROOT


@pytest.mark.skipif(os.name != "posix", reason="drawn from a POSIX terminal")
def test_the_picture_is_what_is_printed(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.syspath_prepend(str(PAGES / "_made"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    import terminal_picture

    def words(drawn):
        return re.sub(
            r"\s+", " ", html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", drawn, flags=re.DOTALL))
        )

    cure = "the picture shows something else: python docs/_made/terminal_picture.py"
    assert words(terminal_picture.PICTURE.read_text("utf-8")) == words(
        terminal_picture.picture(terminal_picture.printed())
    ), cure


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs MkDocs: pip install '.[docs]'")
def test_it_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page), "it asks another host"


def test_the_command_line_has_every_command(monkeypatch):
    monkeypatch.syspath_prepend(str(PAGES / "_made"))
    import command_line

    from gradlab.cli import FIRST

    assert sorted(command_line.COMMANDS) == sorted(FIRST)
    page = command_line.pages()["reference/command-line.md"]
    assert "\nTrain on MNIST: the textbook's TwoLayerNet, or another model.\n" in page
    assert page.count("$ gradlab ") == len(FIRST) + 1
