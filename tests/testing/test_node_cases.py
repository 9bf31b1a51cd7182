"""`gradlab.testing.parametrize_nodes`: a library's own nodes as tests."""

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from gradlab import Node, Sample, verify
from gradlab.checks import CHECKS, Trial
from gradlab.nodes import NODES
from gradlab.testing import parametrize_nodes

OTHERS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:benchmark", "--strict-markers")
SQUARE = """
import numpy as np
import pytest
from gradlab import Node, Sample
from gradlab.nodes import NODES
from gradlab.testing import parametrize_nodes

def forward(x):
    return x**2, x

def right(x, g):
    return (2 * x * g,)

def wrong(x, g):
    return (2 * np.abs(x) * g,)

def samples(rng):
    yield Sample("small", (np.abs(rng.standard_normal(3)) + 0.1,))
    yield Sample("both signs", (np.array([1.0, -2.0]),))

RIGHT = Node("right", "own", forward, right, samples)
WRONG = Node("wrong", "own", forward, wrong, samples)
"""


def square(name="square", *names):
    def samples(rng):
        for label in names or ("small",):
            yield Sample(label, (rng.standard_normal(3),))

    return Node(name, "own", lambda x: (x**2, x), lambda x, g: (2 * x * g,), samples)


def cases(registry, **options):
    (argument, parameters) = parametrize_nodes(registry, **options).mark.args
    assert argument == "node_check"
    return {parameter.id: parameter for parameter in parameters}


def ids(registry):
    return list(cases(registry))


def reported(registry, explore=True):
    """Return the rows of all cases."""
    rows = []
    for parameter in cases(registry).values():
        with suppress(pytest.skip.Exception):
            rows += parameter.values[0].report(explore=explore).rows
    return rows


def comparable(rows):
    """Return what two runs agree on to the last bit: a sum's rounding depends on where its array lies."""
    return Counter(
        (r.node, r.sample, r.check, r.primal, r.dtype, r.verdict, r.worst_index is None) for r in rows
    )


def test_an_id_is_node_sample_and_check():
    found = ids([NODES["affine"]])
    assert "affine-batch_of_1-matches_numerical" in found
    assert "affine-images_flattened-any_layout" in found
    assert "affine-all_samples-samples_can_fail" in found
    assert all(re.fullmatch(r"affine-\w+-\w+", each) for each in found)
    assert {each.rpartition("-")[2] for each in found} | {"matches_reference"} == set(CHECKS)


def test_a_node_without_reference_has_no_test_of_it():
    assert any("matches_reference" in each for each in ids([NODES["elu"]]))
    assert not any("matches_reference" in each for each in ids([square()]))


@pytest.mark.parametrize(
    "registry",
    [
        [square("same"), square("same")],
        [square("n", "a b", "a  b", "a_b", "a_b_2")],
        [square("a-b", "c"), square("a", "b-c"), square("a", "b", "c")],
        [square("n", "::[x]", "", "größe", "  ")],
    ],
)
def test_ids_are_unique(registry):
    parameters = parametrize_nodes(registry).mark.args[1]
    found = [parameter.id for parameter in parameters]
    assert len(set(found)) == len(found)
    samples = sum(len(node.draw_samples()) for node in registry)
    assert len(found) == samples * (len(CHECKS) - 2) + len(registry)
    assert all(re.fullmatch(r"\w+-\w+-\w+", each) for each in found)


def test_a_mapping_gives_the_names():
    found = ids({"first": square("a"), "second": square("a")})
    assert {each.partition("-")[0] for each in found} == {"first", "second"}


def test_a_set_has_one_order_in_every_process():
    nodes = [square(name) for name in "dcba"]
    assert ids(set(nodes)) == ids([square(name) for name in "abcd"])


def test_modules_and_objects_in_the_node_contract():
    node = square()
    module = ModuleType("their.ops.cube")
    parts = {"forward": node.forward, "backward": node.backward, "samples": node.samples}
    vars(module).update(parts)
    assert ids([module]) == [each.replace("square", "cube") for each in ids([node])]
    assert ids({"cube": SimpleNamespace(**parts)}) == ids([module])
    (case, *_) = cases({"cube": SimpleNamespace(**parts, ZERO_GRADIENT="why", reference=np.square)}).values()
    assert (case.values[0].node.zero_gradient, case.values[0].node.reference) == ("why", np.square)


@pytest.mark.parametrize("name", ["affine", "relu", "layer_norm", "softmax_with_loss", "sum"])
def test_the_cases_together_find_what_verify_finds(name):
    assert comparable(reported([NODES[name]])) == comparable(verify(name).rows)


def test_what_is_wrong_at_one_sample_or_beyond_it_is_found_there():
    def only_positive(x, g):
        return (2 * np.abs(x) * g,)

    node = square("n", "positive", "both")
    node = replace(
        node,
        backward=only_positive,
        samples=lambda rng: [Sample("positive", (np.ones(2),)), Sample("both", (np.array([1.0, -1.0]),))],
    )
    found = cases([node])
    at = {where: found[f"n-{where}-matches_numerical"].values[0] for where in ("positive", "both")}
    assert at["positive"].report(explore=False).ok
    assert not at["positive"].report().ok
    assert not at["both"].report(explore=False).ok
    (fault, *_) = at["both"].report(explore=False).faults
    assert fault.confidence > 0


