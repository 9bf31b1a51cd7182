"""What cannot be checked is one line, which ends with the cure; what a layer does wrong is a row of the report."""

import numpy as np
import pytest

from gradlab import check_cached_pair, check_layer
from gradlab.adapters.numpy_layer import LayerError

X = np.random.default_rng(0).standard_normal((2, 3))


class Layer:
    """A right one."""

    def __init__(self):
        self.W = np.random.default_rng(1).standard_normal((3, 2))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T


def with_forward(forward):
    return type("Odd", (Layer,), {"forward": forward})()


def with_weights(W):
    layer = Layer()
    layer.W = W
    return layer


class Raises(Layer):
    def forward(self, x):
        raise RuntimeError("out\n  of   order")


class WithoutBackward:
    def forward(self, x):
        return x


class ReturnsNothing(WithoutBackward):
    def backward(self, dout):
        return None


class NeedsMore(Layer):
    def forward(self, x, hidden):
        return super().forward(x)


def drawn(self, x):
    self.x = x
    return x @ self.W + np.random.default_rng().random()


UNUSABLE = {
    "forward raises": (Raises(), (X,), {}, r"Raises.forward raised RuntimeError: out of order: check the"),
    "forward returns nothing": (with_forward(lambda s, x: None), (X,), {}, r"returned NoneType: return the"),
    "forward returns integers": (
        with_forward(lambda s, x: np.ones(3, int)),
        (X,),
        {},
        r"int64 of shape \(3,\): ",
    ),
    "forward gives no number": (
        with_forward(lambda s, x: x * np.nan),
        (X,),
        {},
        r"gives nan at these inputs: ",
    ),
    "forward cannot be repeated": (
        with_forward(drawn),
        (X,),
        {},
        r"another output each time, all generators",
    ),
    "no forward": (
        object(),
        (X,),
        {},
        r"object has no forward method: call it forward, or pass forward='its name'",
    ),
    "no backward": (
        WithoutBackward(),
        (X,),
        {},
        r"no method that looks like a backward pass: call it backward, or pass backward=",
    ),
    "no gradient": (
        ReturnsNothing(),
        (X,),
        {},
        r"backward\(dout\) gives nothing that could be a gradient: ret",
    ),
    "a class": (Layer, (X,), {}, r"Layer is a class: pass an object of it, Layer\(...\)"),
    "a wrong shape": (Layer(), (X.T,), {}, r"Layer.forward raised ValueError: matmul: .*: check the inputs'"),
    "no elements": (Layer(), (X[:0],), {}, r"input 0 has shape \(0, 3\), and so no elements: pass some"),
    "too few inputs": (NeedsMore(), (X,), {}, r"NeedsMore.forward needs 'hidden' as well: pass it, or put"),
    "too many inputs": (Layer(), (X, X), {}, r"forward was given 2 inputs, and it takes x: pass as many"),
    "nothing in floats": (WithoutBackward(), (np.ones(3, int),), {}, r"returned int64 .*: return the output"),
    "integer parameters": (
        with_weights(np.ones((3, 2), int)),
        (X,),
        {},
        r"W has dtype int64, .*: make it float",
    ),
    "object parameters": (
        with_weights(np.ones((3, 2), object)),
        (X,),
        {},
        r"W has dtype object, .*: make it",
    ),
    "an unknown setting": (Layer(), (X,), {"settings": {"axis": 1}}, r"nor Layer knows 'axis': leave it out"),
    "unknown parameters": (
        Layer(),
        (X,),
        {"params": ["V"]},
        r"params: the layer has no V .*: name an attribute",
    ),
    "parameters that are none": (
        Layer(),
        (X,),
        {"params": [3]},
        r"params\[0\] is int: give names, the layer's",
    ),
    "no path": (Layer(), (X,), {"params": ["W["]}, r"params: 'W\[' is no path: write it as 'W'"),
    "unknown gradients": (
        Layer(),
        (X,),
        {"grads": ["dV"]},
        r"nothing stands there for W after backward: name",
    ),
    "an unknown loss": (
        Layer(),
        (X,),
        {"loss": "avg"},
        r"loss is 'avg': give one of 'sum', 'mean', 'logits'",
    ),
    "a negative seed": (Layer(), (X,), {"seed": -1}, r"the seed is -1: give a whole number from 0 up"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_one_line_that_ends_with_the_cure(name):
    layer, inputs, options, message = UNUSABLE[name]
    with pytest.raises(ValueError, match=message) as found:
        check_layer(layer, *inputs, **options)
    assert "\n" not in str(found.value)
    assert isinstance(found.value, LayerError) or name == "a negative seed"


def test_a_backward_that_raises_is_wrong():
    class Breaks(Layer):
        def backward(self, dout):
            return dout @ self.W

    report = check_layer(Breaks(), X)
    assert not report.ok
    assert [row.note.partition(":")[0] for row in report.rows] == ["raised ValueError"]


def test_what_a_layer_prints_is_kept_from_the_screen(capsys):
    class Prints(Layer):
        def forward(self, x):
            print("hello")
            return super().forward(x)

    report = check_layer(Prints(), X, explore=False)
    assert report.ok
    assert [fault.name for fault in report.faults] == ["prints"]
    assert capsys.readouterr().out == ""


def test_warnings_of_a_layer_are_kept_quiet():
    class Divides:
        def forward(self, x):
            return x / (np.abs(x) + 0 * np.log(np.abs(np.array(0.0)) + 1))

        def backward(self, dout):
            return 0 * dout

    assert check_layer(Divides(), X, explore=False).rows  # pytest turns warnings into errors


def test_an_input_that_forward_changes_is_a_warning():
    class Doubles(Layer):
        def forward(self, x):
            x *= 2
            return super().forward(x)

        def backward(self, dout):
            return 2 * super().backward(dout)

    x = X.copy()
    report = check_layer(Doubles(), x, explore=False)
    assert report.ok
    assert "mutates-argument" in [fault.name for fault in report.faults]
    np.testing.assert_array_equal(x, X)


def test_nested_lists_of_numbers_are_arrays():
    assert check_layer(Layer(), X.tolist(), explore=False).ok


def test_functions_that_are_no_cached_pair():
    with pytest.raises(LayerError, match="backward is int: pass a function"):
        check_cached_pair(np.sin, 3, (X,))

    def only_out(x):
        return x

    with pytest.raises(
        LayerError, match=r"only_out.forward returned float64 of shape \(2, 3\): return \(out, cache\)"
    ):
        check_cached_pair(only_out, lambda dout, cache: dout, (X,))


class Doubles:
    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 2 * dout


PAIR = (lambda x: (2 * x, None)), (lambda dout, cache: 2 * dout)


@pytest.mark.parametrize("check", [check_layer, lambda layer, *xs, **o: check_cached_pair(*PAIR, xs, **o)])
def test_a_method_that_is_none_is_the_callers_mistake(check):
    with pytest.raises(ValueError, match="no method is named 'centrl': there are auto, "):
        check(Doubles(), np.ones(3), method="centrl")


@pytest.mark.parametrize("primals", [np.ones(3), None, 1.0])
def test_primals_that_are_no_tuple(primals):
    with pytest.raises(LayerError, match=r"primals is \w+: pass a tuple of what forward takes, \(x, w, b\)"):
        check_cached_pair(*PAIR, primals)


def test_whole_numbers_are_asked_for_as_floats():
    with pytest.raises(LayerError, match="pass the inputs as floats"):
        check_layer(Doubles(), np.arange(3))
