"""Which function a loss's gradient belongs to: said where it is not forward's own, and wrong where nothing fits."""

import numpy as np
import pytest

from gradlab import Verdict, check_layer
from gradlab.adapters.numpy_layer import report_subject
from gradlab.adapters.numpy_layer.check import read_layer

LABELS = np.array([0, 2, 1])
ONE_HOT = np.eye(4)[LABELS]
EPS = 1e-8


def normal(*shape, seed=0):
    return np.random.default_rng([11, seed]).standard_normal(shape)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


LOGITS, P = normal(3, 4), softmax(normal(3, 4, seed=1))


def cross_entropy(y, labels):
    return -np.sum(np.log(y[np.arange(len(y)), labels] + 1e-7)) / len(y)


class SoftmaxWithLoss:
    """The textbook's: an epsilon in the logarithm, and a dout that is used."""

    factor = 1.0

    def forward(self, x, t):
        self.y, self.t = softmax(x), t
        return cross_entropy(self.y, t)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return self.factor * dout * dx / len(dx)


class IgnoresDout(SoftmaxWithLoss):
    def backward(self, dout=1):
        return super().backward(1)


class NotDividedByTheBatch(SoftmaxWithLoss):
    factor = 3.0


class IgnoresDoutAndIsNotDivided(NotDividedByTheBatch, IgnoresDout):
    pass


class TakesNone:
    """Residuals kept, no cotangent."""

    def forward(self, y, t):
        self.y, self.t = y, t
        return np.mean((y - t) ** 2)

    def backward(self):
        return 2 * (self.y - self.t) / self.y.size


class TakesNoneAndIsNotDivided(TakesNone):
    def backward(self):
        return 2 * (self.y - self.t)


class HalfForgotten(TakesNone):
    def backward(self):
        return (self.y - self.t) / self.y.size


class Pointwise:
    """Values and derivatives element by element, the target first, as functions of both."""

    def loss(self, y, y_pred):
        return 0.5 * (y - y_pred) ** 2

    def gradient(self, y, y_pred):
        return -(y - y_pred)


class MeanAndPointwise(Pointwise):
    def loss(self, y, y_pred):
        return np.mean(super().loss(y, y_pred))


class OfLogits:
    """Takes probabilities, and gives the gradient of the logits behind them."""

    def forward(self, p, t):
        self.p, self.t = p, t
        return -np.mean(np.sum(t * np.log(p + 1e-9), axis=1))

    def backward(self):
        return (self.p - self.t) / len(self.p)


class OfLogitsSummed(OfLogits):
    def backward(self):
        return self.p - self.t


class Binary:
    def forward(self, p, t):
        self.p, self.t = p, t
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))

    def backward(self):
        return (self.p - self.t) / self.p.size


class Clipped:
    """Predictions are handed to backward under the cotangent's name, and the loss is one number a row."""

    def forward(self, y_pred, y_true):
        return -np.sum(y_true * np.log(np.clip(y_pred, EPS, 1 - EPS)), axis=1)

    def backward(self, dvalues, y_true):
        return -y_true / np.clip(dvalues, EPS, 1 - EPS) / len(dvalues)


class EpsilonInAnAttribute:
    def __init__(self, eps=1e-6):
        self.eps = eps

    def forward(self, p, t):
        self.p, self.t = p, t
        return -np.sum(t * np.log(p + self.eps))

    def backward(self):
        return -self.t / self.p


class SigmoidWithLoss:
    """Its epsilon is all that is left of it for large scores."""

    def forward(self, x, t):
        self.y, self.t = 1 / (1 + np.exp(-x)), t
        return -np.sum(np.log(np.where(t == 1, self.y, 1 - self.y) + 1e-7))

    def backward(self, dout=1):
        return dout * (self.y - self.t)


CONVENTIONS = {
    "epsilon": (SoftmaxWithLoss, (LOGITS, LABELS), "of forward without its epsilon"),
    "epsilon in an attribute": (EpsilonInAnAttribute, (P, ONE_HOT), "of forward without its epsilon"),
    "logits": (OfLogits, (P, ONE_HOT), "with respect to the logits whose softmax over axis -1 is p"),
    "logits, summed": (OfLogitsSummed, (P, ONE_HOT), "of the sum over axis 0 of p, where forward takes"),
    "logits of a sigmoid": (Binary, (P, ONE_HOT), "with respect to the logits whose sigmoid is p"),
    "pointwise beside a mean": (
        MeanAndPointwise,
        (LOGITS, P),
        "of the sum over all elements of y_pred, where forward",
    ),
}


