"""Everything that a caller can see of a backward: its values, and what it does to memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np

from gradlab.node import Array, Node, Sample, as_tuple

Layout = Callable[[Array], Array]


class ObservedCall(NamedTuple):
    """A sample with a cotangent, and the layout in memory in which both are passed."""

    sample: Sample
    cotangent: Any
    layout: Layout

    def primals(self) -> tuple[Array, ...]:
        """Return fresh primals."""
        return tuple(self.layout(np.array(x)) for x in self.sample.primals)

    def g(self) -> Any:
        """Return a fresh cotangent."""
        return each(lambda y: self.layout(np.array(y)), self.cotangent)


def plain(x: Array) -> Array:
    """Leave an array as it is."""
    return x


def fortran(x: Array) -> Array:
    """Return a copy in Fortran order."""
    return np.array(x, order="F")


def backwards(x: Array) -> Array:
    """Return a copy that lies on every second place, from the last to the first."""
    if x.ndim == 0:
        return x
    room = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
    view = room[..., ::-2]
    view[...] = x
    return view


LAYOUTS: tuple[Layout, ...] = (plain, fortran, backwards)


def each(function: Callable[[Array], Array], values: Any) -> Any:
    """Return `function` of an array, or of each array of a tuple."""
    return tuple(map(function, values)) if isinstance(values, tuple) else function(values)


def look_at(
    node: Node,
    samples: Iterable[Sample],
    rng: np.random.Generator,
    layouts: Sequence[Layout] = LAYOUTS,
    scale: float = 1.0,
) -> Iterator[ObservedCall]:
    """Yield every sample in every layout, each with a random cotangent of its own, of size `scale`."""

    def draw(y: Any) -> Array:
        return np.asarray(scale * rng.standard_normal(np.shape(y)), np.asarray(y).dtype)

    for sample in samples:
        output = node.forward(*map(np.array, sample.primals), **deepcopy(dict(sample.settings)))[0]
        for layout in layouts:
            yield ObservedCall(sample, each(draw, output), layout)


def observe(node: Node, looks: Sequence[ObservedCall]) -> tuple[Any, ...]:
    """Return a record of what backward does at each look, to be compared with another node's.

    Every forward runs before the backward of the look before it, and every gradient is read again after the
    next one was made: a backward that keeps something between its calls shows it.
    """
    records: list[Any] = []
    with catch_warnings(), np.errstate(all="ignore"):
        simplefilter("ignore")
        last: Any = None
        coming = [*looks[1:], None]
        ready = _forward(node, looks[0]) if looks else None
        for look, after in zip(looks, coming, strict=True):
            now, ready = ready, _forward(node, after) if after else None
            record, gradients = _backward(node, look, now)
            records.append((record, _bytes(last)))
            last = gradients
    return tuple(records)


def _forward(node: Node, look: ObservedCall) -> Any:
    primals, settings = look.primals(), deepcopy(dict(look.sample.settings))
    try:
        return primals, settings, node.forward(*primals, **settings)[1]
    except Exception as error:
        return type(error).__name__


def _backward(node: Node, look: ObservedCall, ready: Any) -> tuple[Any, Any]:
    if isinstance(ready, str):
        return ready, None
    primals, settings, residuals = ready
    g = look.g()
    try:
        gradients = node.backward(residuals, g)
    except Exception as error:
        return type(error).__name__, None
    arguments = (*as_tuple(g), *primals, *settings.values())
    returned = as_tuple(gradients)
    shared = [_overlap(a, b) for a in returned for b in arguments]
    shared += [_overlap(a, b) for a, b in combinations(returned, 2)]
    fixed = tuple(map(_is_fixed, returned))
    return (type(gradients).__name__, _bytes(returned), _bytes(arguments), tuple(shared), fixed), gradients


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _is_fixed(gradient: Any) -> bool:
    # np.broadcast_to without a copy: one place in memory for many elements, and nobody can add to it
    return isinstance(gradient, np.ndarray) and gradient.ndim > 0 and not gradient.flags.writeable


def _bytes(values: Any) -> Any:
    return tuple(
        (v.dtype.str, v.shape, _one_zero(v).tobytes()) if isinstance(v, np.ndarray | np.generic) else repr(v)
        for v in as_tuple(values)
    )


def _one_zero(v: Any) -> Any:
    # -0.0 and 0.0 have different bits, and nobody's gradient is wrong by that
    return v + v.dtype.type(0) if v.dtype.kind == "f" else v