def test_the_numerical_side_of_a_sample_is_computed_once(monkeypatch):
    computed = []
    estimated = Trial.estimated

    def counted(trial, *primal):
        computed.append((trial.sample.name, *primal))
        return estimated(trial, *primal)

    monkeypatch.setattr(Trial, "estimated", counted)
    nodes = [NODES["affine"], square("n", "one", "two")]
    reported(nodes)
    again = Counter(computed)
    assert {"one", "two", "batch of 1"} <= {name for name, *_ in again}
    names = Counter(sample.name for node in nodes for sample in node.draw_samples())
    assert all(times == names[name] for (name, *_), times in again.items() if name in names)


def test_the_seed_and_the_tolerances_reach_the_trials():
    (case, *_) = cases([square()]).values()
    case = case.values[0]
    (trial,) = case.trials(3, 0.5, 0.25, False)
    assert (trial.seed, trial.rtol, trial.atol, trial.strict) == (3, 0.5, 0.25, False)
    assert not np.array_equal(trial.sample.primals[0], case.trials(0, None, None, True)[0].sample.primals[0])
    assert case.trials(3, 0.5, 0.25, False)[0] is trial


def test_samples_whose_names_depend_on_the_seed():
    def samples(rng):
        yield Sample(f"at {rng.standard_normal():.3f}", (np.ones(2),))

    (case, *_) = cases([replace(square(), samples=samples)]).values()
    with pytest.raises(ValueError, match=r"other names with seed 1 than with seed 0.*: name them alike"):
        case.values[0].report(seed=1)


@pytest.mark.parametrize(
    "registry, error, message",
    [
        ([], ValueError, "the registry is empty: give it at least one node"),
        ({}, ValueError, "the registry is empty"),
        ("affine", TypeError, "the registry is 'affine': give a list or a mapping"),
        (square(), TypeError, "the registry is Node.*: give a list or a mapping"),
        (3, TypeError, "the registry is 3: give a list"),
        ([np.sin], TypeError, "is no node: give a gradlab.Node, or a module with"),
        ([replace(square(), samples=lambda rng: [])], ValueError, "square has no samples: let its samples"),
    ],
)
def test_a_registry_that_cannot_be_used(registry, error, message):
    with pytest.raises(error, match=message):
        parametrize_nodes(registry)


def test_an_expected_failure_that_is_no_test():
    with pytest.raises(
        ValueError, match=r"has 'square-smal-repeatable', .* did you mean 'square-small-repeatable'"
    ):
        parametrize_nodes([square()], expected_failures={"square-smal-repeatable": "known"})


def test_a_suite(pytester, project):
    source = (
        SQUARE
        + """
@parametrize_nodes(
    [RIGHT, WRONG],
    expected_failures={
        "wrong-both_signs-matches_numerical": "abs is for another function",
        "right-small-repeatable": "long since repaired",
    },
)
def test_nodes(node_check):
    node_check()

def test_alone(node_check):
    node_check()

@pytest.fixture
def gradcheck():
    return "of another library"
"""
    )
    project.makepyfile(source)
    chosen = ("-k", "(matches or repeatable or hessian or can_fail) or alone")
    result = project.runpytest_subprocess(*OTHERS, *chosen, "-rfs", "--gradlab-report=out")
    result.assert_outcomes(passed=7, skipped=4, xfailed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines_random([
        "FAILED *test_nodes[[]wrong-small-matches_numerical] *",
        "*[[]XPASS(strict)] long since repaired",
        "SKIPPED [[]4] *: hessian_is_symmetric has nothing to compare at this sample",
        "node_check has no node: decorate the test with gradlab.testing.parametrize_nodes(registry)",
        ">       node_check()",
        "E   * gradlab.GradientError: WRONG: wrong, the gradient of x.",
        "*::test_nodes (5 tests) * right * pass*",
        "*::test_nodes (5 tests) * wrong * wrong*",
    ])  # fmt: skip
    assert "gradlab/testing" not in result.stdout.str()


def test_a_suite_with_xdist(project):
    pytest.importorskip("xdist")
    source = (
        SQUARE
        + """
@pytest.mark.gradlab(seed=3, explore=False)
@parametrize_nodes({RIGHT, NODES["relu"], WRONG})
def test_nodes(node_check):
    assert node_check().environment["seed"] == 3

def test_one_process_collects(request):
    is_worker = hasattr(request.config, "workerinput")
    assert request.config.pluginmanager.has_plugin("gradlab-collector") is not is_worker
"""
    )
    project.makepyfile(source)
    alone = project.runpytest_subprocess(*OTHERS, "--gradlab-report=alone")
    spread = project.runpytest_subprocess(*OTHERS, "--gradlab-report=spread", "-n", "2")
    assert alone.parseoutcomes() == spread.parseoutcomes()
    pages = [(project.path / folder / "gradlab.md").read_text() for folder in ("alone", "spread")]
    assert pages[0] == pages[1]
    spread.stdout.fnmatch_lines(["*::test_nodes (42 tests) * relu * kink*"])
    content = json.loads((project.path / "spread" / "gradlab.json").read_text())
    assert {row["node"] for row in content["rows"]} == {"right", "wrong", "relu"}


def test_each_case_has_a_budget_of_its_own():
    (case, *_) = cases([square()]).values()
    case = case.values[0]
    assert case.check == "matches_numerical"
    (short,) = case.report(max_seconds=1e-9).explored
    assert "max_seconds=1e-09 was used up, raise it" in short.cut
    assert not short.derived
    (few,) = case.report(max_evaluations=1).explored
    assert "max_evaluations=1 was used up, raise it" in few.cut
    (whole,) = case.report().explored
    assert whole.cut == ""
    assert "times 100" in whole.derived
