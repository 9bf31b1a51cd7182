"""Another rank is tried where forward does with it what it does with the given one, and a fault there is a warning."""

import numpy as np
import pytest

from gradlab import check_vjp

X = np.random.default_rng(0).standard_normal((4, 6))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, y


def group_norm(x, groups=2):
    h = x.reshape(x.shape[0], groups, -1)
    h = h - h.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((h * h).mean(-1, keepdims=True) + 1e-5)
    return (h * scale).reshape(x.shape), (h * scale, scale)


def d_group_norm(count):
    def backward(residuals, g):
        h, scale = residuals
        d = g.reshape(h.shape)
        n = count(g, h)
        mean = d.sum(-1, keepdims=True) / n
        dot = (d * h).sum(-1, keepdims=True) / n
        return (((d - mean - h * dot) * scale).reshape(g.shape),)

    return backward


RIGHT = {
    "softmax": (softmax, lambda y, g: (y * (g - (g * y).sum(-1, keepdims=True)),), (X,)),
    "group norm": (group_norm, d_group_norm(lambda g, h: h.shape[-1]), (X.reshape(1, 4, 6),)),
    "an affine layer": (
        lambda x, w: (x @ w, (x, w)),
        lambda r, g: (
            g @ r[1].T,
            r[0].reshape(-1, r[0].shape[-1]).T @ g.reshape(-1, g.shape[-1]),
        ),
        (X, X.T[:, :3]),
    ),
    # which nobody means for three axes, and which says so
    "an affine layer of two axes": (
        lambda x, w: (x @ w, (x, w)),
        lambda r, g: (g @ r[1].T, r[0].T @ g),
        (X, X.T[:, :3]),
    ),
    "a sum along the first axis": (
        lambda x: (x.sum(0), x.shape),
        lambda s, g: (np.broadcast_to(g, s).copy(),),
        (X,),
    ),
}
WRONG = {
    "softmax along axis 1": (softmax, lambda y, g: (y * (g - (g * y).sum(1, keepdims=True)),), (X,)),
    "group norm of three axes": (
        group_norm,
        d_group_norm(lambda g, h: g.shape[1] // 2 * g.shape[2]),
        (X.reshape(1, 4, 6),),
    ),
    "a flip along axis 0": (
        lambda x: (x.cumsum(-1), None),
        lambda _, g: (np.flip(np.flip(g, 0).cumsum(-1), 0),),
        (X[0],),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_passes_without_a_word(name):
    report = check_vjp(*RIGHT[name])
    assert report.ok
    assert all(row.verdict != "warning" for row in report.rows), [row.sentence() for row in report.rows]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_right_in_one_rank_alone_is_a_warning(name):
    assert check_vjp(*WRONG[name], explore=False).ok
    report = check_vjp(*WRONG[name])
    assert report.ok
    warned = [row for row in report.rows if row.verdict == "warning"]
    assert warned
    assert all("axis" in row.sample or "axes" in row.sample for row in warned)


def test_what_holds_places_keeps_its_rank():
    seen = set()

    def forward(x, idx):
        seen.add(x.ndim)
        return x[idx], (x.shape, idx)

    def backward(residuals, g):
        d = np.zeros(residuals[0])
        np.add.at(d, residuals[1], g)
        return (d,)

    assert check_vjp(forward, backward, (X,), settings={"idx": np.array([0, 2, 1])}).ok
    assert seen == {2}


def test_an_integer_that_comes_twice_is_tried():
    def backward(residuals, g):
        d = np.zeros(residuals[0])
        d[residuals[1]] = g  # the last one wins
        return (d,)

    forward = lambda x, idx: (x[idx], (x.shape, idx))
    report = check_vjp(forward, backward, (X,), settings={"idx": np.array([0, 2])})
    assert report.ok
    assert any("twice" in row.sample for row in report.rows if row.verdict == "warning")
    # of a permutation none does
    whole = check_vjp(forward, backward, (X,), settings={"idx": np.array([3, 0, 2, 1])})
    assert not any("twice" in row.sample for row in whole.rows)


def test_a_length_of_the_output_that_follows_is_tried():
    def forward(x):
        n = x.shape[-1]
        pairs = x[:, : n // 2 * 2].reshape(len(x), -1, 2).mean(-1)
        return np.concatenate([pairs, x[:, n // 2 * 2 :]], axis=1), n

    backward = lambda n, g: (np.repeat(g, 2, axis=1)[:, :n] / 2,)
    report = check_vjp(forward, backward, (X,))
    assert report.ok
    assert any("axes of 6 made 7" in row.sample for row in report.rows if row.verdict == "warning")