def convention(report):
    return [row for row in report.rows if row.check == "belongs_to_forward"]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_that_fits_is_said(name):
    make, inputs, said = CONVENTIONS[name]
    report = check_layer(make(), *inputs, explore=False)
    assert report.ok, report.faults
    (row,) = convention(report)
    assert row.verdict is Verdict.WARNING
    assert said in row.note
    assert not check_layer(make(), *inputs, explore=False, strict=True).ok


class ClippedSoftmax:
    """Its clip cuts nothing at the given point, and everything at large scores."""

    def forward(self, x, t):
        self.y, self.t = softmax(x), t
        return -np.sum(np.log(np.clip(self.y, 1e-7, 1 - 1e-7)[np.arange(len(t)), t]))

    def backward(self, dout=1):
        return dout * (self.y - np.eye(self.y.shape[1])[self.t])


BEYOND = {
    ClippedSoftmax: (2 * LOGITS, LABELS),
    SoftmaxWithLoss: (LOGITS, LABELS),
    EpsilonInAnAttribute: (P, ONE_HOT),
    OfLogits: (P, ONE_HOT),
    Binary: (P, ONE_HOT),
    SigmoidWithLoss: (np.array([3.4, 3.5, -1.2, 0.7]), np.array([0, 0, 1, 1])),
}


@pytest.mark.parametrize("make", BEYOND)
def test_beyond_the_given_point_conventions_hold_too(make):
    inputs = BEYOND[make]
    report = check_layer(make(), *inputs)
    assert report.ok, report.faults
    assert "second call" in report.explored[0].derived


@pytest.mark.parametrize("make", [TakesNone, Pointwise])
def test_a_loss_without_a_cotangent_passes_without_a_word(make):
    report = check_layer(make(), LOGITS, P, explore=False)
    assert report.ok
    assert report.faults == []
    assert [row.primal for row in report.rows if row.check == "matches_numerical"] == [
        "y" if make is TakesNone else "y_pred"
    ]


def test_of_a_loss_for_each_row_the_functional_is_free():
    report = check_layer(Clipped(), P, ONE_HOT)
    assert report.ok
    assert report.faults == []
    (row,) = convention(report)
    assert row.verdict is Verdict.PASS
    assert "of the mean over axis 0 of y_pred" in row.note


@pytest.mark.parametrize(
    ("make", "inputs", "asked"),
    [
        (NotDividedByTheBatch, (LOGITS, LABELS), "sum"),
        (IgnoresDoutAndIsNotDivided, (LOGITS, LABELS), "sum"),
    ],
)
def test_a_missing_division_by_the_batch_is_wrong_unless_it_is_meant(make, inputs, asked):
    report = check_layer(make(), *inputs, explore=False)
    assert not report.ok
    assert report.faults[0].name == "constant-factor"
    assert f"pass loss={asked!r} if that is meant" in report.rows[0].note
    assert check_layer(make(), *inputs, explore=False, loss=asked).ok


def test_without_a_cotangent_the_functional_may_be_the_callers():
    report = check_layer(TakesNoneAndIsNotDivided(), LOGITS, P, explore=False)
    assert report.ok
    (row,) = convention(report)
    assert (row.verdict, "pass loss='sum' if that is meant" in row.note) == (Verdict.WARNING, True)
    assert not check_layer(TakesNoneAndIsNotDivided(), LOGITS, P, explore=False, strict=True).ok
    assert convention(check_layer(TakesNoneAndIsNotDivided(), LOGITS, P, explore=False, loss="sum")) == []


def test_a_factor_that_is_no_convention_is_wrong():
    report = check_layer(HalfForgotten(), LOGITS, P, explore=False)
    assert not report.ok
    assert report.faults[0].name == "constant-factor"
    assert convention(report) == []


