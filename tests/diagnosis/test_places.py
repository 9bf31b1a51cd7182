"""Right numbers at the wrong places, of the gradient or of the output; and what is told of a tie, a decay, a call."""

import numpy as np
import pytest

from gradlab import check_gradient, check_layer, check_vjp
from gradlab.textbook.models import check_model

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5))
W = RNG.standard_normal((5, 6))


def first_fault(forward, backward, *primals):
    report = check_vjp(forward, backward, primals, explore=False)
    assert not report.ok
    return report.faults[0]


def product(x, w):
    return np.tanh(x @ w), (x, w, np.tanh(x @ w))


def product_back(cache, g, order=slice(None), of_output=slice(None)):
    x, w, y = cache
    d = g[:, of_output] * (1 - y**2)
    return d @ w.T, (x.T @ d)[:, order]


def test_columns_in_another_order():
    check_vjp(product, product_back, (X, W)).raise_if_failed()
    fault = first_fault(product, lambda cache, g: product_back(cache, g, [0, 1, 4, 5, 2, 3]), X, W)
    assert (fault.name, fault.primal) == ("columns-exchanged", "w")
    assert (
        "along axis -1 the slices of the right gradient stand in the order 0 to 1, 4 to 5, 2 to 3"
        in fault.sentence
    )


def test_all_turned_round_has_another_name():
    fault = first_fault(product, lambda cache, g: product_back(cache, g, slice(None, None, -1)), X, W)
    assert fault.name in ("columns-exchanged", "axes-permuted")


def elementwise(x):
    return x**3, x


def test_outputs_that_have_each_others_cotangents():
    check_vjp(elementwise, lambda x, g: (3 * x**2 * g,), (X,)).raise_if_failed()
    fault = first_fault(product, lambda cache, g: product_back(cache, g, of_output=[3, 4, 5, 0, 1, 2]), X, W)
    assert fault.name in ("wrong-cotangent", "shifted")
    summed = lambda x: (np.stack([x.sum(), (x**2).sum(), (x**3).sum(), (x**4).sum()]), x)
    right = lambda x, g: (g[0] + 2 * g[1] * x + 3 * g[2] * x**2 + 4 * g[3] * x**3,)
    check_vjp(summed, right, (X,)).raise_if_failed()
    fault = first_fault(summed, lambda x, g: right(x, g[[0, 2, 1, 3]]), X)
    assert fault.name == "wrong-cotangent"
    assert "the cotangents of the output's places in the order 0, 2, 1, 3" in fault.sentence
    fault = first_fault(summed, lambda x, g: right(x, g * [1, 1, 0, 1]), X)
    assert fault.name == "ignores-cotangent"
    assert "nothing comes from the cotangents of the output's places 2" in fault.sentence


def channel_softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return y, y


def test_a_sum_over_another_axis_of_three():
    x = RNG.standard_normal((2, 3, 4))
    back = lambda axis: lambda y, g: (y * (g - (g * y).sum(axis=axis, keepdims=True)),)
    check_vjp(channel_softmax, back(1), (x,)).raise_if_failed()
    assert first_fault(channel_softmax, back(-1), x).name == "wrong-sum-axis"


class DecayNet:
    """A line with a loss that has a decay, or a gradient that has one."""

    def __init__(self, in_loss, in_gradient):
        self.params = {"W": W.copy(), "b": np.full(6, 0.2)}
        self.in_loss, self.in_gradient = in_loss, in_gradient

    def loss(self, x, t):
        off = x @ self.params["W"] + self.params["b"] - t
        return float((off**2).sum() / 2 + self.in_loss / 2 * (self.params["W"] ** 2).sum())

    def gradient(self, x, t):
        off = x @ self.params["W"] + self.params["b"] - t
        return {"W": x.T @ off + self.in_gradient * self.params["W"], "b": off.sum(axis=0)}


