"""The pytest plugin, in real subprocesses: what a test suite sees of it."""

import json
import re
import traceback
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from gradlab import check_gradient
from gradlab.pytest_plugin import Collector, _whereabouts
from gradlab.testing.check_record import packed, unpacked
from gradlab.testing.user_frames import leave_own_frames_out

# A file of the package, and not one of a checkout that has the same name.
OWN_FRAME = re.compile(r"gradlab/(\w+/)*\w+\.py")

FUNCTIONS = """
import numpy as np
import pytest
import gradlab

X = np.array([1.0, 2.0, -0.5])
QUICK = {"checks": ["matches_numerical"], "explore": False}

def forward(x):
    return x**2, x

def right(x, g):
    return (2 * x * g,)

def wrong(x, g):
    return (3 * x * g,)
"""

CHECKED = """
from functions import *

def test_right(gradcheck):
    report = gradcheck(forward, right, (X,))
    assert isinstance(report, gradlab.Report)
    assert report.ok

def test_wrong(gradcheck):
    gradcheck(forward, wrong, (X,), name="three")

def test_expects_it(gradcheck):
    with pytest.raises(gradlab.GradientError) as caught:
        gradcheck(forward, wrong, (X,), **QUICK)
    assert not caught.value.report.ok

@pytest.mark.xfail(raises=gradlab.GradientError, strict=True)
def test_known(gradcheck):
    gradcheck(forward, wrong, (X,), **QUICK)

@pytest.mark.parametrize("k", [1.0, 2.0, 3.0])
def test_several(gradcheck, k):
    gradcheck(forward, right, (k * X,), **QUICK)

@pytest.fixture
def beforehand(gradcheck):
    gradcheck(forward, wrong, (X,), **QUICK)

def test_never_starts(beforehand):
    pass
"""

BY_HAND = """
def test_by_hand():
    gradlab.check_vjp(forward, wrong, (X,), **QUICK).raise_if_failed()
"""


# Hypothesis' plugin takes longer to start than all the rest of such a run.
OTHERS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:benchmark")


def run(project, source, *arguments):
    project.makepyfile(functions=FUNCTIONS, test_it=source)
    return project.runpytest_subprocess(*OTHERS, "--strict-markers", *arguments)


def without_times(path):
    content = json.loads(path.read_text())
    for row in content["rows"]:
        for key in [key for key in row if key.endswith("_s") or key == "speedup"]:
            del row[key]
    return content


def test_a_run_that_checks_nothing_loads_nothing(project):
    project.makeconftest("""
        import sys

        def pytest_unconfigure():
            loaded = {name for name in sys.modules if name.partition(".")[0] in ("gradlab", "numpy", "tabulate")}
            print("loaded:", *sorted(loaded))
    """)
    only = "loaded: gradlab gradlab.pytest_plugin"
    result = run(project, "def test_nothing(): pass", "--collect-only")
    assert only in result.outlines
    result = run(project, "def test_nothing(): pass")
    result.assert_outcomes(passed=1)
    assert only in result.outlines
    result.stdout.no_fnmatch_line("*= gradients =*")


def test_what_is_right_passes_and_what_is_wrong_fails_with_the_report(project):
    result = run(project, CHECKED + BY_HAND)
    result.assert_outcomes(passed=5, failed=2, errors=1, xfailed=1)
    result.stdout.fnmatch_lines([
        ">   * gradcheck(forward, wrong, (X,), name=\"three\")",
        "E   * gradlab.GradientError: WRONG: three, the gradient of x.",
        "E   * mistake  off by a constant factor (constant-factor)",
        "E   * seen     backprop = 1.5 numerical",
        "E   * check    matches_numerical*",
        "test_it.py:*: GradientError",
        ">   * gradlab.check_vjp(forward, wrong, (X,), [*][*]QUICK).raise_if_failed()",
        "E   * gradlab.GradientError: WRONG: forward, *",
        "*= gradients =*",
        "test * what * error * verdict * reason*",
        "test_it.py::test_right * forward * pass",
        "test_it.py::test_wrong * three * 0.33 * wrong * off by a constant factor",
        "test_it.py::test_expects_it * forward * 0.33 * wrong, as expected *",
        "test_it.py::test_known * forward * 0.33 * wrong, as expected *",
        "test_it.py::test_several (3 tests) * forward * pass*",
        "test_it.py::test_never_starts * forward * 0.33 * wrong *",
    ])  # fmt: skip
    assert ".py:" in result.stdout.str()
    assert not OWN_FRAME.search(result.stdout.str())


