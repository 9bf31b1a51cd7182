"""Samples derived from a node's own, to look for faults that its own samples do not show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradlab.node import Array, Node, Sample, as_tuple
from gradlab.workers.threads import without_warnings


def _with_a_zero(x: Array) -> Array:
    x.flat[:1] = 0
    return x


def _with_a_tie(x: Array) -> Array:
    x.flat[-1:] = x.flat[:1]
    return x


# At an infinite slope the quotients of these two steps differ by more than this factor.
STEPS, STEEPER = (1e-5, 1e-8), 1.2

CHANGES: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("sign turned", lambda x: -x),
    ("times 10", lambda x: 10 * x),
    ("times 1000", lambda x: 1000 * x),
    ("plus 4", lambda x: x + 4),
    ("minus 4", lambda x: x - 4),
    ("with a zero", _with_a_zero),
    ("with a tie", _with_a_tie),
    ("in float32", lambda x: x.astype(np.float32)),
)


def derived_samples(node: Node, samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield samples derived from the given ones, where forward takes them and stays finite.

    So a domain is respected without being declared: the logarithm of a negative number is not finite. The checks
    do not use these samples: they explore on their own.
    """
    for sample in samples:
        for name, change in CHANGES:
            changed = tuple(np.asarray(change(np.array(x))) for x in sample.primals)
            derived = Sample(f"{sample.name}, {name}", changed, sample.settings)
            if accepts(node, derived):
                yield derived
        alone = _batch_of_one(sample)
        if alone is not None and accepts(node, alone):
            yield alone


def accepts(node: Node, sample: Sample) -> bool:
    """Return whether forward takes the primals of a sample, and its output and its slope are finite there.

    Where there is no slope, as for a square root at 0, no gradient is right and none is wrong.
    """
    with without_warnings(), np.errstate(all="ignore"):
        try:
            output, residuals = node.forward(*map(np.array, sample.primals), **sample.settings)
            if not all(bool(np.isfinite(y).all()) for y in as_tuple(output)):
                return False
        except Exception:
            return False
        ones = tuple(np.ones_like(y) for y in as_tuple(output))
        try:
            gradients = node.backward(residuals, ones if isinstance(output, tuple) else ones[0])
        except Exception:
            return True
        return all(bool(np.isfinite(d).all()) for d in gradients) and not _is_steep_edge(node, sample)


def _is_steep_edge(node: Node, sample: Sample) -> bool:
    """Return whether some primal lies at an edge of forward's domain where the slope has no limit.

    An example is p log p at 0, for which a backward may well state a number. A primal with no finite output on either
    side of it counts as well.
    """
    try:
        return any(_is_steep_along(node, sample, i) for i in range(len(sample.primals)))
    except Exception:
        return False


def _is_steep_along(node: Node, sample: Sample, i: int) -> bool:
    def total(h: float) -> float:
        moved = [x + x.dtype.type(h) if k == i else x for k, x in enumerate(sample.primals)]
        return sum(float(np.sum(y)) for y in as_tuple(node.forward(*moved, **sample.settings)[0]))

    inside = [side for side in (1.0, -1.0) if np.isfinite(total(side * STEPS[0]))]
    if len(inside) != 1:
        return not inside
    far, near = ((total(inside[0] * h) - total(0.0)) / h for h in STEPS)
    return abs(near) > STEEPER * abs(far)


def _batch_of_one(sample: Sample) -> Sample | None:
    batch = sample.primals[0]
    if batch.ndim < 2 or len(batch) < 2:
        return None

    def cut(x: Any) -> Any:
        return x[:1] if np.ndim(x) and len(x) == len(batch) else x

    settings: Mapping[str, Any] = {name: _cut_array(cut, value) for name, value in sample.settings.items()}
    first, *others = sample.primals
    # other primals that go with the batch have as many axes as it has; a weight W in x W may have as many too, but cut
    # it does not fit, and forward refuses it
    rest = (cut(x) if x.ndim == first.ndim else x for x in others)
    return Sample(f"{sample.name}, batch cut to 1", (cut(first), *rest), settings)


def _cut_array(cut: Callable[[Any], Any], value: Any) -> Any:
    return cut(value) if isinstance(value, np.ndarray) else value
