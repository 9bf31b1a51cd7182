"""A library of 30 ops that somebody else has written: one list drives its tests, its benchmarks and its table."""

import json
import textwrap

import pytest

from gradlab import cli
from gradlab.nodes import NODES
from gradlab.testing import parametrize_benchmarks

OPS = """
    import sys
    sys.path.insert(0, {root!r})
    import gradlab
    from tests.corpora.minops.registry import OPS as THEIRS

    def node(op):
        return gradlab.Node(op.name, "minops", op.forward, op.backward,
                            lambda rng: iter([gradlab.Sample("example", *op.example(rng))]))

    OPS = [node(op) for op in THEIRS]
"""
TESTS = """
    from gradlab.testing import parametrize_benchmarks, parametrize_nodes
    from ops import OPS

    # one y meets twenty x, some of them 0.05 away: what each step does there is no ladder
    UNDECIDED = {"maximum-example-matches_numerical": "kinks on both sides, from 0.05 on"}

    @parametrize_nodes(OPS, expected_failures=UNDECIDED)
    def test_nodes(node_check):
        node_check()

    @parametrize_benchmarks(OPS)
    def test_speed(benchmark, node_call):
        benchmark.pedantic(node_call, rounds=2)
"""


QUIET = ("-p", "no:cacheprovider")


@pytest.fixture
def library(project, root):
    (project.path / "ops.py").write_text(textwrap.dedent(OPS.format(root=str(root))))
    (project.path / "test_ops.py").write_text(textwrap.dedent(TESTS))
    return project


def test_timings_without_workers_and_with(library):
    result = library.runpytest_subprocess("-q", "-k", "speed", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=60)
    result = library.runpytest_subprocess(
        "-q", "-k", "speed", "-n", "2", "--benchmark-disable", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=60)


def test_tests_with_workers_and_the_table(library):
    result = library.runpytest_subprocess(
        "-q", "-k", "nodes", "-n", "2", "--gradlab-report", "out", "-p", "no:cacheprovider"
    )
    counts = result.parseoutcomes()
    assert counts.get("failed", 0) == 0, result.stdout.str()
    assert counts["passed"] > 200
    page = (library.path / "out" / "gradlab.md").read_text()
    assert "| test_ops.py::test_nodes" in page
    assert {
        row["node"] for row in json.loads((library.path / "out" / "gradlab.json").read_text())["rows"]
    } >= {"gelu"}
    same = str(library.path / "out" / "gradlab.json")
    assert cli.main(["compare", same, same, "--fail-if", "error:10x,time:20%"]) == 0


def test_the_ids_and_what_is_called():
    (argument, parameters) = parametrize_benchmarks({"mine": NODES["relu"]}).mark.args
    assert argument == "node_call"
    assert all(p.id.startswith("mine-") and p.id.endswith(("-forward", "-backward")) for p in parameters)
    forward, backward = (p.values[0].call()() for p in parameters[:2])
    assert len(forward) == 2
    assert isinstance(backward, tuple)


@pytest.mark.parametrize("registry", [[], {}])
def test_an_empty_registry(registry):
    with pytest.raises(ValueError, match="the registry is empty: give it at least one node"):
        parametrize_benchmarks(registry)


def test_without_the_decorator(project):
    project.makepyfile("def test_it(node_call): pass")
    result = project.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*decorate the test with gradlab.testing.parametrize_benchmarks(registry)*"])
