"""``gradlab check --fix``: repairs are written only where nothing can be lost."""

import os
import subprocess

import pytest

from gradlab import cli
from gradlab.commands.check._fixes import fix
from gradlab.repair.proposal import repair_of

RIGHT = """import numpy as np


class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dout):
        return 2 * self.x * dout  # by the book
"""
WRONG = RIGHT.replace("2 * self.x", "3 * self.x")


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "layers.py"
    path.write_text(WRONG)
    os.chmod(path, 0o640)
    return path


def git(*words):
    names = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *names, *words], check=True, capture_output=True)


@pytest.fixture
def committed(layers):
    git("init", "-q")
    git("add", "layers.py")
    git("commit", "-q", "-m", "a layer")
    return layers


def check(*more):
    return cli.main(["check", "layers.py:Square", "--input", "3", *more])


def test_a_committed_file_is_mended(committed, capsys):
    assert check("--fix") == 1
    assert "gradlab: layers.py, line 10: mended" in capsys.readouterr().err
    assert committed.read_text() == RIGHT
    assert committed.stat().st_mode & 0o777 == 0o640
    assert check() == 0


@pytest.mark.parametrize("more", [[], ["--fix"], ["--fix", "--dry-run"]])
def test_a_file_that_git_does_not_have_is_left_as_it_is(layers, capsys, more):
    assert check(*more) == 1
    told = capsys.readouterr()
    assert "+        return 2 * self.x * dout  # by the book" in told.out
    assert ("would be mended" in told.err) == bool(more)
    assert ("say --no-dry-run" in told.err) == (more == ["--fix"])
    assert layers.read_text() == WRONG


def test_a_changed_file_is_written_where_that_is_said(layers, capsys):
    assert check("--fix", "--no-dry-run") == 1
    assert layers.read_text() == RIGHT


@pytest.mark.parametrize("change", [lambda t: t.replace(b"\n", b"\r\n"), lambda t: t.removesuffix(b"\n")])
def test_the_ends_of_lines_stay_as_they_are(layers, capsys, change):
    layers.write_bytes(change(WRONG.encode()))
    assert check("--fix", "--no-dry-run") == 1
    assert layers.read_bytes() == change(RIGHT.encode())


def test_a_link_stays_a_link(layers, tmp_path):
    real = tmp_path / "elsewhere.py"
    layers.rename(real)
    layers.symlink_to(real)
    assert list(fix([repair_of(str(layers), WRONG, RIGHT, "nothing")], False)) == [
        "layers.py, line 10: mended"
    ]
    assert layers.is_symlink()
    assert real.read_text() == RIGHT


def test_none_is_looked_for_where_nobody_wants_one(layers, capsys):
    assert check("--no-repair") == 1
    assert "A repair" not in capsys.readouterr().out


def test_a_file_that_has_changed_since_is_refused(layers):
    repair = repair_of(str(layers), WRONG, RIGHT, "nothing")
    layers.write_text(WRONG + "\n")
    assert list(fix([repair], False)) == [
        "layers.py, line 10: not mended, as the file has changed since it was read: check again"
    ]
    assert layers.read_text() == WRONG + "\n"
    layers.unlink()
    (told,) = fix([repair], False)
    assert told.endswith("mend it by hand")


@pytest.mark.parametrize(
    ("more", "cure"),
    [(["--fix", "--no-repair"], "leave one of them out"), (["--dry-run"], "add --fix, or leave it out")],
)
def test_options_that_do_not_go_together_are_told_in_a_line(layers, capsys, more, cure):
    assert check(*more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gradlab: ")
    assert line.endswith(cure)
