"""``gradlab sweep`` of somebody's own function: Taylor's test, and the textbook's error over the step."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gradlab import cli
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample
from gradlab.nodes import NODES
from gradlab.report.comparison import StepErrors
from gradlab.running.pictured import step_errors
from gradlab.verdict import Verdict

LAYERS = """
import numpy as np

class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y
    def backward(self, dout):
        return dout * (1 - self.y**2)

class Wrong(Tanh):
    def backward(self, dout):
        return dout * (1 - self.y)

class NotANumber(Tanh):
    def backward(self, dout):
        return dout * np.nan

class Linear:
    def forward(self, x):
        return 3 * x
    def backward(self, dout):
        return 3 * dout
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    (tmp_path / "layers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.main(["sweep", *arguments])
        return status, *capsys.readouterr()

    return run


def test_what_is_right_falls_as_the_square(sweep):
    status, out, _ = sweep("layers.py:Tanh", "--input", "3x4")
    assert status == 0
    assert out.startswith("All right: layers.py:Tanh, x: by Taylor's test\nwhat is left falls as h^2: ")
    assert out.count("h^2.0") >= 2
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_wrong_falls_as_the_step(sweep):
    status, out, _ = sweep("layers.py:Wrong", "--input", "3x4")
    assert status == 1
    assert out.startswith("WRONG: layers.py:Wrong, x")
    assert "With a right gradient it falls as h^2." in out


def test_a_gradient_that_is_no_number_is_wrong(sweep):
    status, out, _ = sweep("layers.py:NotANumber", "--input", "3x4")
    assert status == 1
    assert out.startswith("WRONG: layers.py:NotANumber, x")
    assert "backprop is no finite number" in out
    assert "rounding" not in out


def test_a_corner_is_undecided_and_no_failure(sweep, tmp_path):
    (tmp_path / "inputs.py").write_text("import numpy as np\ndef samples(rng):\n    return (np.zeros(4),)\n")
    relu = "class Relu:\n    def forward(self, x):\n        self.on = x > 0\n        return x * self.on\n"
    relu += "    def backward(self, dout):\n        return dout * self.on\n"
    (tmp_path / "relu.py").write_text(relu)
    status, out, _ = sweep("relu.py:Relu", "--samples", "inputs.py:samples")
    assert status == 0
    assert out.startswith("UNDECIDED: relu.py:Relu, x")
    assert "f has a corner here" in out


def test_the_page_tells_the_seed(sweep, tmp_path):
    sweep("layers.py:Tanh", "--input", "3", "--seed", "7", "--output", "out")
    assert "seed 7." in (tmp_path / "out" / "sweep_layers_py_Tanh_x.md").read_text()


def test_what_is_linear_leaves_nothing(sweep):
    status, out, _ = sweep("layers.py:Linear", "--input", "3")
    assert status == 0
    assert "nothing is left but rounding" in out


def test_json_and_page(sweep, tmp_path):
    status, out, err = sweep("layers.py:Tanh", "--input", "3", "--format", "json", "--output", "out")
    envelope = json.loads(out)
    assert (status, envelope["ok"], len(envelope["rows"])) == (0, True, 12)
    assert "backprop is right" in envelope["environment"]["said"]
    assert list(envelope["rows"][0]) == ["h", "without", "with_gradient", "order", "central"]
    page = (tmp_path / "out" / "sweep_layers_py_Tanh_x.md").read_text()
    assert "| h " in page
    assert err.count("wrote ") >= 1


def test_a_node_has_taylors_test_as_well(sweep, tmp_path):
    _, out, _ = sweep("exp", "--output", "out")
    page = (tmp_path / "out" / "sweep_exp.md").read_text()
    for text in (out, page):
        assert text.index("relative error against the step") < text.index("by Taylor's test")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["layers.py:Nope"], "layers.py has no 'Nope'"),
        (["layers.py:Tanh", "--input", "3", "--primal", "q"], "no input 'q': there are x"),
        (["nowhere.py:Tanh"], "nowhere.py"),
        (["layers.py"], "layers.py is a module: name an object in it, layers.py:NAME"),
        (["softmax", "--input", "3x4"], "--input is for an object of your own"),
    ],
)
def test_a_bad_call_is_one_line(sweep, arguments, said):
    status, out, err = sweep(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def errors_of(forward, backward, x):
    sample = Sample("given", (x,), {})
    return step_errors(Trial(Node("f", "own", forward, backward, lambda rng: iter([sample])), sample), 0)


def test_a_small_error_is_seen_where_it_shows():
    x = np.linspace(0.3, 2, 12)
    right = errors_of(lambda x: (np.exp(x), x), lambda x, g: (np.exp(x) * g,), x)
    off = errors_of(lambda x: (np.exp(x), x), lambda x, g: (np.exp(x) * g * (1 + 1e-5),), x)
    assert (right.verdict, off.verdict) == (Verdict.PASS, Verdict.WRONG)
    assert right.order == pytest.approx(2, abs=0.05)
    assert off.order < 1.3 < 1.7 < right.order


def test_a_corner_is_not_called_wrong():
    x = np.zeros(8)
    found = errors_of(lambda x: (np.abs(x) ** 1.5, x), lambda x, g: (0 * g,), x)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "a corner, or noise" in found.sentence


def test_no_registered_node_is_called_wrong():
    rights = []
    for node in NODES.values():
        for sample in node.draw_samples(0):
            trial = Trial(node, sample, 0)
            found = [step_errors(trial, i) for i in range(len(trial.names))]
            assert not [each.sentence for each in found if each.verdict is Verdict.WRONG], (
                node.name,
                sample.name,
            )
            rights += [each.verdict is Verdict.PASS for each in found]
    assert np.mean(rights) > 0.95, "and of few nothing is said"


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.01, 1.0 + 1e-4])
def test_a_wrong_factor_is_called_wrong(factor):
    for name in ("softmax", "batch_norm", "conv2d", "lstm_cell", "cross_entropy"):
        node = NODES[name]

        def backward(residuals, g, node=node):
            return tuple(factor * gradient for gradient in node.backward(residuals, g))

        wrong = replace(node, backward=backward)
        assert step_errors(Trial(wrong, node.draw_samples(0)[0], 0), 0).verdict is Verdict.WRONG, name


