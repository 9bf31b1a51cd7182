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
# A call that takes longer is timed once: what disturbs it for some milliseconds makes little of it.
SHORT_S = 0.01


def measure(trial: Trial) -> Times:
    """Return the best times of forward, backward and the numerical gradient, in seconds, and their ratio.

    Of large primals the numerical gradient is not computed, and not timed.
    """
    node, settings, primals, g = trial.node, trial.settings(), trial.primals(), trial.cotangent()
    forward, backward = _calls(trial)
    times = {"forward_s": best_time(forward), "backward_s": best_time(backward)}
    if trial.is_large:
        return times
    numerical = best_time(lambda: numerical_vjp(lambda *xs: node.forward(*xs, **settings)[0], primals, g))
    return _with_speedup({**times, "numerical_s": numerical})


def _calls(trial: Trial) -> tuple[Callable[[], object], Callable[[], object]]:
    node, settings, primals, g = trial.node, trial.settings(), trial.primals(), trial.cotangent()
    _, residuals = node.forward(*primals, **settings)
    return lambda: node.forward(*primals, **settings), lambda: node.backward(residuals, g)


def _with_speedup(times: dict[str, Any]) -> Times:
    if "numerical_s" in times:
        times["speedup"] = times["numerical_s"] / (times["forward_s"] + times["backward_s"])
    return times


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


def times_again(trial: Trial, times: Times) -> Times:
    """Return the times of a node's calls that are short, or what they take now where that is less.

    What else a machine does is over after some milliseconds, and makes a call of microseconds twice as long until then.
    """
    if not times or times["forward_s"] + times["backward_s"] > SHORT_S:
        return times
    try:
        with np.errstate(all="ignore"):
            forward, backward = _calls(trial)
            now = {"forward_s": best_time(forward, repeat=1), "backward_s": best_time(backward, repeat=1)}
    except Exception:  # as in `times_to_show`
        return times
    return _with_speedup({**times, **{name: min(now[name], times[name]) for name in now}})


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
