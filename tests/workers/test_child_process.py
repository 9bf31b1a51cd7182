"""A call in a forked child: what it returns, what it raises, and what becomes of its death."""

import faulthandler
import os
import signal
import sys
import time

import pytest

from gradlab.workers.child_process import ChildDiedError, can_fork, in_child

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no fork")


def test_the_result_comes_back_and_nothing_else_is_changed():
    seen = []

    def task():
        seen.append("in the child")
        return {"pid": os.getpid()}

    assert in_child(task)["pid"] != os.getpid()
    assert seen == []


def test_an_exception_is_raised_here():
    def task():
        raise ValueError("of the child's own")

    with pytest.raises(ValueError, match="of the child's own"):
        in_child(task)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGFPE])
def test_a_death_is_told_with_its_signal(number, tmp_path):
    # pytest has it on: a traceback of the child's would stand among the output of tests that pass
    with (tmp_path / "said").open("w+") as said:
        faulthandler.enable(said)
        try:
            with pytest.raises(ChildDiedError, match=number.name):
                in_child(lambda: os.kill(os.getpid(), number))
        finally:
            faulthandler.enable(sys.__stderr__)
        assert (tmp_path / "said").read_text() == ""


def test_an_end_without_an_answer_is_told_with_its_status():
    with pytest.raises(ChildDiedError, match="status 3"):
        in_child(lambda: os._exit(3))


def test_what_does_not_end_is_killed():
    with pytest.raises(ChildDiedError, match=r"did not end in 0\.2 seconds"):
        in_child(lambda: time.sleep(60), timeout=0.2)
