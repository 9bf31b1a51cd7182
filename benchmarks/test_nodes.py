"""Forward, backward and numerical gradient of every node: ``pytest benchmarks``."""

import pytest

from gradlab.checks.trial import Trial
from gradlab.nodes import NODES
from gradlab.numerical.finite_difference import numerical_vjp


@pytest.fixture
def trial(request):
    node = NODES[request.param]
    return Trial(node, node.draw_samples()[0])


every_node = pytest.mark.parametrize("trial", NODES, indirect=True)


@every_node
@pytest.mark.benchmark(group="forward")
def test_forward(benchmark, trial):
    benchmark(trial.node.forward, *trial.primals(), **trial.settings())


@every_node
@pytest.mark.benchmark(group="backward")
def test_backward(benchmark, trial):
    _, residuals = trial.forward()
    benchmark(trial.node.backward, residuals, trial.cotangent())


@every_node
@pytest.mark.benchmark(group="numerical")
def test_numerical(benchmark, trial):
    benchmark(numerical_vjp, trial.function, trial.primals(), trial.cotangent())