def test_a_net_is_told_its_mistake_and_a_decay_by_its_side():
    t = RNG.standard_normal((4, 6))
    assert check_model(DecayNet(0.3, 0.3), X, t).ok
    forgotten = check_model(DecayNet(0.3, 0.0), X, t).faults[0]
    added = check_model(DecayNet(0.0, 0.3), X, t).faults[0]
    assert (forgotten.name, forgotten.primal) == ("missing-term", "W")
    assert (added.name, added.primal) == ("additive-bias", "W")
    assert "0.3 times W is added" in added.sentence


class Prelu:
    def __init__(self, negative):
        self.alpha, self.negative = np.full(5, 0.25), negative

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, dout):
        at = self.x < 0 if self.negative else self.x > 0
        self.dalpha = (dout * self.x * at).sum(axis=0)
        return dout * np.where(self.x > 0, 1, self.alpha)


def test_equal_values_of_another_primal_are_no_ties_of_this_one():
    assert check_layer(Prelu(negative=True), X).ok
    report = check_layer(Prelu(negative=False), X)
    assert not report.ok
    assert "tie-or-kink" not in {fault.name for fault in report.faults}


class AddsUp:
    def __init__(self):
        self.dx = 0.0

    def forward(self, x):
        self.x = x
        return np.sin(x)

    def backward(self, dout):
        self.dx = self.dx + dout * np.cos(self.x)
        return self.dx


def test_what_a_second_call_adds_to_the_first_ones_is_told_as_that():
    fault = check_layer(AddsUp(), X).faults[0]
    assert fault.name == "accumulates"


class BreaksElsewhere:
    """Wrong at the given point for a reason of its own; for other batches its shape is wrong as well."""

    def forward(self, x):
        self.x = x
        return np.sin(x)

    def backward(self, dout):
        noise = np.cos(np.arange(self.x.size).reshape(self.x.shape) * self.x)
        return (dout * noise)[:4]


def test_a_shape_that_is_wrong_elsewhere_explains_no_number_here():
    report = check_layer(BreaksElsewhere(), X)
    assert not report.ok
    assert "wrong-shape" not in {fault.name for fault in report.faults if "given]" in fault.sentence}


def unrolled(x, w):
    """Return the states of a recurrence, of shape (examples, steps)."""
    h, states = np.zeros(len(x)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] + w * h)
        states.append(h)
    return np.stack(states, axis=1), (x, w, np.stack(states, axis=1))


def unrolled_back(cache, g, adds=True, carries=True):
    x, w, states = cache
    dx, dw, dh = np.zeros_like(x), np.zeros_like(w), np.zeros(len(x))
    for t in reversed(range(x.shape[1])):
        d = (g[:, t] + carries * dh) * (1 - states[:, t] ** 2)
        before = states[:, t - 1] if t else np.zeros(len(x))
        dx[:, t], dh = d, d * w
        dw = d * before + adds * dw
    return dx, dw


def test_a_recurrence_that_is_taken_back_in_part():
    w = np.array([0.7, -0.4, 0.9, 0.3])
    check_vjp(unrolled, unrolled_back, (X, w)).raise_if_failed()
    for changed in ({"adds": False}, {"carries": False}):
        fault = first_fault(unrolled, lambda cache, g, c=changed: unrolled_back(cache, g, **c), X, w)
        assert fault.name in ("missing-term", "last-write-wins", "zero-gradient"), changed
        names = {f.name for f in check_vjp(
            unrolled, lambda cache, g, c=changed: unrolled_back(cache, g, **c), (X, w), explore=False
        ).faults}  # fmt: skip
        assert "missing-term" in names or changed == {"adds": False}


class Classifier:
    """A softmax with the epsilon of the book, whose gradient may lack the length of the batch, or a parameter."""

    def __init__(self, divides=True, forgets=""):
        self.params = {"W": W.copy(), "b": np.full(6, 0.2)}
        self.divides, self.forgets = divides, forgets

    def predict(self, x):
        e = np.exp(x @ self.params["W"] + self.params["b"])
        return e / e.sum(axis=1, keepdims=True)

    def loss(self, x, t, train=False):
        return float(-np.log(self.predict(x)[np.arange(len(t)), t] + 1e-7).sum() / len(t))

    def gradient(self, x, t):
        d = self.predict(x)
        d[np.arange(len(t)), t] -= 1
        d /= len(t) if self.divides else 1
        found = {"W": x.T @ d, "b": d.sum(axis=0)}
        return {name: g for name, g in found.items() if name != self.forgets}


