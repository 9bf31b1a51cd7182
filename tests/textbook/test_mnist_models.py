"""MNIST by models in Keras's manner."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gradlab import cli
from gradlab.textbook import mnist_models
from gradlab.textbook.datasets import Dataset, load_dataset, make_digits


@pytest.fixture(scope="module")
def small():
    x, t = make_digits(1200, seed=0)
    return Dataset("a few digits", x[:1000], t[:1000], x[1000:], t[1000:])


@pytest.mark.parametrize("name", ["sequential", "conv"])
def test_training_learns_and_records_epochs(small, name):
    history = mnist_models.train(name, small, hidden=20, batch_size=20, lr=0.003, epochs=3)
    assert [p.epoch for p in history.points] == [1, 2, 3]
    assert [p.step for p in history.points] == [50, 100, 150]
    assert history.points[-1].loss < history.points[0].loss
    assert history.points[-1].test_accuracy > 0.7
    assert history.points[-1].seconds > history.points[0].seconds > 0
    again = mnist_models.train(name, small, hidden=20, batch_size=20, lr=0.003, epochs=1)
    assert again.points[0].loss == history.points[0].loss


def test_parameters_are_single_precision():
    for name, build in mnist_models.BUILD.items():
        model = build(hidden=mnist_models.DEFAULTS[name]["hidden"])
        assert {p.dtype for p in model.params.values()} == {np.dtype(np.float32)}


def test_ctrl_c_keeps_the_epochs_that_were_finished(small, monkeypatch):
    fit, calls = mnist_models.Sequential.fit, iter(range(9))

    def interrupted(self, *args, **settings):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return fit(self, *args, **settings)

    monkeypatch.setattr(mnist_models.Sequential, "fit", interrupted)
    history = mnist_models.train("sequential", small, hidden=5, batch_size=50, lr=0.001, epochs=3)
    assert history.interrupted
    assert [p.epoch for p in history.points] == [1]


def test_the_command_and_its_page(monkeypatch, small, capsys, tmp_path):
    monkeypatch.setattr("gradlab.textbook.datasets.load_dataset", lambda data: small)
    command = ["mnist", "--model", "sequential", "--epochs", "2", "--hidden", "5", "--output", str(tmp_path)]
    assert cli.main([*command, "--format", "json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert [row["epoch"] for row in envelope["rows"]] == [1, 2]
    settings = {k: envelope["environment"][k] for k in ("model", "hidden", "batch_size", "lr", "epochs")}
    assert settings == {"model": "sequential", "hidden": 5, "batch_size": 128, "lr": 0.001, "epochs": 2}
    page = (tmp_path / "mnist_sequential.md").read_text()
    assert page.startswith("# MNIST: model sequential")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mnist_sequential.md", "mnist_sequential.svg"]


@pytest.mark.mnist
def test_the_convolutional_model_on_mnist(mnist_folder):
    # a third of an epoch here; `gradlab mnist --model conv` goes through three, and above 98.5 %
    data = load_dataset(mnist_folder)
    some = replace(data, x_train=data.x_train[:20_000], t_train=data.t_train[:20_000])
    history = mnist_models.train("conv", some, hidden=64, batch_size=32, lr=0.001, epochs=1)
    assert history.points[-1].test_accuracy > 0.95
