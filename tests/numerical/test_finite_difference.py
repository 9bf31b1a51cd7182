"""The textbook's numerical gradient, and the Jacobian, jvp and vjp that are derived from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab import numerical_gradient, numerical_jacobian, numerical_jvp, numerical_vjp


def test_the_textbooks_quadratic():
    np.testing.assert_allclose(
        numerical_gradient(lambda x: x[0] ** 2 + x[1] ** 2, np.array([3.0, 4.0])), [6, 8], rtol=1e-9
    )


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 1), (2, 1, 2), (0, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_every_shape_and_float_dtype(shape, dtype):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype=dtype)
    gradient = numerical_gradient(lambda x: np.sum(x**2), x, h=1e-2)
    assert gradient.shape == shape
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, 2 * x, rtol=1e-3, atol=1e-3)


def test_layouts_that_are_not_contiguous():
    base = np.random.default_rng(0).standard_normal((4, 6))
    for x in (base.T, base[::2, ::-1], np.asfortranarray(base)):
        kept = x.copy()
        np.testing.assert_allclose(numerical_gradient(lambda x: np.sum(x**3), x), 3 * kept**2, atol=1e-7)
        assert np.array_equal(x, kept)


def test_a_closure_sees_the_perturbation():
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(numerical_gradient(lambda _: x[0] * x[1], x), [2, 1], rtol=1e-8)


def test_x_is_restored_to_the_last_bit_when_f_raises():
    x = np.array([0.1, 0.2, 0.3])
    kept = x.copy()
    calls = iter(range(4))

    def f(x):
        if next(calls) == 3:
            raise RuntimeError("in the middle")
        return np.sum(x)

    with pytest.raises(RuntimeError, match="in the middle"):
        numerical_gradient(f, x)
    assert x.tobytes() == kept.tobytes()


def test_the_step_really_taken_is_what_it_divides_by():
    # at 1e9 the step 1e-4 is rounded by some 1e-7: dividing by 2e-4 would be off by a thousandth
    x = np.array([1e9])
    assert numerical_gradient(lambda x: x[0], x, h=1e-4)[0] == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("x", "cure"),
    [
        (np.array([1, 2]), r"astype\(float\)"),
        (np.array([True]), r"astype\(float\)"),
        (np.array([1.0], dtype=object), r"astype\(float\)"),
        (np.array([1j]), "imaginary"),
        ([1, 2], r"astype\(float\)"),
    ],
)
@pytest.mark.parametrize("vectorized", [False, True])
def test_input_in_which_no_small_step_can_be_taken(x, cure, vectorized):
    with pytest.raises(TypeError, match=cure):
        numerical_gradient(np.sum, x, vectorized=vectorized)


def test_read_only_input():
    x = np.ones(2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only.*x\.copy\(\)"):
        numerical_gradient(np.sum, x)


@pytest.mark.parametrize("returned", [np.ones(3), np.ones((1, 1)), np.ones(1)])
def test_f_that_returns_no_scalar(returned):
    with pytest.raises(ValueError, match=rf"shape \({returned.shape[0]},"):
        numerical_gradient(lambda x: returned, np.ones(2))


def test_f_that_returns_complex_or_text():
    with pytest.raises(TypeError, match="complex128"):
        numerical_gradient(lambda x: 1j, np.ones(2))
    with pytest.raises(TypeError, match="return one real number"):
        numerical_gradient(lambda x: "one", np.ones(2))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("vectorized", [False, True])
def test_non_finite_f_is_said_with_the_index(vectorized):
    x = np.array([[1.0, 1.0], [1.0, 5e-5]])
    with pytest.raises(ValueError, match=r"f is nan where x\[1, 1\] is moved by -0.0001"):
        numerical_gradient(lambda x: np.log(x).sum(axis=(-2, -1)), x, vectorized=vectorized)


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_step_that_vanishes(vectorized):
    with pytest.raises(ValueError, match=r"vanishes.*larger h"):
        numerical_gradient(lambda x: x.sum(axis=-1), np.array([1e15]), vectorized=vectorized)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_vectorized_is_the_same_to_the_last_bit(rows, columns, seed):
    x = np.random.default_rng(seed).standard_normal((rows, columns))
    f = lambda x: np.sin(x[..., 0, 0]) * x[..., -1, -1] ** 3
    assert np.array_equal(numerical_gradient(f, x), numerical_gradient(f, x, vectorized=True))


def test_vectorized_goes_in_chunks(monkeypatch):
    monkeypatch.setattr("gradlab.numerical.finite_difference.STACK_ELEMENTS", 30)
    sizes = []

    def f(stack):
        sizes.append(len(stack))
        return (stack**2).sum(axis=-1)

    x = np.arange(1.0, 8.0)
    np.testing.assert_allclose(numerical_gradient(f, x, vectorized=True), 2 * x, rtol=1e-7)
    assert sizes == [4, 4, 4, 2]


def test_vectorized_f_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"shape \(\) for a stack of 4 points"):
        numerical_gradient(np.sum, np.ones(2), vectorized=True)


def test_jacobian_jvp_and_vjp_agree():
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((3, 2)), rng.standard_normal(2)
    f = lambda x: np.tanh(A @ x)
    jacobian = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    v, g = rng.standard_normal(2), rng.standard_normal(3)
    np.testing.assert_allclose(numerical_jacobian(f, x), jacobian, atol=1e-8)
    np.testing.assert_allclose(numerical_jvp(f, (x,), (v,)), jacobian @ v, atol=1e-8)
    np.testing.assert_allclose(numerical_vjp(f, (x,), g)[0], g @ jacobian, atol=1e-8)


def test_jacobian_of_a_view_of_its_argument():
    np.testing.assert_allclose(numerical_jacobian(lambda x: x.T, np.ones((2, 3))).reshape(6, 6).sum(), 6)


def test_vjp_of_several_primals_and_outputs():
    x, y = np.array([2.0, 3.0]), np.array(5.0)
    f = lambda x, y: (x * y, x.sum() * y**2)
    dx, dy = numerical_vjp(f, (x, y), (np.array([1.0, -1.0]), np.array(2.0)))
    np.testing.assert_allclose(dx, [5 + 50, -5 + 50], rtol=1e-7)
    np.testing.assert_allclose(dy, 2 - 3 + 2 * 5 * 2 * 5, rtol=1e-7)
