"""Functions in the course style, right and wrong, in each way that they pass caches, cotangents and settings."""

import numpy as np
import pytest

from gradlab import Verdict, check_cached_pair


def normal(*shape, seed=0):
    return np.random.default_rng([19, seed]).standard_normal(shape)


X, W, B = normal(2, 3), normal(3, 2, seed=1), normal(2, seed=2)


def affine_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)


def cache_first(cache, dout):
    return affine_backward(dout, cache)


def as_dict(dout, cache):
    dx, dw, db = affine_backward(dout, cache)
    return {"dw": dw, "db": db, "dx": dx}


def as_list(dout, cache):
    return list(affine_backward(dout, cache))


@pytest.mark.parametrize("backward", [affine_backward, cache_first, as_dict, as_list])
def test_gradients_come_as_they_like(backward):
    report = check_cached_pair(affine_forward, backward, (X, W, B), checks=["matches_numerical"])
    assert report.ok, report.faults
    assert [row.primal for row in report.rows] == ["x", "w", "b"]
    assert {row.node for row in report.rows} == {"affine_forward"}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_gradient_is_looked_at(which):
    def backward(dout, cache):
        grads = list(affine_backward(dout, cache))
        grads[which] = -grads[which]
        return tuple(grads)

    report = check_cached_pair(affine_forward, backward, (X, W, B), explore=False)
    assert not report.ok
    assert (report.faults[0].name, report.faults[0].primal) == ("sign-flipped", "xwb"[which])


def test_a_gradient_that_does_not_come_back_is_wrong():
    report = check_cached_pair(
        affine_forward, lambda dout, cache: affine_backward(dout, cache)[:2], (X, W, B), explore=False
    )
    assert not report.ok
    (row,) = (row for row in report.rows if row.primal == "b")
    assert "no gradient of b came back" in row.note


def test_gradients_in_another_order_are_wrong():
    square = normal(3, 3, seed=3)

    def multiply(a, b):
        return a @ b, (a, b)

    def exchanged(dout, cache):
        a, b = cache
        return a.T @ dout, dout @ b.T

    report = check_cached_pair(multiply, exchanged, (square, normal(3, 3, seed=4)), explore=False)
    assert report.faults[0].name == "swapped-primals"


def test_one_gradient_comes_alone():
    def relu_forward(x):
        return np.maximum(0, x), x

    assert check_cached_pair(relu_forward, lambda dout, cache: dout * (cache > 0), (X,)).ok

    def sigmoid_forward(x):
        y = 1 / (1 + np.exp(-x))
        return y, y * (1 - y)

    assert check_cached_pair(sigmoid_forward, lambda dA, factor: dA * factor, (X,), explore=False).ok
    assert not check_cached_pair(relu_forward, lambda dout, cache: dout, (X,)).ok


def step_forward(x, prev_h, prev_c):
    c = x * prev_c + prev_h
    h = np.tanh(c)
    return h, c, (x, prev_c, h)


def step_backward(dnext_h, dnext_c, cache):
    x, prev_c, h = cache
    dc = dnext_c + dnext_h * (1 - h**2)
    return dc * prev_c, dc, dc * x


def forgets_the_cell(dnext_h, dnext_c, cache):
    return step_backward(dnext_h, np.zeros_like(dnext_c), cache)


def test_several_outputs_have_a_cotangent_each():
    primals = (X, normal(2, 3, seed=5), normal(2, 3, seed=6))
    assert check_cached_pair(step_forward, step_backward, primals).ok
    report = check_cached_pair(step_forward, forgets_the_cell, primals, explore=False)
    assert report.faults[0].name == "ignores-cotangent"


def pool_forward(x, pool_param):
    size, stride = pool_param["size"], pool_param["stride"]
    starts = range(0, x.shape[1] - size + 1, stride)
    out = np.stack([x[:, i : i + size].max(axis=1) for i in starts], axis=1)
    return out, (x, pool_param)


def pool_backward(dout, cache, assign=False):
    x, pool_param = cache
    dx = np.zeros_like(x)
    for k, i in enumerate(range(0, x.shape[1] - pool_param["size"] + 1, pool_param["stride"])):
        window = dx[:, i : i + pool_param["size"]]
        row, largest = np.arange(len(x)), x[:, i : i + pool_param["size"]].argmax(axis=1)
        window[row, largest] = dout[:, k] + (0 if assign else window[row, largest])
    return dx


def test_a_dict_of_settings_is_varied():
    x = normal(2, 6)
    settings = {"size": 2, "stride": 2}
    assert check_cached_pair(pool_forward, pool_backward, (x, settings), checks=["matches_numerical"]).ok

    def assigns(dout, cache):
        return pool_backward(dout, cache, assign=True)

    assert check_cached_pair(pool_forward, assigns, (x, settings), explore=False).ok
    report = check_cached_pair(pool_forward, assigns, (x, settings), checks=["matches_numerical"])
    assert not report.ok
    assert "pool_param['stride']=1" in report.faults[0].sentence
    assert settings == {"size": 2, "stride": 2}


def batchnorm_forward(x, gamma, beta, bn_param):
    mean, var = x.mean(axis=0), x.var(axis=0)
    bn_param["running_mean"] = 0.9 * bn_param.get("running_mean", np.zeros(x.shape[1])) + 0.1 * mean
    normal_x = (x - mean) / np.sqrt(var + 1e-5)
    return gamma * normal_x + beta, (normal_x, gamma, np.sqrt(var + 1e-5))


