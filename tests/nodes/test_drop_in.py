"""A node is one new file: dropped into a copy, it has its test, benchmark, report row and list line."""

import json
import os
import shutil
import subprocess
import sys

import pytest

CUBE = '''"""Cube.

forward:  y = x^3
backward: dx = g * {factor} x^2

Source: the power rule.
"""

from gradlab.node import Sample
from gradlab.sampling import normal


def forward(x):
    return x**3, x


def backward(residuals, g):
    return ({factor} * residuals**2 * g,)


def samples(rng):
    yield Sample("vector", (normal(rng, 4),))
'''


@pytest.fixture
def copy(tmp_path, root):
    for name in ("gradlab", "tests", "benchmarks"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def run(copy, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("family", ["arithmetic", "brand_new"])
def test_a_dropped_in_node_is_everywhere(copy, family):
    folder = copy / "gradlab" / "nodes" / family
    folder.mkdir(exist_ok=True)
    (folder / "cube.py").write_text(CUBE.format(factor=3))

    listed = json.loads(run(copy, "gradlab", "list", "--format", "json").stdout)["rows"]
    assert {"node": "cube", "family": family, "primals": ["x"], "samples": ["vector"]} in listed
    verified = run(copy, "gradlab", "verify", "cube", "--format", "json")
    assert verified.returncode == 0, verified.stderr
    assert {row["node"] for row in json.loads(verified.stdout)["rows"]} == {"cube"}
    tested = run(copy, "pytest", "-q", "tests/nodes/test_nodes.py", "-k", "cube", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "passed" in tested.stdout
    benchmarks = run(
        copy, "pytest", "--collect-only", "-q", "benchmarks", "-k", "cube", "-p", "no:cacheprovider"
    )
    assert benchmarks.stdout.count("cube") >= 3, benchmarks.stdout


def test_a_dropped_in_node_that_is_wrong(copy):
    (copy / "gradlab" / "nodes" / "arithmetic" / "cube.py").write_text(CUBE.format(factor=2))
    verified = run(copy, "gradlab", "verify", "--family", "arithmetic", "--no-explore")
    assert verified.returncode == 1
    assert "WRONG: cube, gradient of x" in verified.stdout
    tested = run(copy, "pytest", "-q", "tests/nodes/test_nodes.py", "-k", "cube", "-p", "no:cacheprovider")
    assert tested.returncode == 1


def test_a_file_that_is_no_node(copy):
    (copy / "gradlab" / "nodes" / "arithmetic" / "cube.py").write_text('"""Cube."""\n\ndef forward(x): ...\n')
    verified = run(copy, "gradlab", "verify", "add")
    assert verified.returncode == 2
    assert "cube.py is no node, it lacks backward, samples" in verified.stderr
    assert len(verified.stderr.splitlines()) == 1


def test_two_nodes_of_one_name(copy):
    (copy / "gradlab" / "nodes" / "loss" / "add.py").write_text(CUBE.format(factor=3))
    verified = run(copy, "gradlab", "list")
    assert verified.returncode == 2
    assert "both have a add: rename one" in verified.stderr
