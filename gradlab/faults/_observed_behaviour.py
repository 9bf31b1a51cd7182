"""Everything that a caller can observe of a backward: its gradients, and what it does to memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array, Node, Sample, as_tuple
from gradlab.workers.threads import without_warnings

Layout = Callable[[Array], Array]


class ObservedCall(NamedTuple):
    """A call to be observed: a sample and a cotangent, and the memory layout in which both are passed."""

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
    """Return a copy that lies on every second place in memory, from the last to the first."""
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


def observed_calls(
    node: Node,
    samples: Iterable[Sample],
    rng: np.random.Generator,
    layouts: Sequence[Layout] = LAYOUTS,
    scale: float = 1.0,
) -> Iterator[ObservedCall]:
    """Yield a call for every sample in every layout, each with a random cotangent of its own, of size `scale`."""

    def draw(y: Any) -> Array:
        return np.asarray(scale * rng.standard_normal(np.shape(y)), np.asarray(y).dtype)

    for sample in samples:
        output = node.forward(*map(np.array, sample.primals), **deepcopy(dict(sample.settings)))[0]
        for layout in layouts:
            yield ObservedCall(sample, each(draw, output), layout)


def observe(node: Node, calls: Sequence[ObservedCall]) -> tuple[Any, ...]:
    """Return a record of what backward does in each call, to be compared with the record of another node.

    Every forward runs before the backward of the call before it, and every gradient is read again after the next one
    was computed, so that a backward that keeps something between calls gives itself away.
    """
    records: list[Any] = []
    with without_warnings(), np.errstate(all="ignore"):
        last: Any = None
        coming = [*calls[1:], None]
        ready = _run_forward(node, calls[0]) if calls else None
        for call, after in zip(calls, coming, strict=True):
            now, ready = ready, _run_forward(node, after) if after else None
            record, gradients = _run_backward(node, call, now)
            records.append((record, _bytes(last)))
            last = gradients
    return tuple(records)


def _run_forward(node: Node, call: ObservedCall) -> Any:
    """Return primals, settings and residuals of a call of forward, or the name of the exception that it raised."""
    primals, settings = call.primals(), deepcopy(dict(call.sample.settings))
    try:
        return primals, settings, node.forward(*primals, **settings)[1]
    except Exception as error:
        return type(error).__name__


def _run_backward(node: Node, call: ObservedCall, ready: Any) -> tuple[Any, Any]:
    """Return the record of a call of backward after what `_run_forward` returned, and its gradients."""
    if isinstance(ready, str):
        return ready, None
    primals, settings, residuals = ready
    g = call.g()
    try:
        gradients = node.backward(residuals, g)
    except Exception as error:
        return type(error).__name__, None
    arguments = (*as_tuple(g), *primals, *settings.values())
    returned = as_tuple(gradients)
    shared = [_share_memory(a, b) for a in returned for b in arguments]
    shared += [_share_memory(a, b) for a, b in combinations(returned, 2)]
    read_only = tuple(map(_is_read_only, returned))
    return (
        type(gradients).__name__,
        _bytes(returned),
        _bytes(arguments),
        tuple(shared),
        read_only,
    ), gradients


def _share_memory(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _is_read_only(gradient: Any) -> bool:
    # as np.broadcast_to without a copy returns it: one place in memory for many elements, and read-only
    return isinstance(gradient, np.ndarray) and gradient.ndim > 0 and not gradient.flags.writeable


def _bytes(values: Any) -> Any:
    return tuple(
        (v.dtype.str, v.shape, _one_zero(v).tobytes()) if isinstance(v, np.ndarray | np.generic) else repr(v)
        for v in as_tuple(values)
    )


def _one_zero(v: Any) -> Any:
    # -0.0 and 0.0 have different bits, but no gradient is wrong for having one or the other
    return v + v.dtype.type(0) if v.dtype.kind == "f" else v
