"""TwoLayerNet's backprop in kept arrays: the layers' own numbers, bit for bit, and no array allocated."""

import tracemalloc

import numpy as np
import pytest

from gradlab.textbook.layers import Tanh
from gradlab.textbook.models import TwoLayerNet, _two_layer_step
from gradlab.textbook.models.model_check import check_model
from gradlab.textbook.models.parameter_blocks import BlockTask
from gradlab.textbook.models.parameters import Parameters

RNG = np.random.default_rng(0)
CLASSES = 3
X = RNG.standard_normal((5, 4))


def a_net(dtype=np.float64, inputs=4):
    net = TwoLayerNet(inputs, 6, CLASSES, weight_init_std=0.7, rng=1)
    cast(net, dtype)
    return net


def cast(net, dtype):
    """Put parameters of another dtype, none of them 0, into the layers."""
    params = []
    for layer in (net.layers[0], net.layers[2]):
        layer.params = [(p + 0.1 * RNG.standard_normal(p.shape)).astype(dtype) for p in layer.params]
        layer.grads = [np.full_like(p, np.nan) for p in layer.params]
        params += layer.params
    net.params = Parameters(zip(net.params, params, strict=True))


def by_layers(net, x, t):
    """The gradient as the layers' own nodes give it."""
    net.loss(x, t)
    dout = net.last_layer.backward()
    for layer in reversed(net.layers):
        dout = layer.backward(dout)
    return [g.copy() for g in net.layers[0].grads + net.layers[2].grads]


def spoil(net):
    for g in net.layers[0].grads + net.layers[2].grads:
        g.fill(np.nan)


def assert_same_bits(net, x, t):
    expected = by_layers(net, x, t)
    spoil(net)
    found = net.gradient(x, t)
    assert list(found) == ["W1", "b1", "W2", "b2"]
    for g, wanted in zip(found.values(), expected, strict=True):
        assert g.dtype == wanted.dtype
        assert np.array_equal(g, wanted)


@pytest.fixture
def only_kept(monkeypatch):
    """Fail where the layers' path is taken."""

    def refuse(self, x, t):
        raise AssertionError("the layers were asked")

    monkeypatch.setattr(TwoLayerNet, "_gradient_by_layers", refuse)


def labels(n):
    return RNG.integers(CLASSES, size=n)


TARGETS = {
    "labels": labels,
    "small labels": lambda n: labels(n).astype(np.uint8),
    "large labels": lambda n: labels(n).astype(np.uint64),
    "one-hot": lambda n: np.eye(CLASSES)[labels(n)],
    "one-hot, whole numbers": lambda n: np.eye(CLASSES, dtype=int)[labels(n)],
    "soft, of any sum": lambda n: RNG.uniform(size=(n, CLASSES)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_the_layers_numbers_for_several_batch_sizes_in_turn(targets, dtype, only_kept):
    net = a_net(dtype)
    for n in (5, 1, 8, 8, 5, 300, 1):
        assert_same_bits(net, RNG.standard_normal((n, 4)).astype(dtype), targets(n))


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 40.0, 1e3])
def test_the_layers_numbers_where_units_are_saturated_and_where_they_are_not(scale, only_kept):
    x = scale * RNG.standard_normal((9, 4))
    x[0] = 0
    assert_same_bits(a_net(), x, labels(9))


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1],
    "one row many times": lambda x: np.broadcast_to(x[:1], x.shape),
    "images": lambda x: x.reshape(len(x), 1, 2, 2),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layers_numbers_in_any_layout(layout, only_kept):
    assert_same_bits(a_net(), layout(RNG.standard_normal((7, 4))), labels(7))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_a_batch_of_another_dtype_goes_through_the_layers(dtype):
    x = (3 * RNG.standard_normal((7, 4))).astype(dtype)
    net = a_net()
    assert_same_bits(net, x, labels(7))
    assert_same_bits(net, x.astype(float), labels(7))
    assert_same_bits(net, x, labels(7))


def test_a_network_of_another_dtype_than_before():
    net = a_net()
    for dtype in (np.float64, np.float32, np.float64):
        cast(net, dtype)
        assert_same_bits(net, X.astype(dtype), labels(5))


def test_one_input_may_be_a_vector_of_rows(only_kept):
    assert_same_bits(a_net(inputs=1), X[:, 0], labels(5))


