"""Elements moved about: sorted, flipped, joined, padded, picked by index."""

import numpy as np

from ._entry import apart, fixed, normal, right


def sort(x, axis):
    order = np.argsort(x, axis=axis, kind="stable")
    return np.take_along_axis(x, order, axis), (order, axis)


def sort_backward(cache, g):
    order, axis = cache
    dx = np.empty_like(g)
    np.put_along_axis(dx, order, g, axis)
    return (dx,)


def top_k(x, k):
    best = np.argsort(x)[::-1][:k]
    return x[best], (best, x)


def top_k_backward(cache, g):
    best, x = cache
    dx = np.zeros_like(x)
    dx[best] = g
    return (dx,)


def flip(x):
    return x[:, ::-1], None


def flip_backward(_, g):
    return (g[:, ::-1].copy(),)


def transpose(x, axes):
    return x.transpose(axes), axes


def transpose_backward(axes, g):
    return (g.transpose(np.argsort(axes)).copy(),)


def flatten(x):
    return x.reshape(len(x), -1), x.shape


def flatten_backward(shape, g):
    return (g.reshape(shape).copy(),)


def concatenate(*xs, axis):
    return np.concatenate(xs, axis=axis), ([x.shape[axis] for x in xs], axis)


def concatenate_backward(cache, g):
    sizes, axis = cache
    return tuple(part.copy() for part in np.split(g, np.cumsum(sizes)[:-1], axis=axis))


def stack(a, b):
    return np.stack([a, b], axis=1), None


def stack_backward(_, g):
    return g[:, 0].copy(), g[:, 1].copy()


def split(x, at):
    return tuple(np.split(x, at, axis=1)), None


def split_backward(_, g):
    return (np.concatenate(g, axis=1),)


def pad(x, width):
    return np.pad(x, width), width


def pad_backward(width, g):
    return (g[width:-width, width:-width].copy(),)


def tile(x, times):
    return np.tile(x, times), (times, x.size)


def tile_backward(cache, g):
    return (g.reshape(cache).sum(axis=0),)


def difference(x):
    return x[1:] - x[:-1], x


def difference_backward(x, g):
    dx = np.zeros_like(x)
    dx[1:] += g
    dx[:-1] -= g
    return (dx,)


def roll(x, shift):
    return np.roll(x, shift), shift


def roll_backward(shift, g):
    return (np.roll(g, -shift),)


def embedding(table, ids):
    return table[ids], (table, ids)


def embedding_backward(cache, g):
    table, ids = cache
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, g)
    return (dtable,)


def pick(x, ids):
    return x[np.arange(len(x)), ids], (x.shape[1], ids)


def pick_backward(cache, g):
    columns, ids = cache
    return ((ids[:, None] == np.arange(columns)) * g[:, None],)


def scatter_add(x, updates, ids):
    y = x.copy()
    np.add.at(y, ids, updates)
    return y, ids


def scatter_add_backward(ids, g):
    return g.copy(), g[ids]


ENTRIES = [
    right("sort", sort, sort_backward, apart(3, 4), axis=0),
    right("sort, ties", sort, sort_backward, fixed([2.0, 1.0, 2.0, 1.0, 0.0]), axis=0),
    right("top k", top_k, top_k_backward, apart(7), k=3),
    right("flip", flip, flip_backward, normal(3, 4)),
    right("transpose", transpose, transpose_backward, normal(2, 3, 4), axes=(2, 0, 1)),
    right("flatten", flatten, flatten_backward, normal(2, 3, 4)),
    right("concatenate", concatenate, concatenate_backward, normal(2, 3), normal(2, 1), normal(2, 2), axis=1),
    right("stack", stack, stack_backward, normal(4), normal(4)),
    right("split", split, split_backward, normal(3, 6), at=[2, 5]),
    right("pad", pad, pad_backward, normal(3, 4), width=1),
    right("tile", tile, tile_backward, normal(4), times=3),
    right("difference", difference, difference_backward, normal(6)),
    right("roll", roll, roll_backward, normal(6), shift=2),
    right("embedding", embedding, embedding_backward, normal(5, 3), ids=np.array([[4, 0], [4, 2]])),
    right("pick a column per row", pick, pick_backward, normal(4, 3), ids=np.array([2, 0, 0, 1])),
    right(
        "scatter add", scatter_add, scatter_add_backward, normal(4, 2), normal(3, 2), ids=np.array([1, 3, 1])
    ),
]
