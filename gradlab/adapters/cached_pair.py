"""Functions in the course style: ``out, cache = forward(x, w, b)`` and ``dx, dw, db = backward(dout, cache)``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from gradlab.adapters.numpy_layer import LayerError, check_layer
from gradlab.report import Report
from gradlab.running.options import CheckKeywords, options_of, takes_options
from gradlab.workers.strange_objects import title_of
from gradlab.workers.threads import one_at_a_time


class CachedPair:
    """Two functions as one object, as `check_layer` takes it."""

    passes_cache = True

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self.forward = forward
        self.backward = backward
        self.__name__ = title_of(forward)


@one_at_a_time
@takes_options()
def check_cached_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    primals: Sequence[Any],
    *,
    settings: Mapping[str, Any] | None = None,
    loss: str | Callable[[Any], Any] | None = None,
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check a forward function that returns a cache, and the backward function that takes it.

    Parameters
    ----------
    forward : callable
        ``forward(*primals, **settings) -> (out, cache)``, or ``(out, another, ..., cache)``.
    backward : callable
        ``backward(dout, cache)`` returns the gradients as a tuple in the primals' order, as a dict under their names,
        or as a single array. It may take the cache first, a cotangent for each output, or, for a loss, the cache
        alone.
    primals : sequence
        What forward takes. Arrays of floats are differentiated; dicts of settings, integers and the like are passed
        on, in copies.
    settings, loss
        As for `check_layer`.

    Returns
    -------
    Report

    Raises
    ------
    LayerError
        A ValueError: if nothing could be checked; the message ends with the cure.

    Examples
    --------
    >>> import numpy as np
    >>> def forward(x, w):
    ...     return x @ w, (x, w)
    >>> def backward(dout, cache):
    ...     x, w = cache
    ...     return dout @ w.T, x.T @ dout
    >>> rng = np.random.default_rng(0)
    >>> check_cached_pair(forward, backward, (rng.standard_normal((2, 3)), rng.standard_normal((3, 4)))).ok
    True
    """
    for what, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise LayerError(f"{what} is {type(function).__name__}: pass a function")
    if not isinstance(primals, list | tuple):
        raise LayerError(
            f"primals is {type(primals).__name__}: pass a tuple of what forward takes, (x, w, b)"
        )
    options_of(check_cached_pair, keywords)  # what it takes exception to is told under this function's name
    return check_layer(CachedPair(forward, backward), *primals, settings=settings, loss=loss, **keywords)
