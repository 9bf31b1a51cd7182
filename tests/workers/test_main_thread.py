"""A call that needs a main thread, made in another thread: a new process answers it."""

import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from gradlab.faults import run_bounded
from gradlab.workers.main_thread import in_main_thread


def in_a_thread(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_main_thread, function, *arguments).result()


def test_a_thread_has_its_time_bounded_in_a_process_of_its_own():
    outcome = in_a_thread(run_bounded, partial(time.sleep, 60), 0.2)
    assert outcome.ended == "timed out"
    assert in_main_thread(threading.current_thread) is threading.main_thread()
    assert in_a_thread(os.getpid) != os.getpid()


def test_what_happens_in_that_process(monkeypatch, capfd):
    assert in_a_thread(print, "said there") is None
    assert capfd.readouterr() == ("", "said there\n")
    with pytest.raises(ValueError, match=r"math domain error|expected a nonnegative"):
        in_a_thread(math.sqrt, -1.0)
    with pytest.raises(RuntimeError, match="died with status 3"):
        in_a_thread(os._exit, 3)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="died with status 1"):
        in_a_thread(len, bytes(2**20))  # more than a pipe holds


def test_that_process_ends_with_its_caller():
    code = (
        "import os, threading, time; from gradlab.workers.main_thread import in_main_thread; "
        "threading.Thread(target=in_main_thread, args=(time.sleep, 60)).start(); time.sleep(1); os._exit(0)"
    )
    # stderr ends when the last process that holds it has ended
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=30, check=True)