def test_an_ignored_dout_is_a_warning_where_it_has_a_default():
    report = check_layer(IgnoresDout(), LOGITS, LABELS, explore=False)
    assert report.ok
    assert "ignores-cotangent" in [fault.name for fault in report.faults]
    assert "ignores-cotangent" not in [f.name for f in check_layer(SoftmaxWithLoss(), LOGITS, LABELS).faults]


def test_the_functional_can_be_given():
    class NoMean(TakesNone):
        def forward(self, y, t):
            return super().forward(y, t) * y.size

    assert "pass loss='mean'" in convention(check_layer(NoMean(), LOGITS, P, explore=False))[0].note
    assert check_layer(NoMean(), LOGITS, P, explore=False, loss=lambda y: y / LOGITS.size).ok
    assert check_layer(NoMean(), LOGITS, P, explore=False, loss="mean").ok
    with pytest.raises(ValueError, match="y holds no probabilities: leave it out, or pass some"):
        check_layer(NoMean(), LOGITS, P, explore=False, loss="logits")


class MeanInside:
    """A layer that divides its parameters' gradients by the batch size."""

    def __init__(self, **factors):
        self.W, self.b = normal(3, 2, seed=2), normal(2, seed=3)
        self.factors = {"W": 1, "b": 1, "x": 1, **factors}

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        n = len(dout)
        self.dW = self.factors["W"] * self.x.T @ dout / n
        self.db = self.factors["b"] * dout.sum(axis=0) / n
        return self.factors["x"] * dout @ self.W.T


def test_a_mean_inside_a_layer_is_said():
    report = check_layer(MeanInside(), normal(4, 3))
    assert report.ok, report.faults
    assert "divided by the length of axis 0 of x" in convention(report)[0].note


@pytest.mark.parametrize("factors", [{"W": -1}, {"W": 4}, {"x": 0.25}])
def test_a_mean_that_is_not_the_same_everywhere_is_wrong(factors):
    assert not check_layer(MeanInside(**factors), normal(4, 3), explore=False).ok


def test_an_epsilon_beside_a_mistake_is_not_taken_for_another():
    class Network:
        def __init__(self):
            self.first, self.loss = MeanInside(W=6, b=3), SoftmaxWithLoss()

        def forward(self, x, t):
            return self.loss.forward(self.first.forward(x), t)

        def backward(self, dout=1):
            return self.first.backward(self.loss.backward(dout))

    report = check_layer(Network(), normal(3, 3), np.array([0, 1, 1]), explore=False)
    assert not report.ok
    wrong = [row.primal for row in report.rows if row.check == "matches_numerical" and not row.verdict.ok]
    assert wrong == ["first.W"]
    assert report.faults[0].name == "constant-factor"


class NearlyItsDerivative:
    """A pointwise derivative that is off by another little in each element, as approximations are."""

    def fn(self, z):
        return np.tanh(z)

    def grad(self, z):
        return (1 - np.tanh(z) ** 2) * (1 + 1e-3 * np.sin(7 * z))


class Raises(TakesNone):
    def backward(self):
        raise AttributeError("no such thing")


@pytest.mark.parametrize(("make", "inputs"), [(NearlyItsDerivative, (LOGITS,)), (Raises, (LOGITS, P))])
def test_no_convention_is_made_up_for_what_none_explains(make, inputs):
    report = check_layer(make(), *inputs, explore=False)
    assert not report.ok
    assert convention(report) == []
    assert all("where forward takes" not in row.note for row in report.rows)
    assert {fault.name for fault in report.faults if fault.confidence} <= {"other-approximation"}


def domain_of(layer, *inputs):
    reading = read_layer(layer, inputs, {}, None, None, 0)
    bound = reading.bound
    settings = {"t": inputs[1]}
    return report_subject.inside_domain(bound, settings), bound.values, settings


def test_the_domain_of_a_loss_is_looked_at_once_for_a_point_and_not_for_every_element_moved(monkeypatch):
    looked = []
    real = report_subject._share_of_epsilon
    monkeypatch.setattr(
        report_subject, "_share_of_epsilon", lambda *where: looked.append(where) or real(*where)
    )
    forward, (x,), settings = domain_of(SoftmaxWithLoss(), LOGITS, LABELS)
    looked.clear()
    forward(x, **settings)
    for k in range(x.size):
        moved = x.copy()
        moved.flat[k] += 1e-3
        forward(moved, **settings)
    forward(x * 1.001, **settings)
    assert len(looked) == 1
    forward(x + 0.5, **settings)
    forward(x, t=np.array([1, 1, 1]))
    assert len(looked) == 3


