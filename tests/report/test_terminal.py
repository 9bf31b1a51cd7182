"""A terminal of any width, with colours or without, and a console of any encoding."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace

import numpy as np
import pytest

from gradlab import check_vjp, verify
from gradlab.cli import main
from gradlab.report.terminal import on_a_console_of
from gradlab.report.text import report_text

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LAYER = """
import numpy as np

class 정규화:
    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward(self, x):
        centred = x - x.mean(axis=0)
        self.std = np.sqrt((centred**2).mean(axis=0) + 1e-5)
        self.xhat = centred / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.xhat).sum(axis=0), dout.sum(axis=0)
        dxhat = dout * self.gamma
        return (dxhat - dxhat.mean(axis=0)) / self.std
"""


@pytest.fixture(scope="module")
def wrong():
    x = np.random.default_rng(0).standard_normal((4, 6))
    return check_vjp(lambda x: (x**2, x), lambda x, g: (-2 * x * g,), (x,), name="a_name_of_some_length")


def shown(report, width, colours=True, **detail):
    return report_text(report, "terminal", on=on_a_console_of(width, colours=colours), **detail)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("detail", [{}, {"verbose": True, "timings": True}], ids=["plain", "all"])
def test_no_line_is_longer_than_the_screen(wrong, width, detail):
    for report in (wrong, verify("affine", "scaled_dot_product_attention", explore=False)):
        lines = ANSI.sub("", shown(report, width, **detail)).splitlines()
        assert max(map(len, lines)) <= width


def test_the_table_of_five_columns_is_not_folded_at_80(wrong):
    lines = ANSI.sub("", shown(wrong, 80)).splitlines()
    (header,) = (
        k for k, line in enumerate(lines) if line.split() == ["what", "input", "error", "verdict", "reason"]
    )
    assert lines[header + 1].split()[:4] == ["a_name_of_some_length", "x", "2", "wrong"]
    assert lines[header + 2] == ""


def test_what_does_not_fit_is_folded_and_not_cut_off(wrong):
    name = "some_package/some_module.py:SomeLayerWithALongName"
    report = replace(wrong, rows=[replace(row, node=name) for row in wrong.rows], findings={})
    lines = ANSI.sub("", shown(report, 60)).splitlines()
    (header,) = (k for k, line in enumerate(lines) if line.startswith("what "))
    width = lines[header].index("input")
    cells = [line[:width].strip() for line in lines[header + 1 :]]
    assert name in "".join(cells)


def test_colours_are_there_and_not_there(wrong):
    assert ANSI.search(shown(wrong, 80))
    assert not ANSI.search(shown(wrong, 80, colours=False))
    bare = [line.rstrip() for line in ANSI.sub("", shown(wrong, 80)).splitlines()]
    assert bare == shown(wrong, 80, colours=False).splitlines()


def test_wide_characters_keep_the_columns_straight():
    x = np.ones(3)
    report = check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (x,), name="정규화層")
    lines = ANSI.sub("", shown(report, 80)).splitlines()
    (header,) = (line for line in lines if line.startswith("what"))
    (row,) = (line for line in lines if line.startswith("정규화層"))
    before = row[: row.index("pass")]
    assert len(before) + 4 == header.index("verdict"), "each of the four signs is two cells wide"


def on_a_terminal(command, columns, **environment):
    """Return what a command prints on a terminal of so many columns."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    known = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gradlab", *command],
        stdin=writer,
        stdout=writer,
        stderr=subprocess.DEVNULL,
        env={**known, "TERM": "xterm-256color", **environment},
    )
    os.close(writer)
    text = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # so a terminal ends whose writers have gone
            break
        if not part:
            break
        text += part
    os.close(reader)
    process.wait()
    return text.decode().replace("\r\n", "\n")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [80, 120])
def test_a_command_on_a_terminal(columns):
    text = on_a_terminal(["verify", "relu", "affine"], columns)
    assert ANSI.search(text)
    lines = ANSI.sub("", text).splitlines()
    assert lines[0] == "All right: all 2 agree with the numerical gradient."
    assert max(map(len, lines)) <= columns
    plain = on_a_terminal(["verify", "relu", "affine"], columns, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain), "a colour"


@pytest.mark.parametrize("encoding", ["cp949", "cp932", "gbk", "ascii", "utf-8"])
def test_every_encoding_prints_everything(tmp_path, encoding):
    (tmp_path / "layers.py").write_text(LAYER, encoding="utf-8")
    commands = [
        ["check", "layers.py:정규화", "--input", "5x3", "--timings", "--verbose"],
        ["check", "layers.py:정규화", "--input", "5x3", "--format", "json"],
        ["explain", "batch_norm"],
        ["verify", "exp", "--timings"],
        ["sweep", "exp"],
    ]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "gradlab", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            capture_output=True,
        )
        assert done.returncode == (1 if command[0] == "check" else 0), done.stderr
        out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
        assert "Traceback" not in err
        assert out
    assert ("µs" if encoding in ("utf-8",) else "us") in (
        subprocess.run(
            [sys.executable, "-m", "gradlab", "verify", "exp", "--timings"],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
        ).stdout.decode(encoding)
    )


def test_what_a_report_prints_by_itself_is_in_ascii(wrong):
    """For ``print(report)`` nobody has prepared the console."""
    assert (str(wrong) + repr(wrong) + wrong.to_markdown()).isascii()


def test_a_stream_is_left_as_it_was():
    before = sys.stdout.errors, sys.stderr.errors
    main(["list", "--family", "loss"])
    assert (sys.stdout.errors, sys.stderr.errors) == before


def test_gradlab_alone_shows_three_commands_to_try(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert len(re.findall(r"^  gradlab \w+", out, re.MULTILINE)) == 3
    assert max(map(len, out.splitlines())) <= 80
    assert err == ""