def test_no_frame_of_gradlab_is_shown_in_any_style(project):
    source = """
        import unittest
        from functions import *

        class Mine:
            params = {"W": X}

            def loss(self, x, t):
                return self.deeper()

            def deeper(self):
                raise RuntimeError("in my own code")

        def test_wrong(gradcheck):
            gradcheck(forward, wrong, (X,))

        def test_not_floats(gradcheck):
            gradcheck(forward, wrong, (np.array([1, 2]),))

        def test_mine(gradcheck):
            gradcheck.model(Mine(), X, X)

        class TestOfUnittest(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def lend(self, gradcheck):
                self.gradcheck = gradcheck

            def test_method(self):
                self.gradcheck(forward, wrong, (X,), **QUICK)
    """
    result = run(project, source, "--tb=native")
    result.assert_outcomes(failed=4)
    output = result.stdout.str()
    assert not OWN_FRAME.search(output)
    assert "gradlab.GradientError: WRONG: forward, the gradient of x." in output
    assert "TypeError: primal 0 has dtype int64" in output
    for line in (
        "gradcheck(forward, wrong, (X,))",
        "gradcheck.model(Mine(), X, X)",
        "return self.deeper()",
        "self.gradcheck(forward",
    ):
        assert line in output
    assert "gradlab/testing" in run(project, source, "--full-trace").stdout.str()


def test_the_frames_of_what_an_exception_came_from_are_left_out_too():
    names: dict[str, object] = {"__name__": "gradlab.somewhere"}
    exec(
        "def call(f):\n    try:\n        f()\n    except KeyError as e:\n        raise ValueError from e",
        names,
    )
    exec("def fail():\n    raise KeyError", names)
    exec("def call_both(f):\n    try:\n        fail()\n    except KeyError:\n        f()", names)

    def mine():
        raise KeyError

    def through():
        names["call"](mine)

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        names["call_both"](through)
    error = caught.value
    error.__cause__.__context__.__context__ = error  # a ring ends too
    leave_own_frames_out(error)
    assert functions(error) == ["test_the_frames_of_what_an_exception_came_from_are_left_out_too", "through"]
    assert functions(error.__cause__) == ["mine"]
    assert error.__cause__.__context__.__traceback__ is None


def functions(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_a_report_travels_whole():
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.ones_like, np.array([0.5, np.nan, 0.0]))
    sent = unpacked(packed(report))
    assert repr(list(sent.rows)) == repr(list(report.rows))  # NaN equals NaN here
    assert list(sent.explored) == list(report.explored)
    assert dict(sent.findings) == dict(report.findings)
    wrong = check_gradient(lambda x: np.sum(x**2), lambda x: 3 * x, np.array([[0.5, 1.0]]))
    sent = unpacked(packed(wrong))
    assert replace(sent, repairs=()) == replace(wrong, repairs=())
    assert list(sent.repairs) == list(wrong.repairs)
    assert [both.region for both in sent.comparisons] == ["every element"]
    assert sent.faults == wrong.faults
    assert str(sent) == str(wrong)


def test_the_marker_says_how_to_check(project):
    source = """
        from functions import *

        def shares(x, g):
            return (g,)

        @pytest.mark.gradlab(rtol=0.5, explore=False, seed=4)
        class TestMarked:
            def test_the_class_counts(self, gradcheck):
                report = gradcheck(forward, wrong, (X,), checks=["matches_numerical"])
                assert report.environment["seed"] == 4
                assert not report.explored

            @pytest.mark.gradlab(rtol=1e-3, seed=5)
            def test_the_nearest_wins(self, gradcheck):
                assert repr(gradcheck) == "GradCheck(seed=5, rtol=0.001, explore=False)"
                with pytest.raises(gradlab.GradientError):
                    gradcheck(forward, wrong, (X,), checks=["matches_numerical"])

            def test_a_call_has_the_last_word(self, gradcheck):
                with pytest.raises(gradlab.GradientError) as caught:
                    gradcheck(forward, wrong, (X,), rtol=1e-3, seed=6)
                assert caught.value.report.environment["seed"] == 6

        @pytest.mark.gradlab(max_seconds=1e-9)
        def test_max_seconds(gradcheck):
            assert "max_seconds=1e-09" in gradcheck(forward, right, (X,)).explored[0].cut

        @pytest.mark.gradlab(max_evaluations=1, max_seconds=None)
        def test_max_evaluations(gradcheck):
            assert "max_evaluations=1 " in gradcheck(forward, right, (X,)).explored[0].cut

        @pytest.mark.gradlab(atol=100.0)
        def test_atol(gradcheck):
            gradcheck(forward, wrong, (X,), **QUICK)

        @pytest.mark.gradlab(strict=False)
        def test_not_strict(gradcheck):
            report = gradcheck(lambda x: (1.0 * x, None), shares, (X,), checks=["owns_its_memory"])
            assert [str(row.verdict) for row in report.rows] == ["warning"]

        def test_strict(gradcheck):
            with pytest.raises(gradlab.GradientError):
                gradcheck(lambda x: (1.0 * x, None), shares, (X,), checks=["owns_its_memory"])

        def test_no_marker(gradcheck):
            assert repr(gradcheck) == "GradCheck(seed=0)"

        @pytest.mark.gradlab
        def test_a_bare_marker(gradcheck):
            gradcheck(forward, right, (X,), **QUICK)
    """
    run(project, source).assert_outcomes(passed=10)


