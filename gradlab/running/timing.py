"""How long forward, backward and the numerical gradient take."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from timeit import Timer
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.numerical.finite_difference import numerical_vjp

Times = Mapping[str, Any]
# Timing takes a third of a check, and a test suite looks at none of it.
_shown = ContextVar("times are shown", default=False)


def measure(trial: Trial) -> Times:
    """Return the best times of forward, backward and the numerical gradient, in seconds, and their ratio.

    Of large primals the numerical gradient is not computed, and not timed.
    """
    node, settings, primals = trial.node, trial.settings(), trial.primals()
    _, residuals = node.forward(*primals, **settings)
    g = trial.cotangent()
    forward = best_time(lambda: node.forward(*primals, **settings))
    backward = best_time(lambda: node.backward(residuals, g))
    if trial.is_large:
        return {"forward_s": forward, "backward_s": backward}
    numerical = best_time(lambda: numerical_vjp(lambda *xs: node.forward(*xs, **settings)[0], primals, g))
    return {
        "forward_s": forward,
        "backward_s": backward,
        "numerical_s": numerical,
        "speedup": numerical / (forward + backward),
    }


@contextmanager
def showing_times() -> Iterator[None]:
    """Let the checks of this context measure times, for a command that shows them; elsewhere nobody would see them."""
    before = _shown.set(True)
    try:
        yield
    finally:
        _shown.reset(before)


def times_are_shown() -> bool:
    """Return whether this is in a context of `showing_times`."""
    return _shown.get()


def times_to_show(trial: Trial) -> Times:
    """Return what `measure` does, where times are shown.

    Nothing where they are not, or a node raises, whose verdict then stands without times.
    """
    if not times_are_shown():
        return {}
    try:
        with np.errstate(all="ignore"):
            return measure(trial)
    except Exception:  # a faulty backward need not survive a second call
        return {}


def best_time(function: Callable[[], object], repeat: int = 3, enough_s: float = 3e-4) -> float:
    """Return the best time of one call, in seconds.

    The number of calls grows as 1, 2, 5, 10, 20, ... until they take `enough_s` together, as in
    `timeit.Timer.autorange`, whose fixed 0.2 s would make minutes of a run over all samples of all nodes. A function
    whose single call takes a thousand times as long is timed once.
    """
    timer = Timer(function)
    for number in _one_two_five():
        first = timer.timeit(number)
        if first >= enough_s:
            break
    again = [] if first >= 1000 * enough_s else timer.repeat(repeat - 1, number)
    return min([first, *again]) / number


def _one_two_five() -> Iterator[int]:
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10
