"""Both gradients of TwoLayerNet, 784-50-10 with a batch of 100, and how many times slower the numerical one is."""

import numpy as np
import pytest

from gradlab.textbook.mnist_benchmark import compare_gradients
from gradlab.textbook.models import TwoLayerNet


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    # as dark as MNIST: four pixels in five are 0
    x = rng.uniform(size=(100, 784)) * (rng.uniform(size=(100, 784)) < 0.2)
    return x, rng.integers(10, size=100)


@pytest.mark.benchmark(group="TwoLayerNet 784-50-10")
def test_backprop(benchmark, batch):
    benchmark(TwoLayerNet(784, 50, 10).gradient, *batch)


@pytest.mark.benchmark(group="TwoLayerNet 784-50-10")
def test_numerical(benchmark, batch):
    benchmark.pedantic(TwoLayerNet(784, 50, 10).numerical_gradient, batch, rounds=1)


def test_ratio(batch, capsys):
    row = compare_gradients(TwoLayerNet(784, 50, 10), *batch)[-1]
    with capsys.disabled():
        print(
            f"\nTwoLayerNet 784-50-10, batch of 100: the numerical gradient takes {row.numerical_s:.3g} s, "
            f"backprop {row.backward_s * 1e3:.3g} ms: {row.speedup:,.0f} times slower"
        )
