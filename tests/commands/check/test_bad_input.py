"""What cannot be checked is one line that ends with the cure, and the rest of the run goes on."""

import json

import pytest

BAD = """
    import sys
    import numpy as np

    class Layer:
        def __init__(self):
            self.W = np.random.default_rng(1).standard_normal((3, 2))
        def forward(self, x):
            self.x = x
            return x @ self.W
        def backward(self, dout):
            self.dW = self.x.T @ dout
            return dout @ self.W.T

    class Raises(Layer):
        def forward(self, x):
            raise RuntimeError("out of order")

    class ReturnsNone(Layer):
        def forward(self, x):
            return None

    class GivesNoGradient(Layer):
        def backward(self, dout):
            return None

    class Exits(Layer):
        def forward(self, x):
            sys.exit(3)

    class IntegerWeights(Layer):
        def __init__(self):
            self.W = np.ones((3, 2), int)

    class ObjectWeights(Layer):
        def __init__(self):
            self.W = np.ones((3, 2), object)

    class NoFile(Layer):
        def __init__(self):
            raise OSError("no file")

    class NeedsMore(Layer):
        def forward(self, x, hidden):
            return super().forward(x)

    class ForwardOnly:
        def forward(self, x):
            return x

    class BackwardRaises(Layer):
        def backward(self, dout):
            raise ZeroDivisionError("why")

    class ChangesItsInput(Layer):
        def forward(self, x):
            x *= 2
            return super().forward(x)
        def backward(self, dout):
            return 2 * super().backward(dout)

    EMPTY = []
    NUMBERS = [1, 2]
    WITHIN = [[Layer()]]
    W = np.ones(3)

    def nothing(rng):
        pass
    def none_yielded(rng):
        yield from ()
    def without_rng():
        return 1
    def raises(rng):
        raise ValueError("no data")
    def text(rng):
        return "3x4"
"""
X = ["--input", "4x3"]
UNUSABLE = {
    "raises": (["bad:Raises", *X], "Raises.forward raised RuntimeError: out of order: check the inputs'"),
    "a cure for the shell": (["bad:Raises", *X], "or pass what else it needs by name with --settings or --samples"),
    "returns None": (["bad:ReturnsNone", *X], "returned NoneType: return the output, an array of floats"),
    "no gradient": (["bad:GivesNoGradient", *X], "gives nothing that could be a gradient: return the gradient"),
    "no gradient, guessed": (["bad:GivesNoGradient"], "backward(dout) gives nothing that could be a gradient: return"),
    "no backward": (["bad:ForwardOnly", *X], "like a backward pass: call it backward, or give --backward NAME"),
    "exits": (["bad:Exits", *X], "Exits raised SystemExit: 3, in bad.py, line 29: mend that"),
    "integers": (["bad:IntegerWeights", *X], "W has dtype int64, in which a small step is lost: make it float"),
    "objects": (["bad:ObjectWeights", *X], "W has dtype object, in which a small step is lost: make it float"),
    "a constructor": (["bad:NoFile", *X], "NoFile(...) raised OSError: no file: mend that"),
    "too few": (["bad:NeedsMore", *X], "forward takes x, hidden, and --input gives 1: give it once for each"),
    "too many": (["bad:Layer", *X, *X], "forward takes x, and --input gives 2: give it once for each"),
    "another shape": (["bad:Layer", "--input", "3x4"], "raised ValueError: matmul: "),
    "no such module": (["bda:Layer", *X], "no module is named bda: did you mean bad"),
    "none alike": (["xyzzy:Layer", *X], "name one that can be imported from here, or give the path to its file"),
    "no such file": (["./bda.py:Layer", *X], "there is no file ./bda.py: did you mean bad.py"),
    "no such object": (["bad:Layre", *X], "bad has no 'Layre': did you mean Layer?"),
    "no such item": (["bad:NUMBERS[7]", *X], "list in bad has no 7: name one that is there"),
    "no path": (["bad:[[", *X], "'[[' is no path to an object: write it as Affine, net.layers[0]"),
    "no module": ([":Layer", *X], "':Layer' names no module: write MODULE:OBJECT"),
    "three": (["bad:a,b,c", *X], "names 3 objects: name two, MODULE:FORWARD,BACKWARD"),
    "only a module": (["bad", *X], "name one of its objects, bad:OBJECT, or give --all"),
    "a function": (["bad:nothing", *X], "is a function without a backward pass: name both, MODULE:FORWARD,"),
    "an array": (["bad:W", *X], "bad:W is ndarray, which has no gradient to check: name a layer"),
    "an empty list": (["bad:EMPTY", *X], "bad:EMPTY is empty: put layers into it"),
    "numbers": (["bad:NUMBERS", *X], "bad:NUMBERS[0] is int, which has no gradient to check: name a layer"),
    "a list within": (["bad:WITHIN", *X], "bad:WITHIN[0] is a list within a list: name it by itself"),
    "an object made already": (["bad:WITHIN[0][0]", "--init", "[1]", *X], "needs no --init: leave it out"),
    "arguments too many": (["bad:Layer", "--init", '{"n": 3}', *X], "unexpected keyword argument 'n': leave it"),
    "all of an object": (["bad:Layer", "--all"], "--all walks a module, and bad:Layer is none: leave out --all"),
    "samples give nothing": (["bad:Layer", "--samples", "bad:nothing"], "gives nothing: return or yield the"),
    "samples yield nothing": (["bad:Layer", "--samples", "bad:none_yielded"], "gives nothing: return or yield"),
    "samples without rng": (["bad:Layer", "--samples", "bad:without_rng"], "raised TypeError: without_rng() takes"),
    "samples raise": (["bad:Layer", "--samples", "bad:raises"], "bad:raises(rng) raised ValueError: no data: mend"),
    "samples of text": (["bad:Layer", "--samples", "bad:text"], "inputs that are str: give a tuple of inputs"),
    "samples elsewhere": (["bad:Layer", "--samples", "bad:textt"], "bad has no 'textt': did you mean text?"),
    "samples that are none": (["bad:Layer", "--samples", "bad:W"], "bad:W is ndarray: name a function"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_one_line_that_ends_with_the_cure_and_status_2(project, check, name):
    project.write("bad.py", BAD)
    arguments, message = UNUSABLE[name]
    status, out, err = check(*arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert err.startswith("gradlab: ")


UNIMPORTABLE = {
    "a slip of the pen": ("def f(:", "invalid syntax in ", "line 1: mend that"),
    "an error": ("x = 1\n1 / 0", "raised ZeroDivisionError: division by zero, in broken.py, line 2, while it is", ""),
    "an exit": ("import sys\nsys.exit('bye')", "calls sys.exit('bye') while it is imported: put that under if", ""),
    "what is not installed": ("import no_such.parts", "imports no_such, which cannot be found: install it", ""),
    "null bytes": ("x = '\0'", "cannot be imported, source code", ": mend that"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNIMPORTABLE)
def test_a_module_that_cannot_be_imported(project, check, name):
    source, *messages = UNIMPORTABLE[name]
    project.write("broken.py", source)
    for target in ("broken:Layer", "./broken.py:Layer"):
        status, out, err = check(target, "--input", "3")
        assert (status, out) == (2, "")
        assert all(message in err for message in messages)
        assert len(err.splitlines()) == 1


def test_a_backward_that_raises_is_wrong(project, check):
    project.write("bad.py", BAD)
    status, out, _ = check("bad:BackwardRaises", *X)
    assert status == 1
    assert "raised ZeroDivisionError: why" in out


def test_a_layer_that_changes_its_input_is_a_warning_and_with_strict_an_error(project, check):
    project.write("bad.py", BAD)
    status, out, _ = check("bad:ChangesItsInput", *X)
    assert status == 0
    assert "mutates-argument" in out
    assert check("bad:ChangesItsInput", *X, "--strict")[0] == 1


def test_the_rest_of_the_run_goes_on(project, check):
    project.write("bad.py", BAD)
    targets = ["bad:Raises", "nowhere:Layer", "bad:Layer", "bad:Exits", "bad:BackwardRaises"]
    status, out, _ = check(*targets, *X, "--format", "json")
    assert status == 1
    envelope = json.loads(out)
    assert {row["node"] for row in envelope["rows"]} == {"bad:Layer", "bad:BackwardRaises"}
    assert list(envelope["environment"]["unchecked"]) == ["bad:Raises", "nowhere:Layer", "bad:Exits"]


CALLS = {
    "letters": (["--input", "axb"], "'axb' is no shape: write a shape as 3x4 or scalar"),
    "letters between commas": (["--input", "3,b"], "'3,b' is no shape"),
    "a negative dimension": (["--input", "3x-4"], "'3x-4' has a dimension of -4: give each from 1 up"),
    "a negative one in front": (["--input=-3x4"], "'-3x4' has a dimension of -3: give each from 1 up"),
    "no elements": (["--input", "0x4"], "has a dimension of 0: give each from 1 up"),
    "too large": (["--input", "99999x99999"], "9,999,800,001 numbers: give a smaller shape"),
    "a dtype": (["--input", "3:complex64"], "'complex64' in '3:complex64' is nothing to draw: give float64"),
    "no labels": (["--input", "3:int<0"], "'int<0' in '3:int<0' is nothing to draw"),
    "one-hot of a scalar": (["--input", "scalar:onehot"], "give it one, as in 3x4:onehot"),
    "no JSON": (["--init", "{W: 3}"], "'{W: 3}' is no JSON, Expecting property name"),
    "some by name": (["--init", "W=3,4"], "'W=3,4' gives some by name and some not: write W=4x5,b=5"),
    "nothing between commas": (["--init", "3,,4"], "'3,,4' gives some by name and some not"),
    "settings in a row": (["--settings", "1,2"], "'1,2' gives no names: write train=false,scale=2"),
    "two derivatives": (["--grad", "a", "--jac", "b"], "argument --jac: not allowed with argument --grad"),
    "no time": (["--timeout", "0"], "'0' is no number of seconds: give one such as 60"),
    "no budget": (["--max-seconds", "0"], "argument --max-seconds: '0' is no positive number"),
    "no evaluations": (
        ["--max-evaluations", "0"],
        "argument --max-evaluations: '0' is no whole number from 1 up",
    ),
    "no tolerance": (["--rtol", "-1"], "'-1' is no tolerance: give a number such as 1e-6"),
    "inputs twice": (["--input", "3", "--samples", "a:b"], "argument --samples: not allowed with argument --input"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_call_is_one_line_and_status_2(check, capsys, name):
    arguments, message = CALLS[name]
    with pytest.raises(SystemExit) as caught:
        check("layers:SQUARE", *arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ('{"W": {"shape": [4, -3]}, "b": 1.0}', "has a dimension of -3: give each from 1 up"),
        ('{"W": {"shape": "4x3"}, "b": 1.0}', 'is no array to draw: write it as {"shape": [3, 4]}'),
        ('{"W": {"shape": [4], "dtype": "complex"}, "b": 1.0}', "is nothing to draw: give float64"),
        ('{"W": [[1, 2]]}', "missing a required argument: 'b': give W, b"),
        ("[1, 2, 3]", "too many positional arguments: give W, b"),
    ],
)
def test_an_init_that_does_not_fit(check, init, message):
    status, out, err = check("layers:Affine", "--init", init, "--input", "2x4")
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
