"""Faults that other gradient checkers pass: each is rejected as it stands, and its right version accepted."""

import numpy as np
import pytest

from gradlab import check_gradient, check_vjp

X = np.random.default_rng(5).standard_normal((3, 4))


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def rejected(forward, backward, *primals, **more):
    return not check_vjp(forward, backward, primals, **more).ok


def reads_memory_in_order(x, g):
    return (2 * x * g.ravel(order="K").reshape(g.shape),)


def refuses_strides(x, g):
    if not g.flags.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return (2 * x * g,)


def fills_from_its_buffer(x, g):
    # the bytes from the start of the view on, as a C extension without a look at the strides reads them
    base = g if g.base is None else g.base
    taken = np.resize(np.ravel(base, order="K"), g.size).reshape(g.shape)
    return (2 * x * taken,)


@pytest.mark.parametrize("backward", [reads_memory_in_order, refuses_strides, fills_from_its_buffer])
def test_a_cotangent_that_is_taken_for_contiguous(backward):
    np.testing.assert_array_equal(backward(X, np.ones_like(X)), d_square(X, np.ones_like(X)))
    assert rejected(square, backward, X)
    assert not rejected(square, d_square, X)


@pytest.mark.parametrize("clear", [lambda g: g.fill(0), lambda g: np.multiply(g, 0, out=g)])
def test_a_backward_that_zeroes_its_cotangent(clear):
    def backward(x, g):
        gradient = 2 * x * g
        clear(g)
        return (gradient,)

    assert rejected(square, backward, X)
    assert rejected(square, backward, X, explore=False)
    assert not rejected(square, lambda x, g: backward(x, g.copy()), X)


@pytest.mark.parametrize("explore", [True, False])
@pytest.mark.parametrize("kept_by", ["nothing", "shape and dtype"])
def test_a_backward_that_keeps_the_residuals_of_its_first_call(kept_by, explore):
    kept = {}

    def backward(x, g):
        key = () if kept_by == "nothing" else (x.shape, x.dtype)
        return (2 * kept.setdefault(key, x) * g,)

    assert rejected(square, backward, X[:2, :2], explore=explore)
    assert not rejected(square, d_square, X[:2, :2], explore=explore)


def test_a_backward_right_on_the_sampled_side_alone():
    absolute = lambda x: (np.abs(x), x)
    always_up = lambda x, g: (g.copy(),)
    positive = np.array([0.4, 1.3, 2.2])
    assert rejected(absolute, always_up, positive, explore="all")
    assert not rejected(absolute, always_up, positive, explore=False)
    assert not rejected(absolute, lambda x, g: (np.sign(x) * g,), positive, explore="all")


def test_a_mean_that_forgets_to_divide_sampled_at_a_batch_of_one():
    mean = lambda x: (x.mean(axis=0), x.shape)
    without = lambda shape, g: (np.array(np.broadcast_to(g, shape)),)
    one = X[:1]
    assert rejected(mean, without, one)
    assert not rejected(mean, without, one, explore=False)
    assert not rejected(mean, lambda shape, g: (np.array(np.broadcast_to(g, shape)) / shape[0],), one)


@pytest.mark.parametrize("scale", [1e-6, 1e-9])
def test_twice_too_large_where_all_is_tiny(scale):
    forward = lambda x: (scale * x**2, x)
    assert rejected(forward, lambda x, g: (4 * scale * x * g,), X)
    assert not rejected(forward, lambda x, g: (2 * scale * x * g,), X)


@pytest.mark.parametrize(("size", "more"), [(400, {}), (10_000, {"method": "complex-step"})])
def test_one_element_of_thousands_twice_too_large(size, more):
    x = np.random.default_rng(6).standard_normal(size)
    total = lambda x: (np.sum(x**2), x)

    def backward(x, g):
        gradient = 2 * x * g
        gradient[345:346] *= 2
        return (gradient,)

    report = check_vjp(total, backward, (x,), **more)
    assert not report.ok
    (row,) = (row for row in report.rows if row.check == "matches_numerical")
    assert row.worst_index == (345,)
    assert not rejected(total, d_square, x, **more)


def softmax(x):
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y, y


def d_softmax(y, g):
    return (y * (g - (g * y).sum(axis=-1, keepdims=True)),)


def test_a_softmax_with_a_backward_of_zeros():
    assert rejected(softmax, lambda y, g: (np.zeros_like(y),), X)
    assert not rejected(softmax, d_softmax, X)


def test_a_softmax_of_zeros_under_a_sum():
    zeros = lambda x: np.zeros_like(x)
    squared = lambda x: np.sum(softmax(x)[0] ** 2)
    d_squared = lambda x: d_softmax(softmax(x)[0], 2 * softmax(x)[0])[0]
    assert not check_gradient(squared, zeros, X).ok
    assert check_gradient(squared, d_squared, X).ok
    # the plain sum is 1 a row, whatever x: zeros are right, and the report says that nothing else was tried
    plain = check_gradient(lambda x: np.sum(softmax(x)[0]), zeros, X)
    assert plain.ok
    assert [fault.name for fault in plain.faults] == ["samples_can_fail"]


@pytest.mark.parametrize(
    "region",
    [lambda x: x < -2, lambda x: np.abs(x) > 10, lambda x: x > 10, lambda x: x < -10, lambda x: x == 0],
    ids=["x < -2", "|x| > 10", "x > 10", "x < -10", "x == 0"],
)
def test_wrong_in_a_region_where_nobody_sampled(region):
    inside = np.clip(X, -1.5, 1.5)
    assert not region(inside).any()
    forward = lambda x: (x**2 + 3 * x, x)
    right = lambda x, g: ((2 * x + 3) * g,)
    wrong = lambda x, g: (np.where(region(x), -1, 1) * right(x, g)[0],)
    assert rejected(forward, wrong, inside, explore="all")
    assert not rejected(forward, right, inside, explore="all")


def row_maximum(x):
    return x.max(axis=-1), x


def test_a_row_maximum_that_gives_every_tie_the_whole_cotangent():
    def all_of_them(x, g):
        return ((x == x.max(axis=-1, keepdims=True)) * g[..., None],)

    def the_first(x, g):
        gradient = np.zeros_like(x)
        np.put_along_axis(gradient, x.argmax(axis=-1)[..., None], g[..., None], axis=-1)
        return (gradient,)

    def each_its_share(x, g):
        mask = x == x.max(axis=-1, keepdims=True)
        return (mask * g[..., None] / mask.sum(axis=-1, keepdims=True, dtype=x.dtype),)

    few = X[:2, :3]
    assert rejected(row_maximum, all_of_them, few, explore="all")
    assert not rejected(row_maximum, all_of_them, few, explore=False)
    assert not rejected(row_maximum, the_first, few, explore="all")
    assert not rejected(row_maximum, each_its_share, few, explore="all")


def test_wrong_for_a_batch_of_one_alone():
    affine = lambda x, W: (x @ W, (x, W))
    right = lambda residuals, g: (g @ residuals[1].T, residuals[0].T @ g)

    def squeezed(residuals, g):
        dx, dW = right(residuals, g)
        return (dx, dW * (2 if len(g) == 1 else 1))

    W = np.random.default_rng(7).standard_normal((4, 2))
    assert rejected(affine, squeezed, X, W)
    assert not rejected(affine, squeezed, X, W, explore=False)
    assert not rejected(affine, right, X, W)
