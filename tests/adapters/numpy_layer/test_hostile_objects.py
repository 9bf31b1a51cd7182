"""What a layer raises, wherever it raises it, is a row or gradlab's own error."""

import sys

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.adapters.numpy_layer import LayerError

X = np.random.default_rng(0).standard_normal((4, 3))


class Affine:
    def __init__(self):
        self.W = np.random.default_rng(1).standard_normal((3, 2))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T


def raising(*methods):
    """Return an affine layer with methods that raise."""

    def fail(self, *args, **kwargs):
        raise RuntimeError("out of order")

    return type("Hostile", (Affine,), {**dict.fromkeys(methods, fail), "__hash__": Affine.__hash__})()


class PropertyRaises(Affine):
    @property
    def grads(self):
        raise RuntimeError("out of order")


class OddKeys(Affine):
    def __init__(self):
        super().__init__()
        self.__dict__[3] = np.ones(3)
        self.__dict__[None] = 1


HARMLESS = {
    "a property": PropertyRaises(),
    "keys that are no names": OddKeys(),
    **{name: raising(name) for name in ("__dir__", "__repr__", "__eq__", "__bool__", "__len__", "__iter__")},
    "copies": raising("__deepcopy__", "__copy__", "__reduce__"),
}


@pytest.mark.parametrize("layer", HARMLESS.values(), ids=HARMLESS)
def test_what_need_not_be_called_may_raise(layer):
    assert check_layer(layer, X).ok


class UnreadableError(Exception):
    def __str__(self):
        raise RuntimeError("out of order")


class Meta(type):
    def __getattr__(cls, name):
        raise RuntimeError("out of order")


class Asks(Affine):
    def __getattr__(self, name):
        raise RuntimeError("out of order")


class ExitsForward(Affine):
    def forward(self, x):
        sys.exit(3)


class ExitsBackward(Affine):
    def backward(self, dout):
        sys.exit(3)


class Closes(Affine):
    def backward(self, dout):
        raise GeneratorExit


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Asks(), "raised RuntimeError: out of order, in test_hostile_objects.py, line 74"),
        (
            Meta("OfMeta", (Affine,), {})(),
            "raised RuntimeError: out of order, in test_hostile_objects.py, line 69",
        ),
        (ExitsForward(), "raised SystemExit: 3, in test_hostile_objects.py"),
        (ExitsBackward(), "raised SystemExit: 3, in test_hostile_objects.py"),
        (Closes(), "raised GeneratorExit, in test_hostile_objects.py"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Affine) else "",
)
def test_what_escapes_is_told_in_one_line_that_ends_with_the_cure(layer, message):
    with pytest.raises(LayerError) as caught:
        check_layer(layer, X)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith(": mend that, or say how it is called, with forward= and backward=")
    assert caught.value.__cause__ is not None


def test_an_error_without_a_readable_text_is_a_row():
    class Unreadable(Affine):
        def backward(self, dout):
            raise UnreadableError

    report = check_layer(Unreadable(), X)
    assert {row.verdict for row in report.rows} == {Verdict.WRONG}
    assert report.rows[0].note == "raised UnreadableError"


def test_what_is_no_error_of_the_layers_goes_on():
    class Stops(Affine):
        def backward(self, dout):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_layer(Stops(), X)


def test_a_default_that_is_an_array_is_no_hindrance():
    class Carried:
        def __init__(self, out):
            self.out = out

        def backward(self, how=X[0]):
            return {"x": 2 * how}

    class Layer:
        def forward(self, x):
            return Carried(2 * x)

    with pytest.raises(LayerError, match="no method that looks like a backward pass"):
        check_layer(Layer(), np.ones(3))
