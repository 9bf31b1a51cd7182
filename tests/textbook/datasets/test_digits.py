"""The embedded digits: their form, their speed, and how hard they are for one layer and for two."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from gradlab.textbook.datasets import Dataset, DatasetError, load_dataset, make_digits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def linear_accuracy(data: Dataset, epochs: int, rate: float) -> float:
    """Train softmax regression by minibatch SGD; return the best test accuracy after any epoch."""
    rng = np.random.default_rng(0)
    weights, bias, targets, best = np.zeros((784, 10)), np.zeros(10), np.eye(10)[data.t_train], 0.0
    for _ in range(epochs):
        for rows in np.split(rng.permutation(len(data.x_train)), 100):
            x = data.x_train[rows]
            slope = (softmax(x @ weights + bias) - targets[rows]) / len(rows)
            weights -= rate * x.T @ slope
            bias -= rate * slope.sum(axis=0)
        best = max(best, float(np.mean((data.x_test @ weights + bias).argmax(axis=1) == data.t_test)))
    return best


def two_layer_accuracy(data: Dataset, epochs: int, rate: float) -> float:
    """Train a 784-50-10 net with ReLU in the same way; return the test accuracy after the last epoch."""
    rng = np.random.default_rng(0)
    w1, b1 = rng.normal(0.0, 0.05, (784, 50)), np.zeros(50)
    w2, b2 = rng.normal(0.0, 0.1, (50, 10)), np.zeros(10)
    targets = np.eye(10)[data.t_train]
    for _ in range(epochs):
        for rows in np.split(rng.permutation(len(data.x_train)), 100):
            x = data.x_train[rows]
            hidden = np.maximum(x @ w1 + b1, 0.0)
            slope = (softmax(hidden @ w2 + b2) - targets[rows]) / len(rows)
            slope1 = (slope @ w2.T) * (hidden > 0)
            w2 -= rate * hidden.T @ slope
            b2 -= rate * slope.sum(axis=0)
            w1 -= rate * x.T @ slope1
            b1 -= rate * slope1.sum(axis=0)
    scores = np.maximum(data.x_test @ w1 + b1, 0.0) @ w2 + b2
    return float(np.mean(scores.argmax(axis=1) == data.t_test))


def test_the_digits_have_mnists_form(digits: Dataset) -> None:
    assert digits.name == "embedded digits"
    assert digits.x_train.shape == (10_000, 784)
    assert digits.x_test.shape == (2_000, 784)
    assert digits.t_train.shape == (10_000,)
    assert digits.t_test.shape == (2_000,)
    for x, t in ((digits.x_train, digits.t_train), (digits.x_test, digits.t_test)):
        assert x.dtype == np.float64
        assert t.dtype == np.int64
        assert x.min() == 0.0
        assert 0.99 < x.max() <= 1.0
        assert set(t.tolist()) == set(range(10))
    # As in MNIST, whose mean is 0.13, most pixels are background, and background is 0 to the last bit.
    assert 0.08 < digits.x_train.mean() < 0.16
    assert np.mean(digits.x_train == 0.0) > 0.7


def test_shapes_and_types_on_request(digits: Dataset) -> None:
    other = load_dataset("digits", one_hot=True, flatten=False, dtype=np.float32)
    assert other.x_train.shape == (10_000, 1, 28, 28)
    assert other.x_test.shape == (2_000, 1, 28, 28)
    assert other.x_train.dtype == other.t_train.dtype == np.float32
    np.testing.assert_array_equal(other.x_test.reshape(2_000, 784), digits.x_test.astype(np.float32))
    assert other.t_train.shape == (10_000, 10)
    np.testing.assert_array_equal(other.t_test.argmax(axis=1), digits.t_test)


def test_the_classes_have_equal_shares_in_random_order() -> None:
    _, t = make_digits(1_003, 4)
    assert set(np.bincount(t, minlength=10).tolist()) == {100, 101}
    assert not np.array_equal(t, np.arange(1_003) % 10)


def test_the_seed_makes_the_digits() -> None:
    x, t = make_digits(700, 5)
    again, t_again = make_digits(700, 5)
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(t, t_again)
    other, t_other = make_digits(700, 6)
    assert not np.array_equal(t, t_other)
    assert not np.array_equal(np.sort(x.sum(axis=1)), np.sort(other.sum(axis=1)))


def test_no_two_digits_are_the_same(digits: Dataset) -> None:
    # A pixel sum is as good as a fingerprint here: it also compares the training set with the test set.
    sums = np.concatenate([digits.x_train.sum(axis=1), digits.x_test.sum(axis=1)])
    assert len(np.unique(sums)) == 12_000


def test_the_pen_stays_on_the_canvas(digits: Dataset) -> None:
    canvas = digits.x_train.reshape(-1, 28, 28)
    ink = canvas.sum(axis=(1, 2))
    rim = ink - canvas[:, 1:-1, 1:-1].sum(axis=(1, 2))
    assert ink.min() > 15, "no figure is empty"
    assert np.mean(rim > 0.05 * ink) < 0.01, "hardly any figure is cut off"


@pytest.mark.parametrize("n", [0, 1])
def test_small_numbers_of_digits(n: int) -> None:
    x, t = make_digits(n, 0)
    assert x.shape == (n, 784)
    assert t.shape == (n,)


def test_a_negative_number_of_digits_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"cannot draw -1 digits; pass a number that is at least 0$"):
        make_digits(-1, 0)


def test_the_default_set_takes_at_most_three_seconds_of_one_core() -> None:
    taken = []
    for _ in range(2):  # the better of two, since a first call may find the machine busy
        start = time.process_time()
        load_dataset("digits")
        taken.append(time.process_time() - start)
    assert min(taken) < 3.0


def test_hard_for_a_linear_classifier_and_not_for_two_layers(digits: Dataset) -> None:
    linear = linear_accuracy(digits, epochs=20, rate=0.3)
    two_layer = two_layer_accuracy(digits, epochs=12, rate=0.3)
    # MNIST's own figures are about 0.92 and 0.97.
    assert 0.8 < linear < 0.95
    assert two_layer > 0.95
    assert two_layer > linear + 0.03
