"""Faults of layers that show off their defaults: they are looked for there, and right layers stay right."""

import numpy as np
import pytest

from gradlab import Verdict, check_cached_pair, check_layer


def normal(*shape, seed=0):
    return np.random.default_rng([17, seed]).standard_normal(shape)


class Convolution:
    """One input channel and one filter, by loops; `right` says what it gets right."""

    def __init__(self, kernel_size, stride=1, pad=0, right=("stride", "pad", "height")):
        self.W, self.right = normal(kernel_size, kernel_size, seed=1), right
        self.stride, self.pad = stride, pad

    def forward(self, x):
        self.x, k, s = (
            np.pad(x, ((0, 0), (self.pad, self.pad), (self.pad, self.pad))),
            len(self.W),
            self.stride,
        )
        rows, columns = ((n - k) // s + 1 for n in self.x.shape[1:])
        windows = [
            [
                np.sum(self.x[:, s * i : s * i + k, s * j : s * j + k] * self.W, axis=(1, 2))
                for j in range(columns)
            ]
            for i in range(rows)
        ]
        return np.array(windows).transpose(2, 0, 1)

    def backward(self, dout):
        dx, k = np.zeros_like(self.x), len(self.W)
        s = self.stride if "stride" in self.right else 1
        self.dW = np.zeros_like(self.W)
        rows, columns = dout.shape[1:] if "height" in self.right else dout.shape[1:][:1] * 2
        for i in range(rows):
            for j in range(columns):
                window = (slice(None), slice(s * i, s * i + k), slice(s * j, s * j + k))
                g = dout[:, i, j][:, None, None]
                dx[window] += g * self.W
                self.dW += np.sum(g * self.x[window], axis=0)
        p = self.pad if "pad" in self.right else 0
        return dx[:, p : dx.shape[1] - p, p : dx.shape[2] - p]


IMAGES = normal(2, 4, 4)


def test_a_right_convolution_stays_right():
    report = check_layer(Convolution(2), IMAGES, checks=["matches_numerical"])
    assert report.ok, report.faults
    looked = report.explored[0].derived
    for how in ("second call", "axis 2 of x longer", "stride=2", "pad=1", "pad=2"):
        assert how in looked


@pytest.mark.parametrize(
    ("right", "how"),
    [
        (("stride", "height"), "pad=1"),
        (("pad", "height"), "stride=2"),
        (("stride", "pad"), "axis 2 of x longer"),
    ],
)
def test_what_shows_only_for_another_stride_padding_or_shape(right, how):
    layer = Convolution(2, right=right)
    assert check_layer(layer, IMAGES, explore=False).ok
    report = check_layer(layer, IMAGES, checks=["matches_numerical"])
    assert not report.ok
    wrong = {row.sample for row in report.rows if row.verdict is Verdict.WRONG}
    assert any(how in sample for sample in wrong)


class Elu:
    def __init__(self, alpha=1.0, right=True):
        self.alpha, self.right = alpha, right

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * (np.exp(x) - 1))

    def backward(self, dout):
        alpha = self.alpha if self.right else 1.0
        return dout * np.where(self.x > 0, 1.0, alpha * np.exp(self.x))


def test_another_factor():
    assert check_layer(Elu(), normal(3, 4)).ok
    report = check_layer(Elu(right=False), normal(3, 4))
    assert [row.sample for row in report.rows if not row.verdict.ok] == ["given, alpha=0.6"]


class Embedding:
    def __init__(self, assign):
        self.W, self.assign = normal(5, 3, seed=2), assign

    def forward(self, ids):
        self.ids = ids
        return self.W[ids]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        if self.assign:
            self.dW[self.ids] = dout
        else:
            np.add.at(self.dW, self.ids, dout)


def test_repeated_ids():
    ids = np.array([0, 1, 4, 3])
    assert check_layer(Embedding(assign=False), ids).ok
    report = check_layer(Embedding(assign=True), ids)
    assert not report.ok
    assert report.faults[0].name == "last-write-wins"
    assert "ids with repeats" in report.faults[0].sentence


class Single(Embedding):
    def backward(self, dout):
        if len(set(self.ids.tolist())) < len(self.ids):
            raise ValueError("an id twice")
        super().backward(dout)


def test_what_repeated_ids_make_backward_raise_is_a_row():
    report = check_layer(Single(assign=True), np.array([0, 1, 4, 3]))
    assert not report.ok
    assert [row.sample for row in report.rows if "an id twice" in row.note] == ["given, ids with repeats"]


