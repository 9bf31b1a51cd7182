"""What a layer remembers: put back for every evaluation, and as it was when the check is over."""

import pickle
import random

import numpy as np
import pytest

from gradlab import check_layer

GENERATOR = np.random.default_rng(5)


def normal(*shape, seed=0):
    return np.random.default_rng([13, seed]).standard_normal(shape)


X = normal(3, 4)


class Dropout:
    def __init__(self, draw, ratio=0.4):
        self.draw, self.ratio = draw, ratio

    def forward(self, x, train_flg=True):
        if not train_flg:
            return x * (1 - self.ratio)
        self.mask = self.draw(x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class DrawsAgain(Dropout):
    def backward(self, dout):
        return dout * (self.draw(dout.shape) > self.ratio)


def of_random(shape):
    return np.array([random.random() for _ in range(int(np.prod(shape)))]).reshape(shape)


DRAWS = {
    "np.random": lambda shape: np.random.rand(*shape),  # noqa: NPY002 # what people do
    "a global generator": lambda shape: GENERATOR.random(shape),
    "random": of_random,
    "RandomState": np.random.RandomState(3).random_sample,
    "Generator": np.random.default_rng(3).random,
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_stochastic_layer_is_checked_with_its_generator_held(name):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = DRAWS[name]((2, 2))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    if name in ("a global generator", "RandomState", "Generator"):
        expected = None  # drawn from for good
    report = check_layer(Dropout(DRAWS[name]), X, checks=["matches_numerical"])
    assert report.ok, report.faults
    assert not check_layer(DrawsAgain(DRAWS[name]), X, explore=False).ok
    if expected is not None:
        np.testing.assert_array_equal(DRAWS[name]((2, 2)), expected)


def test_a_mask_that_is_drawn_twice_is_named():
    report = check_layer(DrawsAgain(DRAWS["Generator"]), X, explore=False)
    assert report.faults[0].name == "nondeterministic"


class Stateful:
    """A recurrent layer that goes on where it stopped, with buffers in single precision."""

    def __init__(self, c=1, dtype="f"):
        self.params = [normal(4, 3, seed=1).astype(dtype), normal(3, 3, seed=2).astype(dtype)]
        self.grads = [np.zeros_like(p) for p in self.params]
        self.h, self.dtype, self.c = None, dtype, c

    def forward(self, xs):
        self.xs, self.hs = xs, [np.zeros((len(xs), 3), self.dtype) if self.h is None else self.h]
        for t in range(xs.shape[1]):
            self.hs.append(np.tanh(xs[:, t] @ self.params[0] + self.hs[-1] @ self.params[1]))
        self.h = self.hs[-1].astype("f")
        return np.stack(self.hs[1:], axis=1).astype("f")

    def backward(self, dhs):
        dxs, dh = np.empty(self.xs.shape, "f"), 0
        for grad in self.grads:
            grad[...] = 0
        for t in reversed(range(dhs.shape[1])):
            d = (dhs[:, t] + dh) * (1 - self.hs[t + 1] ** 2)
            self.grads[0] += self.xs[:, t].T @ d
            self.grads[1] += self.c * self.hs[t].T @ d
            dxs[:, t], dh = d @ self.params[0].T, d @ self.params[1].T
        return dxs

    def reset_state(self):
        self.h = None


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_a_stateful_layer_with_single_precision_inside(dtype):
    xs = normal(2, 3, 4)
    report = check_layer(Stateful(dtype=dtype), xs, checks=["matches_numerical"])
    assert report.ok, report.faults
    assert {row.dtype for row in report.rows} == {"float32"}
    wrong = check_layer(Stateful(1.01, dtype), xs, explore=False)
    assert not wrong.ok
    assert wrong.faults[0].primal == "params[1]"


def test_a_layer_that_goes_on_from_where_it_stopped_is_checked_from_there():
    layer = Stateful()
    layer.forward(normal(2, 3, 4))
    layer.backward(normal(2, 3, 3))
    assert check_layer(layer, normal(2, 3, 4, seed=4), explore=False, checks=["matches_numerical"]).ok


class Everything:
    """Changes whatever a layer can change: attributes, lists, its class, a global, a closure, what it was given."""

    calls = 0
    seen: list = []  # noqa: RUF012 # that it is shared is the point

    def __init__(self):
        self.W = normal(4, 2, seed=5)
        self.log, self.stats, self.mean = [], {}, np.zeros(4)
        count = 0

        def counted():
            nonlocal count
            count += 1
            return count

        self.counted = counted

    def forward(self, x):
        global CALLS
        CALLS += 1
        type(self).calls += 1
        self.seen.append(x)
        self.log.append(self.counted())
        self.mean *= 0.9
        self.mean += x.mean(axis=0)
        self.stats["last"] = self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.W -= 0.1 * self.dW
        return dout @ (self.W + 0.1 * self.dW).T


CALLS = 0


def test_the_layer_and_all_around_it_is_as_it_was():
    layer = Everything()
    W, x = layer.W, X.copy()
    before = pickle.dumps({k: v for k, v in vars(layer).items() if k != "counted"})
    report = check_layer(layer, x)
    assert report.ok, report.faults
    assert layer.W is W
    assert pickle.dumps({k: v for k, v in vars(layer).items() if k != "counted"}) == before
    assert (CALLS, Everything.calls, Everything.seen, layer.counted()) == (0, 0, [], 1)
    np.testing.assert_array_equal(x, X)


def test_the_layer_is_as_it_was_after_an_error():
    class Breaks(Everything):
        def backward(self, dout):
            super().backward(dout)
            raise RuntimeError("no")

    layer = Breaks()
    before = layer.W.copy()
    assert not check_layer(layer, X, explore=False).ok
    np.testing.assert_array_equal(layer.W, before)
    assert layer.log == []


class Sigmoid:
    def forward(self, x):
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dout):
        return dout * self.y * (1 - self.y)


class KeepsTheFirst(Sigmoid):
    y = None

    def forward(self, x):
        y = 1 / (1 + np.exp(-x))
        if self.y is None:
            self.y = y
        return y


class AddsUpItsInputsGradient(Sigmoid):
    dx = 0

    def backward(self, dout):
        self.dx = self.dx + super().backward(dout)
        return self.dx


def test_a_fault_of_the_second_call_is_found():
    assert check_layer(Sigmoid(), X).ok
    report = check_layer(KeepsTheFirst(), X)
    assert not report.ok
    assert report.faults[0].name == "stale-residuals"
    assert "second call" in report.faults[0].sentence
    assert not check_layer(AddsUpItsInputsGradient(), X).ok


class Adds:
    def __init__(self, both=True):
        self.W, self.b, self.both = normal(4, 2, seed=6), normal(2, seed=7), both
        self.dW, self.db = np.zeros((4, 2)), np.zeros(2)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW += self.x.T @ dout
        self.db = self.db * self.both + dout.sum(axis=0)
        return dout @ self.W.T


class AddsUntilCleared(Adds):
    def zero_grad(self):
        self.dW, self.db = np.zeros((4, 2)), np.zeros(2)


class ClearsInForward(Adds):
    def forward(self, x):
        self.dW, self.db = np.zeros((4, 2)), np.zeros(2)
        return super().forward(x)


def test_gradients_that_add_up():
    assert check_layer(AddsUntilCleared(), X).faults == []
    assert check_layer(ClearsInForward(), X).faults == []
    report = check_layer(Adds(), X)
    assert report.ok
    assert {fault.name for fault in report.faults} == {"accumulates", "adds_nothing_up"}
    mixed = check_layer(Adds(both=False), X)
    assert not mixed.ok
    assert (mixed.faults[0].name, mixed.faults[0].primal) == ("accumulates", "W")


def test_parameters_in_single_precision_are_judged_by_a_reference_in_double():
    class Affine:
        def __init__(self, c):
            self.W, self.c = normal(4, 2, seed=8).astype(np.float32), c

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dout):
            self.dW = self.c * self.x.T @ dout
            return dout @ self.W.T

    x = X.astype(np.float32)
    report = check_layer(Affine(1), x, explore=False)
    assert report.ok, report.faults
    rows = [row for row in report.rows if row.check == "matches_numerical"]
    assert all(row.reference_error < 1e-10 and row.relative_error < 1e-5 for row in rows)
    assert not check_layer(Affine(1 + 1e-3), x, explore=False).ok


