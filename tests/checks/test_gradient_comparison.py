"""Two runs of one backward: equal up to rounding, which a badly conditioned point makes large, and a jump does not."""

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.checks.trial import Trial
from gradlab.checks.trial.gradient_comparison import compare_two_gradients
from gradlab.node import Node, Sample
from gradlab.verdict import Verdict


def batch_norm(x, gamma, beta):
    centred = x - x.mean(axis=0)
    std = np.sqrt((centred**2).mean(axis=0) + 1e-7)
    return gamma * centred / std + beta, (centred, std, gamma)


def d_batch_norm(residuals, g):
    centred, std, gamma = residuals
    scaled = centred / std
    d = g * gamma
    dx = (d - d.mean(axis=0) - scaled * (d * scaled).mean(axis=0)) / std
    return dx, (g * scaled).sum(axis=0), g.sum(axis=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_a_variance_of_rounding_alone_is_no_fault_of_the_layout(seed, dtype):
    # primals broadcast from one row: NumPy adds equal rows up in another order where their stride is 0
    rng = np.random.default_rng(seed)
    primals = tuple(rng.standard_normal(shape).astype(dtype) for shape in [(32, 64), 64, 64])
    report = check_vjp(
        batch_norm, d_batch_norm, primals, checks=["any_layout"], explore=False, full_below=0, seed=seed
    )
    assert report.ok, [row.sentence() for row in report.rows]


def trial_of(forward, backward, *primals, seed=0):
    sample = Sample("given", primals)
    return Trial(Node("made", "test", forward, backward, lambda rng: iter([sample])), sample, seed)


def test_a_difference_beyond_what_rounding_moves_is_wrong():
    x = np.array([1.0, 2.0, 3.0])
    trial = trial_of(lambda x: (x**2, x), lambda x, g: (2 * x * g,), x)
    expected = trial.gradients(trial.cotangent())[0]
    off = expected * (1 + 1e-6)
    assert compare_two_gradients(trial, 0, off, expected).verdict is Verdict.WRONG
    assert compare_two_gradients(trial, 0, expected * (1 + 1e-15), expected).verdict is Verdict.PASS


@pytest.mark.parametrize("seed", range(10))
def test_a_jump_at_a_tie_is_not_taken_for_rounding(seed):
    # moved by an ulp another of two equal elements is the largest, and gets the whole gradient
    x = np.array([[2.0, 2.0, 1.0]])

    def forward(x):
        return x.max(axis=1), (x.shape, x.argmax(axis=1))

    def backward(residuals, g):
        shape, first = residuals
        dx = np.zeros(shape)
        dx[np.arange(len(dx)), first] = g
        return (dx,)

    trial = trial_of(forward, backward, x, seed=seed)
    expected = trial.gradients(trial.cotangent())[0]
    swapped = expected[:, [1, 0, 2]]
    assert compare_two_gradients(trial, 0, swapped, expected).verdict is Verdict.WRONG


def test_a_backward_that_cannot_be_called_nearby_is_not_excused():
    calls = []

    def backward(x, g):
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("no more")
        return (2 * x * g,)

    trial = trial_of(lambda x: (x**2, x), backward, np.array([1.0, 2.0]))
    expected = trial.gradients(trial.cotangent())[0]
    assert compare_two_gradients(trial, 0, expected + 1e-3, expected).verdict is Verdict.WRONG
