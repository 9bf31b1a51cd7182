"""`explore="all"` of compiled code runs in a process of its own, whose death takes nothing along."""

import os
import signal

import numpy as np
import pytest

from gradlab import check_gradient
from gradlab.workers.child_process import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no fork")
X = np.array([0.5, -1.0, 2.0])


def dies_of_another_length(x):
    if len(x) != len(X):
        os.kill(os.getpid(), signal.SIGSEGV)
    return float(x @ x)


def test_a_death_at_other_shapes_is_a_warning_and_the_rest_is_checked():
    report = check_gradient(dies_of_another_length, lambda x: 2 * x, X, explore="all")
    assert report.ok
    (warning,) = [row for row in report.rows if row.verdict == "warning"]
    assert warning.check == "exploration"
    assert "SIGSEGV" in warning.note
    assert {row.check for row in report.rows} > {"matches_numerical", "linear_in_cotangent"}


def test_a_wrong_gradient_is_told_by_the_process_that_lives_on():
    report = check_gradient(dies_of_another_length, lambda x: 3 * x, X, explore="all")
    assert not report.ok
    assert report.faults[0].name == "constant-factor"


def test_what_the_child_finds_is_what_is_told():
    def right_for_three(x):
        return 2 * x if len(x) == 3 else 0 * x

    assert check_gradient(lambda x: x @ x, right_for_three, X).ok
    report = check_gradient(lambda x: x @ x, right_for_three, X, explore="all")
    assert not report.ok
    assert report.findings


def test_without_it_no_process_is_started(monkeypatch):
    monkeypatch.setattr("gradlab.running.shelter.in_child", None)
    assert check_gradient(dies_of_another_length, lambda x: 2 * x, X).ok