class Ranking:
    """Plackett-Luce: `order` holds a permutation in each row, so that everything is written that is made."""

    def forward(self, scores, order):
        self.order, self.s = order, np.take_along_axis(scores, order, axis=1)
        self.rest = np.logaddexp.accumulate(self.s[:, ::-1], axis=1)[:, ::-1]
        return np.sum(self.rest - self.s)

    def backward(self, dout=1.0):
        ds = np.exp(self.s) * np.cumsum(np.exp(-self.rest), axis=1) - 1
        dscores = np.empty_like(ds)
        np.put_along_axis(dscores, self.order, dout * ds, axis=1)
        return dscores


def test_a_permutation_stays_one():
    order = np.array([[0, 3, 1, 2], [2, 1, 0, 3], [3, 2, 1, 0]])
    report = check_layer(Ranking(), normal(3, 4, seed=5), order)
    assert report.ok
    assert not [row.sample for row in report.rows if "repeats" in row.sample]


class Chain:
    """The energy of springs between places; `twice` counts both ends of each."""

    def __init__(self, twice=False):
        self.twice = twice

    def forward(self, stiffness, bonds):
        self.n, self.bonds = 4, bonds
        self.H = np.zeros((4, 4))
        self.H[bonds[:, 0], bonds[:, 1]] = stiffness
        return self.H**2

    def backward(self, dout):
        d = 2 * dout * self.H
        return d[self.bonds[:, 0], self.bonds[:, 1]] * (2 if self.twice else 1)


def test_a_bond_that_is_written_over_is_no_error():
    """Of two equal bonds forward takes the second: what backward gives for the first is told and no more."""
    bonds, stiffness = np.array([[0, 1], [1, 2], [2, 3]]), normal(3, seed=6)
    report = check_layer(Chain(), stiffness, bonds)
    assert report.ok
    assert "given, bonds with repeats" in [
        row.sample for row in report.rows if row.verdict is Verdict.WARNING
    ]
    assert not check_layer(Chain(twice=True), stiffness, bonds).ok


class Bags:
    """Sums over parts of a row; where two begin at one place, reduceat gives the element there, and no empty sum."""

    def forward(self, x, begins):
        self.x, sizes = x, np.diff(np.append(begins, len(x)))
        self.bag = np.repeat(np.arange(len(begins)), sizes)
        return np.add.reduceat(x**2, begins) * (1 + np.arange(len(begins)))

    def backward(self, dout):
        return 2 * self.x * (dout * (1 + np.arange(len(dout))))[self.bag]


def test_where_parts_begin_is_not_repeated():
    assert check_layer(Bags(), normal(6, seed=9), np.array([0, 2, 5])).ok


class Rotation:
    """Points (N, 2, H) by matrices (N, 2, 3), of which forward takes the first two rows, whatever follows them."""

    def forward(self, x, theta):
        self.x, self.theta = np.concatenate([x, np.ones_like(x[:, :1])], axis=1), theta
        y = theta @ self.x
        return y[:, 0] * y[:, 1]

    def backward(self, dout):
        y = self.theta @ self.x
        dy = np.stack([dout * y[:, 1], dout * y[:, 0]], axis=1)
        return (np.swapaxes(self.theta[:, :2], 1, 2) @ dy)[:, :2], dy @ np.swapaxes(self.x, 1, 2)


def test_an_axis_whose_further_places_do_not_count_has_a_meaning():
    report = check_layer(Rotation(), normal(2, 2, 4, seed=7), normal(2, 2, 3, seed=8))
    assert report.ok
    assert "wrong-shape" not in [fault.name for fault in report.faults]


class Dropout:
    """On only while training; `scaled` says whether backward scales as forward does."""

    def __init__(self, training, scaled=True):
        self.training, self.scaled, self.rng = training, scaled, np.random.default_rng(1)

    def forward(self, x):
        self.mask = (self.rng.random(x.shape) > 0.4) / 0.6 if self.training else np.ones_like(x)
        return x * self.mask

    def backward(self, dout):
        return dout * (self.mask if self.scaled or not self.training else self.mask > 0)


def test_the_training_mode_of_a_layer_that_is_given_in_the_other():
    assert check_layer(Dropout(training=False), normal(3, 4)).ok
    report = check_layer(Dropout(training=False, scaled=False), normal(3, 4))
    assert not report.ok
    assert "training=True" in report.faults[0].sentence


