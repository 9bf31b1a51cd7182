"""What MODULE:OBJECT may name."""

import json
import sys

import pytest


def rows_of(out):
    return json.loads(out)["rows"]


def nodes_of(out):
    return list(dict.fromkeys(row["node"] for row in rows_of(out)))


INIT = ["--init", '{"W": {"shape": [4, 3]}, "b": [0.1, 0.2, 0.3]}', "--input", "5x4"]


def test_a_class_made_and_called_as_told(check):
    status, out, err = check("layers:Affine", *INIT, "--format", "json")
    assert (status, err) == (0, "")
    numerical = [row for row in rows_of(out) if row["check"] == "matches_numerical"]
    assert {row["primal"] for row in numerical} == {"x", "W", "b"}
    assert {row["verdict"] for row in numerical} == {"pass"}
    assert "guessed" not in json.loads(out)["environment"]


@pytest.mark.parametrize(
    "target",
    ["layers:SQUARE", "layers:LAYERS[0]", "layers:BY_NAME['square']", "layers:Square()", "layers.py:SQUARE"],
)
def test_an_object_wherever_it_stands(check, target):
    status, out, _ = check(target, "--input", "3x4", "--format", "json")
    assert status == 0
    assert nodes_of(out) == [target]


def test_a_pair_of_functions(check):
    target = "layers:affine_forward,affine_backward"
    status, out, _ = check(target, "--input", "3x4", "--input", "4x2", "--input", "2", "--format", "json")
    assert status == 0
    assert {row["primal"] for row in rows_of(out)} >= {"x", "w", "b"}


def test_a_wrong_one_is_wrong_and_named(check):
    status, out, _ = check("layers:Sigmoid", "--input", "3x4")
    assert status == 1
    assert out.startswith("WRONG: layers:Sigmoid, the gradient of x.")
    assert "(sign-flipped)" in out


def test_a_list_is_all_that_it_holds(check):
    status, out, _ = check("layers:LAYERS", "--format", "json")
    assert status == 0
    assert nodes_of(out) == [f"layers:LAYERS[{i}]" for i in range(3)]


def test_what_a_dict_holds_goes_on_after_a_part_that_is_nothing(check):
    status, out, _ = check("layers:BY_NAME", "--format", "json")
    assert status == 1
    assert nodes_of(out) == ["layers:BY_NAME['square']", "layers:BY_NAME['sigmoid']"]
    unchecked = json.loads(out)["environment"]["unchecked"]
    assert list(unchecked) == ["layers:BY_NAME['nothing']"]


def test_a_right_one_beside_one_that_cannot_be_checked_is_not_all_right(check):
    status, out, _ = check("layers:SQUARE", "layers:Squre", "--input", "3x4", "--format", "json")
    assert status == 2
    assert json.loads(out)["ok"] is False
    assert nodes_of(out) == ["layers:SQUARE"]


def test_a_list_with_a_part_that_cannot_be_checked_is_not_all_right(project, check):
    project.write("some.py", "from layers import Square\n\nLAYERS = [Square(), None]\n")
    status, out, _ = check("some:LAYERS", "--input", "3")
    assert status == 2
    assert "some:LAYERS[1] is NoneType" in out


def test_the_same_target_twice_is_checked_once(check):
    _, once, _ = check("layers:SQUARE", "--input", "3x4", "--format", "json")
    _, twice, _ = check("layers:SQUARE", "layers:SQUARE", "--input", "3x4", "--format", "json")
    assert len(rows_of(once)) == len(rows_of(twice))


NODE = '''
    """Cube."""
    import numpy as np
    from gradlab import Sample

    def forward(x, *, scale=1.0):
        return scale * x**3, (x, scale)

    def backward(residuals, g):
        x, scale = residuals
        return (FACTOR * scale * x**2 * g,)

    def samples(rng):
        yield Sample("small", (rng.standard_normal(3),))
        yield Sample("scaled", (rng.standard_normal((2, 3)),), {"scale": 2.0})
        yield Sample("flat", (0 * rng.standard_normal(3),))
'''


