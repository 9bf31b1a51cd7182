"""Numbers that the textbook prints."""

import numpy as np
import pytest

from gradlab import numerical_gradient
from gradlab.nodes import NODES
from gradlab.textbook.models import SimpleNet
from gradlab.textbook.optimizers import gradient_descent

T = np.array([0.0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
SURE_OF_2 = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])
SURE_OF_7 = np.array([0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0])


@pytest.mark.parametrize(("y", "expected"), [(SURE_OF_2, 0.09750000000000003), (SURE_OF_7, 0.5975)])
def test_sum_squares_error(y, expected):
    assert NODES["sum_squares_error"].forward(y, T)[0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("y", "expected"), [(SURE_OF_2, 0.510825457099338), (SURE_OF_7, 2.302584092994546)])
def test_cross_entropy(y, expected):
    assert NODES["cross_entropy"].forward(y, T)[0] == pytest.approx(expected, rel=1e-15)


def test_gradient_of_the_sum_of_squares():
    gradient = numerical_gradient(lambda x: x[0] ** 2 + x[1] ** 2, np.array([3.0, 4.0]))
    np.testing.assert_allclose(gradient, [6, 8], rtol=1e-10)


def test_gradient_descent():
    init = np.array([-3.0, 4.0])
    reached = gradient_descent(lambda x: x[0] ** 2 + x[1] ** 2, init, lr=0.1, step_num=100)
    np.testing.assert_allclose(reached, [-6.11110793e-10, 8.14814391e-10], rtol=1e-6)
    assert init.tolist() == [-3, 4]


def test_simple_net():
    W = [[1.48560966, -0.14753772, -0.31133111], [0.84614063, -1.36949181, -0.52690748]]
    net, x, t = SimpleNet(np.array(W)), np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])
    printed = [[0.52174996, 0.02666177, -0.54841173], [0.78262494, 0.03999266, -0.8226176]]
    # W is printed to eight decimals, and six weights' rounding of 5e-9 moves the loss by as much
    assert net.loss(x, t) == pytest.approx(2.453646622845499, abs=1e-8)
    np.testing.assert_allclose(net.gradient(x, t), printed, atol=1e-8)  # printed to eight decimals
    np.testing.assert_allclose(numerical_gradient(lambda _: net.loss(x, t), net.W), printed, atol=1e-8)
    assert net.predict(x).argmax() == 0
