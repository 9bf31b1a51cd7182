"""The losses of a model's numerical gradient, shared by workers: the same bits as in one process."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest

from gradlab.textbook.datasets import Dataset, make_digits
from gradlab.textbook.mnist_benchmark import compare_gradients, run
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models.graph import BatchNormalization, Dense, Sequential
from gradlab.textbook.models.mlp import MLP
from gradlab.textbook.models.model_check import check_model

RNG = np.random.default_rng(0)


def backwards(function, items):
    """A map whose results come in another order."""
    return reversed(list(map(function, items)))


def threads(function, items):
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(function, items)


WORKERS = pytest.mark.parametrize("workers", [2, backwards, threads])


def without_times(rows):
    times = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    return [{key: value for key, value in asdict(row).items() if key not in times} for row in rows]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("gradlab.textbook.models.parameter_blocks.ELEMENTS", 20)


def a_batch(rows=4, inputs=6, classes=3):
    return RNG.uniform(size=(rows, inputs)), RNG.integers(classes, size=rows)


@WORKERS
def test_a_numerical_gradient_has_the_same_bits(workers, small_blocks):
    net, (x, t) = TwoLayerNet(6, 9, 3, weight_init_std=0.5), a_batch()
    before = {name: p.copy() for name, p in net.params.items()}
    alone, found = net.numerical_gradient(x, t), net.numerical_gradient(x, t, workers=workers)
    assert list(alone) == list(found)
    assert all(np.array_equal(alone[name], found[name]) for name in alone)
    assert all(np.array_equal(before[name], p) for name, p in net.params.items())


def test_a_model_is_sent_without_its_last_batch():
    net, (x, t) = TwoLayerNet(6, 5, 3), a_batch()
    net.loss(*a_batch(rows=5000))
    sizes = []

    def weighing(function, items):
        sizes.append(len(pickle.dumps(function)))
        return map(function, items)

    net.numerical_gradient(x, t, workers=weighing)
    assert sizes[0] < 10_000


def graph_model(dtype=np.float64):
    model = Sequential(
        [Dense(8, "tanh", input_shape=(6,)), BatchNormalization(), Dense(3, "softmax")], dtype=dtype
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


MODELS = {
    "two layers": lambda: TwoLayerNet(6, 9, 3, weight_init_std=0.5),
    "perceptron": lambda: MLP([6, 9, 3]),
    "graph": graph_model,
    "graph in float32": lambda: graph_model(np.float32),
}


@pytest.mark.parametrize("made", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("workers", [2, threads])
def test_check_model_gives_the_same_rows(made, workers, small_blocks):
    x, t = a_batch()
    alone = check_model(made(), x, t, method="central")
    found = check_model(made(), x, t, method="central", workers=workers)
    assert alone.ok
    assert without_times(alone.rows) == without_times(found.rows)
    assert found.rows[-1].numerical_s > 0


class Odd:
    """A model whose parameters are in the other order of memory, without an element, and a single number."""

    def __init__(self, wrong=1.0):
        self.params = [np.asfortranarray(RNG.standard_normal((4, 8))), np.zeros(0), np.array(0.5)]
        self.wrong = wrong

    def loss(self, x, t):
        W, _, b = self.params
        return float(np.sum((x @ W + b - t) ** 2))

    def gradient(self, x, t):
        W, _, b = self.params
        error = 2 * (x @ W + b - t)
        return [self.wrong * x.T @ error, np.zeros(0), error.sum()]


@pytest.mark.parametrize("wrong", [1.0, 1 + 1e-6])
def test_parameters_of_any_kind_are_moved(wrong, small_blocks):
    model = Odd(wrong)
    x, t = RNG.standard_normal((5, 4)), RNG.standard_normal((5, 8))
    alone, found = (check_model(model, x, t, workers=workers) for workers in (None, threads))
    assert alone.ok == (wrong == 1)
    assert without_times(alone.rows) == without_times(found.rows)


def test_a_model_that_cannot_be_sent_is_told():
    model = Odd()
    model.activation = lambda z: z
    with pytest.raises(TypeError, match=r"the model cannot be sent to workers .*, or leave workers out"):
        check_model(model, np.ones((5, 4)), np.ones((5, 8)), workers=2)


@pytest.fixture(scope="module")
def digits():
    x, t = make_digits(60, seed=0)
    return Dataset("a few digits", x[:40].reshape(40, -1), t[:40], x[40:].reshape(20, -1), t[40:])


@pytest.mark.parametrize("workers", [2, backwards])
def test_mnists_numerical_side_is_shared(digits, workers):
    net, batch = TwoLayerNet(784, 1, 10), (digits.x_train[:5], digits.t_train[:5])
    alone, found = compare_gradients(net, *batch), compare_gradients(net, *batch, workers=workers)
    alone[-1], found[-1] = (replace(row, note="") for row in (alone[-1], found[-1]))  # it has times in it
    assert without_times(alone) == without_times(found)
    assert found[0].numerical_s > found[1].numerical_s > 0


@pytest.mark.parametrize(("gradient", "calls"), [("numerical", 1), ("both", 1), ("backprop", 0)])
def test_mnist_asks_its_workers_where_there_is_a_numerical_gradient(digits, gradient, calls, monkeypatch):
    asked, moved = [], []

    def counting(function, items):
        asked.append(len(items))
        return map(function, items)

    @contextmanager
    def bar(title, total, progress):
        steps = []
        yield lambda word, steps_done=1: steps.append(steps_done)
        moved.append((title, sum(steps) == total))

    monkeypatch.setattr("gradlab.textbook.mnist_benchmark._bar", bar)
    run(digits, gradient=gradient, steps=2, batch_size=5, hidden=1, workers=counting)
    assert len(asked) == calls
    first = "training by backprop" if gradient == "backprop" else "numerical gradient"
    assert moved[0] == (first, True)
