"""Torch's own functions and modules, with arguments at which to check the gradients that torch computes for them."""

import numpy as np
import pytest

from ..framework._draws import apart, definite, invertible, labels, normal, positive

torch = pytest.importorskip("torch", reason="torch's own gradients are checked: pip install torch")
F, nn = torch.nn.functional, torch.nn


def _lstm_cell(x, h, c, w, u, b):
    i, f, o, g = (x @ w.T + h @ u.T + b).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _scatter(x, src):
    return x.scatter_add(0, torch.tensor([[0, 1, 1], [2, 0, 1]]), src)


# elementwise, reductions, shapes and indices, linear algebra
FUNCTIONS = {
    "exp": (torch.exp, normal(2, 3)),
    "log": (torch.log, positive(2, 3)),
    "sqrt": (torch.sqrt, positive(2, 3)),
    "tanh": (torch.tanh, normal(2, 3)),
    "abs": (torch.abs, normal(2, 3)),
    "add": (lambda x, y: x + y, normal(2, 3), normal(3)),
    "multiply": (lambda x, y: x * y, normal(2, 3), normal(2, 1)),
    "divide": (lambda x, y: x / y, normal(2, 3), positive(3)),
    "power": (lambda x, y: x**y, positive(2, 3), normal(3)),
    "clamp": (lambda x: x.clamp(-0.5, 0.5), normal(2, 3)),
    "sum": (lambda x: x.sum(1), normal(2, 3)),
    "mean": (lambda x: x.mean(0), normal(2, 3)),
    "var": (lambda x: x.var(1), normal(3, 4)),
    "amax": (lambda x: x.amax(1), apart(2, 4)),
    "logsumexp": (lambda x: x.logsumexp(1), normal(2, 3)),
    "cumprod": (lambda x: x.cumprod(1), positive(2, 3)),
    "cat": (lambda x, y: torch.cat([x, y], 1), normal(2, 3), normal(2, 1)),
    "take": (lambda x: x[[0, 2, 2]], normal(3, 2)),
    "scatter_add": (_scatter, normal(3, 3), normal(2, 3)),
    "sort": (lambda x: x.sort(1), apart(2, 4)),
    "split": (lambda x: x.split([1, 3], 1), normal(2, 4)),
    "matmul": (torch.matmul, normal(2, 3), normal(3, 4)),
    "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b), normal(2, 3), normal(4, 3)),
    "inverse": (torch.linalg.inv, invertible(3)),
    "solve": (torch.linalg.solve, invertible(3), normal(3, 2)),
    "logdet": (torch.logdet, definite(3)),
}

# activations, convolution, pooling, normalisation, losses, recurrence, attention
FUNCTIONS |= {
    "relu": (F.relu, normal(2, 3)),
    "gelu": (F.gelu, normal(2, 3)),
    "softplus": (F.softplus, normal(2, 3)),
    "softmax": (lambda x: F.softmax(x, 1), normal(2, 4)),
    "prelu": (F.prelu, normal(2, 3), positive(3)),
    "conv2d": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), normal(1, 2, 5, 4), normal(2, 2, 3, 3)),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2),
        normal(1, 2, 2, 3),
        normal(2, 1, 2, 2),
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), apart(1, 2, 4, 4)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, padding=1), normal(1, 2, 4, 4)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), normal(3, 4), normal(4), normal(4)),
    "group_norm": (lambda x: F.group_norm(x, 2), normal(2, 4, 3)),
    "cross_entropy": (F.cross_entropy, normal(4, 3), labels(4, 3)),
    "mse_loss": (F.mse_loss, normal(2, 3), normal(2, 3)),
    "bce_with_logits": (lambda x, t: F.binary_cross_entropy_with_logits(x, t), normal(2, 3), positive(2, 3)),
    "cosine_similarity": (F.cosine_similarity, normal(2, 3), normal(2, 3)),
    "embedding": (lambda w, i: F.embedding(i, w), normal(4, 2), labels(5, 4)),
    "attention": (F.scaled_dot_product_attention, normal(1, 3, 2), normal(1, 4, 2), normal(1, 4, 2)),
    "lstm_cell": (
        _lstm_cell,
        normal(2, 3),
        normal(2, 2),
        normal(2, 2),
        normal(8, 3),
        normal(8, 2),
        normal(8),
    ),
}

MODULES = {
    "Linear": (lambda: nn.Linear(3, 2), normal(4, 3)),
    "Conv2d": (lambda: nn.Conv2d(2, 2, 2, stride=2), normal(1, 2, 4, 5)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), normal(4, 3)),
    "BatchNorm1d in evaluation": (lambda: nn.BatchNorm1d(3).eval(), normal(4, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(4), normal(3, 4)),
    "Dropout": (lambda: nn.Dropout(0.5), normal(3, 4)),
    "LSTM": (lambda: nn.LSTM(2, 2), normal(3, 1, 2)),
    "GRU": (lambda: nn.GRU(2, 2), normal(3, 1, 2)),
    "GRUCell": (lambda: nn.GRUCell(2, 2), normal(2, 2), normal(2, 2)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(2, 1), *[normal(2, 1, 2)] * 3),
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)), normal(2, 3)),
}

# what is computed in bfloat16 and float16 as well
HALF = (
    "exp", "multiply", "divide", "sum", "mean", "logsumexp", "matmul", "gelu", "softmax", "layer_norm",
    "cross_entropy", "mse_loss", "attention", "embedding",
)  # fmt: skip


def case(name, seed, dtype):
    """Return the function or module, and its arguments in this dtype."""
    rng = np.random.default_rng([seed, len(name)])
    what, *draws = (FUNCTIONS | MODULES)[name]
    if name in MODULES:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            what = what().to(dtype)
    arrays = [torch.as_tensor(draw(rng)) for draw in draws]
    return what, [x.to(dtype) if x.is_floating_point() else x for x in arrays]
