"""The error of a numerical derivative against its step: why no one step is right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Array, Node, as_tuple
from gradlab.numerical.estimate import estimate_vjp

STEPS = 10.0 ** -np.arange(1, 16)


@dataclass(frozen=True)
class SweepRow:
    """The relative error of each method at one step; None where it gives no number, or none to be believed."""

    h: float
    forward: float | None
    central: float | None
    extrapolated: float | None
    complex_step: float | None = None


def sweep(node: Node, primal: int = 0, seed: int = 0) -> tuple[list[SweepRow], str]:
    """Return a row for each step from 1e-1 to 1e-15, and what the error was measured against.

    The derivative is that of sum(g * forward) along a random direction of one primal, at the node's first
    sample; the truth is the complex step's where forward is analytic, else the adaptive reference's.

    Raises
    ------
    ValueError
        If the node has no such primal.
    """
    trial = Trial(node, node.draw_samples(seed)[0], seed)
    if not 0 <= primal < len(trial.names):
        raise ValueError(f"{node.name} has no primal {primal}: give 0 to {len(trial.names) - 1}")
    line = _line(trial, primal)
    with np.errstate(all="ignore"):
        exact, measured_against = _truth(line)
        # where the reference refused the complex step, forward is not analytic, and its numbers mean nothing
        used = [m for name, m in METHODS.items() if name != "complex-step" or "complex" in measured_against]
        rows = [
            SweepRow(float(h), *(_error(method, line, float(h), exact) for method in used)) for h in STEPS
        ]
    return rows, measured_against


def _line(trial: Trial, primal: int) -> Callable[[Any], Any]:
    primals, g = trial.primals(), trial.cotangent()
    v = np.random.default_rng(trial.seed).standard_normal(primals[primal].shape)

    def line(s: Any) -> Any:
        moved = (*primals[:primal], primals[primal] + s * v, *primals[primal + 1 :])
        output = trial.node.forward(*moved, **trial.settings())[0]
        return sum(np.sum(part * y) for part, y in zip(as_tuple(g), as_tuple(output), strict=True))

    return line


def _forward(line: Callable[[Any], Any], h: float) -> Any:
    return (line(h) - line(0.0)) / h


def _central(line: Callable[[Any], Any], h: float) -> Any:
    return (line(h) - line(-h)) / (2 * h)


def _extrapolated(line: Callable[[Any], Any], h: float) -> Any:
    return (4 * _central(line, h / 2) - _central(line, h)) / 3


def _complex_step(line: Callable[[Any], Any], h: float) -> Any:
    return np.imag(line(1j * h)) / h


METHODS = {
    "forward": _forward,
    "central": _central,
    "extrapolated": _extrapolated,
    "complex-step": _complex_step,
}


def _truth(line: Callable[[Any], Any]) -> tuple[float, str]:
    point: tuple[Array, ...] = (np.zeros(()),)
    try:
        return float(
            estimate_vjp(line, point, np.ones(()), method="complex-step")[0].value
        ), "the complex step"
    except (ValueError, TypeError):
        return float(estimate_vjp(line, point, np.ones(()))[0].value), "the adaptive reference"


def _error(method: Callable[..., Any], line: Callable[[Any], Any], h: float, exact: float) -> float | None:
    try:
        value = method(line, h)
    except (TypeError, ValueError):
        return None
    if np.iscomplexobj(value) or not np.isfinite(value):
        return None
    return float(abs(value - exact) / (abs(exact) or 1.0))


def sketch(rows: list[SweepRow], height: int = 16) -> str:
    """Return the errors drawn in characters, a column a step, from 1 down to 1e-16: the V of each method."""
    marks = {"forward": "f", "central": "c", "extrapolated": "x", "complex_step": "i"}
    canvas = [[" "] * (4 * len(rows)) for _ in range(height + 1)]
    for column, row in enumerate(rows):
        for offset, (name, mark) in enumerate(marks.items()):
            error = getattr(row, name)
            if error is not None:
                depth = -np.log10(max(error, 1e-16))
                canvas[round(min(max(float(depth), 0.0), 16.0) * height / 16)][4 * column + offset] = mark
    lines = [f"1e-{round(16 * i / height):02d} |{''.join(line).rstrip()}" for i, line in enumerate(canvas)]
    steps = "".join(f"{round(-np.log10(row.h)):<4d}" for row in rows)
    legend = "f forward, c central, x extrapolated, i complex step"
    return "\n".join([*lines, "      +" + "-" * 4 * len(rows), f"h=1e-  {steps}".rstrip(), legend])
