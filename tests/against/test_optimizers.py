"""Optimizers compared with torch over 100 steps, with the settings that make torch's formula the same."""

from math import sqrt

import numpy as np
import pytest

from gradlab.textbook.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop

torch = pytest.importorskip("torch", reason="the comparison with torch needs it: pip install torch")

STEPS = 100
TOLERANCE = 1e-12  # of a parameter's largest element
NONE = 1e-300  # an epsilon that no sum notices, so that inside the root and outside it are the same


CASES = [
    (SGD, {"lr": 0.1}, "SGD", {}),
    (Momentum, {"lr": 0.1, "momentum": 0.8}, "SGD", {"momentum": 0.8}),
    (Nesterov, {"lr": 0.1, "momentum": 0.8}, "SGD", {"momentum": 0.8, "nesterov": True}),
    (AdaGrad, {"lr": 0.1, "epsilon": NONE}, "Adagrad", {"initial_accumulator_value": 0.1, "eps": 0}),
    (AdaGrad, {"lr": 0.1, "initial_accumulator_value": 0.0, "epsilon": NONE}, "Adagrad", {"eps": 0}),
    (RMSprop, {"lr": 0.1, "epsilon": NONE}, "RMSprop", {"alpha": 0.9, "eps": 0}),
    (
        RMSprop,
        {"lr": 0.1, "rho": 0.8, "momentum": 0.7, "epsilon": NONE},
        "RMSprop",
        {"alpha": 0.8, "momentum": 0.7, "eps": 0},
    ),
    (
        RMSprop,
        {"lr": 0.1, "rho": 0.8, "momentum": 0.7, "epsilon": NONE, "centered": True},
        "RMSprop",
        {"alpha": 0.8, "momentum": 0.7, "eps": 0, "centered": True},
    ),
    (Adam, {"lr": 0.1}, "Adam", {}),
    (Adam, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.01}, "Adam", {"betas": (0.5, 0.8)}),
    (AdamW, {"lr": 0.1}, "AdamW", {"weight_decay": 0.004}),
    (AdamW, {"lr": 0.1, "weight_decay": 0.3, "epsilon": 0.01}, "AdamW", {"weight_decay": 0.3}),
]


def torchs_epsilon(optimizer, step):
    """Return the epsilon of algorithm 1 that stands for Adam's epsilon hat at this step."""
    return optimizer.epsilon / sqrt(1 - optimizer.beta_2**step)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "settings", "name", "torchs"), CASES)
def test_a_hundred_steps(kind, settings, name, torchs, seed):
    rng = np.random.default_rng(seed)
    params = {"W": rng.standard_normal((3, 4)), "b": np.zeros(4), "scale": np.array(1.5)}
    tensors = {key: torch.tensor(p, requires_grad=True) for key, p in params.items()}
    ours, theirs = kind(**settings), getattr(torch.optim, name)(tensors.values(), lr=0.1, **torchs)
    for step in range(1, STEPS + 1):
        sizes = {key: 10.0 ** rng.uniform(-5, 1, p.shape) for key, p in params.items()}
        grads = {key: np.asarray(size * rng.standard_normal(size.shape)) for key, size in sizes.items()}
        if isinstance(ours, Adam):
            theirs.param_groups[0]["eps"] = torchs_epsilon(ours, step)
        for key, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[key])
        ours.update(params, grads)
        theirs.step()
        for key, tensor in tensors.items():
            expected = tensor.detach().numpy()
            largest = np.abs(expected).max()
            np.testing.assert_allclose(params[key], expected, rtol=0, atol=TOLERANCE * largest, err_msg=key)
