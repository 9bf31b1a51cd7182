"""The times in a report: of each call the shortest of several moments."""

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.running import timing
from gradlab.running.timing import best_time, showing_times

X = np.array([1.0, 2.0])


def square(x):
    return x**2, x


def test_best_time_counts_one_call():
    calls = []
    best_time(lambda: calls.append(1), enough_s=0.0)
    assert len(calls) == 1  # a single call is enough: 1 >= 100 * 0 is timed once


@pytest.fixture
def at_each_moment(monkeypatch):
    """What a call takes, in seconds: of forward, backward and the numerical gradient in turn, then of the first two."""

    def set_to(*seconds):
        left = iter(seconds)

        def measured(function, **kwargs):
            second = next(left, 1.0)
            if isinstance(second, Exception):
                raise second
            return second

        monkeypatch.setattr(timing, "best_time", measured)
        with showing_times():
            report = check_vjp(square, lambda x, g: 2 * x * g, (X,))
        (timed,) = (row for row in report.rows if row.forward_s)
        return timed.forward_s, timed.backward_s, timed.numerical_s, timed.speedup

    return set_to


def test_of_several_moments_the_shortest_time_is_kept(at_each_moment):
    assert at_each_moment(2e-6, 8e-6, 1e-4, 4e-6, 3e-6, 9e-6, 4e-6) == (2e-6, 3e-6, 1e-4, pytest.approx(20))


def test_what_takes_long_is_not_timed_again(at_each_moment):
    assert at_each_moment(2.0, 3.0, 10.0, 1.0, 1.0) == (2.0, 3.0, 10.0, 2.0)


def test_what_raises_when_it_is_timed_again_keeps_its_times(at_each_moment):
    assert at_each_moment(2e-6, 3e-6, 1e-4, ValueError("once too often"))[:3] == (2e-6, 3e-6, 1e-4)


def test_the_spread_is_that_of_the_usual_moment():
    moments = [{"forward_s": s, "backward_s": t} for s, t in ((1.0, 4.0), (3.0, 2.0), (2.0, 2.0))]
    spread = {"forward_spread": 2.0, "backward_spread": 1.0}
    assert timing.best_of(moments) == {"forward_s": 1.0, "backward_s": 2.0, **spread}
    assert timing.best_of([]) == {}