def batchnorm_backward(dout, cache):
    y, gamma, std = cache
    d = dout * gamma
    dx = (d - d.mean(axis=0) - y * (d * y).mean(axis=0)) / std
    return dx, (dout * y).sum(axis=0), dout.sum(axis=0)


def test_running_means_in_a_dict_of_settings():
    x, gamma, beta = normal(5, 3), normal(3, seed=7), normal(3, seed=8)
    bn_param = {"mode": "train", "running_mean": np.ones(3)}
    report = check_cached_pair(batchnorm_forward, batchnorm_backward, (x, gamma, beta, bn_param))
    assert report.ok, report.faults
    np.testing.assert_array_equal(bn_param["running_mean"], np.ones(3))

    def without_the_mean(dout, cache):
        y, gamma, std = cache
        return dout * gamma / std, (dout * y).sum(axis=0), dout.sum(axis=0)

    wrong = check_cached_pair(batchnorm_forward, without_the_mean, (x, gamma, beta, bn_param), explore=False)
    assert (wrong.faults[0].name, wrong.faults[0].primal) == ("missing-term", "x")


def activation_forward(A_prev, W, b, activation):
    Z = W @ A_prev + b
    return (np.tanh(Z) if activation == "tanh" else Z), (A_prev, W, Z)


def activation_backward(dA, cache, activation):
    A_prev, W, Z = cache
    dZ = dA * (1 - np.tanh(Z) ** 2) if activation == "tanh" else dA
    return W.T @ dZ, dZ @ A_prev.T, dZ.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_settings_that_backward_is_given_again(activation):
    primals = (normal(3, 4), normal(2, 3, seed=9), normal(2, 1, seed=10), activation)
    assert check_cached_pair(activation_forward, activation_backward, primals, explore=False).ok


def test_a_mean_inside_is_said():
    def averaged(dA, cache, activation):
        dA_prev, dW, db = activation_backward(dA, cache, activation)
        return dA_prev, dW / dA.shape[1], db / dA.shape[1]

    primals = (normal(3, 4), normal(2, 3, seed=9), normal(2, 1, seed=10), "tanh")
    report = check_cached_pair(activation_forward, averaged, primals, explore=False)
    assert report.ok
    (row,) = (row for row in report.rows if row.check == "belongs_to_forward")
    assert row.verdict is Verdict.WARNING
    assert "axis 1 of A_prev" in row.note


def softmax_forward(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean(), (p, y)


def softmax_backward(cache):
    p, y = cache
    d = p.copy()
    d[np.arange(len(y)), y] -= 1
    return d / len(y)


def test_a_loss_is_given_its_cache_alone():
    primals = (normal(3, 4), np.array([0, 3, 1]))
    assert check_cached_pair(softmax_forward, softmax_backward, primals).ok
    report = check_cached_pair(softmax_forward, lambda cache: 5 * softmax_backward(cache), primals)
    assert report.faults[0].name == "constant-factor"
    summed = lambda cache: len(cache[1]) * softmax_backward(cache)
    report = check_cached_pair(softmax_forward, summed, primals)
    assert report.ok
    assert "loss='sum'" in report.rows[-1].note


def dropout_forward(x, p=0.5):
    mask = np.random.rand(*x.shape) < p  # noqa: NPY002 # what people do
    return x * mask / p, (mask, p)


def test_random_numbers_are_held():
    assert check_cached_pair(dropout_forward, lambda dout, cache: dout * cache[0] / cache[1], (X,)).ok
    report = check_cached_pair(dropout_forward, lambda dout, cache: dout * cache[0], (X,), explore=False)
    assert not report.ok
    assert report.faults[0].name == "constant-factor"


def test_what_two_calls_keep_between_them_is_found():
    kept = {}

    def forward(x):
        kept.setdefault("x", x)
        return np.tanh(x), kept["x"]

    report = check_cached_pair(forward, lambda dout, cache: dout * (1 - np.tanh(cache) ** 2), (X,))
    assert not report.ok
    assert kept == {}


def test_strict_makes_errors_of_breaches():
    def square_forward(x):
        return 2 * x, None

    def in_place(dout, cache):
        dout *= 2
        return dout

    report = check_cached_pair(square_forward, in_place, (X,), explore=False)
    assert report.ok
    assert "mutates-argument" in [fault.name for fault in report.faults]
    assert not check_cached_pair(square_forward, in_place, (X,), explore=False, strict=True).ok


def rotate(x, y, angle=0.4):
    return np.cos(angle) * x - np.sin(angle) * y**2, x * y, (x, y, angle)


def rotate_back(gx, gy, cache, sign=1):
    x, y, angle = cache
    return np.cos(angle) * gx + y * gy, sign * -2 * np.sin(angle) * y * gx + x * gy


def odd_back(left, right, cache, sign=1):
    return rotate_back(left, right, cache, sign)


@pytest.mark.parametrize("backward", [rotate_back, odd_back])
def test_two_cotangents_before_the_cache_by_any_name(backward):
    points = normal(5, seed=71), normal(5, seed=72)
    assert check_cached_pair(rotate, backward, points).ok
    wrong = check_cached_pair(
        rotate, lambda left, right, cache: backward(left, right, cache, sign=-1), points
    )
    assert not wrong.ok
    assert wrong.faults[0].primal == "y"
