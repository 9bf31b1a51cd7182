"""What a reader is told: the verdict first, each cause once, numbers that can be trusted at a glance."""

import numpy as np
import pytest

from gradlab import Report, Row, Verdict, check_layer, check_vjp, verify
from gradlab.diagnosis import NAMES
from gradlab.report.comparison import region_of
from gradlab.report.numbers import below, error_of
from gradlab.report.overview import overview
from gradlab.report.plain_words import CHECKS, MISTAKES, plain
from gradlab.report.text import report_text
from gradlab.running.selection import select_checks

X = np.random.default_rng(0).standard_normal((4, 6))
# The field's terms that a learner's first minute does without.
JARGON = ("primal", "cotangent", "given", "any_layout", "matches_numerical", "analytic", "residuals", "vjp")


def doubled_in_a_row(x, g):
    d = 2 * x * g
    d[1] *= 2
    return (d,)


def report_on(backward=doubled_in_a_row, **options):
    return check_vjp(lambda x: (x**2, x), backward, (X,), name="squares", **options)


def test_the_verdict_comes_first_and_what_fails_before_what_passes():
    def backward(r, g):
        return g @ r[1].T, -r[0].T @ g

    report = check_vjp(lambda x, w: (x @ w, (x, w)), backward, (X, X.T), name="product")
    view = overview(report)
    assert view.headline == "WRONG: product, the gradient of w."
    assert [(line.input, line.verdict) for line in view.lines] == [
        ("w", Verdict.WRONG),
        ("x", Verdict.PASS),
    ]
    assert str(report).startswith(view.headline)


def test_a_learner_reads_no_word_of_the_fields():
    text = str(report_on())
    assert not [word for word in JARGON if word in text.replace("(masked-region)", "")]
    detailed = report_text(report_on(), "simple", verbose=True)
    assert "matches_numerical" in detailed


def test_where_it_is_wrong_is_told():
    problem, *_ = overview(report_on(explore=False)).problems
    assert problem.region == "row 1"
    assert problem.where.startswith("at x[1, ")


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], ""),
        ([(2, 3)], "the one element [2, 3]"),
        ([(1, j) for j in range(5)], "row 1"),
        ([(i, j) for i in (0, 1) for j in (2, 4)], "rows 0 to 1, columns 2, 4"),
        ([(i, i) for i in range(4)], "4 of 20 elements, in columns 0 to 3"),
        ([(i, j) for i in range(4) for j in range(5)], "every element"),
    ],
)
def test_a_region_in_words(places, said):
    wrong = np.zeros((4, 5), dtype=bool)
    for place in places:
        wrong[place] = True
    assert region_of(wrong) == said


def test_a_region_of_a_number_and_of_more_axes():
    assert region_of(np.array(True)) == "every element"
    wrong = np.zeros((2, 3, 4, 5), dtype=bool)
    wrong[:, 1, :, 0] = True
    assert region_of(wrong) == "axis 1 place 1, column 0"


def row(error, bound, verdict=Verdict.PASS):
    return Row("f", "given", "matches_numerical", "x", "float64", verdict, error, relative_bound=bound)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(0.0, 3e-13)], "< 1e-12"),
        ([row(2e-13, 3e-13)], "< 1e-12"),
        ([row(4e-13, 3e-13)], "4.0e-13"),
        ([row(0.0, 0.0)], "0"),
        ([row(0.0, None)], "0"),
        ([row(None, None)], ""),
        ([row(0.0, 3e-13), row(4e-9, 1e-12)], "4.0e-09"),
        ([row(0.0, 3e-6), row(4e-9, 1e-12)], "< 1e-05"),
        ([row(1.3, 1e-12, Verdict.WRONG)], "1.3"),
        ([row(np.inf, 1e-12, Verdict.WRONG)], "inf"),
    ],
)
def test_an_error_is_zero_only_where_it_is(rows, said):
    assert error_of(rows) == said


def test_a_bound_is_never_rounded_down():
    for bound in (1e-12, 1.0001e-12, 9.9e-13, 5e-300):
        assert float(below(bound).removeprefix("< ")) >= bound


def test_no_registered_node_shows_a_zero_or_a_sensitivity_that_cannot_be():
    report = verify("add", "affine", "softmax", "lstm", "step", explore=False)
    view = overview(report)
    assert [line.error for line in view.lines if line.error == "0"] in ([], ["0"])  # step's gradient is 0
    known = [row.sensitivity for line in view.lines for row in line.rows if row.sensitivity is not None]
    assert known
    assert max(known) < 1e-7


def test_the_sensitivity_is_relative_to_the_largest_entry():
    # one element in a million million of the largest: relative to itself, nothing of it can be seen
    x = np.array([1.0, 1e-12, 2.0])
    (found,) = check_vjp(
        lambda x: (x**2, x), lambda x, g: (2 * x * g,), (x,), checks=["matches_numerical"], full_below=None
    ).rows
    assert found.sensitivity < 1e-7
    assert found.element_sensitivity > 1e-6


def test_every_mistake_and_every_check_has_its_words():
    assert set(NAMES) <= set(MISTAKES)
    assert set(select_checks(None)) <= set(CHECKS)
    assert max(map(len, [*MISTAKES.values(), *CHECKS.values()])) <= 36


def test_the_fields_terms_have_the_books_words():
    said = plain("the analytic gradient of the primal w is right for the cotangent of the given primals")
    assert said == "backprop's gradient of the input w is right for dout of your input"


def test_a_warning_is_told_and_leaves_the_verdict():
    def backward(x, g):
        return (2 * np.abs(x) * g,)

    report = check_vjp(lambda x: (x**2, x), backward, (np.abs(X),), name="squares")
    view = overview(report)
    assert view.headline.startswith("All right, with 1 warning: squares")
    (problem,) = view.problems
    assert (problem.verdict, problem.reason) == (Verdict.WARNING, "another at other inputs")
    assert problem.python.startswith("x = np.array(")


def test_an_error_that_is_raised_is_not_called_by_the_checks_name():
    class Fragile:
        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dout):
            if len(self.x) == 1:
                raise IndexError("index 1 is out of bounds")
            return 2 * self.x * dout

    view = overview(check_layer(Fragile(), X))
    assert {problem.reason for problem in view.problems} == {"raises an error"}


def test_nothing_checked_is_no_success():
    assert overview(Report([])).headline == "Nothing was checked."


def test_a_long_table_ends_with_the_verdict():
    rows = [row(0.0, 1e-12)] * 2 + [
        Row(f"f{i}", "given", "matches_numerical", "x", "float64", Verdict.PASS) for i in range(30)
    ]
    text = str(Report(rows))
    assert text.count("All right: all 31 agree with the numerical gradient.") == 2
    assert text.count("\n") < 45
