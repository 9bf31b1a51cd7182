"""Every node of the family linear agrees with torch, on random shapes."""

import numpy as np
import pytest

from ._shapes import broadcastable, some_shape
from ._torch import F, batch, compare, numbers, torch


def sizes(rng, count, least=1):
    return (int(n) for n in rng.integers(least, 6, count))


def stack(rng):
    """Return the leading axes of a stack of matrices: none, some, or now and then one of length 0."""
    return some_shape(rng, 0, 2, empty=True)


def affine(rng):
    # at least one row: of none NumPy can't tell how long they are
    shape = max(1, batch(rng)), *some_shape(rng, 0, 3)
    inputs, outputs = int(np.prod(shape[1:])), int(rng.integers(1, 6))
    x, W, b = numbers(rng, *shape), numbers(rng, inputs, outputs), numbers(rng, outputs)
    return (x, W, b), {}, lambda x, W, b: F.linear(x.reshape(len(x), inputs), W.T, b)


def matmul(rng):
    rows, inner, outputs = sizes(rng, 3, 0)
    return (numbers(rng, rows, inner), numbers(rng, inner, outputs)), {}, torch.matmul


def batched_matmul(rng):
    leading = stack(rng)
    rows, inner, outputs = sizes(rng, 3)
    x = numbers(rng, *broadcastable(rng, leading), rows, inner)
    return (x, numbers(rng, *broadcastable(rng, leading), inner, outputs)), {}, torch.matmul


def bilinear(rng):
    leading = stack(rng)
    one, two, outputs = sizes(rng, 3)
    x1, x2 = numbers(rng, *leading, one), numbers(rng, *leading, two)
    return (x1, x2, numbers(rng, outputs, one, two), numbers(rng, outputs)), {}, F.bilinear


def dot(rng):
    (size,) = sizes(rng, 1, 0)
    return (numbers(rng, size), numbers(rng, size)), {}, torch.dot


def outer(rng):
    one, two = sizes(rng, 2, 0)
    return (numbers(rng, one), numbers(rng, two)), {}, torch.outer


def regular(rng, leading, size):
    """Return matrices whose singular values are from 0.1 to 3, and whose determinants have either sign."""
    x = rng.standard_normal((2, *leading, size, size))
    Q1, Q2 = np.linalg.qr(x).Q
    return Q1 * rng.uniform(0.1, 3, size) @ Q2


def square(rng, function):
    return (regular(rng, stack(rng), int(rng.integers(1, 5))),), {}, function


def cholesky(rng):
    (A,), _, _ = square(rng, None)
    # of what is not symmetric the node takes the symmetric part, torch the lower triangle
    lean = rng.standard_normal(A.shape) * rng.integers(2)
    return (A @ A.mT + lean - lean.mT,), {}, lambda A: torch.linalg.cholesky((A + A.mT) / 2)


def logdet(rng):
    # its logdet is NaN where the determinant is negative
    return square(rng, lambda A: torch.linalg.slogdet(A).logabsdet)


def solve(rng):
    leading, (size, columns) = stack(rng), sizes(rng, 2)
    if rng.integers(3) == 0:
        return (regular(rng, leading, size), numbers(rng, size)), {}, torch.linalg.solve
    A = regular(rng, broadcastable(rng, leading), size)
    b = numbers(rng, *broadcastable(rng, leading), size, columns)

    def solved(A, b):
        # with fewer axes than A torch may take b for a stack of vectors
        return torch.linalg.solve(A, b[(None,) * (A.ndim - b.ndim)])

    return (A, b), {}, solved


def einsum(rng):
    lengths = dict(zip("ijkl", sizes(rng, 4), strict=True))
    of_x, of_y = ("".join(rng.permutation(list("ijkl"))[: rng.integers(5)]) for _ in range(2))
    of_out = "".join(
        name for name in rng.permutation(list("ijkl")) if name in of_x + of_y and rng.integers(2)
    )
    subscripts = f"{of_x},{of_y}->{of_out}"
    if rng.integers(5) == 0:
        subscripts = f" {of_x}, {of_y} -> {of_out}"
    x, y = (numbers(rng, *(lengths[name] for name in names)) for names in (of_x, of_y))
    return (x, y), {"subscripts": subscripts}, lambda x, y: torch.einsum(subscripts, x, y)


DRAWN = {
    "affine": affine,
    "batched_matmul": batched_matmul,
    "bilinear": bilinear,
    "cholesky": cholesky,
    "dot": dot,
    "einsum": einsum,
    "inverse": lambda rng: square(rng, torch.linalg.inv),
    "logdet": logdet,
    "matmul": matmul,
    "outer": outer,
    "solve": solve,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
