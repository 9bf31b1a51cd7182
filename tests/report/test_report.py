"""Report, its tables, its JSON and its files."""

import json
import re

import numpy as np
import pytest

from gradlab import GradientError, Report, Row, Verdict, check_gradient, check_vjp, verify
from gradlab.report.files import write_atomically, write_bytes_atomically
from gradlab.report.numbers import seconds
from gradlab.report.overview import overview
from gradlab.report.text import report_text
from gradlab.running.timing import showing_times

FIELDS = [
    "node",
    "sample",
    "check",
    "primal",
    "dtype",
    "verdict",
    "relative_error",
    "absolute_error",
    "reference_error",
    "relative_bound",
    "sensitivity",
    "element_sensitivity",
    "textbook_error",
    "worst_index",
    "analytic",
    "numerical",
    "forward_s",
    "backward_s",
    "numerical_s",
    "forward_spread",
    "backward_spread",
    "speedup",
    "evaluations",
    "note",
]


def wrong():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    forward = lambda x: (x**2, x)
    return check_vjp(forward, lambda x, g: (-2 * x * g,), (x,), name="squares")


def test_rows_have_the_designs_fields():
    (row,) = verify("exp", checks=["matches_numerical"]).rows[:1]
    assert list(json.loads(verify("exp").to_json())["rows"][0]) == FIELDS
    assert (row.node, row.check, row.primal, row.dtype) == ("exp", "matches_numerical", "x", "float64")
    assert 1 + 6 * 16 <= row.evaluations <= 1 + 6 * 30
    assert row.numerical_s > row.forward_s > 0
    assert row.backward_s > 0
    assert row.speedup == pytest.approx(row.numerical_s / (row.forward_s + row.backward_s))


def test_times_are_measured_where_they_are_shown_and_nowhere_else():
    x = np.array([1.0, 2.0])
    library = check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (x,))
    timed = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    assert all(getattr(row, name) is None for row in library.rows for name in timed)
    assert "numerical / backprop" not in report_text(library, "simple", timings=False)
    shown = verify("exp", checks=["matches_numerical"])
    assert all(getattr(row, name) > 0 for row in shown.rows for name in timed)
    assert "numerical / backprop" not in str(shown)
    assert re.search(
        r"forward +backward +numerical +numerical / backprop", report_text(shown, "simple", timings=True)
    )
    assert all(row.forward_s is None for row in check_vjp(lambda x: (x, x), lambda x, g: (g,), (x,)).rows)
    assert all(row.forward_s is None for row in verify("relu", timings=False).rows)


def test_a_context_that_shows_times_ends():
    x = np.array([1.0, 2.0])
    check = lambda: check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (x,), explore=False).rows[0]
    with showing_times():
        assert check().forward_s > 0
    assert check().forward_s is None


def test_json_is_the_envelope():
    envelope = json.loads(verify("add", "exp").to_json())
    assert list(envelope) == ["ok", "environment", "rows"]
    assert envelope["ok"] is True
    assert {row["node"] for row in envelope["rows"]} == {"add", "exp"}
    assert envelope["environment"]["seed"] == 0


def test_json_without_numbers_that_json_lacks():
    row = Row(
        "n",
        "s",
        "c",
        "p",
        "float64",
        Verdict.WRONG,
        relative_error=np.inf,
        analytic=-np.inf,
        numerical=np.nan,
    )
    read = json.loads(Report([row]).to_json())["rows"][0]
    assert (read["relative_error"], read["analytic"], read["numerical"]) == ("Infinity", "-Infinity", "NaN")
    assert float(read["numerical"]) != float(read["numerical"])


def test_a_failure_says_where_and_what():
    report = wrong()
    assert not report.ok
    with pytest.raises(GradientError) as caught:
        report.raise_if_failed()
    assert isinstance(caught.value, AssertionError)
    message = str(caught.value)
    for part in ("squares", "given", "gradient of x", "matches_numerical", "numerical", "+-", "2 relative"):
        assert part in message
    fault = report.faults[0]
    assert (fault.node, fault.primal, fault.name) == ("squares", "x", "sign-flipped")
    assert message.startswith("WRONG: squares, the gradient of x.\n")
    for text in (message, str(report)):
        assert "the sign is turned round (sign-flipped)\n" in text
        assert re.search(r"cure +turn its sign\n", text)
    assert "\n  - mistake: the sign is turned round (sign-flipped)\n" in report.to_markdown()
    shown = report.faults[-1]
    assert shown.name in [row.check for row in report.rows]


def test_a_pass_raises_nothing_and_lists_nothing():
    report = verify("add")
    report.raise_if_failed()
    assert report.ok
    assert report.faults == []


