"""Products of vectors, matrices and batches of them."""

import numpy as np

from ._entry import normal, right
from .arithmetic import multiply_backward


def matmul(a, b):
    return a @ b, (a, b)


def batched_matmul_backward(cache, g):
    a, b = cache
    return g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g


def shared_weight_matmul_backward(cache, g):
    x, W = cache
    return g @ W.T, np.tensordot(x, g, axes=((0, 1), (0, 1)))


def dot(a, b):
    return np.dot(a, b), (a, b)


def outer(u, v):
    return np.outer(u, v), (u, v)


def outer_backward(cache, g):
    u, v = cache
    return g @ v, u @ g


def bilinear(x, W, y):
    return np.einsum("bi,kij,bj->bk", x, W, y), (x, W, y)


def bilinear_backward(cache, g):
    x, W, y = cache
    dx = np.einsum("bk,kij,bj->bi", g, W, y)
    dW = np.einsum("bk,bi,bj->kij", g, x, y)
    dy = np.einsum("bk,bi,kij->bj", g, x, W)
    return dx, dW, dy


def einsum_chain(a, b, c):
    return np.einsum("ij,jk,kl->il", a, b, c), (a, b, c)


def einsum_chain_backward(cache, g):
    a, b, c = cache
    return (
        np.einsum("il,jk,kl->ij", g, b, c),
        np.einsum("il,ij,kl->jk", g, a, c),
        np.einsum("il,ij,jk->kl", g, a, b),
    )


ENTRIES = [
    right("matmul", matmul, batched_matmul_backward, normal(3, 4), normal(4, 2)),
    right("batched matmul", matmul, batched_matmul_backward, normal(2, 3, 4), normal(2, 4, 2)),
    right("matmul, shared weight", matmul, shared_weight_matmul_backward, normal(2, 3, 4), normal(4, 2)),
    right("dot", dot, multiply_backward, normal(6), normal(6)),
    right("outer", outer, outer_backward, normal(3), normal(4)),
    right("bilinear", bilinear, bilinear_backward, normal(3, 2), normal(2, 2, 4), normal(3, 4)),
    right("einsum", einsum_chain, einsum_chain_backward, normal(2, 3), normal(3, 4), normal(4, 2)),
]
