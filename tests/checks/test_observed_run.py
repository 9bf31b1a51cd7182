"""One observed run: what it shows to be clear, a check that looks for itself finds to be so."""

from itertools import islice

import numpy as np
import pytest

from gradlab.checks import CHECKS
from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.exploration.fault_search import first_fault
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.observed_run import observe
from gradlab.faults.behaviour_mutants import behaviour_mutants
from gradlab.node import Node, Sample
from gradlab.nodes import NODES

ELSEWHERE = {name: check for name, check in CHECKS.items() if check.elsewhere}


def points(trial, count=2):
    with quiet():
        yield from (derived.trials[0] for derived in islice(derived_trials(trial), count))


def clear(trial):
    return {name for name, check in ELSEWHERE.items() if check.is_clear(trial)}


@pytest.mark.parametrize("name", ["affine", "branch", "softmax", "maximum", "rnn_cell"])
def test_where_a_fault_is_a_run_is_not_clear(name):
    """The slow look is the witness of the quick one, for every fault that can be put into a node."""
    node = NODES[name]
    sample = node.draw_samples(0)[1]
    found = set()
    # one that is wrong now and then says another thing at every call
    mutants = [m for m in behaviour_mutants(node) if m.fault != "nondeterminism"]
    for mutant in mutants[::4]:
        wrong = Trial(mutant.make(), sample)
        for trial in points(wrong):
            with quiet():
                slow = {n for n, check in ELSEWHERE.items() if first_fault(trial, check.elsewhere)}
                assert not slow & clear(trial), (mutant.description, trial.sample.name)
            found |= slow
    assert len(found) > 2


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("name", ["affine", "softmax", "batch_norm", "lstm_cell"])
def test_of_a_right_node_one_run_is_enough(name, registered):
    trial = Trial(NODES[name], NODES[name].draw_samples(0)[0], registered=registered)
    assert all(clear(there) == set(ELSEWHERE) for there in points(trial))


def trial_of(backward):
    node = Node("own", "own", lambda x: (x**2, x), backward, lambda rng: iter([]))
    return Trial(node, Sample("given", (np.arange(1.0, 5.0),), {}))


def keeping_what_it_returned():
    buffer = np.empty(4)

    def backward(x, g):
        np.multiply(2 * x, g, out=buffer)
        return (buffer,)

    return backward


def handing_out_what_it_reads():
    slope = []

    def backward(x, g):
        # the slope itself for a cotangent of ones, as no copy
        slope[:] = slope or [2 * x]
        slope[0] *= g
        return (slope[0],)

    return backward


def building_on_what_it_returned():
    kept = {}

    def backward(x, g):
        if kept.get("x") is not x:
            kept.update(x=x, g=g.copy(), d=2 * x * g)
            return (kept["d"],)
        return (kept["d"] * (g / kept["g"]),)

    return backward


def writing_into_its_primal(x, g):
    d = 2 * x * g
    x[0] = 9.0
    return (d,)


@pytest.mark.parametrize(
    ("backward", "told"),
    [
        (keeping_what_it_returned(), {"owns_its_memory"}),
        (lambda x, g: (2 * x * g**3,), {"linear_in_cotangent", "matches_numerical", "owns_its_memory"}),
        (lambda x, g: ((2 * x * g).astype(np.float32),), {"shapes_and_dtypes"}),
        (lambda x, g: (np.multiply(2 * x, g, out=g),), {"owns_its_memory", "leaves_arguments_unchanged"}),
        (lambda x, g: (2.1 * x * g,), {"matches_numerical"}),
        (handing_out_what_it_reads(), {"linear_in_cotangent", "owns_its_memory"}),
        (building_on_what_it_returned(), {"owns_its_memory"}),
        (writing_into_its_primal, {"leaves_arguments_unchanged"}),
    ],
    ids=["buffer", "cubed", "float32", "in place", "wrong", "what it reads", "what it returned", "primal"],
)
def test_what_is_not_clear(backward, told):
    trial = trial_of(backward)
    assert set(told) <= set(ELSEWHERE) - clear(trial)


def test_a_run_is_one_forward_and_a_backward_for_each_cotangent():
    calls = []

    def backward(x, g):
        calls.append(g)
        return (2 * x * g,)

    run = observe(trial_of(backward))
    assert len(calls) == len(run.gradients) == 6
    assert run.combines
    assert run.kept
    brief = trial_of(backward).at("elsewhere", [np.ones(4)])
    calls.clear()
    observe(Trial(brief.node, brief.sample, registered=False, origin=brief.origin))
    assert len(calls) == 3