class SmallBuffer:
    """Its buffer of single precision holds so little that the loss hides the rounding from second differences."""

    def __init__(self):
        self.W = normal(3, 2, seed=31)

    def forward(self, x):
        self.h = np.empty(x.shape, dtype="f")
        self.h[...] = x
        self.y = 1e-3 * (self.h @ self.W)
        return 2.0 + np.sum(self.y)

    def backward(self, dout=1):
        self.dW = 1e-3 * dout * self.h.T @ np.ones_like(self.y)
        return 1e-3 * dout * np.ones_like(self.y) @ self.W.T


def test_a_buffer_of_single_precision_behind_a_large_loss_is_found(monkeypatch):
    x = normal(4, 3, seed=32)
    report = check_layer(SmallBuffer(), x)
    assert report.ok, report.faults
    assert {row.dtype for row in report.rows if row.check == "matches_numerical"} == {"float32"}
    monkeypatch.setattr("gradlab.adapters.numpy_layer.learned_behaviour.CLEARER", np.inf)
    assert not check_layer(SmallBuffer(), x).ok


class SinglePrecisionBesideIntegers:
    """NumPy makes float64 of float32 and whole numbers, and no more digits."""

    def forward(self, x, t):
        self.y, self.t = np.tanh(x), t
        return np.sum((self.y - t) ** 2, dtype=np.float64)

    def backward(self):
        return 2 * (self.y - self.t) * (1 - self.y**2)


def test_a_gradient_has_no_more_digits_than_its_primal():
    x = normal(4, 3, seed=33).astype(np.float32)
    report = check_layer(SinglePrecisionBesideIntegers(), x, np.arange(12).reshape(4, 3), explore=False)
    assert report.rows[0].verdict.ok, report.rows[0]
    assert "wrong-dtype" in [fault.name for fault in report.faults]


class Waves:
    """A layer that holds a module, as those do that run on NumPy and CuPy, and numbers that forward makes anew."""

    def __init__(self):
        self.xp, self.gain = np, 2.0

    def forward(self, x):
        self.x, self.shift = x, 0.25 * self.xp.pi
        return self.gain * self.xp.sin(x + self.shift)

    def backward(self, dout):
        return dout * self.gain * self.xp.cos(self.x + self.shift)


def test_the_numbers_of_a_module_that_a_layer_holds_stay_as_they_are():
    numbers = {name: value for name, value in vars(np).items() if isinstance(value, float)}
    layer = Waves()
    layer.forward(np.array([0.3, 0.7]))  # so that what forward makes is there already
    assert check_layer(layer, np.array([0.3, 0.7])).ok
    assert {name: value for name, value in vars(np).items() if name in numbers} == numbers
    assert layer.gain == 2.0