def test_one_element_alone_can_leave_the_domain_of_a_loss():
    class Log:
        def forward(self, x, t):
            self.x = x
            return -np.sum(np.log(x[np.arange(len(x)), t] + 1e-7))

        def backward(self, dout=1.0):
            dx = np.zeros_like(self.x)
            dx[np.arange(len(dx)), LABELS] = -dout / self.x[np.arange(len(dx)), LABELS]
            return dx

    forward, (x,), settings = domain_of(Log(), P, LABELS)
    forward(x, **settings)
    tiny = x.copy()
    tiny[0, LABELS[0]] = 1e-8
    with pytest.raises(ValueError, match="the epsilon is what is left"):
        forward(tiny, **settings)


def test_where_the_epsilon_is_what_is_left_of_a_loss_is_outside_its_domain():
    forward, (x,), settings = domain_of(SoftmaxWithLoss(), LOGITS, LABELS)
    forward(x, **settings)
    sure = np.where(ONE_HOT == 1, -60.0, 60.0)
    with pytest.raises(ValueError, match="the epsilon is what is left"):
        forward(sure, **settings)


class DoubledWithLoss:
    """Scores, softmax and a cross-entropy with an epsilon that its gradient forgets; the gradient of W is doubled."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.W, self.b = 0.1 * rng.standard_normal((24, 8)), np.zeros(8)

    def forward(self, x, t):
        self.x, self.t, self.y = x, t, softmax(x @ self.W + self.b)
        return -np.mean(np.log(self.y[np.arange(len(t)), t] + 1e-7))

    def backward(self, dout=1.0):
        dscores = self.y.copy()
        dscores[np.arange(len(self.t)), self.t] -= 1
        dscores *= dout / len(self.t)
        self.dW, self.db = 2 * self.x.T @ dscores, dscores.sum(axis=0)
        return dscores @ self.W.T


def test_a_convention_is_found_beside_a_factor_in_many_elements():
    x, t = np.random.default_rng(1).standard_normal((4, 24)), np.array([0, 3, 5, 7])
    report = check_layer(DoubledWithLoss(), x, t, explore=False)
    # and not that all other gradients are off by the epsilon's share
    wrong = {row.primal for row in report.rows if row.verdict == "wrong" and row.check == "matches_numerical"}
    assert wrong == {"W"}
    assert (report.faults[0].name, report.faults[0].primal) == ("constant-factor", "W")


class AbsoluteDistance:
    """A mean over all entries, over the rows of a batch, or of features in columns; its gradient divides by `count`."""

    def __init__(self, mean, count):
        self.mean, self.count = mean, count

    def forward(self, pred, target):
        self.gap = pred - target
        return self.mean(np.abs(self.gap))

    def backward(self):
        return np.sign(self.gap) / self.count(*self.gap.shape)


def over_all(each):
    return each.mean()


def over_rows(each):
    return each.sum(axis=1).mean()


def over_columns(each):
    return each.sum(axis=0).mean()


@pytest.mark.parametrize(
    ("mean", "count", "ok"),
    [
        (over_all, lambda n, k: n * k, True),
        (over_all, lambda n, k: k, True),  # the sum over the batch
        (over_all, lambda n, k: 1, True),
        (over_all, lambda n, k: n, False),  # divided by the rows alone
        (over_rows, lambda n, k: n, True),
        (over_rows, lambda n, k: 1, True),
        (over_rows, lambda n, k: n * k, False),  # divided by the features too
        (over_columns, lambda n, k: k, True),
        (over_columns, lambda n, k: 1, True),  # examples in columns: the sum over them
    ],
)
def test_the_length_of_the_batch_is_a_convention_and_that_of_another_axis_a_mistake(mean, count, ok):
    report = check_layer(AbsoluteDistance(mean, count), normal(4, 3), -normal(4, 3))
    assert report.ok == ok
    assert ok or report.faults[0].name == "constant-factor"
