"""Files of others, reports that were there before, and names and messages that would do something."""

import gzip
import io
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.commands.check import _parent_process
from gradlab.report.escaping import code, markdown, one_line, visible
from gradlab.report.files import ENDING, place_of, write_atomically
from gradlab.textbook.datasets.idx import DatasetError, read_idx
from gradlab.textbook.models.parameter_files import load, load_model_parameters

GRADLAB = [sys.executable, "-m", "gradlab"]
ODD = "a|b\n<script>alert(1)</script>\x1b[31m[link](x)"


def test_ctrl_c_leaves_the_report_that_was_there(tmp_path):
    page = tmp_path / "errors.md"
    page.write_text("the whole report of yesterday\n")
    run = subprocess.Popen(
        [*GRADLAB, "verify", "--output", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(4)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert page.read_text() == "the whole report of yesterday\n"
    if (tmp_path / "errors.partial.md").exists():  # unless nothing was reached
        assert "Interrupted" in (tmp_path / "errors.partial.md").read_text()
        assert b"errors.partial.md (interrupted: errors.md is as it was)" in err


def test_where_an_interrupted_report_goes():
    assert place_of(Path("out/errors.md"), True) == Path("out/errors.partial.md")
    assert place_of(Path("out/errors.md"), False) == Path("out/errors.md")


def peak(function):
    tracemalloc.start()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 # two kinds
        function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, str(caught.value)


def test_no_more_is_unpacked_than_belongs_there(tmp_path):
    class Model:
        def __init__(self):
            self.params = {"W": np.zeros(3)}

    zeros = b"\0" * 2**24
    for name, said in (("extra", "lacks"), ("W", "more than belongs there")):
        path = tmp_path / f"{name}.npz"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z,
            z.open(f"{name}.npy", "w", force_zip64=True) as f,
        ):
            for _ in range(8):
                f.write(zeros)
        for read in (lambda path=path: load_model_parameters(Model(), path), lambda path=path: load(path)):
            most, message = peak(read)
            assert most < 2**24
        assert said in peak(lambda path=path: load_model_parameters(Model(), path))[1]
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb") as f:
        for _ in range(8):
            f.write(zeros)
    most, message = peak(lambda: read_idx(path))
    assert most < 2**24
    assert "no IDX file" in message
    # and one whose header says what it holds, but not all of it
    with gzip.open(path, "wb") as f:
        f.write(bytes([0, 0, 8, 1, 0, 0, 0, 5]) + zeros)
    most, message = peak(lambda: read_idx(path))
    assert most < 2**24
    assert "further bytes follow" in message
    assert issubclass(DatasetError, ValueError)


def test_names_and_messages_are_text_everywhere():
    report = check_vjp(lambda x: (2 * x, x), lambda x, g: (3 * g,), (np.ones(2),), name=ODD)
    for text in (report.to_markdown(), str(report), report.faults[0].sentence):
        assert "\x1b" not in text
    page = report.to_markdown()
    assert "<script" not in page
    assert "](" not in page
    rows = [line.replace(r"\|", "") for line in page.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert len({row.count("|") for row in rows}) == 1


def test_one_function_for_each_kind_of_text():
    assert one_line("a\nb\x1b[2J\x07") == r"a b\x1b[2J\x07"
    assert visible("a\nb\x1b") == "a\nb\\x1b"
    assert markdown("a|<b>|\n<!-- x < 1") == r"a\|&lt;b>\| &lt;!-- x < 1"
    assert code("a`b\n") == "`a'b`"
    assert one_line("\u202eabc \udce9") == r"\u202eabc \udce9"
    assert one_line("층 α ≤ 1") == "층 α ≤ 1"  # noqa: RUF001


def test_the_command_line_shows_what_a_layer_raises_as_text(tmp_path):
    (tmp_path / "lay.py").write_text(
        "class A:\n    def forward(self, x): raise ValueError('\\x1b[2J\\x1b]0;title\\x07<b>|x')\n"
        "    def backward(self, d): return d\nLAYERS = {'a|b<script>': A()}\n"
    )
    done = subprocess.run(
        [*GRADLAB, "check", "lay.py:LAYERS", "--input", "2x3", "--output", "out"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr
    assert r"\x1b[2J" in done.stderr
    page = (tmp_path / "out" / "check.md").read_text()
    assert "<script" not in page
    assert "\x1b" not in page


def shell(command, **environment):
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m gradlab {command}"],
        env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["list > /dev/full", "verify add > /dev/full", "list >&-"])
def test_a_stdout_that_cannot_be_written_is_one_line(command):
    status, err = shell(command)
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith("gradlab: stdout ")


def test_an_encoding_that_lacks_a_sign_is_no_wrong_gradient():
    assert shell("verify add > /dev/null", PYTHONIOENCODING="ascii") == (0, "")


def test_whoever_stops_reading_hears_no_complaint():
    assert shell("list | head -1")[1] == ""


def test_a_folder_that_has_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", f"cd {gone} && rmdir {gone} && exec {sys.executable} -m gradlab check x.py:F --input 3"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_what_a_killed_run_left_is_taken_away_and_what_another_uses_is_not(tmp_path, monkeypatch):
    import fcntl

    old = time.time() - 3600
    dead, used = (tmp_path / f".page.md.{name}{ENDING}" for name in ("dead", "used"))
    for path in (dead, used):
        path.write_text("half")
        os.utime(path, (old, old))
    with used.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.utime(used, (old, old))
        write_atomically(tmp_path / "page.md", "whole")
        assert not dead.exists()
        assert used.exists()
    monkeypatch.setattr(_parent_process.tempfile, "gettempdir", lambda: str(tmp_path))
    for name, marked in (("gradlab-check-dead", True), ("gradlab-check-somebodys", False)):
        (tmp_path / name).mkdir()
        if marked:
            (tmp_path / name / _parent_process.MARK).write_text("")
            os.utime(tmp_path / name / _parent_process.MARK, (old, old))
    with _parent_process._own_folder():
        assert not (tmp_path / "gradlab-check-dead").exists()
        assert (tmp_path / "gradlab-check-somebodys").exists()


def test_a_new_file_has_the_rights_of_any_other(tmp_path):
    write_atomically(tmp_path / "page.md", "text")
    (tmp_path / "other.md").write_text("text")
    assert (tmp_path / "page.md").stat().st_mode == (tmp_path / "other.md").stat().st_mode
    assert io.open  # what writes them both
