"""What the user tells of a layer or a function: its methods, its settings, its derivative, in the forms people type."""

import pytest

from gradlab.commands.check._input_specs import parse_input
from gradlab.commands.check._typed_values import parse_values

TOLD = """
    import numpy as np

    class Odd:
        def go(self, x):
            self.x = x
            return x**3

        def come_back(self, e):
            return 3 * self.x**2 * e

        def come_back_wrong(self, e):
            return 2 * self.x**2 * e

    class Lost:
        # no name says which of its methods is forward, nor is any right as the backward of another

        def go(self, x):
            self.x = x
            return x**3

        def come_back(self, e):
            return 2 * self.x**2 * e

        def move(self, x):
            return x + 1

    def its_backward(layer, g):
        return 3 * layer.x**2 * g

    class Scaled:
        def __init__(self, by=2.0):
            self.by = by

        def forward(self, x, train=True, scale=1.0):
            if train:
                raise RuntimeError("not meant to be trained")
            self.scale = scale
            return x * scale * self.by

        def backward(self, dout):
            return dout * self.scale * self.by

    def cube_forward(x):
        return x**3, x

    def cube_backward(dout, x):
        return 3 * x**2 * dout

    def bowl(x, a=1.0):
        return a * float((x**4).sum())

    def bowl_slope(x, a=1.0):
        return a * 4 * x**3

    def bowl_wrong_slope(x, a=1.0):
        return a * 3 * x**3

    def curve(x):
        return np.stack([x[0] * x[1], x.sum()])

    def curve_slopes(x):
        return np.stack([[x[1], x[0], 0.0], np.ones(3)])

    def hinge_loss(x, y):
        rows = np.arange(len(y))
        m = np.maximum(0, x - x[rows, y][:, None] + 1)
        m[rows, y] = 0
        d = (m > 0).astype(float)
        d[rows, y] = -d.sum(axis=1)
        return m.sum() / len(y), d / len(y)

    def wrong_loss(x, y):
        value, d = hinge_loss(x, y)
        return value, 1.5 * d

    def lone(x):
        return x

"""
X = ["--input", "3,4"]
OK = {
    "pytest's colons": ["layers.py::Square", *X],
    "a forward by its name": ["told:Odd", "--forward", "go", *X],
    "both by their names": ["told:Odd", "--forward", "go", "--backward", "come_back", *X],
    "inputs that are guessed": ["told:Odd", "--forward", "go", "--backward", "come_back"],
    "a backward that is a function": ["told:Odd", "--forward", "go", "--backward", "told:its_backward", *X],
    "a cotangent": ["told:Odd", "--forward", "go", "--backward", "come_back", "--cotangent", "e", *X],
    "settings": ["told:Scaled", "--settings", "train=false,scale=3", *X],
    "settings, inputs guessed": ["told:Scaled", "--settings", '{"train": false}'],
    "init by names": ["layers:Affine", "--init", "W=4x5,b=5", *X],
    "init in a row": ["layers:Affine", "--init", "4x5,5", *X],
    "a function's backward": ["told:cube_forward", "--backward", "cube_backward", *X],
    "a gradient": ["told:bowl", "--grad", "bowl_slope"],
    "a gradient of another module": ["told:bowl", "--grad", "told:bowl_slope", "--input", "3"],
    "a gradient with a setting": ["told:bowl", "--grad", "bowl_slope", "--settings", "a=2.5", "--input", "3"],
    "a Jacobian": ["told:curve", "--jac", "curve_slopes", "--input", "3"],
    "a Jacobian, inputs guessed": ["told:curve", "--jac", "curve_slopes"],
    "value and gradient": ["told:hinge_loss"],
    "value and gradient at given inputs": ["told:hinge_loss", "--input", "5x3", "--input", "5:int<3"],
}
WRONG = {
    "a backward by its name": ["told:Odd", "--forward", "go", "--backward", "come_back_wrong", *X],
    "a gradient": ["told:bowl", "--grad", "bowl_wrong_slope"],
    "value and gradient": ["told:wrong_loss"],
}
MISUSED = {
    "no such method": (["told:Odd", "--forward", "gone"], "give a method's name, or MODULE:FUNCTION"),
    "a forward that has to be told": (["told:Lost"], "Lost has no forward method: call it forward, or give --forward"),
    "no such cotangent": (["told:Odd", "--forward", "go", "--cotangent", "u"], "cotangent is 'u'"),
    "a function without a pair": (["told:lone"], "or give --grad FUNCTION or --jac FUNCTION"),
    "an array for a gradient": (["told:curve", "--grad", "curve_slopes"], "give --jac, or return one real number"),
    "an array, at given inputs": (
        ["told:curve", "--grad", "curve_slopes", "--input", "3"],
        "f returned shape (2,): give --jac",
    ),
    "a gradient of a layer": (["layers:SQUARE", "--grad", "lone"], "which --grad and --jac are for: leave them out"),
    "a gradient named as a backward": (["told:bowl,bowl_slope", "--input", "3"], "the other with --grad or --jac"),
    "a method of a function": (["told:hinge_loss", "--forward", "x"], "is no layer, which --forward is for"),
    "no such function": (["told:bowl", "--grad", "bowl_slop"], "did you mean bowl_slope"),
    "no setting of forward's": (["told:Scaled", "--settings", "gone=3", *X], "knows 'gone': leave it out"),
}  # fmt: skip


@pytest.fixture
def told(project):
    project.write("told.py", TOLD)


@pytest.mark.parametrize("name", OK)
def test_what_is_told_is_taken(told, check, name):
    status, out, _ = check(*OK[name])
    assert status == 0
    assert " pass" in out


@pytest.mark.parametrize("name", WRONG)
def test_what_is_told_is_checked(told, check, name):
    assert check(*WRONG[name])[0] == 1


@pytest.mark.parametrize("name", MISUSED)
def test_misuse_is_one_line_and_status_2(told, check, name):
    arguments, message = MISUSED[name]
    status, out, err = check(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_all_walks_over_pairs_of_functions_and_losses(told, check):
    status, out, _ = check("told.py", "--all")
    assert status == 1
    for target in ("told.py:cube_forward,cube_backward", "told.py:hinge_loss", "told.py:wrong_loss"):
        assert target in out
    assert "told.py:lone" not in out


@pytest.mark.parametrize("text", ["3x4", "3,4", "(3, 4)", "[3, 4]", "3, 4", "3*4"])
def test_shapes_in_the_forms_that_people_type(text):
    assert parse_input(text).shape == (3, 4)
    assert parse_input(f"{text}:int<5").kind == "int<5"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("W=4x5,b=5", {"W": {"shape": [4, 5]}, "b": {"shape": [5]}}),
        ("W=4x5:float32", {"W": {"shape": [4, 5], "dtype": "float32"}}),
        ("n=3, mode=same, eps=1e-5", {"n": 3, "mode": "same", "eps": 1e-5}),
        ("bias=True,old=false,w=None", {"bias": True, "old": False, "w": None}),
        ("sizes=[4, 3],pad=(1, 2)", {"sizes": [4, 3], "pad": [1, 2]}),
        ("3,4", [3, 4]),
        ("3", [3]),
        ("4x5, 0.5", [{"shape": [4, 5]}, 0.5]),
        ('{"W": [1]}', {"W": [1]}),
        ("[1, 2]", [1, 2]),
    ],
)
def test_arguments_in_the_forms_that_people_type(text, values):
    assert parse_values(text) == values
