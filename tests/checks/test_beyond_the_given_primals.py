"""What is asked at derived primals: lines that pass kinks, and linearity."""

import numpy as np
import pytest

from gradlab.checks import linear_in_cotangent
from gradlab.checks.trial import Trial
from gradlab.checks.trial.line_slopes import agrees_along_lines
from gradlab.node import Node, Sample
from gradlab.nodes import NODES

X = np.random.default_rng(2).standard_normal(100)
ZEROS = np.where(np.arange(100) < 10, 0.0, X)
TIES = np.where(np.arange(100) < 10, 0.5, X)


def trial_of(name, x, registered=False, backward=None):
    node = NODES[name]
    own = Node(name, "own", node.forward, backward or node.backward, lambda rng: iter([]))
    return Trial(own, Sample("given", (x,), {}), registered=registered)


@pytest.mark.parametrize(("name", "x"), [("relu", ZEROS), ("absolute", ZEROS), ("sort", TIES), ("sort", X)])
def test_kinks_explain_a_line_and_hide_no_error_beside_them(name, x):
    trial = trial_of(name, x)
    (right,) = trial.own_gradients
    assert agrees_along_lines(trial, (right,))
    wrong = right.copy()
    # far less than what the kinks leave open
    wrong[50] += 1e-3
    assert not agrees_along_lines(trial, (wrong,))


def test_a_staircase_has_the_slope_of_its_stair_and_no_other_function_has():
    stairs = lambda x: (np.round(x, 4), None)
    for forward, right in ((stairs, True), (lambda x: (x, None), False)):
        node = Node("own", "own", forward, lambda r, g: (0 * g,), lambda rng: iter([]))
        # of many elements shorter steps would decide
        trial = Trial(node, Sample("given", (X[:20],), {}), registered=False)
        assert agrees_along_lines(trial, trial.own_gradients) is right


def test_few_elements_at_kinks_are_looked_at_one_by_one():
    trial = trial_of("relu", ZEROS[:20])
    assert not agrees_along_lines(trial, trial.own_gradients)


@pytest.mark.parametrize("registered", [True, False])
def test_large_cotangents_are_tried_elsewhere_for_registered_nodes_alone(registered):
    def clipping(residuals, g):
        return (np.clip(NODES["tanh"].backward(residuals, g)[0], -50, 50),)

    derived = trial_of("tanh", X[:6], registered, clipping).at("shuffled", [X[5::-1]])
    assert bool(list(linear_in_cotangent.check_elsewhere(derived))) == registered


@pytest.mark.parametrize("registered", [True, False])
def test_a_square_of_the_cotangent_is_found_elsewhere_for_both(registered):
    derived = trial_of("tanh", X[:6], registered, lambda residuals, g: (g**2,)).at("shuffled", [X[5::-1]])
    assert list(linear_in_cotangent.check_elsewhere(derived))
