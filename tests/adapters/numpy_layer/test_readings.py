"""How layers are read where names say little: by what comes back, and never by a guess."""

import contextlib
from dataclasses import dataclass

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.adapters.numpy_layer import LayerError, reading_choice


def normal(*shape, seed=0):
    return np.random.default_rng([13, seed]).standard_normal(shape)


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


class Filters(Scaler):
    """Both are linear, and neither has to do with the other."""

    def stretch(self, x):
        return x + np.roll(x, 1, axis=1)

    def shrink(self, x):
        return x - np.roll(x, 1, axis=1)


class Bounded(Puissance):
    def arriere(self, sortie):
        if np.abs(sortie).max() > 2.5:
            raise OverflowError("out of range")
        return sortie


@pytest.mark.parametrize("kind", [Scaler, Halves, Picks, Filters, Bounded])
def test_two_methods_that_are_something_else_are_called_nothing(kind):
    with pytest.raises(LayerError, match="has no forward method"):
        check_layer(kind(), normal(2, 3, seed=36))


def test_what_does_more_than_compute_is_not_called():
    called = []

    class Writer:
        def twice(self, x):
            return 2 * x

        def save(self, x):
            called.append(x)
            return 2 * x

    with pytest.raises(LayerError, match="has no forward method"):
        check_layer(Writer(), normal(2, 3, seed=36))
    assert not called


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


class LogLossOfASeason:
    """Numbers stand in tuples, in a list of them."""

    def __init__(self, games):
        self.games = games

    def forward(self, ratings):
        gap = np.array([ratings[a] - ratings[b] for a, b, _ in self.games])
        self.p, self.n = 1 / (1 + np.exp(-gap)), len(ratings)
        scores = np.array([score for _, _, score in self.games])
        return -np.sum(scores * np.log(self.p) + (1 - scores) * np.log(1 - self.p))

    def backward(self):
        d = np.zeros(self.n)
        for (a, b, score), p in zip(self.games, self.p, strict=True):
            d[a] += p - score
            d[b] -= p - score
        return d


def test_numbers_in_tuples_can_be_put_back():
    season = LogLossOfASeason([(0, 1, 1.0), (2, 1, 0.5), (0, 2, 0.0)])
    assert check_layer(season, normal(3)).ok
    assert season.games == [(0, 1, 1.0), (2, 1, 0.5), (0, 2, 0.0)]


@dataclass(frozen=True)
class Game:
    first: int
    second: int
    score: float

    def __iter__(self):
        return iter((self.first, self.second, self.score))


def test_numbers_in_frozen_dataclasses_can_be_put_back():
    games = [Game(0, 1, 1.0), Game(2, 1, 0.5), Game(0, 2, 0.0)]
    season = LogLossOfASeason(list(games))
    assert check_layer(season, normal(3)).ok
    assert season.games == games


def test_what_gradlab_stumbles_over_is_no_mistake_of_the_layer(monkeypatch):
    monkeypatch.setattr(reading_choice, "traces_of", None)
    with pytest.raises(LayerError, match="could not be followed") as error:
        check_layer(Taps(), normal(5))
    assert str(error.value).endswith("store it beside what it belongs to")


class Doubled:
    """Twice its input, by way of a spectrum."""

    def __init__(self, turn):
        self.turn = turn

    def forward(self, x):
        return np.fft.ifft(2 * np.fft.fft(x)).real

    def backward(self, g):
        return self.turn(np.fft.ifft(2 * np.fft.fft(g)))


@pytest.mark.parametrize(
    ("turn", "verdict"),
    [(np.real, "right"), (lambda d: d + 1e-15j, "warning"), (lambda d: d + 0.5j, "wrong")],
)
def test_a_complex_gradient_is_told(turn, verdict):
    report = check_layer(Doubled(turn), normal(5))
    told = {str(row.verdict) for row in report.rows if "is complex" in row.note}
    assert told == {verdict} - {"right"}
    assert report.ok == (verdict != "wrong")
    assert [fault.name for fault in report.faults if fault.confidence] == ["wrong-dtype"] * len(told)


class Encoder:
    def __init__(self):
        self.W = normal(3, 2, seed=5)

    def forward(self, x):
        self.x, self.y = x, np.tanh(x @ self.W)
        return self.y

    def backward(self, dy):
        dz = dy * (1 - self.y**2)
        self.dW = self.x.T @ dz
        return dz @ self.W.T


class Twins:
    """Uses one part twice, and adds up what comes back each time."""

    def __init__(self, share):
        self.encoder, self.share = Encoder(), share

    def forward(self, left, right):
        self.left = left
        self.far = self.encoder.forward(left) - self.encoder.forward(right)
        return np.sum(self.far**2, axis=1)

    def backward(self, dout):
        d = 2 * self.far * dout[:, None]
        dright = self.encoder.backward(-d)
        self.dW = self.share * self.encoder.dW
        self.encoder.forward(self.left)
        dleft = self.encoder.backward(d)
        self.dW = self.dW + self.encoder.dW
        return dleft, dright


@pytest.mark.parametrize("share", [1, 2])
def test_the_sum_that_the_whole_holds(share):
    report = check_layer(Twins(share), normal(4, 3), normal(4, 3, seed=1))
    wrong = {row.primal for row in report.rows if row.verdict is Verdict.WRONG}
    assert wrong == (set() if share == 1 else {"encoder.W"})


class Turn:
    """Turns points by an angle; the way back is the turn back."""

    def __init__(self, angle, factor):
        self.angle, self.factor = np.array([angle]), factor

    def forward(self, x):
        (self.c,), (self.s,), self.x = np.cos(self.angle), np.sin(self.angle), x
        return x @ np.array([[self.c, self.s], [-self.s, self.c]])

    def backward(self, g):
        slope = self.x @ np.array([[-self.s, self.c], [-self.c, -self.s]])
        self.dangle = self.factor * np.array([np.sum(g * slope)])
        return g @ np.array([[self.c, -self.s], [self.s, self.c]])


@pytest.mark.parametrize("factor", [1, 2])
def test_an_inverse_that_leaves_a_gradient_is_a_backward_pass(factor):
    report = check_layer(Turn(0.6, factor), normal(5, 2))
    wrong = {row.primal for row in report.rows if row.verdict is Verdict.WRONG}
    assert wrong == (set() if factor == 1 else {"angle"})


class Sums:
    """A linear operator: its adjoint does not depend on what forward was given."""

    def __init__(self, late):
        self.late = late

    def forward(self, w):
        return np.cumsum(w)

    def adjoint(self, residual):
        return np.roll(np.cumsum(residual[::-1])[::-1], self.late)


@pytest.mark.parametrize("late", [0, 1])
def test_an_adjoint_of_a_residual_is_a_backward_pass(late):
    verdicts = {row.verdict for row in check_layer(Sums(late), normal(6)).rows}
    assert Verdict.INCONCLUSIVE not in verdicts
    assert (Verdict.WRONG in verdicts) == bool(late)
