"""Gradients at an optimum, as a solver leaves it: all of them is a residue beside the function's ordinary slopes."""

import numpy as np
import pytest

from gradlab import Verdict, check_gradient


def fitted(seed):
    """Return the negative log-likelihood of a gamma model, its gradient, and parameters as near to its fit as 1e-12."""
    rng = np.random.default_rng(seed)
    spread = 30 + 10 * rng.standard_normal(60)
    design = np.stack([np.ones(60), rng.standard_normal(60), spread], axis=1)
    y = rng.gamma(2, 1, 60)
    loss = lambda b: float(np.sum(y * np.exp(-design @ b) + design @ b))
    gradient = lambda b: design.T @ (1 - y * np.exp(-design @ b))
    b = np.zeros(3)
    for _ in range(60):
        b = b - np.linalg.solve(design.T @ (design * (y * np.exp(-design @ b))[:, None]), gradient(b))
    return loss, gradient, b + 10.0 ** rng.uniform(-15, -11) * rng.standard_normal(3) * [1, 1, 0.1]


def test_the_gradient_at_a_fit_is_decided():
    verdicts = []
    for seed in range(161, 201):
        loss, gradient, b = fitted(seed)
        report = check_gradient(loss, gradient, b, checks=["matches_numerical"], explore=False)
        verdicts.append(report.rows[0].verdict)
    assert Verdict.WRONG not in verdicts
    # where the solver stopped so early that its residue is large
    assert verdicts.count(Verdict.INCONCLUSIVE) <= 2


@pytest.mark.parametrize("seed", range(181, 185))
def test_a_wrong_one_is_found(seed):
    loss, gradient, b = fitted(seed)
    off = lambda b: gradient(b) + 1e-6
    assert not check_gradient(loss, off, b, checks=["matches_numerical"], explore=False).ok


@pytest.mark.parametrize("constant", [1e8, 1e9, 1e10])
def test_a_slope_beside_a_large_constant_is_not_taken_for_a_residue(constant):
    loss = lambda x: float(np.sum(constant + np.sin(x)))
    x = np.array([0.3, 1.2, -0.5])
    right = check_gradient(loss, np.cos, x, checks=["matches_numerical"], explore=False).rows[0]
    assert right.verdict is Verdict.INCONCLUSIVE
    off = check_gradient(loss, lambda x: 1.01 * np.cos(x), x, checks=["matches_numerical"], explore=False)
    assert off.rows[0].verdict is Verdict.WRONG
