"""Every node of the family reduction agrees with torch, on random shapes and axes."""

import numpy as np
import pytest

from ._shapes import some_axes, some_shape, with_ties
from ._torch import compare, numbers, torch


def reduction(rng, function, draw=with_ties, *, of_nothing=True):
    """Return an array, one of whose axes may be of length 0, and how to reduce it; torch is given the axes as a tuple.

    Where torch has no reduction `of_nothing`, or the node none, an axis of length 0 is one that is kept.
    """
    shape = list(some_shape(rng, empty=True))
    settings = {"axis": some_axes(rng, shape), "keepdims": bool(rng.integers(2))} if rng.integers(5) else {}
    axes = settings.get("axis")
    axes = tuple(range(len(shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    if not of_nothing:
        for a in axes:
            shape[a] = max(1, shape[a])
    kept = settings.get("keepdims", False)
    return (draw(rng, shape),), settings, lambda x: function(x, axes, keepdim=kept)


def l2_norm(rng):
    # rows of zeros among them: both sides choose the slope 0 there
    def draw(rng, shape):
        x = with_ties(rng, shape)
        return x * rng.integers(0, 2, shape[:1] + [1] * (len(shape) - 1)) if rng.integers(3) == 0 else x

    return reduction(rng, lambda x, axes, keepdim: torch.linalg.vector_norm(x, 2, axes, keepdim), draw)


def logsumexp(rng):
    (x,), settings, function = reduction(rng, torch.logsumexp, of_nothing=False)
    if x.size and rng.integers(4) == 0:
        # -inf, but not for all that goes into one result: torch's gradient is NaN there, the node's is 0
        below = x < x.max(axis=settings.get("axis"), keepdims=True)
        x = np.where(below & (rng.integers(2, size=x.shape) == 1), -np.inf, x)
    return (x,), settings, function


def maximum(rng):
    # away from ties: there amax shares the gradient out, the node gives it to the first
    return reduction(rng, torch.amax, lambda rng, shape: numbers(rng, *shape), of_nothing=False)


def prod(rng):
    def one_axis_at_a_time(x, axes, keepdim):
        for a in sorted((a % x.ndim for a in axes), reverse=True):
            x = torch.prod(x, a, keepdim)
        return x

    return reduction(rng, one_axis_at_a_time)


def variance(rng):
    (x,), settings, _ = reduction(rng, torch.var, of_nothing=False)
    count = x.size // max(1, np.sum(x, **settings).size)
    ddof = float(rng.choice([0, *(n for n in (0.5, 1, 2, 2.75) if n < count)]))
    axis, kept = settings.get("axis"), settings.get("keepdims", False)
    return (x,), {**settings, "ddof": ddof}, lambda x: torch.var(x, axis, correction=ddof, keepdim=kept)


DRAWN = {
    "l2_norm": l2_norm,
    "logsumexp": logsumexp,
    "max": maximum,
    "mean": lambda rng: reduction(rng, torch.mean, of_nothing=False),
    "prod": prod,
    "sum": lambda rng: reduction(rng, torch.sum),
    "variance": variance,
}


# torch warns where a kept axis is of length 0, though enough goes into each of the no results
@pytest.mark.filterwarnings(r"ignore:var\(\). degrees of freedom is <= 0:UserWarning")
@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
