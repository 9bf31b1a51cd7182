"""The mistake, named: with evidence or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from gradlab import GradientError, check_gradient, check_vjp, verify
from gradlab.checks.trial import Trial
from gradlab.diagnosis import NAMES, diagnose
from gradlab.nodes import NODES
from gradlab.running.mutation import mutate

RNG = np.random.default_rng(5)
X, W = RNG.standard_normal((8, 3)), RNG.standard_normal((3, 4))


def affine(x, w):
    return x @ w, (x, w)


def first(report):
    return next((fault for fault in report.faults if fault.confidence), None)


def mean_square(x):
    return np.mean(np.sum(x**2, axis=1)), x


def test_a_missing_mean_is_told_with_the_axis_it_is_over():
    report = check_vjp(mean_square, lambda x, g: (2 * x * g,), (X,), name="loss")
    fault = first(report)
    assert (fault.name, fault.node, fault.primal) == ("constant-factor", "loss", "x")
    assert "batch axis of x" in fault.evidence
    assert fault.confidence == pytest.approx(1)
    assert "a mean over the batch is missing" in fault.sentence


def test_the_text_is_the_same_everywhere_and_shows_the_worst_element():
    report = check_vjp(affine, lambda r, g: (g @ r[1].T, -(r[0].T @ g)), (X, W))
    fault = first(report)
    assert fault.name == "sign-flipped"
    assert fault.primal == "w"
    assert "it gives" in fault.sentence
    assert "should give" in fault.sentence
    with pytest.raises(GradientError) as caught:
        report.raise_if_failed()
    for text in (str(report), report.to_markdown(), str(caught.value)):
        assert "the sign is turned round (sign-flipped)" in text
        assert f"at w{list(report.rows[1].worst_index)} backprop gives " in text


@pytest.mark.parametrize(
    ("backward", "name"),
    [
        (lambda r, g: (0 * (g @ r[1].T), r[0].T @ g), "zero-gradient"),
        (lambda r, g: (np.ones((len(g), 4)) @ r[1].T, r[0].T @ g), "ignores-cotangent"),
        (lambda r, g: (g @ r[1].T * np.abs(g).max(), r[0].T @ g), "nonlinear-in-cotangent"),
        (lambda r, g: ((g @ r[1].T + 1e-3), r[0].T @ g), "additive-bias"),
        (lambda r, g: (np.where(r[0] < 0, 0, g @ r[1].T), r[0].T @ g), "masked-region"),
        (lambda r, g: (np.roll(g @ r[1].T, 1, axis=0), r[0].T @ g), "shifted"),
        (lambda r, g: ((g @ r[1].T).astype(np.float32), r[0].T @ g), "wrong-dtype"),
        (lambda r, g: ((g @ r[1].T).ravel(), r[0].T @ g), "wrong-shape"),
    ],
)
def test_one_backward_for_each_name(backward, name):
    report = check_vjp(affine, backward, (X, W))
    assert not report.ok
    assert first(report).name == name


def test_what_nothing_explains_gets_no_name():
    report = check_vjp(lambda x: (np.tanh(x), x), lambda x, g: (g * (1 - np.tanh(x)),), (X,))
    assert not report.ok
    assert first(report) is None
    assert report.faults[0].name == "matches_numerical"
    assert "likely mistake" not in str(report)


def test_a_right_node_gets_none():
    assert verify("affine", "softmax", "relu").faults == []


def test_noise_is_inconclusive_and_gets_none():
    noisy = lambda x: (x**2 + 1e-6 * np.sin(1e9 * x), x)
    report = check_vjp(noisy, lambda x, g: (2 * x * g,), (X[:2],), rtol=1e-9, explore=False)
    assert {row.verdict for row in report.rows if row.check == "matches_numerical"} == {"inconclusive"}
    assert not [fault for fault in report.faults if fault.primal == "x" and fault.confidence]


def test_the_injected_name_comes_first():
    rows = [row for row in mutate("matmul", "mean").rows if row.diagnosis]
    assert len(rows) > 200
    assert {row.diagnosis for row in rows} <= set(NAMES)
    assert sum(row.named[:1] == (row.diagnosis,) for row in rows) >= 0.95 * len(rows)
    assert sum(row.diagnosis in row.named for row in rows) >= 0.97 * len(rows)


def test_a_factor_is_told_as_the_division_that_it_is():
    report = check_vjp(affine, lambda r, g: (g @ r[1].T, r[0].T @ g / len(g)), (X, W))
    assert "analytic = numerical / 8, and 8 is the batch axis of x" in first(report).evidence


def test_memory_shared_only_with_a_batch_of_one_is_named_too():
    def backward(r, g):
        return (g if len(g) == 1 else 1.0 * g,)

    report = check_vjp(lambda x: (x + 1.0, None), backward, (X,))
    assert not report.ok
    assert first(report).name == "aliases-memory"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d + 0j, "complex128"),
        (lambda d: d.astype(object), "object"),
        (lambda d: np.full(d.shape, "zero"), "<U4"),
        (lambda d: d.astype("datetime64[s]"), "datetime64[s]"),
    ],
)
def test_a_gradient_that_is_no_array_of_floats_is_one_line_with_the_cure(change, says, recwarn):
    report = check_vjp(lambda x: (x + 1.0, None), lambda r, g: (change(g),), (X,))
    assert not report.ok
    row = next(row for row in report.rows if row.check == "matches_numerical")
    assert row.note == f"the gradient of x is {says} of shape (8, 3): return an array of floats"
    assert not recwarn.list


def test_a_gradient_of_whole_numbers_is_judged_by_its_numbers():
    def verdict(slope):
        report = check_gradient(lambda x: 3 * x.sum(), lambda x: np.full(len(x), slope), X[:, 0])
        assert report.ok == (slope == 3)
        return next(row.verdict for row in report.rows if row.check == "matches_numerical")

    assert [verdict(slope) for slope in (3, 2)] == ["pass", "wrong"]


def test_a_diagnosis_that_fails_leaves_the_verdict(monkeypatch):
    # a function of gradlab's own, as what others' functions raise there is nobody's fault
    own = {"__name__": "gradlab.diagnosis"}
    exec('def fails(trials, failed):\n    raise ZeroDivisionError("by zero")', own)
    fails = own["fails"]
    monkeypatch.setattr("gradlab.running.explanation.diagnose", fails)
    with pytest.warns(UserWarning, match="the diagnosis of affine raised ZeroDivisionError: by zero"):
        report = check_vjp(affine, lambda r, g: (-(g @ r[1].T), r[0].T @ g), (X, W))
    assert not report.ok
    assert report.findings == {}


def test_every_primal_is_explained_though_some_samples_have_fewer_and_several_outputs_differ_in_shape():
    def forward(x, h, s):
        return (x * h + s @ s, h.sum(axis=0)), (x, h, s)

    def backward(r, g):
        x, h, s = r
        return g[0] * h, g[0] * x + g[1], -(g[0] @ s.T + s.T @ g[0])

    square = RNG.standard_normal((3, 3))
    report = check_vjp(forward, backward, (square + 1, square - 1, 2 * square))
    assert (first(report).name, first(report).primal) == ("sign-flipped", "s")
    node = NODES["concatenate"]

    def third_flipped(residuals, g):
        d = node.backward(residuals, g)
        return (*d[:2], *(-third for third in d[2:]))

    trials = [Trial(replace(node, backward=third_flipped), sample) for sample in node.draw_samples()]
    assert len({len(trial.sample.primals) for trial in trials}) > 1
    found = diagnose(trials, {"matches_numerical"})
    assert {finding.primal for finding in found} == {"xs2"}
    assert found[0].name == "sign-flipped"


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_that_has_a_name_of_its_own_is_told_once(factor):
    report = check_vjp(affine, lambda r, g: (factor * (g @ r[1].T), r[0].T @ g), (X, W))
    named = [fault.name for fault in report.faults if fault.confidence]
    assert named[0] == ("zero-gradient" if factor == 0 else "sign-flipped")
    assert "constant-factor" not in named
