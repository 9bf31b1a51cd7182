"""A kernel beside the function that it stands for: whether it is as good, in its own precision, as that one.

The truth is the reference in double precision at the numbers that the low precision holds. No tolerance says what is
good: the reference itself, run in the kernel's precision, shows what can be had.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np

from gradlab.adapters.framework.function_pair import FunctionPair
from gradlab.adapters.framework.leaves import first_line
from gradlab.adapters.framework.own_precision import bits_lost, ulp
from gradlab.checks import quiet
from gradlab.node import Array, as_tuple, named_rng
from gradlab.report import Report, Row
from gradlab.report.envelope import environment
from gradlab.running.options import CheckOptions
from gradlab.verdict import Verdict

NAME = "kernel"
# The cotangents: of random sign errors cancel, of one sign they add up, and what is summed in too few bits shows.
DRAWS = 2
Draw = Callable[[tuple[int, ...]], Array]


class Run(NamedTuple):
    """What came of one run: by what it is called, numbers and the dtype that they are of."""

    arrays: dict[str, Array]
    dtypes: dict[str, str]


def kernel_report(
    pair: FunctionPair[Any],
    reference: FunctionPair[Any],
    options: CheckOptions,
    budget: float,
    version: dict[str, str],
) -> Report:
    """Return the report of a kernel held to a reference by an error budget.

    Raises
    ------
    ValueError
        If the reference takes no double precision.
    """
    if reference.narrow:
        cure = "give a reference that computes in the precision of its arguments"
        raise ValueError(f"reference takes no float64, in which the truth is computed: {cure}")
    with quiet():
        rows = list(_rows(pair, reference, options, budget))
    return Report(rows, environment(seed=options.seed) | version)


def _rows(
    pair: FunctionPair[Any], reference: FunctionPair[Any], options: CheckOptions, budget: float
) -> Iterator[Row]:
    name = options.name or pair.name
    own = [leaf.value for leaf in pair.leaves]
    wide = [leaf.value.astype(np.float64) for leaf in reference.leaves]
    told: set[str] = set()
    for how, draws in _cotangents(pair, options.seed):
        try:
            found = _run(pair, own, draws())
        except Exception as error:
            note = f"raised {first_line(error.__cause__ or error)}"
            yield Row(name, how, NAME, "", pair.leaves[0].dtype, Verdict.WRONG, note=note)
            return
        eager, truth = _run(reference, own, draws()), _run(reference, wide, draws())
        for what, wanted in truth.arrays.items():
            # without a cotangent nothing changes from one to another
            if what in told and not what.startswith("gradient of "):
                continue
            told.add(what)
            yield _row(name, how, what, found, eager, wanted, budget)


def _cotangents(pair: FunctionPair[Any], seed: int) -> Iterator[tuple[str, Callable[[], Draw]]]:
    """Yield what cotangents are called, and what begins to draw them anew for each run."""
    for i in range(DRAWS):
        for how in ("random cotangent", "cotangent of one sign"):
            yield f"{how} {i + 1}", partial(_draw, how, seed, pair.name, str(i))


def _draw(how: str, seed: int, name: str, number: str) -> Draw:
    rng = named_rng(seed, name, how, number)

    def draw(shape: tuple[int, ...]) -> Array:
        g = rng.standard_normal(shape)
        return _coarse(np.abs(g) + 0.5 if "one sign" in how else g)

    return draw


def _run(pair: FunctionPair[Any], primals: Sequence[Array], draw: Draw) -> Run:
    """Return the outputs, what was written into the primals, and the gradients of one run."""
    given = [x.copy() for x in primals]
    outputs, residuals = pair.forward(*given, **{name: x.copy() for name, x in pair.settings.items()})
    parts, own = as_tuple(outputs), pair.output_dtypes(residuals)
    names = [f"output {i}" for i in range(len(parts))] if len(parts) > 1 else ["output"]
    cotangents = tuple(np.asarray(draw(y.shape), y.dtype) for y in parts)
    gradients = pair.backward(residuals, cotangents if isinstance(outputs, tuple) else cotangents[0])
    arrays, dtypes = dict(zip(names, parts, strict=True)), dict(zip(names, own, strict=True))
    for leaf, before, after, d in zip(pair.leaves, primals, given, gradients, strict=True):
        if not np.array_equal(before, after, equal_nan=True):
            arrays[f"{leaf.name} as it was written into"] = after
        arrays[f"gradient of {leaf.name}"] = np.asarray(d)
        dtypes |= dict.fromkeys(
            (f"{leaf.name} as it was written into", f"gradient of {leaf.name}"), leaf.dtype
        )
    return Run(arrays, dtypes)


def _coarse(g: Array) -> Array:
    """Return numbers that every precision holds: of seven binary digits."""
    mantissa, exponent = np.frexp(g)
    return np.asarray(np.ldexp(np.round(mantissa * 2**7) / 2**7, exponent))


def _row(name: str, how: str, what: str, found: Run, eager: Run, wanted: Array, budget: float) -> Row:
    dtype = found.dtypes.get(what) or eager.dtypes.get(what, "")
    primal = what.removeprefix("gradient of ")
    got = found.arrays.get(what)
    if got is None or np.shape(got) != np.shape(wanted):
        shape = "nothing" if got is None else f"shape {np.shape(got)}"
        note = f"{what}: the kernel gives {shape}, and the reference shape {np.shape(wanted)}"
        return Row(name, how, NAME, primal, dtype, Verdict.WRONG, note=note)
    size = float(np.max(np.abs(wanted), initial=0.0))
    unit = ulp(size, dtype)
    off, beside = (_error(a, wanted) for a in (got, eager.arrays[what]))
    worst = np.unravel_index(int(np.argmax(_off(got, wanted))), wanted.shape) if wanted.size else ()
    good = off <= budget * beside + unit
    ratio = off / beside if beside else (inf if off else 1.0)
    note = (
        f"{what}: off by {off / unit if unit else 0.0:.2g} ulps, the reference in {dtype} by "
        f"{beside / unit if unit else 0.0:.2g}, {ratio:.2g} times as much; {bits_lost(off, unit)}"
    )
    if not good:
        cause = "sums in too few bits, or computes something else"
        note += f"; over its budget of {budget:g} times the reference's error and one ulp: it {cause}"
    index = tuple(map(int, worst))
    return Row(
        name,
        how,
        NAME,
        primal,
        dtype,
        Verdict.PASS if good else Verdict.WRONG,
        relative_error=off / size if size else off,
        absolute_error=off,
        reference_error=beside,
        worst_index=index,
        analytic=float(got[index]) if wanted.size else None,
        numerical=float(wanted[index]) if wanted.size else None,
        note=note,
    )


def _off(found: Array, wanted: Array) -> Array:
    """Return how far numbers are off; infinitely where one is not finite and should be, or is another such."""
    off = np.abs(np.asarray(found, np.float64) - wanted)
    same = np.asarray(found) == wanted
    return np.where(same, 0.0, np.where(np.isnan(off), inf, off))


def _error(found: Array, wanted: Array) -> float:
    return float(np.max(_off(found, wanted), initial=0.0)) if np.shape(found) == np.shape(wanted) else inf
