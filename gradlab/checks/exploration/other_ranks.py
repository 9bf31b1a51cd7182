"""Primals of another rank, where forward does with them what it does with the given ones.

That forward accepts an axis more is no sign that it is meant to; that it gives the same numbers, an example at a time
or under another shape, is one.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from gradlab.checks.exploration.other_shapes import integers_in
from gradlab.checks.exploration.redrawn_values import redrawn
from gradlab.checks.trial import Trial
from gradlab.node import Array, as_tuple, named_rng

# Sums in another order may round otherwise.
SAME = 1e-9


def trials_of_other_ranks(trial: Trial) -> Iterator[tuple[str, Trial]]:
    """Yield trials with an axis more, and how they came to it: two examples along a new one, and one that is split."""
    first = trial.sample.primals[0]
    # what may be a place in an axis would be one in another
    if not first.ndim or not first.size or integers_in(trial.sample.settings, arrays_alone=True).size:
        return
    yield from _with_an_axis_in_front(trial)
    yield from _with_the_last_axis_split(trial)


def _with_an_axis_in_front(trial: Trial) -> Iterator[tuple[str, Trial]]:
    """Stack examples: of all primals, or of the first where the others are parameters.

    There are as many of them as no axis is long: what confuses two axes is to see two lengths.
    """
    primals = trial.sample.primals
    lengths = {n for x in (*primals, *map(np.asarray, as_tuple(trial.output))) for n in x.shape}
    count = next(n for n in range(2, len(lengths) + 3) if n not in lengths)
    for which in dict.fromkeys([tuple(range(len(primals))), (0,)]):
        yield from _stacked(trial, which, count)


def _stacked(trial: Trial, which: Sequence[int], count: int) -> Iterator[tuple[str, Trial]]:
    called = f"another axis in front of {', '.join(trial.names[i] for i in which)}"
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, called)
    examples = [trial]
    for number in range(1, count):
        others = [redrawn(x, rng) if i in which else x for i, x in enumerate(trial.sample.primals)]
        examples.append(trial.at(f"example {number} of {called}", others))
    together = zip(*(example.sample.primals for example in examples), strict=True)
    stacked = trial.at(called, [np.stack(xs) if i in which else xs[0] for i, xs in enumerate(together)])
    if all(example.accepted for example in (*examples, stacked)):
        if len({tuple(np.shape(y) for y in as_tuple(example.output)) for example in examples}) > 1:
            return  # its shape depends on more than that of its arguments
        outputs = zip(*(as_tuple(example.output) for example in examples), strict=True)
        if _are_same(as_tuple(stacked.output), [np.stack(ys) for ys in outputs]):
            yield called, stacked


def _with_the_last_axis_split(trial: Trial) -> Iterator[tuple[str, Trial]]:
    """Give the first primal's last axis, and those of primals of the same shape, the shape of two."""
    primals = trial.sample.primals
    shape = primals[0].shape
    if not trial.sheltered and shape[-1] in trial.held_lengths:
        return
    factors = [p for p in range(2, shape[-1]) if shape[-1] % p == 0]
    if not factors:
        return
    two = (factors[0], shape[-1] // factors[0])
    derived = trial.at(
        f"the last axis split into {two}",
        [x.reshape(*shape[:-1], *two) if x.shape == shape else x for x in primals],
    )
    wanted = [
        y.reshape(*y.shape[:-1], *two) if y.ndim and y.shape[-1] == shape[-1] else y
        for y in as_tuple(trial.output)
    ]
    if derived.accepted and _are_same(as_tuple(derived.output), wanted):
        yield f"the last axis split into {two}", derived


def _are_same(found: Sequence[Array], wanted: Sequence[Array]) -> bool:
    return len(found) == len(wanted) and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=SAME, atol=SAME * np.abs(b).max(initial=0.0))
        for a, b in zip(found, wanted, strict=True)
    )
