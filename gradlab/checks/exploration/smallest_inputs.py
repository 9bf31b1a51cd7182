"""The smallest primals that still show a fault, found as Hypothesis shrinks a failing example."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array, Sample

# So many primals are tried at the most: a fault is to be shown, not to be waited for.
TRIES = 200
# Primals that were large are checked element by element from so many elements down.
FULL_BELOW = 64


def shrink(trial: Trial, fails: Callable[[Trial], bool]) -> Trial:
    """Return a trial whose primals are as short and as plain as they can be made while `fails` holds."""
    # large primals are checked along directions, until they are small enough to be checked element by element
    smallest, left = replace(trial, full_below=FULL_BELOW) if trial.is_large else trial, TRIES
    progress = True
    while progress:
        progress = False
        for sample in _halved(smallest.sample) if smallest.is_large else _smaller(smallest.sample):
            if left == 0:
                return smallest
            left -= 1
            # a sample of the same name has the same cotangent where the output's shape is the same
            smaller = replace(smallest, sample=sample, witness=None)
            if smaller.accepted and fails(smaller):
                smallest, progress = smaller, True
                break
    return smallest


def _halved(sample: Sample) -> Iterator[Sample]:
    """Yield samples with axes cut to halves, for primals of too many elements to try each."""
    for n in sorted({n for x in sample.primals for n in x.shape if n > 1}, reverse=True):
        for kept in (range(n // 2), range(n // 2, n)):
            yield _cut(sample, n, kept, leading=False)
            yield _cut(sample, n, kept, leading=True)


def _smaller(sample: Sample) -> Iterator[Sample]:
    """Yield samples that are a step smaller: first those with shorter axes, then those with plainer numbers."""
    primals = sample.primals
    for n in sorted({n for x in primals for n in x.shape if n > 1}, reverse=True):
        halves = (range(n // 2), range(n // 2, n)) if n > 3 else ()
        for kept in (*((k,) for k in range(n)), *halves, range(n - 1), range(1, n)):
            yield _cut(sample, n, kept, leading=False)
            yield _cut(sample, n, kept, leading=True)
    for i, x in enumerate(primals):
        for plainer in _plainer(x):
            yield replace(sample, primals=(*primals[:i], plainer, *primals[i + 1 :]))


def _cut(sample: Sample, n: int, kept: Sequence[int], leading: bool) -> Sample:
    """Keep the places `kept` of every axis of length n, or only of leading axes, in primals and settings."""

    def cut(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            for axis in [a for a, length in enumerate(x.shape) if length == n and not (leading and a)]:
                x = x.take(kept, axis=axis)
        return x

    settings = {name: cut(value) for name, value in sample.settings.items()}
    return Sample(sample.name, tuple(map(cut, sample.primals)), settings)


def _plainer(x: Array) -> Iterator[Array]:
    """Yield arrays with plainer numbers: first all numbers changed at once, then one at a time."""
    flat = x.reshape(-1)
    for places in (slice(None), *(slice(k, k + 1) for k in range(x.size))):
        for number in _plain_numbers(flat[places]):
            if not np.array_equal(number, flat[places]) and _cost(number) < _cost(flat[places]):
                plainer = flat.copy()
                plainer[places] = number
                yield plainer.reshape(x.shape)


def _plain_numbers(values: Array) -> Iterator[Array]:
    yield np.zeros_like(values)
    yield np.ones_like(values)
    yield np.rint(values)
    yield np.round(values, 1)


def _cost(values: Array) -> int:
    """Return how many characters it takes to write the numbers down; 0 and 1 cost less than all others."""
    return sum(0 if v == 0 else 1 if v == 1 else 1 + len(repr(float(v))) for v in values)
