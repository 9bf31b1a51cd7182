"""The slopes of many elements in a few ladders, where they move different outputs.

Elements that move no output in common are moved together, and each output's slope is that of the one element that
moves it. So all elements of a rectifier, of a sort or of a pooling take a few ladders, kinks and ties included. Source:
Curtis, Powell and Reid, 1974, Journal of the Institute of Mathematics and its Applications 13.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradlab.node import Array
from gradlab.numerical.element_scan import Scan
from gradlab.numerical.element_slopes import FLAT, LADDER, sided_slopes, sums_of_outputs

# Takes points in a row; gives one row of outputs each, NaN where there is no value.
Rows = Callable[[Array], Array]

# The steps are this part of a whole ladder's: what an element moves nearby is what its slope depends on.
LOCAL = 2.0**-8
# An element is settled when its error is below this, relative to its own slope.
SETTLED = 1e-9
# With more ladders than this, or more numbers to tell who moves what, nothing is won.
MOST_LADDERS, MOST_NUMBERS = 64, 2**25
# So many elements show whether most move the same outputs.
SAMPLE = 64
# And whether most move some outputs.
FEW_ASKED = 16
# Outputs that are shared are asked for by halving if they are no more than this part.
FEW = 1 / 8
# What two elements move together by the largest steps alone, and not by those from this one on, has no slope.
NEAREST = 3
# In the place of an element's number: no element, and more than one.
NOBODY, SEVERAL = -1, -2


class ElementSlopes(NamedTuple):
    """Slopes of elements as in `Estimate`, how many evaluations they took, and which of them are settled."""

    value: Array
    error: Array
    lower: Array
    upper: Array
    scale: Array
    terms: Array
    evaluations: int
    settled: Array


def sparse_slopes(
    evaluate: Rows, x: Array, y0: Array, g: Array, elements: Array, unit: float | None = None
) -> ElementSlopes | None:
    """Return the slopes of some elements of a vector; None where too many move the same outputs.

    Parameters
    ----------
    evaluate : callable
        Takes points in a row, gives one row of outputs each, NaN where there is no value.
    x : ndarray of shape (n,)
    y0, g : ndarray of shape (outputs,)
    elements : ndarray of int
        Places in `x`.
    unit : float, optional
        The size that the steps are in proportion to, instead of `LOCAL` times each element's own.
    """
    count = len(elements)
    if count * y0.size > MOST_NUMBERS:
        return None
    own = np.where(x[elements] != 0, np.abs(x[elements]), 1.0) * LOCAL
    own = own if unit is None else np.full_like(own, unit)
    moved, evaluations = _moved(evaluate, x, y0, elements, own)
    ladders = None if moved is None else _apart(moved)
    if moved is None or ladders is None:
        return None
    lines = int(ladders.max(initial=-1)) + 1
    vs = np.zeros((lines, x.size), dtype=x.dtype)
    vs[ladders, elements] = own
    scan = Scan(
        lambda moves: evaluate(np.stack([x + s * vs[e] for e, s in moves])),
        list(range(lines)),
        np.zeros(lines, dtype=x.dtype),
        y0,
    )
    scan.add_steps(np.tile(LADDER.astype(x.dtype), (lines, 1)))
    # which element moves which output along each ladder
    mover = np.full((lines, y0.size), -1)
    e, k = np.nonzero(moved)
    mover[ladders[e], k] = e
    together = scan.moved_outputs() & (g != 0) & (mover < 0)
    if (together & scan.moved_outputs(NEAREST)).any():
        return None  # no one element moves these outputs
    line, output = np.nonzero(scan.moved_outputs() & (g != 0) & (mover >= 0))
    e = mover[line, output]
    sides = sided_slopes(scan.h[line], scan.reach[line], scan.quotients_of_pairs(line, output), loose=True)
    sums = sums_of_outputs(sides, g[output], e, count)
    size = np.zeros(count)
    np.add.at(size, e, np.abs(g[output] * y0[output]))
    shares = np.zeros(count)
    np.add.at(shares, e, np.abs(g[output] * sides.best().value))
    value, error, lower, upper = (part / own for part in sums)
    still = np.bincount(e, minlength=count) == 0
    all_terms = float(np.sum(np.abs(g * y0)))
    scale = np.where(still, all_terms, size) / (LADDER[0] * own)
    error = np.where(still, FLAT * scale, error)
    value = np.clip(value, lower, upper)
    largest = np.fmax(np.abs(value), np.where(np.isfinite(lower + upper), np.fmax(-lower, upper), 0.0))
    settled = np.isfinite(value) & (error <= np.maximum(SETTLED * largest, FLAT * scale))
    evaluations += scan.evaluations
    return ElementSlopes(
        value, error, lower, upper, scale * LOCAL, shares / own + all_terms, evaluations, settled
    )


def _moved(evaluate: Rows, x: Array, y0: Array, elements: Array, own: Array) -> tuple[Array | None, int]:
    """Return which outputs each element moves, shape (elements, outputs), and the number of evaluations.

    None where a few elements show that most move the same outputs.
    """
    mover, evaluations = single_movers(evaluate, x, y0, elements, own)
    moved = np.zeros((len(elements), y0.size), dtype=bool)
    single = np.flatnonzero(mover >= 0)
    moved[mover[single], single] = True
    shared = mover == SEVERAL
    asked = np.arange(len(elements))
    if 0 < shared.sum() < FEW * y0.size:
        asked, more = moving(evaluate, x, y0, elements, own, shared)
        evaluations += more
    if shared.any():
        order = np.random.default_rng(0).permutation(asked)
        for count, i in enumerate(order, 1):
            points = np.stack([x, x])
            points[0, elements[i]] += LADDER[0] * own[i]
            points[1, elements[i]] -= LADDER[0] * own[i]
            moved[i, shared] = (evaluate(points)[:, shared] != y0[shared]).any(axis=0)
            evaluations += 2
            if (
                count == SAMPLE
                and moved[order[:count]].sum(axis=0).max() * len(order) > 2 * count * MOST_LADDERS
            ):
                return None, evaluations
    return moved, evaluations


def moving(
    evaluate: Rows, x: Array, y0: Array, elements: Array, own: Array, outputs: Array
) -> tuple[Array, int]:
    """Return the numbers of those of some elements that move some outputs, and the number of evaluations.

    Found by halving groups; where a few show that most do, or most are found, all are taken for found.
    """
    evaluations = 0

    def moves(group: Array) -> bool:
        nonlocal evaluations
        for side in (LADDER[0], -LADDER[0]):
            point = x.copy()
            point[elements[group]] += side * own[group]
            evaluations += 1
            if (evaluate(point[None])[0, outputs] != y0[outputs]).any():
                return True
        return False

    everyone = np.arange(len(elements))
    some = np.random.default_rng(0).permutation(everyone)[:FEW_ASKED, None]
    if 2 * sum(map(moves, some)) > len(some):
        return everyone, evaluations
    groups, found = np.array_split(everyone, max(1, min(SAMPLE, len(elements)))), list[int]()
    while groups and 2 * len(found) <= len(elements):
        group = groups.pop()
        if moves(group):
            halves = np.array_split(group, 2) if len(group) > 1 else []
            groups += halves
            found += [] if halves else [int(group[0])]
    return np.array([*found, *(k for group in groups for k in group)], dtype=int), evaluations


def single_movers(evaluate: Rows, x: Array, y0: Array, elements: Array, own: Array) -> tuple[Array, int]:
    """Return which of some elements moves each output, and the number of evaluations.

    For each bit of the elements' numbers those that have it are moved, and then the others: an output that one element
    moves spells its number. `NOBODY` where none moves it, `SEVERAL` where it is moved by more than one.
    """
    numbers = np.arange(len(elements))
    spelt, several, ever = np.zeros(y0.size, dtype=int), np.zeros(y0.size, bool), np.zeros(y0.size, bool)
    bits = max(1, int(len(elements) - 1).bit_length())
    rng = np.random.default_rng(0)
    for bit in range(bits):
        has = (numbers >> bit) & 1 == 1
        changes = []
        for group in (has, ~has):
            # of several sizes: equal moves of ties would not part them
            step = LADDER[0] * own[group] * rng.uniform(0.5, 1.0, int(group.sum()))
            points = np.stack([x, x])
            points[0, elements[group]] += step
            points[1, elements[group]] -= step
            changes.append((evaluate(points) != y0).any(axis=0))
        spelt[changes[0]] += 1 << bit
        several |= changes[0] & changes[1]
        ever |= changes[0] | changes[1]
        several |= ever & ~(changes[0] | changes[1])
    return np.where(several, SEVERAL, np.where(ever, spelt, NOBODY)), 4 * bits


def _apart(moved: Array) -> Array | None:
    """Return on which ladder each element goes, so that no output is moved twice on any; None if they are too many."""
    taken = np.zeros((MOST_LADDERS, moved.shape[1]), dtype=bool)
    ladders = np.zeros(len(moved), dtype=int)
    for i, outputs in enumerate(map(np.flatnonzero, moved)):
        free = ~taken[:, outputs].any(axis=1)
        if not free.any():
            return None
        ladders[i] = free.argmax()
        taken[ladders[i], outputs] = True
    return ladders
