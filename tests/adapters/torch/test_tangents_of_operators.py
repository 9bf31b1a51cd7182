"""Forward mode of torch operators: what a right reverse mode agrees with is right, whatever differences see."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")

from gradlab import check_torch  # noqa: E402

RNG = np.random.default_rng(0)


def tensor(*shape):
    return torch.from_numpy(RNG.standard_normal(shape))


RIGHT = {
    # a staircase, whose steps differences take for slopes
    "round": (lambda x: torch.round(x, decimals=3), 5 * tensor(4)),
    # all that is left of the slopes is rounding: of two columns the coefficients are 1 and -1
    "corrcoef": (torch.corrcoef, tensor(3, 2)),
    "normalize": (lambda x: torch.nn.functional.normalize(x, dim=0), tensor(1, 4)),
    "nan": (lambda x: torch.log(x) * 0 + x, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)),
    "badly conditioned": (torch.linalg.inv, torch.ones(3, 3, dtype=torch.float64) + 1e-6 * tensor(3, 3)),
    "float32 inside": (lambda x: x.float().sin() * 2, tensor(4)),
}
FAULTS = {
    "cholesky_inverse": (
        lambda x: torch.cholesky_inverse(x.tril()),
        tensor(4, 4).tril() + 3 * torch.eye(4, dtype=torch.float64),
    ),
    "logcumsumexp": (
        lambda x: torch.logcumsumexp(x, 0),
        torch.tensor([-3.0, 40.0, 1.0, 30.0, 3.0], dtype=torch.float64),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_passes(name):
    for seed in range(4):
        report = check_torch(*RIGHT[name], checks=["forward_mode"], seed=seed)
        assert all(row.verdict != "wrong" for row in report.rows), [row.sentence() for row in report.rows]


# torch itself, the first time that it is asked for a forward mode
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_torchs_own_faults_are_found(name):
    """Where torch mends one, this says so: its reverse mode, which differences confirm, is another."""
    function, x = FAULTS[name]
    there = torch.func.jacrev(function)(x)
    if torch.allclose(torch.func.jacfwd(function)(x), there, rtol=1e-6):
        pytest.skip(f"torch {torch.__version__} has a right forward mode of {name}")
    assert check_torch(function, x, explore=False).ok
    report = check_torch(function, x, checks=["forward_mode"])
    assert any(row.verdict == "wrong" for row in report.rows)