def test_a_report_without_rows_is_not_all_right():
    assert not Report([]).ok
    with pytest.raises(GradientError, match="nothing was checked"):
        Report([]).raise_if_failed()


def test_markdown_is_a_table():
    lines = verify("add").to_markdown().splitlines()
    assert lines[0] == "**All right: add agrees with the numerical gradient.**"
    assert lines[2].split() == ["|", "what", "|", "input", "|", "error", "|", "verdict", "|", "reason", "|"]
    assert lines[4].startswith("| add")


def test_the_summary_shows_the_worst_verdict_of_a_node():
    x = np.ones((2, 2))
    report = check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g**3 / g**2,), (x,), name="fine")
    assert "nan" not in str(report)
    written = check_vjp(
        lambda x: (x**2, x), lambda x, g: (np.multiply(g, 2 * x, out=g),), (x,), name="writes"
    )
    assert str(written).startswith("WRONG: writes: writes into its arguments.\n")
    assert {line.verdict for line in overview(written).lines} == {Verdict.WRONG}


def test_check_gradient_takes_scipys_convention():
    f = lambda x, a: a * np.sum(x**3)
    x = np.array([1.0, -2.0])
    check_gradient(f, lambda x, a: 3 * a * x**2, x, args=(2.0,)).raise_if_failed()
    assert not check_gradient(f, lambda x, a: 3 * x**2, x, args=(2.0,)).ok
    assert not check_gradient(f, lambda x, a: [6.0, 24.0001], x, args=(2.0,)).ok
    only_there = check_gradient(
        f, lambda x, a: [6.0, 24.0], x, args=(2.0,), checks=["matches_numerical"], explore=False
    )
    only_there.raise_if_failed()


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "deep" / "page.md"
    write_atomically(path, "old")
    with pytest.raises(ZeroDivisionError):
        write_bytes_atomically(path, lambda file: (file.write(b"new"), 1 / 0))
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1130.4, "1,130 s"), (2.5, "2.5 s"), (1.234e-3, "1.23 ms"), (5e-6, "5 µs"), (7e-8, "70 ns"), (None, "")],
)
def test_times_have_units(value, text):
    assert seconds(value) == text


def test_one_reason_is_told_once_and_each_primals_mistake():
    def backward(residuals, g):
        x, w = residuals
        return -g @ w.T, np.sum(x.T @ g, axis=0)

    rng = np.random.default_rng(0)
    report = check_vjp(
        lambda x, w: (x @ w, (x, w)), backward, (rng.standard_normal((5, 3)), rng.standard_normal((3, 4)))
    )
    text = str(report)
    assert text.count("has shape (4,)") == 1
    (problem,) = overview(report).problems
    assert (problem.input, problem.fault.name) == ("w", "wrong-shape")
    assert {"matches_numerical", "any_layout"} <= {row.check for row in problem.rows}
    assert "the gradient of w has shape (4,), w has shape (3, 4), and is what is right" in problem.seen
    assert re.search(rf"\n{len(report.rows)} comparisons: .* wrong\.", text)


def test_each_primals_mistake_is_told():
    rng = np.random.default_rng(0)
    report = check_vjp(
        lambda x, w: (x @ w, (x, w)),
        lambda r, g: (-g @ r[1].T, 2 * r[0].T @ g),
        (rng.standard_normal((5, 3)), rng.standard_normal((3, 4))),
    )
    first, second = overview(report).problems
    assert (first.input, first.reason) == ("x", "the sign is turned round")
    assert (second.input, second.seen) == ("w", "backprop = 2 numerical")
    assert str(report).startswith("WRONG: <lambda>, the gradient of x and w.\n")


def test_wrong_values_are_told_once():
    report = check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2 + x[::-1], np.array([0.7, -1.2, 1.9]))
    (problem,) = overview(report).problems
    checks = [row.check for row in problem.rows]
    assert checks[0] == "matches_numerical"
    assert "complex_step_agrees" in checks
    assert str(report).count("WRONG") == 1


def test_writing_into_an_argument_is_told_once():
    def backward(x, g):
        g[x < 0] = 0
        return (g,)

    report = check_vjp(lambda x: (np.maximum(x, 0), x), backward, (np.array([0.7, -1.2, 1.9]),))
    (problem,) = overview(report).problems
    assert problem.reason == "writes into its arguments"
    checks = {row.check for row in problem.rows}
    assert {"leaves_arguments_unchanged", "any_layout", "owns_its_memory"} <= checks
    assert problem.seen == "backward writes into dout"