def test_an_epsilon_is_no_mistake_of_a_net_and_a_batch_that_is_forgotten_is():
    t = np.array([0, 2, 5, 1])
    right = check_model(Classifier(), X, t)
    assert right.ok
    assert any("without its epsilon" in row.note for row in right.rows)
    assert not check_model(Classifier(divides=False), X, t).ok
    # as many examples as the weight has rows: what is no epsilon is excused for no coincidence
    assert not check_model(
        Classifier(divides=False), RNG.standard_normal((5, 5)), np.array([0, 2, 5, 1, 3])
    ).ok
    assert not check_model(Classifier(forgets="b"), X, t).ok


class Dropped(Classifier):
    """With a dropout that the loss has only in training, as the gradient does."""

    def loss(self, x, t, train=False):
        self.mask = np.random.random(x.shape) > 0.3 if train else np.ones(x.shape)  # noqa: NPY002
        return super().loss(x * self.mask, t)

    def gradient(self, x, t):
        self.loss(x, t, train=True)
        return super().gradient(x * self.mask, t)


class DroppedTwice(Dropped):
    def gradient(self, x, t):
        return {name: 2 * g for name, g in super().gradient(x, t).items()}


def test_a_loss_that_trains_by_a_flag():
    t = np.array([0, 2, 5, 1])
    report = check_model(Dropped(), X, t)
    assert report.ok
    assert "the loss was taken with train=True, as the gradient is" in [row.note for row in report.rows]
    assert not check_model(DroppedTwice(), X, t).ok


def test_one_wrong_element_of_a_vector_is_no_border():
    """Which element of a model's parameters is wrong says nothing of ends, nor of regions."""
    fun = lambda x: np.sin(x[0]) * np.exp(x[1])
    slope = lambda x: np.array([np.cos(x[0]) * np.exp(x[1]), 3 * np.sin(x[0])])
    report = check_gradient(fun, slope, np.array([0.4, 0.9]))
    assert not report.ok
    assert [fault.name for fault in report.faults if fault.confidence] == []
    assert "the one element [1]" in str(report)
    longer = lambda x: np.append(slope(x[:2]), 1.0)
    report = check_gradient(lambda x: fun(x[:2]) + 2 * x[2], longer, np.array([0.4, 0.9, 0.1]), explore=False)
    assert "border" not in str(report)


def test_the_end_of_each_row_is_a_border():
    def forward(x):
        return np.diff(x), x

    def backward(x, g):
        zero = np.zeros((len(x), 1))
        return (np.hstack([-g, zero]) + np.hstack([zero, g[:, :-1], zero]),)

    assert first_fault(forward, backward, X).name == "border"


def test_a_value_at_a_kink_is_no_multiple():
    slope = lambda x: np.where(x == 0, 1.5, np.sign(x))
    report = check_gradient(lambda x: np.abs(x).sum(), slope, np.array([0.0, 1.0, -2.0]))
    assert report.faults[0].name == "tie-or-kink"


def test_round_numbers_are_not_rounded_ones():
    """Beside a constant of 1e8 everything is within float16's rounding of the terms."""
    report = check_gradient(lambda x: np.sum(1e8 + x**2), lambda x: 2000 * x, np.array([0.3, 1.0, -2.0]))
    assert report.faults[0].name == "constant-factor"


def test_a_slice_that_is_named_has_a_wrong_element():
    """Where the right gradient is 0 nothing shows, and the slices from the second on are not all wrong."""

    def forward(x):
        return x[3:8] ** 2, x

    def backward(x, g):
        dx = np.zeros_like(x)
        dx[2:7] = 2 * x[3:8] * g
        return (dx,)

    report = check_vjp(forward, backward, (np.random.default_rng(0).standard_normal(10),), explore=False)
    assert report.faults[0].name == "shifted"
    assert "moved by -1 along axis -1, zeros coming in" in report.faults[0].sentence
    assert not any("the index along axis 0 is not 0" in fault.sentence for fault in report.faults)


