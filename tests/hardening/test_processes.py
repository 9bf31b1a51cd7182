"""Workers and other processes: nothing is lost in silence, and nothing outlives whoever started it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gradlab import estimate_gradient, verify
from gradlab.workers.sent_exceptions import as_received, as_sent
from gradlab.workers.worker_map import numbered_results, open_worker_map

POSIX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")


def test_a_map_that_repeats_one_result_and_loses_another_is_told():
    def careless(function, items):
        items = list(items)
        return [function(item) for item in items[:-1]] + [function(items[0])]

    with pytest.raises(ValueError, match="and none of item 3: give a callable that maps each item once"):
        verify("add", "relu", "step", workers=careless)


@pytest.mark.parametrize("workers", [lambda f, items: None, lambda f, items: list(items)])
def test_workers_that_give_something_else(workers):
    with pytest.raises(ValueError, match=r"workers gave .*: give a callable that"):
        estimate_gradient(lambda x: float(x.sum()), np.ones(3), workers=workers)


class TwoArgumentsError(Exception):
    def __init__(self, code, text):
        super().__init__(text)


def raises(item):
    raise TwoArgumentsError(item, "what really happened")


def test_an_exception_that_cannot_be_pickled_arrives_as_itself():
    # where Dask was loaded, whatever is raised can be pickled, and arrives as what it was
    kinds = (RuntimeError, TwoArgumentsError)
    with pytest.raises(kinds, match="what really happened") as caught, open_worker_map(2) as over:
        list(numbered_results(over, raises, [1, 2]))
    assert type(caught.value).__name__ == "TwoArgumentsError"
    assert isinstance(as_received(as_sent(ValueError("kept"))), ValueError)


def daemonic(connection):
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = estimate_gradient(np.sum, np.ones(3), workers=2)
    connection.send((found.value.tolist(), [str(w.message) for w in caught]))


def test_in_a_daemonic_process_the_work_is_done_in_that_one_and_said_so():
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=daemonic, args=(sender,), daemon=True)
    child.start()
    assert receiver.poll(60)
    value, said = receiver.recv()
    child.join()
    assert value == pytest.approx([1, 1, 1])
    assert any("workers=2 wants processes" in text for text in said)


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@POSIX
def test_workers_end_with_a_parent_that_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-m", "gradlab", "verify", "--workers", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while len(children(parent.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    workers = children(parent.pid)
    assert len(workers) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 5
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def test_a_helper_process_runs_nothing_of_the_current_folder(tmp_path):
    (tmp_path / "random.py").write_text("import sys; sys.stderr.write('CODE OF THE CURRENT FOLDER RUNS')\n")
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "use.py"
    script.write_text(
        "from concurrent.futures import ThreadPoolExecutor\nfrom gradlab.running.mutation import mutate\n"
        "with ThreadPoolExecutor(2) as p: print(mutate('step', workers=p.map).ok)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert "CURRENT FOLDER" not in done.stderr


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "ucx://127.0.0.1:1", "inproc://x"]
)
def test_a_scheduler_that_is_not_there_is_one_line(address):
    pytest.importorskip("distributed", reason="Dask is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", "verify", "add", "--scheduler", address],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("gradlab: ")
