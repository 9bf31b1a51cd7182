"""How long forward, backward and the numerical gradient take."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from statistics import median
from timeit import Timer
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.numerical.finite_difference import numerical_vjp

Times = Mapping[str, Any]
# Timing takes a third of a check, and a test suite looks at none of it.
_shown = ContextVar("times are shown", default=False)
# A call that takes longer is timed at one moment only: what disturbs it for some milliseconds makes little of it.
SHORT_S = 0.1
# Calls that take so long together are enough for one of several moments.
AGAIN_S = 1e-4


def measure(trial: Trial) -> Times:
    """Return the best times of forward, backward and the numerical gradient, in seconds.

    Of large primals the numerical gradient is not computed, and not timed.
    """
    node, settings, primals, g = trial.node, trial.settings(), trial.primals(), trial.cotangent()
    forward, backward = _calls(trial)
    times = {"forward_s": best_time(forward), "backward_s": best_time(backward)}
    if trial.is_large:
        return times
    numerical = best_time(lambda: numerical_vjp(lambda *xs: node.forward(*xs, **settings)[0], primals, g))
    return {**times, "numerical_s": numerical}


def _calls(trial: Trial) -> tuple[Callable[[], object], Callable[[], object]]:
    node, settings, primals, g = trial.node, trial.settings(), trial.primals(), trial.cotangent()
    _, residuals = node.forward(*primals, **settings)
    return lambda: node.forward(*primals, **settings), lambda: node.backward(residuals, g)


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


def times_to_show(trial: Trial) -> list[Times]:
    """Return what `measure` returns, where times are shown.

    Nothing where they are not, or a node raises, whose verdict then stands without times.
    """
    if not times_are_shown():
        return []
    try:
        with np.errstate(all="ignore"):
            return [measure(trial)]
    except Exception:  # a faulty backward need not survive a second call
        return []


def times_again(trial: Trial, known: Sequence[Times]) -> list[Times]:
    """Return the times of forward and backward at another moment, where they are known, and short.

    What else a machine does is over after some milliseconds, and makes a call of microseconds twice as long until then.
    """
    if not known or max(known[0]["forward_s"], known[0]["backward_s"]) > SHORT_S:
        return []
    try:
        with np.errstate(all="ignore"):
            forward, backward = _calls(trial)
            once = partial(best_time, repeat=1, enough_s=AGAIN_S)
            return [{"forward_s": once(forward), "backward_s": once(backward)}]
    except Exception:  # as in `times_to_show`
        return []


def best_of(moments: Sequence[Times]) -> Times:
    """Return the shortest times of several moments, how many times as long the usual ones were, and the speedup."""
    if not moments:
        return {}
    times: dict[str, Any] = dict(moments[0])
    for name in ("forward", "backward"):
        seconds = [moment[f"{name}_s"] for moment in moments]
        times[f"{name}_s"] = min(seconds)
        times[f"{name}_spread"] = median(seconds) / min(seconds) if min(seconds) else 1.0
    if "numerical_s" in times:
        times["speedup"] = times["numerical_s"] / (times["forward_s"] + times["backward_s"])
    return times


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
