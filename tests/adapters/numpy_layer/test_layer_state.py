"""What a layer remembers: put back for every evaluation, and as it was when the check is over."""

import contextlib
import pickle
import random

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.adapters.numpy_layer import LayerError

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


class SmoothInPlace:
    """Hands out its own buffers; `a` is no parameter that it has a gradient of."""

    def __init__(self, n):
        self.a, self._y, self._gx = 0.6, np.zeros(n), np.zeros(n)

    def forward(self, x):
        last = 0.0
        for t in range(len(x)):
            last = self._y[t] = self.a * last + (1 - self.a) * x[t]
        return self._y

    def backward(self, gy):
        carry = 0.0
        for t in range(len(gy) - 1, -1, -1):
            carry = gy[t] + self.a * carry
            self._gx[t] = (1 - self.a) * carry
        return self._gx


def test_a_buffer_that_is_returned_for_the_input_is_no_parameters_gradient():
    report = check_layer(SmoothInPlace(5), normal(5, seed=34))
    assert report.ok
    assert {fault.name for fault in report.faults if fault.confidence} == {"aliases-memory"}


class Taps:
    def forward(self, x):
        y = 2 * x
        y[2:] += x[:-2]
        return y

    def backward(self, dout):
        if len(dout) < 2:
            raise ValueError("shorter than what it looks back")
        dx = 2 * dout
        dx[:-2] += dout[2:]
        return dx


def test_one_step_of_time_may_be_too_short():
    assert check_layer(Taps(), normal(7, seed=35)).ok


class Puissance:
    """Two methods whose names say nothing; `double` is its own mistake."""

    def __init__(self, double=1.0):
        self.double = double

    def avant(self, entree):
        self.entree = entree
        return entree**3

    def arriere(self, sortie):
        return 3 * self.double * self.entree**2 * sortie


def test_two_methods_of_any_name_are_a_pair():
    """By what comes back: right gradients, or a cotangent that goes in linearly where there are no other methods."""
    x = normal(2, 3, seed=36)
    assert check_layer(Puissance(), x).ok
    assert check_layer(Puissance(double=2.0), x, explore=False).faults[0].name == "constant-factor"

    class Others(Puissance):
        def avant(self, entree):
            return super().avant(entree)

        def arriere(self, sortie):
            return super().arriere(sortie)

        def decale(self, entree):
            return entree + 1

    assert check_layer(Others(), x).ok
    # of three methods two may be anything, and what is no backward at all is not called a wrong one
    with pytest.raises(LayerError, match="has no forward method: call it forward, or pass forward="):
        check_layer(Others(double=2.0), x)
    report = check_layer(Others(double=2.0), x, forward="avant", backward="arriere")
    assert report.faults[0].name == "constant-factor"


class Scaler:
    """Two methods that are no forward and no backward: the one takes back what the other did."""

    def stretch(self, x):
        return 3 * x + 1

    def shrink(self, y):
        return (y - 1) / 3


class Halves(Scaler):
    def stretch(self, x):
        return 3 * x

    def shrink(self, y):
        return y / 3


class Picks(Scaler):
    def stretch(self, x):
        return x**2

    def shrink(self, y):
        return np.abs(y)


@pytest.mark.parametrize("kind", [Scaler, Halves, Picks])
def test_two_methods_that_are_something_else_are_called_nothing(kind):
    with pytest.raises(LayerError, match="has no forward method"):
        check_layer(kind(), normal(2, 3, seed=36))


class Arrhenius:
    """T is a temperature here, not a loss's targets; `power` is 2 where it is right."""

    def __init__(self, power):
        self.power = power

    def forward(self, T, E):
        self.T, self.E, self.k = T, E, np.exp(-E / T[:, None])
        return self.k

    def backward(self, dk):
        u = dk * self.k
        return (u * self.E).sum(1) / self.T**self.power, -(u / self.T[:, None]).sum(0)


@pytest.mark.parametrize("power", [2, 1])
def test_an_input_called_as_targets_are_is_differentiated_where_its_gradient_comes_back(power):
    report = check_layer(Arrhenius(power), np.array([1.5, 2.5, 3.0]), np.array([0.4, 0.9]))
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} == {"T", "E"}
    assert report.ok is (power == 2)


class Difference:
    """Its two gradients come back by their names, from the last to the first."""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a * np.sin(b)

    def backward(self, dout):
        da, db = dout * np.sin(self.b), dout * self.a * np.cos(self.b)
        return db, da


