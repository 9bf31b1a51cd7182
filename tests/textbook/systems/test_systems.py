"""The textbooks' systems: each one's whole gradient is right, and each learns; the report on them."""

import json
import re

import numpy as np
import pytest

from gradlab import cli
from gradlab.nodes.linear import affine
from gradlab.textbook import systems_benchmark as models_benchmark
from gradlab.textbook.datasets.spiral import make_spiral
from gradlab.textbook.models import LayerListNet, TwoLayerNet, check_model
from gradlab.textbook.systems import SYSTEMS, first_rows

# what each kind of answer must say, found by a part of it
LEARNED = {
    "accuracy": lambda text: min(float(a) for a in re.findall(r"accuracy ([\d.]+)", text)) >= 0.7,
    "% of": lambda text: float(text.split("%")[0]) >= 85,
    "4 of 4 rows": lambda text: float(text.split("loss ")[1]) < 0.06,
    "14 of 16 gates": lambda text: "never XOR or XNOR; composed XOR right" in text,
    "bit for bit": lambda text: "predicts the same" in text,
    "for 2 x + 1": lambda text: text.startswith(("1.99 x", "2.00 x", "2.01 x")),
    "loss 0.00": lambda text: True,
}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: f"{s.name}: {s.network}")
def test_every_gradient_is_right_and_every_system_learns(system):
    model, x, t = system.build() if system.build else (None, None, None)
    if model is not None:
        report = check_model(model, first_rows(x, system.batch), first_rows(t, system.batch))
        assert report.ok
        assert report.rows[-1].primal == "all"
        assert report.rows[-1].relative_error < 1e-8
    learned = system.learn(model, x, t)
    enough = [says for part, says in LEARNED.items() if part in learned]
    assert enough, learned
    assert all(says(learned) for says in enough), learned


@pytest.fixture
def two_systems(monkeypatch):
    chosen = tuple(s for s in SYSTEMS if s.name in ("perceptron", "LayerListNet"))
    monkeypatch.setattr(models_benchmark, "SYSTEMS", chosen)
    return chosen


def test_the_report_and_its_page(two_systems, capsys, tmp_path):
    assert cli.main(["verify", "--models", "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["perceptron", "LayerListNet"]
    assert "63" in out.splitlines()[-1]
    page = (tmp_path / "models.md").read_text()
    assert f"Made by `gradlab verify --models --output {tmp_path}`" in page
    for part in ("| LayerListNet ", "| BP4 ", "| online ", "low-activation", "saturated", "(plateau.svg)"):
        assert part in page
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "divergence.svg", "local-minimum.svg", "models.md", "plateau.svg"
    ]  # fmt: skip
    assert err.count("wrote ") == 4


def test_the_report_in_json(two_systems, capsys):
    assert cli.main(["verify", "--models", "--format", "json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert list(envelope) == ["ok", "environment", "rows"]
    learned = [row["learned"] for row in envelope["rows"] if "learned" in row]
    assert len(learned) == 2
    primals = [row["primal"] for row in envelope["rows"] if row.get("primal")]
    assert primals == ["params[0]", "params[1]", "params[2]", "params[3]", "all"]


def test_a_wrong_backward_is_told(two_systems, monkeypatch, capsys):
    right = affine.backward
    monkeypatch.setattr(affine, "backward", lambda r, g: (*right(r, g)[:2], right(r, g)[2] / len(g)))
    assert cli.main(["verify", "--models"]) == 1
    out = capsys.readouterr().out
    assert "WRONG: LayerListNet, gradient of params[1]" in out


def test_ctrl_c_keeps_what_was_reached(two_systems, monkeypatch, capsys):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(models_benchmark, "check_model", interrupted)
    assert cli.main(["verify", "--models"]) == 130
    out = capsys.readouterr().out
    assert "perceptron" in out
    assert "LayerListNet" not in out
    assert "Interrupted" in out


def test_the_spiral_has_three_arms():
    x, t = make_spiral(50, rng=3)
    assert x.shape == (150, 2)
    assert x.dtype == np.float64
    assert t.tolist() == [0] * 50 + [1] * 50 + [2] * 50
    radius = np.hypot(*x.T)
    np.testing.assert_allclose(radius, np.tile(np.arange(50) / 50, 3), atol=1e-12)
    angle = np.arctan2(*x.T) - (4 * t + 4 * radius)
    off = (angle + np.pi) % (2 * np.pi) - np.pi
    assert 0.15 < off[radius > 0].std() < 0.25
    assert np.array_equal(x, make_spiral(50, rng=3)[0])


def test_the_layer_list_is_the_two_layer_net():
    x, t = np.random.default_rng(0).standard_normal((6, 4)), np.array([0, 2, 1, 2, 0, 1])
    named, listed = TwoLayerNet(4, 5, 3, rng=7), LayerListNet(4, 5, 3, rng=7)
    assert listed.loss(x, t) == named.loss(x, t)
    assert listed.accuracy(x, t) == named.accuracy(x, t)
    grads = [*listed.grads]
    for one, other in zip(listed.gradient(x, t), named.gradient(x, t).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(listed.numerical_gradient(x, t), listed.gradient(x, t), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    for one, other in zip(listed.incremental_gradient(x, t), listed.numerical_gradient(x, t), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    assert all(g is kept for g, kept in zip(listed.grads, grads, strict=True))
    listed.loss(x, t)
    np.testing.assert_allclose(2 * listed.backward(), listed.backward(2.0))
    listed.params[0] -= 1.0
    assert listed.loss(x, t) != named.loss(x, t)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "add", "--models"], "--models verifies the textbooks' networks: give no nodes"),
        (["verify", "--models", "--family", "loss"], "give no nodes, --family"),
        (["gates", "--train", "XAND"], "no gate is named 'XAND': give one of FALSE, AND"),
        (["gates", "--gradient", "backprop"], "give --train GATE with it"),
        (["mnist", "--model", "conv", "--steps", "3"], "give --epochs with conv"),
        (["mnist", "--model", "conv", "--gradient", "numerical"], "--gradient numerical is for --model two-layer"),
        (["mnist", "--epochs", "3"], "give --steps, 600 an epoch"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(arguments, message, capsys):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_gates(capsys):
    assert cli.main(["gates"]) == 0
    out = capsys.readouterr().out
    assert "   1     1      1     1       0      0      0" in out
    assert "never: (-1, 0, 0)" in out
    assert cli.main(["gates", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["gate"] for row in rows if not row["learned"]] == ["XOR", "XNOR"]


@pytest.mark.parametrize("gradient", ["stacked", "backprop"])
def test_xor_is_trained_with_its_loss_every_1000_steps(gradient, capsys):
    assert cli.main(["gates", "--train", "XOR", "--gradient", gradient]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[4:25]] == [f"{step:,}" for step in range(0, 20_001, 1000)]
    assert [round(float(line.split()[-1])) for line in lines[-4:]] == [0, 1, 1, 0]
    assert err == ""