class Normalisation:
    """Its backward is that of training, whatever the mode."""

    def __init__(self):
        self.mean, self.std = np.zeros(3), np.ones(3)

    def forward(self, x, train_flg=True):
        if not train_flg:
            return (x - self.mean) / self.std
        self.mean, self.std = x.mean(axis=0), x.std(axis=0)
        self.y = (x - self.mean) / self.std
        return self.y

    def backward(self, dout):
        centred = dout - dout.mean(axis=0) - self.y * np.mean(dout * self.y, axis=0)
        return centred / self.std


def test_the_evaluation_mode_is_a_warning_unless_it_is_asked_for():
    x = normal(5, 3)
    assert check_layer(Normalisation(), x).ok
    layer = Normalisation()
    layer.forward(normal(5, 3, seed=3))
    report = check_layer(layer, x)
    assert report.ok
    assert any("train_flg=False" in fault.sample for fault in report.faults)
    assert not check_layer(layer, x, settings={"train_flg": False}).ok


def test_a_batch_of_more_than_one():
    class Affine:
        def __init__(self, right):
            self.W, self.b, self.right = normal(3, 2, seed=4), normal(1, 2, seed=5), right

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW = self.x.T @ dout
            self.db = dout.sum(axis=0, keepdims=True) if self.right else dout
            return dout @ self.W.T

    assert check_layer(Affine(right=True), normal(1, 3)).ok
    report = check_layer(Affine(right=False), normal(1, 3))
    assert check_layer(Affine(right=False), normal(1, 3), explore=False).ok
    assert not report.ok
    assert report.faults[0].name == "missing-broadcast-sum"


def test_another_layout_in_memory():
    class Square:
        order = "C"

        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dout):
            return 2 * self.x * dout.ravel(order=self.order).reshape(dout.shape)

    class InMemoryOrder(Square):
        order = "K"

    assert check_layer(Square(), normal(3, 4)).ok
    report = check_layer(InMemoryOrder(), normal(3, 4))
    assert not report.ok
    assert any(fault.name == "assumes-contiguous" for fault in report.faults)


def test_beyond_its_domain_a_loss_is_left_alone():
    class Clipped:
        def forward(self, p, t):
            self.p, self.t = np.clip(p, 1e-3, 1 - 1e-3), t
            return -np.mean(t * np.log(self.p) + (1 - t) * np.log(1 - self.p))

        def backward(self, dout=1):
            return dout * (self.p - self.t) / (self.p * (1 - self.p)) / self.p.size

    p = np.random.default_rng(0).uniform(0.1, 0.9, (4, 2))
    assert check_layer(Clipped(), p, (p > 0.5).astype(float)).faults == []


def test_a_constructor_that_keeps_nothing_is_not_called_again():
    class Scaled:
        made = 0

        def __init__(self, scale, *, verbose):
            type(self).made += 1
            self.factor = scale

        def forward(self, x):
            return self.factor * x

        def backward(self, dout):
            return self.factor * dout

    layer = Scaled(2.0, verbose=False)
    assert check_layer(layer, normal(3, 4)).ok
    assert Scaled.made == 1


def test_a_large_layer_is_looked_at_along_directions():
    class Affine:
        def __init__(self):
            rng = np.random.default_rng(3)
            self.W, self.b = rng.standard_normal((300, 50)), np.zeros(50)

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
            self.dW[17, 3] *= self.factor
            return dout @ self.W.T

    x = np.random.default_rng(4).standard_normal((6, 300))
    right, wrong = Affine(), Affine()
    right.factor, wrong.factor = 1.0, 2.0
    report = check_layer(right, x, explore=False)
    assert report.ok
    assert max(row.evaluations or 0 for row in report.rows) < 100
    report = check_layer(wrong, x, explore=False)
    assert not report.ok
    row = next(row for row in report.rows if (row.check, row.primal) == ("matches_numerical", "W"))
    assert row.worst_index == (17, 3)
    with pytest.raises(ValueError, match="full_below"):
        check_layer(right, x, full_below=-1)


def test_full_below_is_the_callers():
    x = np.random.default_rng(5).standard_normal((4, 3))
    for report in (
        check_layer(Elu(), x, full_below=0),
        check_cached_pair(lambda x: (2 * x, None), lambda dout, cache: 2 * dout, (x,), full_below=0),
    ):
        assert "random direction" in report.rows[0].note
