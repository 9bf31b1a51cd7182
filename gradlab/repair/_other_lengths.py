"""Whether an edit that puts in a number or a length means it: a 3 that is missing may be the one or the other."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.checks.exploration.other_shapes import may_be_resized
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.line_slopes import is_right_along_lines
from gradlab.faults.syntax_nodes import number_in
from gradlab.node import Array
from gradlab.repair._tiers import Candidate

LENGTHS = ("shape", "size", "len", "numel", "ndim")


def counts(edits: Sequence[Candidate]) -> bool:
    """Return whether an edit puts in the length of an axis, or a number that may be one."""
    return any(_counts_in(edit.new) - _counts_in(edit.place.node) for edit in edits)


def _counts_in(node: ast.AST) -> set[Any]:
    names = {getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node)}
    return names.intersection(LENGTHS) | {number_in(part) for part in ast.walk(node)} - {None}


def is_right_at_other_lengths(trial: Trial) -> bool:
    """Return whether backward, as it runs now, is right wherever forward takes an axis of another length."""
    with quiet():
        return all(is_right_along_lines(other) for other in _of_other_lengths(trial) if other.accepted)


def _of_other_lengths(trial: Trial) -> Iterator[Trial]:
    """Yield the trial with each length of an axis one more, in all arrays that have such an axis."""
    for n in sorted({n for x in trial.sample.primals for n in x.shape if n > 1}):
        if not may_be_resized(trial, n):
            continue
        settings = {name: _longer(value, n, 1.0) for name, value in trial.settings().items()}
        primals = [_longer(x, n, 0.9) for x in trial.primals()]
        sample = replace(trial.sample, primals=tuple(primals), settings=settings)
        # without what was computed at the given lengths
        yield replace(trial, sample=sample, witness=None)


def _longer(value: Any, n: int, scale: float) -> Any:
    """Return an array with one element more along each axis of length n, nearly the first one again."""
    if not isinstance(value, np.ndarray):
        return value
    longer: Array = value
    for axis, length in enumerate(value.shape):
        if length == n:
            first = longer.take([0], axis)
            more = first * longer.dtype.type(scale) if longer.dtype.kind == "f" else first
            longer = np.concatenate([longer, more], axis)
    return longer
