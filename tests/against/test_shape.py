"""Every node of the family shape agrees with torch, on random shapes and settings."""

import math

import numpy as np
import pytest

from ._shapes import broadcastable, some_axes, some_axis, some_shape, with_ties
from ._torch import F, compare, numbers, torch


def axis_of(rng, x, default):
    """Return an axis of `x`, and it as a setting, which is left out now and then where it is the default."""
    axis = some_axis(rng, x.shape)
    return axis, {} if axis == default and rng.integers(2) else {"axis": axis}


def branch(rng):
    n = int(rng.integers(1, 5))
    x = numbers(rng, *some_shape(rng, empty=True))
    return (x,), {"n": n} if n != 2 else {}, lambda x: x.expand(n, *x.shape).unbind()


def broadcast_to(rng):
    shape = some_shape(rng, empty=True)
    x = numbers(rng, *broadcastable(rng, shape))
    shape = shape[0] if len(shape) == 1 and rng.integers(2) else shape
    return (x,), {"shape": shape}, lambda x: torch.broadcast_to(x, np.ravel(shape).astype(int).tolist())


def concatenate(rng):
    shape = list(some_shape(rng, 1, empty=True))
    axis = some_axis(rng, shape)
    xs = []
    for _ in range(rng.integers(1, 5)):
        shape[axis] = int(rng.integers(5))
        xs.append(numbers(rng, *shape))
    return tuple(xs), {"axis": axis}, lambda *xs: torch.cat(xs, axis)


def cumsum(rng):
    x = numbers(rng, *some_shape(rng, 1, empty=True))
    axis, settings = axis_of(rng, x, 0)
    return (x,), settings, lambda x: torch.cumsum(x, axis)


def flip(rng):
    x = numbers(rng, *some_shape(rng, empty=True))
    axis = some_axes(rng, x.shape)
    every = tuple(range(x.ndim)) if axis is None else np.ravel(axis).tolist()
    return (x,), {"axis": axis}, lambda x: torch.flip(x, every)


def gather(rng):
    x = numbers(rng, *some_shape(rng, 1))
    axis, settings = axis_of(rng, x, 0)
    lengths = list(x.shape)
    lengths[axis] = int(rng.integers(7))
    ids = rng.integers(0, x.shape[axis], lengths)
    return (x,), {"ids": ids, **settings}, lambda x: torch.gather(x, axis, torch.tensor(ids))


def pad(rng):
    shape = some_shape(rng, 1, empty=True)
    kind = rng.integers(3)
    width = rng.integers(0, 4, [(), 2, (len(shape), 2)][kind]).tolist()
    widths = np.broadcast_to(width, (len(shape), 2))
    value = float(rng.normal())
    settings = {"pad_width": width} if rng.integers(2) else {"pad_width": width, "value": value}
    # torch names the last axis first
    theirs = np.ravel(widths[::-1]).tolist()
    return (numbers(rng, *shape),), settings, lambda x: F.pad(x, theirs, value=settings.get("value", 0.0))


def repeat(rng):
    x = numbers(rng, *some_shape(rng, 1, empty=True))
    axis, settings = axis_of(rng, x, 0)
    n = int(rng.integers(5))
    return (x,), {"n": n, **settings}, lambda x: torch.repeat_interleave(x, n, axis)


def reshape(rng):
    x = numbers(rng, *some_shape(rng, empty=True))
    left, lengths = x.size, [] if x.size else [0, *some_shape(rng)]
    while left > 1:
        lengths.append(int(rng.choice([n for n in range(1, left + 1) if left % n == 0])))
        left //= lengths[-1]
    lengths = rng.permutation(np.array(lengths, int)).tolist()
    if lengths and rng.integers(2):
        place = rng.integers(len(lengths))
        # beside a length of 0 the one that is left could be any
        if math.prod(lengths[:place] + lengths[place + 1 :]):
            lengths[place] = -1
    shape = lengths[0] if len(lengths) == 1 and rng.integers(2) else tuple(lengths)
    return (x,), {"shape": shape}, lambda x: torch.reshape(x, lengths)


def slice_(rng):
    """Return an index of any kind that torch has too: its slices have no negative steps.

    Whole numbers stand beside slices only, never beside arrays: for NumPy they count as arrays then, for torch they
    don't, and the axes come out in another order.
    """
    x = numbers(rng, *some_shape(rng, 1))
    arrays, common = rng.integers(2), some_shape(rng, 1, 2)
    index = [at_axis(rng, length, arrays, common) for length in x.shape]
    asked = rng.integers(1, x.ndim + 1)
    kind = rng.integers(4)
    if kind == 0:
        index = [[rng.integers(2, size=x.shape[:asked]) == 1]]
    elif kind == 1:
        index = [*index[:asked], [...]]
    else:
        index = [[...], *index[-asked:]] if kind == 2 else index[:asked]
    flat = tuple(part for parts in index for part in parts)
    theirs = tuple(torch.tensor(part) if isinstance(part, np.ndarray) else part for part in flat)
    return (x,), {"index": flat[0] if len(flat) == 1 else flat}, lambda x: x[theirs]


def at_axis(rng, length, arrays, common):
    """Return what stands at one axis, now and then with a new axis before it."""
    if rng.integers(2):
        start, stop = sorted(rng.integers(-length - 1, length + 2, 2).tolist())
        at = slice(start if rng.integers(3) else None, stop, int(rng.integers(1, 4)))
    elif arrays:
        at = np.atleast_1d(rng.integers(-length, length, broadcastable(rng, common)))
    else:
        at = int(rng.integers(-length, length))
    return [None, at] if rng.integers(5) == 0 else [at]


def sort(rng):
    # ties too: a stable sort keeps them in their order on both sides
    x = with_ties(rng, some_shape(rng, 1, empty=True))
    axis, settings = axis_of(rng, x, -1)
    return (x,), settings, lambda x: torch.sort(x, stable=True, dim=axis).values


def split(rng):
    shape = list(some_shape(rng, 1, empty=True))
    axis = some_axis(rng, shape)
    sections = int(rng.integers(1, 5))
    if rng.integers(2):
        sections = sorted(rng.integers(0, shape[axis] + 1, rng.integers(4)).tolist())
    else:
        shape[axis] *= sections
    return (
        (numbers(rng, *shape),),
        {"sections": sections, "axis": axis},
        lambda x: torch.tensor_split(x, sections, axis),
    )


def transpose(rng):
    x = numbers(rng, *some_shape(rng, empty=True))
    axes = tuple(int(a) - x.ndim * int(rng.integers(2)) for a in rng.permutation(x.ndim))
    if rng.integers(3) == 0:
        return (x,), {}, lambda x: torch.permute(x, tuple(range(x.ndim))[::-1])
    return (x,), {"axes": axes}, lambda x: torch.permute(x, axes)


DRAWN = {
    "branch": branch,
    "broadcast_to": broadcast_to,
    "concatenate": concatenate,
    "cumsum": cumsum,
    "flip": flip,
    "gather": gather,
    "pad": pad,
    "repeat": repeat,
    "reshape": reshape,
    "slice": slice_,
    "sort": sort,
    "split": split,
    "transpose": transpose,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
