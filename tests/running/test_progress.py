"""How far long work has come: a bar for eyes, lines for a log, nothing where it is short."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest

from gradlab.running import progress
from gradlab.running.progress import progress_bar, with_progress


@pytest.fixture
def every_moment(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)


def test_a_log_has_whole_lines(capsys, every_moment):
    assert list(with_progress(range(3), True, "node", 3)) == [0, 1, 2]
    err = capsys.readouterr().err
    assert "\r" not in err
    lines = err.splitlines()
    assert lines[-1].startswith("gradlab: 3 of 3 nodes in ")
    assert all(line.startswith("gradlab: ") for line in lines)


def test_a_title_is_told(capsys, every_moment):
    with progress_bar(10, "step", title="epoch 1") as bar:
        bar.update(10)
    assert "gradlab: epoch 1: 10 of 10 steps in " in capsys.readouterr().err


def test_a_title_that_changes_is_no_line_more(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.2)
    with progress_bar(200, "step") as bar:
        for k in range(200):
            bar.set_description(f"part {k}")
            bar.update()
            time.sleep(0.003)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 6


def test_short_work_says_nothing(capsys):
    list(with_progress(range(3), True, "node", 3))
    assert capsys.readouterr().err == ""


def test_nobody_asked(capsys, every_moment):
    list(with_progress(range(3), False, "node", 3))
    with progress_bar(10, "step", shown=False) as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    threads = threading.active_count()
    for _ in with_progress(range(3), True, "node", 3):
        assert threading.active_count() == threads
    assert "| 0/3 [" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # tqdm warns where there is no widget
def test_a_notebook_has_tqdms_own(monkeypatch):
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    from tqdm.auto import tqdm

    assert progress._notebook_bar() is tqdm