@pytest.mark.parametrize(("factor", "status"), [("3", 0), ("2", 1)])
def test_a_module_that_is_a_node_brings_its_own_samples(project, check, factor, status):
    project.write("cube.py", NODE.replace("FACTOR", factor))
    got, out, _ = check("cube", "--format", "json")
    assert got == status
    assert {row["sample"].partition(",")[0] for row in rows_of(out)} == {"small", "scaled", "flat"}
    # the samples are one another's: what one cannot see, another does
    assert status or {row["verdict"] for row in rows_of(out)} <= {"pass", "kink"}


def test_a_pair_in_the_node_contract_is_held_to_it(project, check):
    project.write("cube.py", NODE.replace("FACTOR", "3") + "\n    def shares(residuals, g):\n        return (g,)\n"
                  "\n    def same(x):\n        return x.copy(), None\n")  # fmt: skip
    assert check("cube:forward,backward", "--input", "4")[0] == 0
    status, out, _ = check("cube:same,shares", "--input", "4", "--format", "json")
    assert status == 1
    assert {row["check"] for row in rows_of(out) if row["verdict"] == "wrong"} == {"owns_its_memory"}


def test_labels_of_a_pair_in_the_node_contract_are_settings(project, check):
    project.write(
        "picked.py",
        """
        import numpy as np

        def forward(x, ids):
            return x[ids], (x, ids)

        def backward(residuals, g):
            x, ids = residuals
            dx = np.zeros_like(x)
            np.add.at(dx, ids, g)
            return (dx,)
        """,
    )
    assert check("picked:forward,backward", "--input", "3x4", "--input", "5:int<3")[0] == 0


def test_a_file_in_a_package_and_one_that_is_called_like_a_library(project, check):
    source = (project.path / "layers.py").read_text()
    project.write("pkg/__init__.py", "")
    project.write("pkg/constants.py", "TWO = 2")
    project.write("pkg/inner.py", "from .constants import TWO\n" + source)
    project.write("sub/random.py", source)
    status, out, _ = check("pkg/inner.py:SQUARE", "sub/random.py:SQUARE", "--input", "3", "--format", "json")
    assert status == 0
    assert nodes_of(out) == ["pkg/inner.py:SQUARE", "sub/random.py:SQUARE"]


def test_two_files_of_the_same_name(project):
    # each has a process of its own, so that the one is never taken for the other
    from gradlab import cli

    source = "class F:\n    def forward(self, x): return 2 * x\n    def backward(self, g): return {} * g\n"
    project.write("a/acts.py", source.format(2))
    project.write("b/acts.py", source.format(3))
    assert cli.main(["check", "a/acts.py:F", "--input", "3"]) == 0
    assert cli.main(["check", "a/acts.py:F", "b/acts.py:F", "--input", "3"]) == 1


FAKE_TORCH = """
    float64 = "float64"

    class Tensor:
        def __init__(self, array, dtype="float64"):
            self.array, self.dtype = array, dtype
        def to(self, dtype):
            return Tensor(self.array, dtype)

    def as_tensor(array):
        return Tensor(array)
"""
MODULE = """
    import torch, gradlab
    from gradlab import Report, Row, Verdict

    class Parameter:
        class dtype:
            is_floating_point = True

    class Module:
        __module__ = "torch.nn"
        def parameters(self):
            return [Parameter()]

    class Linear(Module):
        def forward(self, x):
            return x

    def check_torch(fn, *tensors, name, **options):
        note = f"{type(fn).__name__} {type(tensors[0]).__name__} {tensors[0].dtype is Parameter.dtype}"
        return Report([Row(name, "given", "matches_numerical", "x", "", Verdict.PASS, note=note)])

    gradlab.check_torch = check_torch
"""


def test_a_torch_module_is_given_tensors_of_its_own_dtype(project, check, monkeypatch):
    import gradlab

    monkeypatch.setattr(gradlab, "check_torch", None, raising=False)
    project.write("torch.py", FAKE_TORCH)
    project.write("nets.py", MODULE)
    if "torch" in sys.modules:
        pytest.skip("the real torch is loaded")
    status, out, _ = check("nets:Linear", "--input", "3x4", "--format", "json")
    assert status == 0
    assert rows_of(out)[0]["note"] == "Linear Tensor True"
    status, _, err = check("nets:Linear")
    assert status == 2
    assert "give --input SHAPE" in err
