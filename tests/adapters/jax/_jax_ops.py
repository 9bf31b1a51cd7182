"""JAX's own functions, with arguments at which to check the gradients that JAX computes for them."""

import numpy as np
import pytest

from ..framework._draws import apart, definite, invertible, labels, normal, positive, probabilities

jax = pytest.importorskip("jax", reason="JAX's own gradients are checked: pip install jax")
jnp, lax, nn = jax.numpy, jax.lax, jax.nn


def _conv2d(x, w):
    return lax.conv_general_dilated(x, w, (2, 1), "SAME")


def _pool(function, start):
    return lambda x: lax.reduce_window(x, x.dtype.type(start), function, (1, 2, 2), (1, 2, 2), "VALID")


def _layer_norm(x, w, b):
    centred = x - x.mean(1, keepdims=True)
    return w * centred / jnp.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) + b


def _batch_norm(x, w, b):
    return w * (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5) + b


def _cross_entropy(x, labels):
    return -jnp.take_along_axis(nn.log_softmax(x), labels[:, None], 1).mean()


def _attention(q, k, v):
    return nn.softmax(q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)) @ v


def _lstm_cell(x, h, c, w, u, b):
    i, f, o, g = jnp.split(x @ w.T + h @ u.T + b, 4, 1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c


def _gru_cell(x, h, w, u):
    r, z, _ = jnp.split(x @ w.T + h @ u.T, 3, 1)
    n = jnp.tanh((x @ w.T)[:, -h.shape[1] :] + nn.sigmoid(r) * (h @ u.T)[:, -h.shape[1] :])
    return (1 - nn.sigmoid(z)) * n + nn.sigmoid(z) * h


def _rnn(xs, h, w):
    return lax.scan(lambda h, x: (jnp.tanh(h @ w + x), h), h, xs)


FUNCTIONS = {
    "exp": (jnp.exp, normal(2, 3)),
    "log": (jnp.log, positive(2, 3)),
    "sqrt": (jnp.sqrt, positive(2, 3)),
    "tanh": (jnp.tanh, normal(2, 3)),
    "abs": (jnp.abs, normal(2, 3)),
    "multiply": (jnp.multiply, normal(2, 3), normal(2, 1)),
    "divide": (jnp.divide, normal(2, 3), positive(3)),
    "power": (jnp.power, positive(2, 3), normal(3)),
    "clip": (lambda x: jnp.clip(x, -0.5, 0.5), normal(2, 3)),
    "where": (lambda x, y: jnp.where(x > 0, x, y), normal(2, 3), normal(2, 3)),
    "sum": (lambda x: x.sum(1), normal(2, 3)),
    "mean": (lambda x: x.mean(0), normal(2, 3)),
    "var": (lambda x: x.var(1), normal(3, 4)),
    "max": (lambda x: x.max(1), apart(2, 4)),
    "logsumexp": (lambda x: nn.logsumexp(x, 1), normal(2, 3)),
    "cumsum": (lambda x: jnp.cumsum(x, 1), normal(2, 3)),
    "concatenate": (lambda x, y: jnp.concatenate([x, y], 1), normal(2, 3), normal(2, 1)),
    "take": (lambda x, i: x[i], normal(4, 2), labels(5, 4)),
    "scatter": (lambda x, y: x.at[jnp.array([0, 2, 2])].add(y), normal(4, 2), normal(3, 2)),
    "sort": (lambda x: jnp.sort(x, 1), apart(2, 4)),
    "matmul": (jnp.matmul, normal(2, 3), normal(3, 4)),
    "einsum": (lambda a, b: jnp.einsum("ij,kj->ik", a, b), normal(2, 3), normal(4, 3)),
    "inverse": (jnp.linalg.inv, invertible(3)),
    "solve": (jnp.linalg.solve, invertible(3), normal(3, 2)),
    "logdet": (lambda a: jnp.linalg.slogdet(a)[1], definite(3)),
    "cholesky": (jnp.linalg.cholesky, definite(3)),
    "relu": (nn.relu, normal(2, 3)),
    "gelu": (nn.gelu, normal(2, 3)),
    "softplus": (nn.softplus, normal(2, 3)),
    "softmax": (nn.softmax, normal(2, 4)),
    "conv2d": (_conv2d, normal(1, 2, 5, 4), normal(2, 2, 3, 3)),
    "max_pool": (_pool(lax.max, -np.inf), apart(1, 4, 4)),
    "average_pool": (_pool(lax.add, 0), normal(1, 4, 4)),
    "layer_norm": (_layer_norm, normal(3, 4), normal(4), normal(4)),
    "batch_norm": (_batch_norm, normal(4, 3), normal(3), normal(3)),
    "cross_entropy": (_cross_entropy, normal(4, 3), labels(4, 3)),
    "mean_squared_error": (lambda y, t: ((y - t) ** 2).mean(), normal(2, 3), normal(2, 3)),
    "kl_divergence": (lambda p, q: (p * jnp.log(p / q)).sum(), probabilities(2, 3), probabilities(2, 3)),
    "attention": (_attention, normal(3, 2), normal(4, 2), normal(4, 2)),
    "lstm_cell": (
        _lstm_cell,
        normal(2, 3),
        normal(2, 2),
        normal(2, 2),
        normal(8, 3),
        normal(8, 2),
        normal(8),
    ),
    "gru_cell": (_gru_cell, normal(2, 3), normal(2, 2), normal(6, 3), normal(6, 2)),
    "scan": (_rnn, normal(3, 2), normal(2), normal(2, 2)),
}

# what is computed in bfloat16 as well
HALF = (
    "exp", "multiply", "divide", "sum", "mean", "logsumexp", "matmul", "gelu", "softmax", "layer_norm",
    "cross_entropy", "mean_squared_error", "attention",
)  # fmt: skip


def case(name, seed, dtype):
    """Return the function, and its arguments in this dtype."""
    rng = np.random.default_rng([seed, len(name)])
    function, *draws = FUNCTIONS[name]
    arrays = [draw(rng) for draw in draws]
    return function, [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]
