"""A cotangent has the output's shape: another one would be broadcast, and give another gradient in silence."""

import numpy as np
import pytest

from gradlab import estimate_vjp, numerical_vjp

X = np.ones(3)


@pytest.mark.parametrize("vjp", [numerical_vjp, estimate_vjp])
@pytest.mark.parametrize(
    ("f", "cotangent", "told"),
    [
        (lambda x: 2 * x, np.ones((3, 1)), r"shape \(3, 1\), f's output \(3,\)"),
        (lambda x: 2 * x, 1.0, r"shape \(\), f's output \(3,\)"),
        (lambda x: np.outer(x, [1, 2]), np.ones((2, 3)), r"shape \(2, 3\), f's output \(3, 2\)"),
        (lambda x: (x, x.sum()), (np.ones(3), np.ones(1)), r"2 parts, \(3,\), \(1,\), f's output 2 parts"),
        (lambda x: (x, x.sum()), np.ones(3), r"shape \(3,\), f's output 2 parts, \(3,\), \(\)"),
    ],
)
def test_another_shape_is_refused_with_the_cure(vjp, f, cotangent, told):
    with pytest.raises(ValueError, match=told + r".*: give it the output's shape"):
        vjp(f, (X,), cotangent)


def test_the_output_of_one_number_takes_a_number():
    assert np.allclose(numerical_vjp(lambda x: x @ x, (X,), 1.0)[0], 2)
    assert np.allclose(estimate_vjp(lambda x: x @ x, (X,), 1.0)[0].value, 2)


def test_whatever_f_raises_at_a_moved_point_lies_outside_its_domain():
    def f(x):
        if x[0] != 1:
            raise AttributeError("made where nobody looked")
        return x * x

    (estimate,) = estimate_vjp(f, (X,), X)
    assert np.isinf(estimate.error[0])
    assert np.allclose(estimate.value[1:], 2)