def test_a_marker_that_cannot_be_used_is_one_line(project):
    source = """
        from functions import *

        @pytest.mark.gradlab(rtoll=1e-3)
        def test_typo(gradcheck): pass

        @pytest.mark.gradlab(1e-3)
        def test_without_name(gradcheck): pass

        @pytest.mark.gradlab(seed=-1)
        def test_seed(gradcheck): pass

        @pytest.mark.gradlab(atol=float("nan"))
        def test_tolerance(gradcheck): pass

        @pytest.mark.gradlab(max_seconds=0)
        def test_time(gradcheck): pass

        @pytest.mark.gradlab(max_evaluations=0)
        def test_count(gradcheck): pass

        @pytest.mark.gradlab(explore="no")
        def test_flag(gradcheck): pass

        def test_goes_on(gradcheck):
            gradcheck(forward, right, (X,), **QUICK)
    """
    result = run(project, source)
    result.assert_outcomes(passed=1, errors=7)
    result.stdout.fnmatch_lines([
        "the marker gradlab knows no 'rtoll': give rtol, atol, seed, strict, explore, max_seconds or max_evaluations",
        "the marker gradlab was given 0.001 without a name: give keywords, such as gradlab(rtol=1e-6)",
        "the marker gradlab has seed=-1: give a whole number from 0 up",
        "the marker gradlab has atol=nan: give a number from 0 up",
        "the marker gradlab has max_seconds=0: give a number above 0, or None",
        "the marker gradlab has max_evaluations=0: give a whole number from 1 up, or None",
        "the marker gradlab has explore='no': give True, False or 'all'",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*another exception*")


def test_the_seed_of_the_command_line(project):
    source = """
        from functions import *

        def test_of_the_run(gradcheck):
            assert gradcheck(forward, right, (X,), **QUICK).environment["seed"] == 7

        @pytest.mark.gradlab(seed=3)
        def test_of_the_marker(gradcheck):
            assert gradcheck(forward, right, (X,), **QUICK).environment["seed"] == 3
    """
    run(project, source, "--gradlab-seed=7").assert_outcomes(passed=2)
    result = run(project, source, "--gradlab-seed=-7")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*argument --gradlab-seed: '-7' is no whole number from 0 up"])


def test_every_check_is_there(project):
    source = """
        from functions import *
        from gradlab.textbook.models import TwoLayerNet

        class Square:
            def forward(self, x):
                self.x = x
                return x**2

            def backward(self, dout):
                return 2 * self.x * dout

        def test_them(gradcheck, monkeypatch):
            told = []

            def fake(fn, *arrays, rtol=None, seed=0, strict=False, name=None):
                told.append((arrays, rtol, seed, name))
                return gradlab.check_vjp(forward, right, (X,), **QUICK)

            monkeypatch.setattr(gradlab, "check_torch", fake, raising=False)
            monkeypatch.setattr(gradlab, "check_jax", lambda *xs, **options: fake(*xs, **options), raising=False)
            reports = [
                gradcheck(forward, right, (X,), **QUICK),
                gradcheck.layer(Square(), X, **QUICK),
                gradcheck.cached_pair(forward, lambda dout, x: 2 * x * dout, (X,), **QUICK),
                gradcheck.gradient(np.sum, np.ones_like, X, **QUICK),
                gradcheck.jacobian(np.sin, lambda x: np.diag(np.cos(x)), X, **QUICK),
                gradcheck.hessian(lambda x: np.sum(x**3), lambda x: 3 * x**2, lambda x: np.diag(6 * x), X, **QUICK),
                gradcheck.jvp(lambda x: x**2, lambda x, v: 2 * x[0] * v[0], (X,), **QUICK),
                gradcheck.model(TwoLayerNet(4, 3, 2), np.ones((5, 4)), np.array([0, 1, 0, 1, 1])),
                gradcheck.torch(forward, X, name="of torch"),
                gradcheck.jax(forward, X, X, name="of jax"),
                gradcheck.run(gradlab.verify, "relu", checks=["matches_numerical"]),
            ]
            assert all(report.ok for report in reports)
            assert told[0][1:] == (0.1, 0, "of torch") and len(told[0][0]) == 1
            assert told[1][1:] == (0.1, 0, "of jax") and len(told[1][0]) == 2

        test_them = pytest.mark.gradlab(rtol=0.1, strict=True)(test_them)
    """
    run(project, source).assert_outcomes(passed=1)


def test_the_files_are_the_same_with_xdist(project):
    pytest.importorskip("xdist")
    alone, spread = project.path / "alone", project.path / "spread" / "deeper"
    first = run(project, CHECKED, f"--gradlab-report={alone}")
    second = run(project, CHECKED, f"--gradlab-report={spread}", "-n", "2")
    second.assert_outcomes(passed=5, failed=1, errors=1, xfailed=1)
    assert f"wrote {spread / 'gradlab.md'}" in second.outlines
    assert sorted(path.name for path in spread.iterdir()) == ["gradlab.json", "gradlab.md"]
    page = (alone / "gradlab.md").read_text()
    assert (spread / "gradlab.md").read_text() == page
    assert without_times(spread / "gradlab.json") == without_times(alone / "gradlab.json")
    tables = [
        [line for line in result.outlines if line.startswith("test_it.py::")] for result in (first, second)
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 6
    assert "Verdict: **not all right**, in 8 tests." in page
    assert "| test_it.py::test_expects_it " in page
    wrong = page.partition("## What is wrong")[2].partition("## What each check")[0]
    assert "`test_it.py::test_wrong`" in wrong
    assert "mistake: off by a constant factor (constant-factor)" in wrong
    assert "test_never_starts" in wrong
    assert "test_known" not in wrong
    assert "test_expects_it" not in wrong


@pytest.mark.parametrize("spread", [(), ("-n", "2")], ids=["alone", "spread"])
def test_a_page_for_a_browser(project, spread):
    if spread:
        pytest.importorskip("xdist")
    result = run(project, CHECKED, "--gradlab-html=out/page.html", *spread)
    page = project.path / "out" / "page.html"
    assert f"wrote {page}" in result.outlines
    text = page.read_text().replace("<wbr>", "")
    assert "<h1>" in text
    assert "test_it.py::test_wrong three, gradient of x" in text
    assert "off by a constant factor" in text
    assert "return (2 * x * g,)" in text, "the repair travels as well"
    failures, _, expected = text.partition("Not right, as the test expects")
    assert "test_expects_it" not in failures
    assert "test_expects_it" in expected
    assert "test_known" in expected


def test_a_page_of_what_is_wrong_as_expected_is_all_right(project):
    run(project, CHECKED, "--gradlab-html=page.html", "-k", "expects_it")
    text = (project.path / "page.html").read_text()
    assert "Nothing is wrong but what the tests expect.</h1>" in text
    assert "as expected" in text


def test_long_doubles_travel(project):
    source = """
        from functions import *

        @pytest.mark.parametrize("name", ["{0}{"])
        def test_long(gradcheck, name):
            gradcheck(lambda x: (x**2, x), lambda x, g: (3 * x * g,), (X.astype(np.longdouble),), **QUICK)
    """
    run(project, source, "--gradlab-html=page.html").assert_outcomes(failed=1)
    assert "test_long[{0}{]" in (project.path / "page.html").read_text().replace("<wbr>", "")


def test_a_page_that_cannot_be_written_is_one_line(project):
    (project.path / "taken").mkdir()
    result = run(project, CHECKED, "--gradlab-html=taken")
    said = [line for line in result.outlines if "taken cannot be written" in line]
    assert len(said) == 1
    assert said[0].endswith("give --gradlab-html a file that can be")


def test_a_warning_has_its_reason(project):
    source = """
        from functions import *

        def test_doubtful(gradcheck):
            gradcheck(lambda x: (x**2, x), lambda x, g: (2 * np.abs(x) * g,), (np.abs(X),), name="doubtful")
    """
    result = run(project, source, "--gradlab-report=out")
    result.assert_outcomes(passed=1)
    page = (project.path / "out" / "gradlab.md").read_text()
    warned = page.partition("## What is warned of\n\n")[2].partition("\n\n## ")[0]
    assert "    Warning: doubtful, gradient of x\n" in warned
    assert "      seen     at your input it is right," in warned
    result.stdout.fnmatch_lines([
        "test_it.py::test_doubtful * doubtful * warning * another at other inputs*",
        "Warning: doubtful, gradient of x",
        "  where * for",
        "           your input, sign turned",
        "  seen     at your input it is right,*",
        "  test     test_it.py::test_doubtful",
    ])  # fmt: skip


def test_the_json_says_what_each_test_found(project):
    result = run(
        project, CHECKED, "--gradlab-report=out", "--gradlab-seed=2", "-k", "not wrong and not never"
    )
    assert result.ret == 0
    content = json.loads((project.path / "out" / "gradlab.json").read_text())
    assert content["ok"] is True
    assert content["environment"]["seed"] == 2
    found = {(row["test"], row["outcome"], row["verdict"]) for row in content["rows"]}
    assert ("test_it.py::test_known", "xfailed", "wrong") in found
    assert ("test_it.py::test_expects_it", "passed", "wrong") in found
    assert ("test_it.py::test_several[2.0]", "passed", "pass") in found
    assert "**all right**" in (project.path / "out" / "gradlab.md").read_text()


def test_a_run_without_gradients_says_so(project):
    source = "def test_nothing(): pass"
    result = run(project, source, "--gradlab-report=out", "--collect-only")
    assert not (project.path / "out").exists()
    result = run(project, source, "--gradlab-report=out")
    assert result.ret == 0
    assert "Nothing was checked." in (project.path / "out" / "gradlab.md").read_text()
    assert json.loads((project.path / "out" / "gradlab.json").read_text())["ok"] is False


def test_a_run_that_is_cut_short_reports_what_was_reached(project):
    source = """
        from functions import *

        def test_right(gradcheck):
            gradcheck(forward, right, (X,), **QUICK)

        def test_ends_it():
            raise KeyboardInterrupt

        def test_never(gradcheck):
            gradcheck(forward, right, (X,), **QUICK)
    """
    result = run(project, source, "--gradlab-report=out")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    page = (project.path / "out" / "gradlab.partial.md").read_text()
    assert "in 1 test. Interrupted: the rest was not checked." in page
    run(project, source.replace("KeyboardInterrupt", "ValueError"), "-x", "--gradlab-report=out")
    assert (project.path / "out" / "gradlab.partial.md").read_text() == page
    # the report of a whole run is not replaced
    assert not (project.path / "out" / "gradlab.md").exists()


def test_a_folder_that_cannot_be_written(project):
    (project.path / "taken").write_text("")
    result = run(project, CHECKED, "--gradlab-report=taken")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *taken cannot be written (File exists): give --gradlab-report a folder*"]
    )
    spoiling = """
        from functions import *
        from pathlib import Path

        def test_right(gradcheck):
            gradcheck(forward, right, (X,), **QUICK)
            Path("out").rmdir()
            Path("out").write_text("")
    """
    result = run(project, spoiling, "--gradlab-report=out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*out cannot be written (*): give --gradlab-report a folder that can be"])


def test_it_can_be_switched_off(project):
    source = """
        def test_nothing(): pass
        def test_right(gradcheck): pass
    """
    result = run(project, source, "-p", "no:gradlab")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'gradcheck' not found"])


def collected(*runs):
    """Return what is collected of runs of one test: of each its outcome and its process."""
    options = SimpleNamespace(gradlab_seed=0, gradlab_report=None, gradlab_html=None)
    collector = Collector(SimpleNamespace(option=options))
    for outcome, worker in runs:
        for when, phase in (("setup", "passed"), ("call", outcome), ("teardown", "passed")):
            report = pytest.TestReport(
                "test", ("test.py", 0, "test"), {}, phase, None, when, worker_id=worker
            )
            if when == "call":
                report.gradlab = {"function": "test", "place": 0, "reports": ["..."]}
            collector.pytest_runtest_logreport(report)
    return {key: (found["outcome"], len(found["reports"])) for key, found in collector._found.items()}


def test_a_test_that_is_run_again_counts_once():
    assert collected(("failed", ""), ("passed", "")) == {("test", ""): ("passed", 1)}


def test_a_test_that_is_run_in_each_process_counts_in_each():
    each = collected(("failed", "gw0"), ("passed", "gw1"))
    assert each == {("test", "gw0"): ("failed", 1), ("test", "gw1"): ("passed", 1)}


def test_a_function_is_a_test_without_its_own_brackets():
    item = Mock(nodeid="a[b]/test.py::test[c[d]]", callspec=Mock(id="c[d]"), session=Mock(items=[], stash={}))
    assert _whereabouts(item) == {"function": "a[b]/test.py::test", "place": 0}
