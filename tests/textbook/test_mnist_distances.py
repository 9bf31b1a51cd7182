"""How far apart two nets are that were trained by either gradient."""

import pytest

from gradlab.commands.mnist import _apart
from gradlab.textbook import mnist_benchmark
from gradlab.textbook.datasets import load_dataset

SMALL = {"steps": 4, "batch_size": 500, "hidden": 1}


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits")


def test_it_is_known_after_each_step(data):
    report = mnist_benchmark.run(data, gradient="numerical", **SMALL)
    assert len(report.distances) == 4
    assert report.apart == max(report.distances)
    assert 0 < report.apart < mnist_benchmark.AGREEMENT
    epochs, distances = _apart(report)
    points = report.training["backprop"].points[1:]
    assert epochs == [point.epoch for point in points]
    assert distances == [report.distances[point.step - 1] for point in points]


def test_one_net_is_not_apart_from_any(data):
    report = mnist_benchmark.run(data, gradient="backprop", **SMALL)
    assert (report.apart, list(report.distances), _apart(report)) == (None, [], None)
