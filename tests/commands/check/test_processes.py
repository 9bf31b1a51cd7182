"""Whatever an object does to its process, the run goes on, and nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gradlab import cli

MISBEHAVED = """
    import ctypes, os, subprocess, sys, threading, time
    import numpy as np

    print("imported")

    class Layer:
        def forward(self, x):
            self.x = x
            return x**2
        def backward(self, dout):
            return 2 * self.x * dout

    class Prints(Layer):
        def forward(self, x):
            print("hello")
            os.write(1, b"below Python")
            os.write(2, b"below Python")
            subprocess.run(["echo", "from a child"]) if os.name == "posix" else None
            return super().forward(x)

    class LoopsInC(Layer):
        def forward(self, x):
            return sum(iter(int, 1))

    class Catches(Layer):
        def forward(self, x):
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass

    class PrintsForEver(Layer):
        def forward(self, x):
            while True:
                print("x" * 10_000)

    class OsExits(Layer):
        def forward(self, x):
            os._exit(3)

    class Crashes(Layer):
        def forward(self, x):
            ctypes.string_at(0)

    class Interrupts(Layer):
        def forward(self, x):
            raise KeyboardInterrupt

    class LeavesAThread(Layer):
        def forward(self, x):
            threading.Thread(target=time.sleep, args=(60,)).start()
            return super().forward(x)

    class Sleeps(Layer):
        def forward(self, x):
            with open("pid", "w") as file:
                file.write(str(os.getpid()))
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            with open("child", "w") as file:
                file.write(str(child.pid))
            time.sleep(60)

    class Reads(Layer):
        def forward(self, x):
            return x * float(input())
"""


@pytest.fixture
def run(project, capfd):
    """Return the command, run as it is, and what came out of this process by any way."""
    project.write("odd.py", MISBEHAVED)

    def checked(*arguments):
        status = cli.main(["check", *arguments, "--input", "3"])
        out, err = capfd.readouterr()
        return status, out, err

    return checked


def test_what_a_layer_prints_spoils_no_json(run):
    status, out, err = run("odd:Prints", "--format", "json")
    assert status == 0
    rows = json.loads(out)["rows"]
    assert "prints" in {row["check"] for row in rows}
    assert err == ""


@pytest.mark.parametrize("name", ["LoopsInC", "Catches", "PrintsForEver"])
def test_what_never_ends_is_ended(run, name):
    start = time.monotonic()
    status, out, err = run(f"odd:{name}", "--timeout", "2")
    assert (status, out) == (2, "")
    assert "takes more than 2 s: give it longer with --timeout" in err
    assert time.monotonic() - start < 30  # and not the minutes that it would go on


def test_an_import_that_never_ends(run, project):
    project.write("slow.py", "import time\ntime.sleep(60)")
    status, _, err = run("slow:Layer", "--timeout", "2")
    assert status == 2
    assert "it takes more than 2 s" in err or "starting Python" in err


@pytest.mark.skipif(os.name != "posix", reason="signals have other names elsewhere")
def test_what_ends_its_process_ends_nothing_else(run):
    targets = ["odd:OsExits", "odd:Crashes", "odd:Interrupts", "odd:Reads", "odd:LeavesAThread", "odd:Layer"]
    status, out, err = run(*targets, "--format", "json")
    assert (status, err) == (2, "")
    envelope = json.loads(out)
    assert {row["node"] for row in envelope["rows"]} == {"odd:LeavesAThread", "odd:Layer"}
    unchecked = envelope["environment"]["unchecked"]
    assert (
        unchecked["odd:OsExits"]
        == "running it ends the process, with status 3: let it raise an error instead"
    )
    assert unchecked["odd:Crashes"].startswith("running it ends the process by SIGSEGV: ")
    assert unchecked["odd:Interrupts"].startswith("running it raised KeyboardInterrupt: ")
    assert "EOFError" in unchecked["odd:Reads"]


def alive(path):
    """Return whether the process whose number a file holds still runs."""
    pid = path.read_text()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    # one that nobody has asked after yet has ended all the same
    return subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout[
        :1
    ] not in ("Z", "")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, which Windows has not")
def test_ctrl_c_prints_what_was_reached_and_leaves_no_process(project):
    project.write("odd.py", MISBEHAVED)
    command = [sys.executable, "-m", "gradlab", "check", "odd:Layer", "odd:Sleeps", "odd:Layer", "--input", "3",
               "--format", "json", "--output", "out", "--timeout", "30"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (project.path / "child").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert {row["node"] for row in json.loads(out)["rows"]} == {"odd:Layer"}
    assert "Interrupted" in (project.path / "out" / "check.partial.md").read_text()
    assert not alive(project.path / "pid")
    assert not alive(project.path / "child")


def test_python_m_gradlab_finds_what_lies_in_the_current_directory(project):
    # a file that is called like one of Python's own modules, or like NumPy, stands in for neither
    project.write("sub/inspect.py", "raise ValueError('not this one')")
    project.write("sub/mine.py", (project.path / "layers.py").read_text())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gradlab", "check", "mine:SQUARE", "--input", "3"],
        cwd=project.path / "sub", env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine:SQUARE" in done.stdout


def test_weights_that_nobody_seeded_are_the_same_in_every_run(run, project):
    project.write(
        "drawn.py",
        """
        import random
        import numpy as np

        class Drawn:
            def __init__(self):
                self.W = np.random.randn(3) + random.random()
            def forward(self, x):
                self.x = x
                return x * self.W
            def backward(self, dout):
                self.dW = dout * self.x
                return dout * self.W
        """,
    )

    def seen(*arguments):
        rows = json.loads(run("drawn:Drawn", "--format", "json", *arguments)[1])["rows"]
        return [row["analytic"] for row in rows if row["check"] == "matches_numerical"]

    assert seen() == seen()
    assert seen() != seen("--seed", "1")
