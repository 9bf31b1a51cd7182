"""Nodes compared with torch: outputs and gradients of random cases, agreeing to 1e-10 of the largest element."""

import numpy as np
import pytest

from gradlab.node import as_tuple
from gradlab.nodes import NODES

torch = pytest.importorskip("torch", reason="the comparison with torch needs it: pip install torch")
F = torch.nn.functional

CASES = 50
TOLERANCE = 1e-10
FLOOR = 1e-14  # for arrays that are 0 but for rounding


def numbers(rng, *shape):
    """Return standard normal numbers, now and then far-out or all shifted."""
    x = np.asarray(rng.standard_normal(shape))
    kind = rng.integers(12)
    if kind == 0:
        return 30 * x
    return x + 30 if kind == 1 else x


def batch(rng):
    """Return how many examples there are: now and then one, or none."""
    return int(rng.choice([0, 1, 1, 2, 2, 3, 3, 4]))


def laid_out(rng, x):
    """Return `x`, now and then as a view that is not one piece of memory in C order."""
    kind = rng.integers(10) if x.ndim else 9
    if kind == 0:
        return np.asfortranarray(x)
    if kind == 1:
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x[::-1].copy()[::-1] if kind == 2 else x


def compare(name, draw, floor=FLOOR):
    """Compare a node with torch.

    ``draw(rng)`` returns primals, settings, and the same function of tensors. Arrays may differ by `floor` whatever
    the size of their elements.
    """
    for case in range(CASES):
        rng = np.random.default_rng(case)
        primals, settings, function = draw(rng)
        where = f"{name}, case {case}, shapes {[x.shape for x in primals]}, settings {settings}"
        try:
            _compare_once(rng, NODES[name], primals, settings, function, floor, where)
        except Exception as error:
            error.add_note(where)
            raise


def _compare_once(rng, node, primals, settings, function, floor, where):
    output, residuals = node.forward(*(laid_out(rng, x) for x in primals), **settings)
    tensors = [torch.tensor(x.copy(), requires_grad=True) for x in primals]
    result = function(*tensors)
    g = tuple(np.asarray(rng.standard_normal(np.shape(y))) for y in as_tuple(output))
    for i, (y, expected) in enumerate(zip(as_tuple(output), as_tuple(result), strict=True)):
        assert_close(y, expected.detach().numpy(), floor, f"output {i}, {where}")
    cotangent = tuple(laid_out(rng, d) for d in g)
    gradients = node.backward(residuals, cotangent if isinstance(output, tuple) else cotangent[0])
    derived = torch.autograd.grad(
        as_tuple(result), tensors, [torch.tensor(d) for d in g], allow_unused=True, materialize_grads=True
    )
    for i, (gradient, expected) in enumerate(zip(gradients, derived, strict=True)):
        assert_close(gradient, expected.numpy(), floor, f"gradient {i}, {where}")


def assert_close(found, expected, floor, where):
    found = np.asarray(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), where
    distance = np.abs(found - expected).max(initial=0)
    largest = np.abs(expected).max(initial=0)
    message = f"{where}: they differ by {distance:.3g}, the largest element is {largest:.3g}"
    assert distance <= TOLERANCE * largest + floor, message
