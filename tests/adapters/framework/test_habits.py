"""Who comes from gradcheck or check_grads is told what things are called here."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

X = np.array([0.3, -0.7])


def product(x, y):
    return x * y


def test_torch():
    torch = pytest.importorskip("torch", reason="habits of torch's users are understood: pip install torch")
    x = torch.tensor(X)
    with pytest.raises(ValueError, match="pass its arguments one by one, f, x, y, and not in a tuple"):
        check_torch(product, (x, x))
    with pytest.raises(TypeError, match=r"check_forward_ad.*give checks="):
        check_torch(product, x, x, check_forward_ad=True)


def test_jax():
    pytest.importorskip("jax", reason="habits of JAX's users are understood: pip install jax")
    with pytest.raises(ValueError, match="pass its arguments one by one, f, x, y, and not in a tuple"):
        check_jax(product, (X, X))
    with pytest.raises(TypeError, match=r"modes.*give checks="):
        check_jax(product, X, X, modes=["fwd"])