def test_gradients_from_the_last_to_the_first_are_exchanged():
    report = check_layer(Difference(), normal(2, 3, seed=37), normal(2, 3, seed=38), explore=False)
    assert not report.ok
    assert report.faults[0].name == "swapped-primals"


class Tempered:
    def __init__(self, beta):
        self.W, self.beta = normal(3, 2, seed=39), beta

    def forward(self, x):
        self.x = x
        return (self.beta * x) @ self.W

    def backward(self, dout):
        self.dW = (self.beta * self.x).T @ dout
        return self.beta * (dout @ self.W.T)


@pytest.mark.parametrize(
    ("beta", "ok"), [(0.7, True), (np.array([0.7, 0.2, 0.4]), False), (np.array([1.0, 0, 1]), True)]
)
def test_a_plain_number_owes_no_gradient(beta, ok):
    report = check_layer(Tempered(beta), normal(4, 3, seed=40), explore=False)
    assert report.ok is ok
    assert "no gradient of beta was found" in str([row.note for row in report.rows])


class Expectile:
    """A loss for each example, whose second argument is called as in nobody's list."""

    def forward(self, prognose, wahrheit):
        self.rest = wahrheit - prognose
        self.weight = np.where(self.rest > 0, 0.8, 0.2)
        return self.weight * self.rest**2

    def backward(self, dout):
        return -2 * dout * self.weight * self.rest


def test_what_is_compared_with_another_input_owes_no_gradient():
    report = check_layer(Expectile(), normal(4, seed=41), normal(4, seed=42), explore=False)
    assert report.ok
    assert "no gradient of wahrheit came back" in str([row.note for row in report.rows])


class Homography:
    """Points of the plane by a matrix of three rows, as which any further one is taken, too."""

    def forward(self, points, M):
        self.ph, self.M = np.column_stack([points, np.ones(len(points))]), M
        self.q = self.ph @ M.T
        return self.q[:, :2] / self.q[:, 2:]

    def backward(self, dout):
        dq = np.empty_like(self.q)
        dq[:, :2] = dout / self.q[:, 2:]
        dq[:, 2] = -(dout * self.q[:, :2]).sum(axis=1) / self.q[:, 2] ** 2
        return (dq @ self.M)[:, :2], dq.T @ self.ph


def test_a_matrix_beside_the_input_may_be_square_for_good():
    assert check_layer(Homography(), normal(5, 2, seed=43), np.eye(3) + 0.1 * normal(3, 3, seed=44)).ok


class Stretch:
    """An energy of matrices of 2 rows and 2 columns; where there are more, only what is inverted is not for them."""

    def forward(self, F):
        self.F, self.J = F, F[:, 0, 0] * F[:, 1, 1] - F[:, 0, 1] * F[:, 1, 0]
        return (F**2).sum(axis=(1, 2)) + self.J

    def backward(self, dout):
        return dout[:, None, None] * (
            2 * self.F + self.J[:, None, None] * np.swapaxes(np.linalg.inv(self.F), 1, 2)
        )


def test_a_matrix_that_is_not_square_is_not_inverted():
    assert check_layer(Stretch(), np.eye(2) + 0.1 * normal(3, 2, 2, seed=45)).ok


class Chain:
    """In the manner of old Chainer: the base class gives forward and backward tuples."""

    def __call__(self, *inputs):
        self.inputs = inputs
        return self.forward(inputs)[0]


class Langmuir(Chain):
    def __init__(self, sign=1):
        self.sign = sign

    def forward(self, inputs):
        p, K = inputs
        self.free = 1 / (1 + p @ K)
        return (p * K * self.free[:, None],)

    def backward(self, inputs, grad_outputs):
        p, K = inputs
        (gt,) = grad_outputs
        theta = p * K * self.free[:, None]
        gq = self.free[:, None] * (gt - self.sign * np.sum(gt * theta, axis=1, keepdims=True))
        return gq * K, np.sum(gq * p, axis=0)


@pytest.mark.parametrize("sign", [1, -1])
def test_tuples_of_inputs_and_cotangents(sign):
    p, K = np.abs(normal(5, 3, seed=46)), np.abs(normal(3, seed=47))
    assert check_layer(Langmuir(sign), p, K, explore=False).ok is (sign == 1)


def test_what_an_unsure_call_raises_is_no_mistake():
    class Odd(Langmuir):
        def backward(self, inputs, grad_outputs, how):
            return super().backward(inputs, grad_outputs) if how == "all" else None

    p, K = np.abs(normal(5, 3, seed=46)), np.abs(normal(3, seed=47))
    with contextlib.suppress(LayerError):
        verdicts = {row.verdict for row in check_layer(Odd(), p, K, explore=False).rows}
        assert Verdict.WRONG not in verdicts


