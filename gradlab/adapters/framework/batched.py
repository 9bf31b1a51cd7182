"""Batches: what a framework's vmap makes of a function, and of its backward, is what it gives one by one."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.pair_report import has_right_gradients
from gradlab.checks import Check, Trial, quiet
from gradlab.checks.exploration.derived_inputs import smaller
from gradlab.checks.trial import map_arrays
from gradlab.node import Array, as_tuple, named_rng
from gradlab.verdict import CheckResult, Verdict, rtol_for

NAME = "batched"
# So many examples, each so far from the given primals, relative to them.
EXAMPLES, APART = 3, 0.03
# What two orders of the same sums may differ by: so many tolerances, relative to the largest element.
ROUNDING = 10
# What the frameworks say where they cannot do it, of which nobody's rule is at fault.
REFUSALS = (
    "support", "implement", "batching rule", "vmap: ", "functorch", "in-place", "data-dependent", "item()", "Tracer",
    "incompatible",
)  # fmt: skip

Axes = tuple[int | None, ...]


class Batches(NamedTuple):
    """What a framework makes of batches.

    Attributes
    ----------
    outputs : callable
        ``outputs(stacked, axes, cotangents, settings)`` returns those of a vmap over primals with these axes, stacked
        along axis 0, and the gradients of the stacked primals.
    gradients : mapping
        By what it is called, ``of(primals, cotangents, settings)`` returns the gradients for stacked cotangents.
    shared : bool
        Whether the gradients of primals that are not batched, beside others that are, tell of a rule that was written
        by hand. In JAX only those of a custom_vmap do: what the rule of a custom_vjp returns without a batch, beside
        what has one, JAX counts once for each example, which is no fault of the rule.
    """

    outputs: Callable[..., tuple[Sequence[Array], Sequence[Array]]]
    gradients: dict[str, Callable[..., Sequence[Array]]]
    shared: bool = True


def batched(batches: Batches) -> Check:
    """Return the check of batches: right, or refused aloud."""

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            if batches.gradients and not has_right_gradients(trial):
                continue
            small = smaller(trial) or trial
            with quiet():
                results = [*_over_primals(small, batches), *_over_cotangents(small, batches)]
            yield from ((trial, result) for result in results)

    return Check(run, needs_all_samples=False)


def _over_primals(trial: Trial, batches: Batches) -> Iterator[CheckResult]:
    """Compare a vmap over the primals with its examples, one by one: along which axis, and of which primals."""
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "batches")
    count = len(trial.names)
    examples = [
        [
            x * (1 + x.dtype.type(APART) * rng.standard_normal(x.shape).astype(x.dtype))
            for x in trial.primals()
        ]
        for _ in range(EXAMPLES)
    ]
    cotangents = [
        as_tuple(map_arrays(lambda y: rng.standard_normal(y.shape).astype(y.dtype), trial.output))
        for _ in range(EXAMPLES)
    ]
    for axes in _axes(count, [x.ndim for x in trial.primals()]):
        points = [
            [
                own if axis is not None else first
                for own, first, axis in zip(e, examples[0], axes, strict=True)
            ]
            for e in examples
        ]
        yield _compared(trial, batches, axes, points, cotangents)


def _axes(count: int, dimensions: Sequence[int]) -> Iterator[Axes]:
    yield (0,) * count
    if any(dimensions):
        yield tuple(dimensions)
    if count > 1:
        yield from (tuple(0 if j == i else None for j in range(count)) for i in range(count))
    if count > 2:
        yield from (tuple(None if j == i else 0 for j in range(count)) for i in range(count))


def _compared(
    trial: Trial,
    batches: Batches,
    axes: Axes,
    points: Sequence[Sequence[Array]],
    cotangents: Sequence[tuple[Array, ...]],
) -> CheckResult:
    settings, several = trial.settings(), isinstance(trial.output, tuple)
    runs = [trial.run_forward(tuple(x.copy() for x in xs), trial.settings()) for xs in points]
    outputs, gradients = [as_tuple(y) for y, _ in runs], []
    for (_, residuals), g in zip(runs, cotangents, strict=True):
        if residuals is not None:
            gradients.append(trial.well_formed(trial.node.backward(residuals, g if several else g[0])))
    stacked = [
        xs[0] if axis is None else np.stack(xs, axis)
        for xs, axis in zip(zip(*points, strict=True), axes, strict=True)
    ]
    wanted = [np.stack(ys) for ys in zip(*outputs, strict=True)]
    slopes = [
        np.sum(ds, axis=0) if axis is None else np.stack(ds, axis)
        for ds, axis in zip(zip(*gradients, strict=True), axes, strict=bool(gradients))
    ]
    called = f"vmap over {', '.join(trial.names)} along the axes {axes}"
    try:
        found = batches.outputs(stacked, axes, [np.stack(g) for g in zip(*cotangents, strict=True)], settings)
    except Exception as error:
        return refused(error, called)
    if None in axes and not batches.shared:
        slopes = []
    for what, some, others, noise in (
        ("outputs", found[0], wanted, 0.0),
        ("gradients", found[1], slopes, EXAMPLES * trial.noise),
    ):
        if others and not same_arrays(some, others, noise):
            return CheckResult(Verdict.WRONG, note=f"{called} gives other {what} than one by one")
    return CheckResult(Verdict.PASS)


def _over_cotangents(trial: Trial, batches: Batches) -> Iterator[CheckResult]:
    """Compare the gradients for several cotangents at once with those for each."""
    if not batches.gradients:
        return
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "batches of cotangents")
    cotangents = [
        map_arrays(lambda y: rng.standard_normal(y.shape).astype(y.dtype), trial.output)
        for _ in range(EXAMPLES)
    ]
    wanted = [np.stack(ds) for ds in zip(*(trial.gradients(g) for g in cotangents), strict=True)]
    stacked = [np.stack(g) for g in zip(*map(as_tuple, cotangents), strict=True)]
    for called, of in batches.gradients.items():
        try:
            found = of(trial.primals(), stacked, trial.settings())
        except Exception as error:
            yield refused(error, called)
            continue
        if same_arrays(found, wanted, trial.noise):
            yield CheckResult(Verdict.PASS)
        else:
            yield CheckResult(Verdict.WRONG, note=f"{called} gives other gradients than one by one")


def refused(error: Exception, called: str) -> CheckResult:
    """Return the result where a batch raised: a pass if the framework says that it cannot do it."""
    said = first_line(error.__cause__ or error)
    if isinstance(error, NotImplementedError) or any(word in said for word in REFUSALS):
        return CheckResult(Verdict.PASS, note=f"no {called}, and it says so: {said}")
    return CheckResult(Verdict.WRONG, note=f"{called} raised {said}")


def same_arrays(found: Sequence[Array], wanted: Sequence[Array], noise: float = 0.0) -> bool:
    """Return whether arrays are the same up to the rounding of another order of operations, and their own noise."""
    if len(found) != len(wanted):
        return False
    for a, b in zip(found, wanted, strict=True):
        if a.shape != b.shape:
            return False
        rtol = ROUNDING * rtol_for(b.dtype)
        if not np.allclose(
            a, b, rtol, rtol * float(np.nan_to_num(np.abs(b)).max(initial=0.0)) + noise, equal_nan=True
        ):
            return False
    return True
