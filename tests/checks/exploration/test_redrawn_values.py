"""Primals are drawn again from what the given ones show of themselves, and keep it."""

import numpy as np
import pytest

from gradlab.checks.exploration.redrawn_values import redrawn

RNG = np.random.default_rng(41)
MIXED = RNG.standard_normal((5, 6))
SPREAD = RNG.uniform(0.5, 3, 12)
FACTOR = RNG.standard_normal((4, 6))
POSITIVE_DEFINITE = FACTOR @ FACTOR.T + np.eye(4)


def draws(x, count=20):
    rng = np.random.default_rng(42)
    kept = x.copy()
    found = [redrawn(x, rng) for _ in range(count)]
    assert np.array_equal(x, kept)
    assert all(new.shape == x.shape and new.dtype == x.dtype for new in found)
    return found


@pytest.mark.parametrize(
    "x",
    [MIXED, np.abs(MIXED), -np.abs(MIXED), MIXED.astype(np.float32), np.where(MIXED > 1, 0, MIXED)],
    ids=["mixed", "positive", "negative", "float32", "with zeros"],
)
def test_every_number_keeps_its_sign_and_the_range_of_those_with_the_same(x):
    for new in draws(x):
        assert np.array_equal(np.sign(new), np.sign(x))
        for own in (x > 0, x < 0):
            if own.any():
                # to within the rounding of a mean of two
                slack = 2 * float(np.finfo(x.dtype).eps) * np.abs(x).max()
                assert x[own].min() - slack <= new[own].min()
                assert new[own].max() <= x[own].max() + slack
        # and is another: what is right for the given numbers alone shows
        moved = x != 0
        assert (new[moved] != x[moved]).mean() > 0.9


def test_what_moves_is_drawn_anew_each_time():
    first, second = draws(MIXED, 2)
    assert (first != second).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shape", [(), (1,), (3, 3)])
def test_one_number_alone_stays_near_its_size(sign, shape):
    # no symmetric matrix: with one number in a corner
    x = np.full(shape, sign * 2.5)
    if shape == (3, 3):
        x[0, 1] = 0
    for new in draws(x):
        assert np.array_equal(np.sign(new), np.sign(x))
        size = np.abs(new[x != 0])
        assert (size >= 0.75 * 2.5).all()
        assert (size < 2.5).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whole_numbers_stay_whole_and_none_comes_twice_that_did_not(dtype):
    x = np.array([[3, -1, 0, 7], [2, 5, -4, 0]], dtype)
    for new in draws(x):
        assert np.array_equal(np.sort(new, axis=None), np.sort(x, axis=None))
        assert np.array_equal(np.sign(new), np.sign(x))
    assert any(not np.array_equal(new, x) for new in draws(x))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_rows_of_probabilities_still_add_up_to_one(shape):
    x = RNG.dirichlet(np.ones(4), shape[:-1]).reshape(shape)
    x[..., 0] = 0
    x /= x.sum(axis=-1, keepdims=True)
    for new in draws(x):
        np.testing.assert_allclose(new.sum(axis=-1), 1, rtol=1e-14)
        assert np.array_equal(new == 0, x == 0)
        assert (new >= 0).all()
        assert not np.allclose(new, x, atol=1e-3)


def test_rows_that_do_not_add_up_to_one_are_not_made_to():
    x = np.abs(MIXED)
    assert all(np.abs(new.sum(axis=-1) - 1).max() > 0.1 for new in draws(x))
    x = MIXED / MIXED.sum(axis=-1, keepdims=True)
    assert any(np.abs(new.sum(axis=-1) - 1).max() > 0.1 for new in draws(x))


def test_what_is_in_order_stays_in_order():
    up = np.sort(np.concatenate([SPREAD, -SPREAD[:5]]))
    for new in draws(up):
        assert (np.diff(new) >= 0).all()
        assert not np.allclose(new, up, atol=1e-3)
    for new in draws(up[::-1].copy()):
        assert (np.diff(new) <= 0).all()
        assert new.flags.c_contiguous
    # what is in no order gets none
    assert any((np.diff(new) < 0).any() and (np.diff(new) > 0).any() for new in draws(SPREAD))


def test_no_tie_is_made_where_there_was_none():
    for x in (np.array([0.4, 0.9, 2.2]), SPREAD, MIXED, np.sort(SPREAD)):
        for new in draws(x, 100):
            assert np.unique(new).size == x.size


def test_a_symmetric_matrix_stays_symmetric():
    x = MIXED[:5, :5] + MIXED[:5, :5].T
    for new in draws(x):
        assert np.array_equal(new, new.T)
    assert any(not np.allclose(new, x, atol=1e-3) for new in draws(x))
    assert any(not np.array_equal(new, new.T) for new in draws(MIXED[:, :5]))


@pytest.mark.parametrize("floor", [1.0, 1e-3])
def test_a_positive_definite_matrix_stays_so(floor):
    x = POSITIVE_DEFINITE - (1 - floor) * np.eye(4)
    # rank 6 in 4 dimensions: the least eigenvalue is that of the factor and the floor
    least = np.linalg.eigvalsh(x).min()
    assert least > 0
    for new in draws(x):
        assert np.linalg.eigvalsh(new).min() >= 0.99 * least
    # numbers drawn one by one make none: this is what the matrix is asked for
    assert any(not np.allclose(new, x, atol=1e-3) for new in draws(x))


def test_an_array_without_elements_or_of_zeros_stays_as_it_is():
    for x in (np.zeros((0, 3)), np.zeros((2, 3)), np.zeros(())):
        assert all(np.array_equal(new, x) for new in draws(x))
