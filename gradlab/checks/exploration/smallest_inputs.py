"""The smallest primals that still show a fault, found as Hypothesis shrinks a failing example."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import Any

import numpy as np

from gradlab.checks.exploration.other_shapes import may_be_cut
from gradlab.checks.trial import Trial
from gradlab.checks.trial.domain import brought_inside
from gradlab.checks.trial.interruptible import within
from gradlab.node import Array, Sample
from gradlab.verdict import Verdict

# So many primals are tried at the most: a fault is to be shown, not to be waited for; and fewer for a warning.
TRIES, TRIES_FOR_A_WARNING = 200, 50
# Of a primal with more elements nobody reads the numbers: all become plain together, or none.
READABLE = 100
# Primals that were large are checked element by element from so many elements down.
FULL_BELOW = 64


def shrink(trial: Trial, fails: Callable[[Trial], bool], *, in_kind: bool = False) -> Trial:
    """Return a trial whose primals are as short and as plain as they can be made while `fails` holds.

    Where each shape takes a compiler they keep theirs. With `in_kind` they stay what they are: no number becomes 0 or
    changes its sign, and only a batch is cut.

    It ends early, with the smallest so far, where the trial's budget is spent.
    """
    # large primals are checked along directions, until they are small enough to be checked element by element
    smallest = replace(trial, full_below=FULL_BELOW) if trial.is_large else trial
    tried: set[Any] = set()
    most = TRIES if in_kind or trial.elsewhere is Verdict.WRONG else TRIES_FOR_A_WARNING

    def goes_on(sample: Any) -> bool:
        return len(tried) < most and not (trial.budget and trial.budget.is_spent)

    shrunk = True
    while shrunk:
        shrunk = False
        for steps in (_plainer,) if trial.slow_shapes else (_halves, _shorter, _plainer):
            place = 0
            while steps is _halves or not smallest.is_large:
                # what did not fail before the last success is not tried again in this round
                samples = takewhile(goes_on, islice(enumerate(steps(smallest, in_kind)), place, None))
                found = next(((i, t) for i, s in samples if (t := _failing(smallest, s, fails, tried))), None)
                if found is None:
                    break
                (place, smallest), shrunk = found, True
    return smallest


def _failing(trial: Trial, sample: Sample, fails: Callable[[Trial], bool], tried: set[Any]) -> Trial | None:
    """Return the trial at a smaller sample if it fails, too, and was not tried before."""
    key = _key(sample)
    inside = brought_inside(trial.domain, trial.names, sample.primals)
    if key in tried or not all(map(np.array_equal, inside, sample.primals)):
        return None
    tried.add(key)
    # a sample of the same name has the same cotangent where the output's shape is the same
    smaller = replace(trial, sample=sample, witness=None)
    # one that takes its whole share of the time shows nothing
    return smaller if within(trial.budget, lambda: smaller.accepted and fails(smaller), False) else None


def _key(sample: Sample) -> Any:
    arrays = [*sample.primals, *(v for v in sample.settings.values() if isinstance(v, np.ndarray))]
    return tuple((x.shape, x.tobytes()) for x in arrays)


def _halves(trial: Trial, in_kind: bool) -> Iterator[Sample]:
    """Yield samples with axes cut to halves."""
    for n in _lengths(trial, in_kind):
        for kept in (range(n // 2), range(n // 2, n)):
            yield from _cut(trial, n, kept, in_kind)


def _shorter(trial: Trial, in_kind: bool) -> Iterator[Sample]:
    """Yield samples with axes cut to a single place, or shorter by one."""
    for n in _lengths(trial, in_kind):
        for kept in (*((k,) for k in range(n)), range(n - 1), range(1, n)):
            yield from _cut(trial, n, kept, in_kind)


def _lengths(trial: Trial, in_kind: bool) -> list[int]:
    primals = trial.sample.primals
    if in_kind:
        first = primals[0].shape
        return [n for n in first[:1] if n > 1 and n not in first[1:]]
    return sorted({n for x in primals for n in x.shape if n > 1}, reverse=True)


def _cut(trial: Trial, n: int, kept: Sequence[int], in_kind: bool) -> Iterator[Sample]:
    """Keep the places `kept` of every axis of length n, and then only of leading axes, in primals and settings."""
    for leading in (True,) if in_kind else (False, True):

        def cut(x: Any, leading: bool = leading) -> Any:
            if isinstance(x, np.ndarray):
                for axis in [a for a, length in enumerate(x.shape) if length == n and not (leading and a)]:
                    x = x.take(kept, axis=axis)
            return x

        sample = trial.sample
        settings = {name: cut(value) for name, value in sample.settings.items()}
        if may_be_cut(trial, n, len(kept), settings):
            yield Sample(sample.name, tuple(map(cut, sample.primals)), settings)


def _plainer(trial: Trial, in_kind: bool) -> Iterator[Sample]:
    """Yield samples with plainer numbers: of each primal first all numbers changed at once, then one at a time.

    One at a time where there are few enough to be read.
    """
    primals = trial.sample.primals
    for i, x in enumerate(primals):
        flat = x.reshape(-1)
        single = range(x.size) if x.size <= READABLE else ()
        for places in (slice(None), *(slice(k, k + 1) for k in single)):
            for number in _plain_numbers(flat[places]):
                if in_kind and not np.array_equal(np.sign(number), np.sign(flat[places])):
                    continue
                if not np.array_equal(number, flat[places]) and _cost(number) < _cost(flat[places]):
                    plainer = flat.copy()
                    plainer[places] = number
                    yield replace(
                        trial.sample, primals=(*primals[:i], plainer.reshape(x.shape), *primals[i + 1 :])
                    )


def _plain_numbers(values: Array) -> Iterator[Array]:
    yield np.zeros_like(values)
    yield np.ones_like(values)
    yield np.rint(values)
    yield np.round(values, 1)


def _cost(values: Array) -> int:
    """Return how many characters it takes to write the numbers down; 0 and 1 cost less than all others."""
    return sum(0 if v == 0 else 1 if v == 1 else 1 + len(repr(float(v))) for v in values)