def test_a_wrong_gradient_beside_a_corner_is_not_excused_by_it():
    x = np.array([0.0, 0.7, -0.4])
    found = errors_of(lambda x: (np.abs(x), x), lambda x, g: (5 * np.sign(x) * g,), x)
    assert found.verdict is Verdict.WRONG


def test_a_change_that_rounding_swallows_says_nothing():
    x = np.linspace(0.3, 2, 12)
    found = errors_of(lambda x: (np.sin(x) + 1e14, x), lambda x, g: (-np.cos(x) * g,), x)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "lost in its rounding" in found.sentence


def test_a_constant_with_a_gradient_of_zero_is_right():
    x = np.linspace(0.3, 2, 12)
    assert errors_of(lambda x: (np.ones(3), x), lambda x, g: (0 * x,), x).verdict is Verdict.PASS


def test_steps_without_values_say_nothing():
    nan = np.full(12, np.nan)
    found = StepErrors(10.0 ** -np.arange(1, 13), nan, nan, nan, nan, 1e-16)
    assert (found.order, found.verdict) == (None, Verdict.INCONCLUSIVE)
    assert found.orders() == [None] * 12


def test_a_corner_that_only_large_steps_reach_is_none_of_the_gradients():
    left = np.array([1e-1, 1e-2, *np.zeros(10)])
    steps = 10.0 ** -np.arange(1, 13)
    found = StepErrors(steps, steps, left, left, np.zeros(12), 1e-12)
    assert found.verdict is Verdict.PASS
    assert "nothing is left but rounding" in found.sentence