def test_a_number_is_no_batch():
    with pytest.raises(ValueError, match=r"x has shape \(\)"):
        a_net(inputs=1).gradient(np.array(1.0), labels(1))


def test_an_exchanged_layer_counts():
    net, x, t = a_net(), RNG.standard_normal((5, 4)), labels(5)
    net.gradient(x, t)
    net.layers[1] = Tanh()
    numerical = net.numerical_gradient(x, t)
    for name, g in net.gradient(x, t).items():
        np.testing.assert_allclose(g, numerical[name], rtol=1e-6, atol=1e-9)


def test_changed_parameters_count(only_kept):
    net, x, t = a_net(), RNG.standard_normal((5, 4)), labels(5)
    net.gradient(x, t)
    net.params["W1"] *= 2
    net.params["b2"] = np.array([1.0, 2.0, 3.0])
    assert_same_bits(net, x, t)


@pytest.mark.parametrize(
    ("x", "t"),
    [
        (X, np.array([0, 1, 2, 3, 0])),
        (X, np.array([0, 1, -1, 2, 0])),
        (X, np.array([0, 1, 2])),
        (X, np.zeros(5)),
        (X, np.zeros((5, 4))),
        (X[:, :3], labels(5)),
        (X[0], labels(5)),
    ],
)
def test_bad_input_is_refused_in_the_layers_words(x, t):
    net = a_net()
    net.gradient(X, labels(5))
    with pytest.raises(ValueError, match=r".+") as theirs:
        by_layers(net, x, t)
    with pytest.raises(ValueError, match=r".+") as ours:
        net.gradient(x, t)
    assert str(ours.value) == str(theirs.value)
    assert_same_bits(net, X, labels(5))


def test_an_empty_batch_is_refused_as_by_the_layers():
    with np.errstate(all="ignore"), pytest.raises(ZeroDivisionError):
        a_net().gradient(X[:0], labels(0))


def test_the_gradient_is_in_kept_arrays_that_the_next_call_writes_over():
    net, t = a_net(), labels(5)
    first = net.gradient(X, t)
    kept = {name: g.copy() for name, g in first.items()}
    second = net.gradient(-X, t)
    assert first is not second
    for name, g in first.items():
        assert second[name] is g
        assert not np.array_equal(g, kept[name])


def of_a_copy(net, x, t, block):
    for _ in range(2):
        assert_same_bits(net, x, t)
    return net.gradient(x, t)


def test_a_copy_has_arrays_of_its_own():
    net, t = a_net(), labels(5)
    found = net.gradient(X, t)
    before = {name: g.copy() for name, g in found.items()}
    others = BlockTask(of_a_copy, net, -X, t)(None)
    assert all(np.array_equal(g, before[name]) for name, g in found.items())
    assert not any(np.array_equal(g, before[name]) for name, g in others.items())


def test_check_model_judges_the_gradient_as_it_was_returned():
    net = a_net()

    class Scribbling:
        """Uses the arrays of its gradient for the loss as well."""

        params, gradient = net.params, staticmethod(net.gradient)

        def loss(self, x, t):
            spoil(net)
            return net.loss(x, t)

    assert check_model(Scribbling(), X, labels(5), method="central").ok


def peak(call):
    """The most memory, in bytes, that a second call has more than there was before it."""
    call()
    tracemalloc.start()
    try:
        call()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("targets", [labels, TARGETS["one-hot"]], ids=["labels", "one-hot"])
def test_after_the_first_step_no_array_is_allocated(targets):
    net = TwoLayerNet(784, 50, CLASSES)
    x, t = RNG.uniform(size=(100, 784)), targets(100)
    assert peak(lambda: by_layers(net, x, t)) > 100_000  # what the layers allocate is seen
    assert peak(lambda: net.gradient(x, t)) < 2048


def test_another_batch_size_makes_the_arrays_anew_and_the_same_one_does_not(monkeypatch):
    made = []
    monkeypatch.setattr(
        "gradlab.textbook.models.two_layer_net.KeptStep",
        lambda first, second, x: made.append(len(x)) or _two_layer_step.KeptStep(first, second, x),
    )
    net = a_net()
    for n in (5, 5, 2, 2, 5):
        net.gradient(X[:n], labels(n))
    assert made == [5, 2, 5]
