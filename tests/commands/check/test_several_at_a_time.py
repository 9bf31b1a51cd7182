"""Several objects are checked at a time, each in a process of its own, and the report is the same."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gradlab import cli
from gradlab.running import timing

NODES = """
    import numpy as np
    import gradlab

    def samples(rng):
        yield gradlab.Sample("some", (rng.standard_normal(3),))

    def square(sign):
        return gradlab.Node("square", "own", lambda x: (x**2, x), lambda x, g: (sign * 2 * x * g,), samples)

    OPS = [square(1), gradlab.Node("double", "own", lambda x: (2 * x, None), lambda _, g: (2 * g,), samples)]
    MORE = [square(-1)]
"""


def rows(capfd, *arguments):
    cli.main(["check", *arguments, "--format", "json"])
    times = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    return [
        {name: value for name, value in row.items() if name not in times}
        for row in json.loads(capfd.readouterr().out)["rows"]
    ]


def test_the_report_is_the_same(project, capfd):
    targets = ["layers.py:Sigmoid", "layers.py:AFFINES", "layers.py:Square", "layers.py:Affine"]
    project.write(
        "layers.py", (project.path / "layers.py").read_text() + "\nAFFINES = [Square(), Sigmoid()]\n"
    )
    alone, together = (
        rows(capfd, *targets, "--no-repair"),
        rows(capfd, *targets, "--no-repair", "--workers", "3"),
    )
    assert alone == together
    assert list(dict.fromkeys(row["node"] for row in alone)) == [
        "layers.py:Sigmoid", "layers.py:AFFINES[0]", "layers.py:AFFINES[1]", "layers.py:Square", "layers.py:Affine",
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="signals have other names elsewhere")
def test_ctrl_c_ends_all_of_them(project):
    project.write(
        "slow.py",
        """
        import os, pathlib, time

        class Slow:
            def forward(self, x):
                pathlib.Path(f"{type(self).__name__}.pid").write_text(str(os.getpid()))
                time.sleep(60)
            def backward(self, g):
                return g

        class Slower(Slow):
            pass
        """,
    )
    command = [sys.executable, "-m", "gradlab", "check", "slow.py", "--all", "--workers", "2", "--input", "3"]
    running = subprocess.Popen(command, cwd=project.path, stderr=subprocess.DEVNULL)
    pids = [project.path / f"{name}.pid" for name in ("Slow", "Slower")]
    end = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in pids) and time.monotonic() < end:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    for path in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_a_node_keeps_its_name(project, check):
    project.write("ops.py", NODES)
    status, out, _ = check("ops.py:OPS", "ops.py:MORE", "--no-repair", "--format", "json")
    envelope = json.loads(out)
    assert status == 1
    assert {(row["node"], row["verdict"]) for row in envelope["rows"] if row["check"] == "matches_numerical"} == {
        ("square", "pass"), ("double", "pass"), ("square (ops.py:MORE[0])", "wrong"),
    }  # fmt: skip


def test_a_layer_that_takes_integers_too_is_looked_at_with_numbers(project, check):
    project.write(
        "fixed.py",
        """
        import numpy as np

        class Dense:  # of three features, which no first guess has
            def __init__(self):
                self.W = np.ones((3, 2))
            def forward(self, x):
                self.x = x
                return x @ self.W
            def backward(self, g):
                self.dW = self.x.T @ g
                return 2 * g @ self.W.T
        """,
    )
    status, out, _ = check("fixed.py:Dense", "--no-repair")
    assert status == 1
    assert "the gradient of x" in out
    assert "--input 2x3\n" in out


def test_times_are_measured_where_they_are_asked_for(check, monkeypatch):
    measured = []
    monkeypatch.setattr(timing, "measure", lambda trial: measured.append(trial) or {})
    check("layers.py:Square")
    assert not measured
    for asked in (["--timings"], ["--format", "json"]):
        measured.clear()
        check("layers.py:Square", *asked)
        assert measured
