"""Gradients of another function than forward: each has a name of its own, and its right version has none."""

from math import erf, pi, sqrt

import numpy as np
import pytest

from gradlab import check_vjp

X = np.random.default_rng(0).standard_normal((4, 5))
GAIN = np.array([0.3, -1.2, 2.0, 0.7, 1.6])
IDS = np.array([[0, 1, 1], [2, 2, 4], [3, 3, 3]])


def first_name(forward, backward, *primals):
    report = check_vjp(forward, backward, primals, explore=False)
    assert not report.ok
    return report.faults[0].name, report.faults[0].evidence


def norm(x):
    centred = x - x.mean(-1, keepdims=True)
    size = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return GAIN * centred / size, (centred / size, size)


def inner(cache, g):
    n, size = cache
    return (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True)) / size


def test_a_gain_behind_the_means():
    check_vjp(norm, lambda cache, g: (inner(cache, GAIN * g),), (X,)).raise_if_failed()
    assert first_name(norm, lambda cache, g: (GAIN * inner(cache, g),), X)[0] == "wrong-order"


def gelu(x):
    return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), x


SCALE = sqrt(2 / pi)


def gelu_gradient(x, g, c=SCALE):
    t = np.tanh(c * (x + 0.044715 * x**3))
    return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2)),)


def exact_gelu_gradient(x, g):
    normal = 0.5 * (1 + np.array([erf(v / sqrt(2)) for v in x.ravel()]).reshape(x.shape))
    return (g * (normal + x * np.exp(-(x**2) / 2) / sqrt(2 * pi)),)


def test_another_approximation_and_rounded_constants():
    check_vjp(gelu, gelu_gradient, (X,)).raise_if_failed()
    assert first_name(gelu, exact_gelu_gradient, X)[0] == "other-approximation"
    assert first_name(gelu, lambda x, g: gelu_gradient(x, g, 0.79788), X)[0] == "rounded-constants"
    rounded = lambda x, g: (gelu_gradient(x, g)[0].astype(np.float32).astype(float),)
    assert first_name(gelu, rounded, X)[0] == "float32-round-trip"


def logistic(x):
    return 1 / (1 + np.exp(-1.702 * x)), x


def test_a_rougher_approximation():
    """Up to a tenth off, and by more far out, where nobody looks; a term that turns signs is none."""
    right = lambda x, g: (g * 1.702 * logistic(x)[0] * logistic(-x)[0],)
    of_the_normal = lambda x, g: (g * np.exp(-(x**2) / 2) / sqrt(2 * pi),)
    check_vjp(logistic, right, (X,)).raise_if_failed()
    assert first_name(logistic, of_the_normal, X)[0] == "other-approximation"
    turned = lambda x, g: (right(x, g)[0] - 0.1 * g,)
    assert first_name(logistic, turned, X)[0] != "other-approximation"


def unit(x):
    size = np.sqrt((x * x).sum(-1, keepdims=True)) + 1e-4
    return x / size, (x, size)


def without_epsilon(cache, g):
    x, size = cache
    u = x / size
    return ((g - u * (g * u).sum(-1, keepdims=True)) / size,)


def test_an_epsilon_that_backward_leaves_out():
    assert first_name(unit, without_epsilon, X)[0] == "epsilon-mismatch"


def test_the_gradient_by_the_logarithm():
    width = np.abs(X) + 0.5
    kernel = lambda width: (np.exp(-1 / width**2), width)
    right = lambda width, g: (g * np.exp(-1 / width**2) * 2 / width**3,)
    check_vjp(kernel, right, (width,)).raise_if_failed()
    assert first_name(kernel, lambda width, g: (right(width, g)[0] * width,), width)[0] == "log-parameter"


def test_a_cotangent_as_it_came():
    square_root = lambda x: (np.sqrt(1 + x * x), x)
    assert first_name(square_root, lambda x, g: (g.copy(),), X)[0] == "straight-through"


def test_repeats_within_a_group_that_are_lost():
    bags = lambda w: (w[IDS].sum(axis=1), w.shape)

    def once(shape, g):
        d = np.zeros(shape)
        for ids, part in zip(IDS, g, strict=True):
            d[ids] += part
        return (d,)

    name, evidence = first_name(bags, once, np.random.default_rng(1).standard_normal((6, 3)))
    assert name == "last-write-wins"
    assert "several times" in evidence


def test_a_sum_over_the_other_axis():
    def softmax(x):
        e = np.exp(x - x.max(axis=0, keepdims=True))
        p = e / e.sum(axis=0, keepdims=True)
        return p, p

    gradient = lambda p, g, axis: (p * (g - (g * p).sum(axis=axis, keepdims=True)),)
    check_vjp(softmax, lambda p, g: gradient(p, g, 0), (X,)).raise_if_failed()
    assert first_name(softmax, lambda p, g: gradient(p, g, 1), X)[0] == "wrong-sum-axis"


@pytest.mark.parametrize("step", [1, -1])
def test_the_cotangent_of_the_step_before(step):
    def running(x):
        states, state = [], np.zeros(x.shape[1])
        for row in x:
            state = np.tanh(row + 0.5 * state)
            states.append(state)
        return np.stack(states), np.stack(states)

    def back(states, g):
        d, state = np.zeros_like(states), np.zeros(states.shape[1])
        for t in reversed(range(len(states))):
            d[t] = (g[t] + state) * (1 - states[t] ** 2)
            state = 0.5 * d[t]
        return (d,)

    check_vjp(running, back, (X,)).raise_if_failed()
    name, evidence = first_name(running, lambda states, g: back(states, np.roll(g, step, axis=0)), X)
    assert name == "wrong-cotangent"
    assert f"moved by {step:+d}" in evidence


def test_a_mask_that_is_forgotten_behind_a_product():
    w = np.random.default_rng(2).standard_normal((5, 3))
    mask = np.random.default_rng(3).random((4, 3)) > 0.4
    masked = lambda x: ((x @ w) * mask, None)
    check_vjp(masked, lambda _, g: ((g * mask) @ w.T,), (X,), explore=False).raise_if_failed()
    name, evidence = first_name(masked, lambda _, g: (g @ w.T,), X)
    assert name == "masked-region"
    assert "set to 0 where the output" in evidence