class Step:
    """An implicit step: F and dF are parts of `solve` and `adjoint`, and L is nobody's parameter."""

    def __init__(self, factor=1.0):
        self.L, self.factor = np.eye(3) * -0.5 + 0.1, factor

    def F(self, u):
        return self.L @ u - u**3

    def dF(self, u):
        return self.L - np.diag(3 * u**2)

    def solve(self, u):
        v = u.copy()
        for _ in range(40):
            v = v - np.linalg.solve(np.eye(3) - 0.1 * self.dF(v), v - u - 0.1 * self.F(v))
        self.v = v
        return v.copy()

    def adjoint(self, lam):
        return self.factor * np.linalg.solve((np.eye(3) - 0.1 * self.dF(self.v)).T, lam)


def test_parts_of_a_pair_of_methods_are_not_checked_in_its_place():
    assert check_layer(Step(), normal(3, seed=48)).ok
    report = check_layer(Step(factor=2.0), normal(3, seed=48), explore=False)
    assert report.faults[0].name == "constant-factor"
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} == {"u"}


class Triplet:
    """A loss for each example, whose backward is given its cotangent under a name of another language."""

    def __init__(self, used):
        self.used = used

    def forward(self, ancla, pos):
        self.d = ancla - pos
        return (self.d**2).sum(axis=1)

    def backward(self, dsalida):
        g = 2 * self.d * (dsalida[:, None] if self.used else 1.0)
        return g, -g


@pytest.mark.parametrize("used", [True, False])
def test_an_argument_of_backward_that_makes_no_difference(used):
    report = check_layer(Triplet(used), normal(4, 3, seed=49), normal(4, 3, seed=50), explore=False)
    assert report.ok is used
    assert used or report.faults[0].name == "ignores-cotangent"


class Features:
    def __init__(self, shape):
        self.buf = np.empty(shape)

    def forward(self, x):
        return np.exp(x, out=self.buf)

    def backward(self, dout):
        return dout * self.buf


def test_an_output_that_the_next_forward_writes_over():
    report = check_layer(Features((2, 3)), normal(2, 3, seed=51), explore=False)
    assert report.ok
    assert "a later forward writes into the output" in report.faults[0].sentence


class Shift:
    """Its two gradients are the same numbers, and in the parameter's shape that is no accident."""

    def __init__(self, sign=1):
        self.b, self.sign = normal(2, 3, seed=52), sign

    def forward(self, x):
        return x + self.b

    def backward(self, dout):
        self.db = self.sign * dout
        return dout


@pytest.mark.parametrize("sign", [1, -1])
def test_a_gradient_that_equals_the_inputs_is_still_the_parameters(sign):
    report = check_layer(Shift(sign), normal(2, 3, seed=53), explore=False)
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} == {"x", "b"}
    assert report.ok is (sign == 1)


class Errors:
    """A loss for each element, which gives zeros back for its targets."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return np.exp(x) - t * x**2

    def backward(self, dout):
        return dout * (np.exp(self.x) - 2 * self.t * self.x), np.zeros_like(self.t)


def test_zeros_for_targets_are_no_gradient():
    report = check_layer(Errors(), normal(2, 3, seed=54), normal(2, 3, seed=55), explore=False)
    assert report.ok
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} == {"x"}


class Warmed:
    """The cotangent of T is called gT here, as a ground truth may be elsewhere."""

    def __init__(self, sign=1):
        self.sign = sign

    def forward(self, sun):
        self.T = np.tanh(sun)
        return self.T

    def backward(self, gT):
        return self.sign * gT * (1 - self.T**2)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cotangent_that_is_called_as_a_target_is(sign):
    report = check_layer(Warmed(sign), normal(5, seed=56), explore=False)
    assert report.ok is (sign == 1)
    assert sign == 1 or report.faults[0].name == "sign-flipped"


class Reaction:
    """Its output is a rate, and the cotangent of that is called drate."""

    def __init__(self, sign=1):
        self.sign = sign

    def forward(self, c):
        self.c = c
        return 2 * c**1.5

    def backward(self, drate):
        return self.sign * 3 * drate * self.c**0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cotangent_that_is_called_as_a_learning_rate_is(sign):
    report = check_layer(Reaction(sign), np.abs(normal(5, seed=57)), explore=False)
    assert report.ok is (sign == 1)
    assert sign == 1 or report.faults[0].name == "sign-flipped"