def test_what_a_note_says_is_told_once():
    def backward(x, g):
        of_another_layout = 1 if g.flags.c_contiguous else 2
        return (np.repeat(of_another_layout * g, x.shape[1]).reshape(x.shape),)

    report = check_vjp(lambda x: (x.sum(axis=1), x), backward, (X,))
    assert " ".join(str(report).split()).count("dout is every second") == 1


@pytest.mark.parametrize("size", [30, 500])
def test_of_many_elements_a_lost_share_is_named_as_of_few(size):
    """A whole Jacobian of many takes long, and is asked for where a few elements leave the mistake open."""
    rng = np.random.default_rng(0)
    index = np.concatenate([rng.permutation(size), rng.integers(0, size, 9)])

    def backward(x, g):
        dx = np.zeros_like(x)
        dx[index] = 2 * x[index] * g
        return (dx,)

    report = check_vjp(
        lambda x: (x[index] ** 2, x), backward, (rng.standard_normal(size),), explore=False, repair=False
    )
    assert report.faults[0].name == "last-write-wins"
    assert "only the last one's share is there" in report.faults[0].sentence


@pytest.mark.parametrize("size", [30, 500])
def test_of_many_elements_a_lost_sum_is_named_as_of_few(size):
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((4, size)), rng.standard_normal(size)
    report = check_vjp(
        lambda x, b: (np.tanh(x + b), (x, b)),
        lambda r, g: (g * (1 - np.tanh(r[0] + r[1]) ** 2), (g * (1 - np.tanh(r[0] + r[1]) ** 2))[-1]),
        (x, b),
        explore=False,
        repair=False,
    )
    assert report.faults[0].name == "missing-broadcast-sum"
    assert "is the last slice, not the sum" in report.faults[0].sentence


@pytest.mark.parametrize(("far", "name"), [(8.0, "single-element"), (0.5, "")])
def test_one_element_that_is_wrong_nearly_everywhere(far, name):
    """What else is wrong where the numbers are large does not hide it; what is wrong at the given point does."""

    def gradient(x):
        d = 2 * x
        d[0] += 1
        return d if np.abs(x).max() < far else d + np.array([0.0, 0.3, -0.2, 0.5])

    report = check_gradient(lambda x: x @ x, gradient, np.array([0.4, -0.9, 1.1, 0.2]), repair=False)
    names = [fault.name for fault in report.faults if fault.confidence]
    assert (names[:1] == [name]) if name else "single-element" not in names


def handed_on(share):
    """Return the backward of sums from step to step, which hands on a share of what comes back."""

    def backward(x, g):
        d, carry = np.zeros_like(x), np.zeros_like(g[0])
        for t in range(len(x) - 1, -1, -1):
            d[t] = carry = g[t] + share * np.cos(carry) * carry
        return (d,)

    return backward


def test_all_but_the_last_step_is_no_region():
    """What is wrong there was handed on."""
    x = np.random.default_rng(3).standard_normal((6, 2, 3))
    forward = lambda x: (np.cumsum(x, axis=0), x)
    report = check_vjp(forward, handed_on(0.5), (x,), explore=False, repair=False)
    assert not report.ok
    assert "masked-region" not in [fault.name for fault in report.faults]


@pytest.mark.parametrize(
    ("order", "name"), [((0, 2, 1), "transposed"), ((2, 1, 0), "transposed"), ((1, 2, 0), "axes-permuted")]
)
def test_two_exchanged_axes_are_a_transpose(order, name):
    x = np.random.default_rng(3).standard_normal((3, 3, 3))
    fault = first_fault(lambda x: (x**3, x), lambda x, g: ((3 * x**2 * g).transpose(order),), x)
    assert fault.name == name
