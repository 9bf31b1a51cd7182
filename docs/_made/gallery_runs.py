"""What gradlab says of the gallery's examples, and what their forward and backward give when they are called."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
from gallery_examples import Example, Pair

from gradlab import check_vjp, estimate_gradient
from gradlab.report import Comparison, Report

# What numbers alone do not tell, but the change that mends it.
TOLD_BY_REPAIR = ("missing-factor", "wrong-operand")


@dataclass(frozen=True)
class Run:
    """An example, and gradlab's report of it."""

    example: Example
    report: Report

    @property
    def compared(self) -> Comparison:
        """Both gradients of the input whose gradient is wrong."""
        return next(both for both in self.report.comparisons if both.wrong.any())

    def compared_of(self, primal: str) -> Comparison:
        """Return both gradients of one input."""
        return next(both for both in self.report.comparisons if both.primal == primal)

    @property
    def printed(self) -> str:
        """What the report says of the mistake: its first line, and the block that names it."""
        parts = str(self.report).split("\n\n")
        named = next(part for part in parts if f"({self.example.mistake})" in part)
        return named if named is parts[0] else f"{parts[0]}\n\n{named}"


def run(example: Example) -> Run:
    """Check an example, and its right version.

    Raises
    ------
    ValueError
        If gradlab names another mistake first, or finds the right line wrong.
    """
    report = _checked(example, example.make())
    named = [fault.name for fault in report.faults if fault.confidence and not fault.warns]
    if report.ok or named[:1] != [example.mistake]:
        raise ValueError(f"the example of {example.mistake} is called {named or 'right'}:\n{report}")
    right = _checked(example, example.make_right())
    if not right.ok:
        raise ValueError(f"the right line of {example.mistake} is wrong:\n{right}")
    return Run(example, report)


def _checked(example: Example, pair: Pair) -> Report:
    primals, repair = tuple(example.primals.values()), example.mistake in TOLD_BY_REPAIR
    return check_vjp(*pair, primals, settings=example.settings, name=example.layer, repair=repair)


def change(example: Example) -> str:
    """Return the change from the wrong lines to the right ones, as a diff."""
    lines = difflib.unified_diff(example.code.splitlines(), example.mended.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def backprop(pair: Pair, example: Example, g: Any = None, **primals: Any) -> tuple[np.ndarray, ...]:
    """Return what backward gives; `g` is 1 for all outputs unless it is given."""
    forward, backward = pair
    y, residuals = forward(*({**example.primals, **primals}.values()), **example.settings)
    return tuple(map(np.array, backward(residuals, np.ones_like(y) if g is None else g)))


def numerical(example: Example, primal: str, g: Any = None, **primals: Any) -> np.ndarray:
    """Return the gradient of one input by differences; `g` is 1 for all outputs unless it is given."""
    forward, _ = example.make()
    at = {**example.primals, **primals}

    def total(x: np.ndarray) -> float:
        y, _ = forward(*({**at, primal: x}.values()), **example.settings)
        if isinstance(y, tuple):
            return float(sum(np.sum(part * each) for part, each in zip(y, g, strict=True)))
        return float(np.sum(y if g is None else y * g))

    return estimate_gradient(total, at[primal]).value


def cotangent(example: Example, seed: int = 0) -> np.ndarray:
    """Return a random dout of the output's shape."""
    forward, _ = example.make()
    y, _ = forward(*example.primals.values(), **example.settings)
    return np.random.default_rng([40, seed]).standard_normal(np.shape(y))
