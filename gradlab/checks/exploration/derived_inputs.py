"""Trials at primals derived from the given ones, to find faults that hide where nobody sampled.

Derived primals are used only where forward accepts them and stays finite, so that a domain is respected without being
declared.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, combinations, islice
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.exploration.other_ranks import trials_of_other_ranks
from gradlab.checks.exploration.other_shapes import (
    may_be_cut,
    may_be_resized,
    takes_other_ranks,
    takes_other_shapes,
)
from gradlab.checks.exploration.redrawn_values import redrawn
from gradlab.checks.trial import Trial
from gradlab.checks.trial.domain import brought_inside
from gradlab.checks.trial.interruptible import within
from gradlab.checks.trial.line_slopes import is_right_along_lines
from gradlab.node import Array, as_tuple, named_rng

# Which arrays belong to the batch is guessed from their leading lengths: so many guesses are tried at the most.
GUESSES = 8
# Of more elements than this a batch is cut to about so many before anything else is changed.
LARGE, KEPT = 50_000, 5_000
# Of the ways to make a square oblong, so many are tried, and so many are used.
OBLONGS_TRIED, OBLONGS = 64, 2


class DerivedTrials(NamedTuple):
    """Trials that differ from the given one by one kind of change, which `how` names.

    There are several trials where it is a guess which arrays belong to the batch: the first that the node can compute
    counts. `guessed` says that it is a guess, too, whether the node is meant to take such primals: numpy.trace takes an
    oblong matrix. `meant` says that it plainly is: they differ from the given ones in nothing that may have a meaning.
    """

    how: str
    trials: Sequence[Trial]
    guessed: bool = False
    meant: bool = False


# What makes trials of one kind of change, and its name.
Way = tuple[str, Callable[[], Iterator[DerivedTrials]]]


@dataclass
class Derivation:
    """The trials derived from one trial, made as they are asked for, from near to far, while its budget lasts.

    Attributes
    ----------
    trial : Trial
    found : list of DerivedTrials
        Those that are made already.
    left : list of str
        What took more than its share of the budget, at which nobody looks again.
    complete : bool
        Whether all are made.
    """

    trial: Trial
    found: list[DerivedTrials] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    complete: bool = False

    def __post_init__(self) -> None:
        self._ways = _ways(smaller(self.trial) or self.trial)

    def __iter__(self) -> Iterator[DerivedTrials]:
        place = 0
        while place < len(self.found) or self._goes_on():
            if place < len(self.found):
                derived = self.found[place]
                place += 1
                if derived.how not in self.left:
                    yield derived

    def _goes_on(self) -> bool:
        """Make the trials of one more way, if there are any; return whether there may be more."""
        budget = self.trial.budget
        if budget and budget.is_spent:
            return False
        way = next(self._ways, None)
        if way is None:
            self.complete = True
            return False
        how, make = way
        found = within(budget, lambda: list(make()), None)
        if found is not None:
            self.found += found
        elif budget and budget.is_spent:
            self._ways = chain([way], self._ways)
        else:
            self.left.append(how)
        return True


def smaller(trial: Trial) -> Trial | None:
    """Return the trial with the first rows of a large batch, from which others are derived in its place.

    None where the primals are not that many, where the function takes no other batch, and where it is not right there:
    what is wrong in fewer rows is to be found from all.
    """

    def found(trial: Trial) -> Trial | None:
        n, elements = _batch_size(trial), sum(x.size for x in trial.sample.primals)
        if n is None or trial.registered or elements <= LARGE or not takes_other_shapes(trial):
            return None
        size = max(2, n * KEPT // elements)
        some = trials_with_batch(trial, f"the first {size} rows", size) if size < n else ()
        for cut in some:
            is_small = sum(x.size for x in cut.sample.primals) <= LARGE
            return cut if is_small and is_right_along_lines(cut) else None
        return None

    known: Trial | None = trial.remembered("smaller", found)
    return known


def derivation(trial: Trial) -> Derivation:
    """Return what is known of the trials that can be derived from a trial, always the same."""
    known: Derivation = trial.remembered("derived", Derivation)
    return known


def derived_trials(trial: Trial) -> Iterator[DerivedTrials]:
    """Yield the trials that can be derived from a trial, those of each kind of change together."""
    if trial.witness:
        for place, derived in enumerate(derived_trials(trial.witness)):
            # the same trials for every check, so that what one has computed serves the others
            own: DerivedTrials = trial.remembered(f"derived {place}", partial(_of_node, derived))
            yield own
    else:
        yield from derivation(trial)


def _of_node(derived: DerivedTrials, trial: Trial) -> DerivedTrials:
    return derived._replace(trials=[t.of(trial.node) for t in derived.trials])


def _ways(trial: Trial) -> Iterator[Way]:
    if trial.may_not_end:
        return
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, "derived")
    yield "redrawn", partial(_changed_values, trial, "redrawn", partial(redrawn, rng=rng), meant=True)
    if takes_other_shapes(trial):
        yield "another batch", partial(_resized_batches, trial)
    for how, change in _NEAR.items():
        yield how, partial(_changed_values, trial, how, partial(change, rng=rng))
    yield "a tie between primals", partial(_tied, trial)
    if not trial.registered:
        yield "an integer twice", partial(_repeated_integers, trial)
    # what is not ours may iterate until something is small, and far away nothing is
    for how, change in {**_FAR, **(_FARTHEST if trial.registered else {})}.items():
        yield how, partial(_changed_values, trial, how, partial(change, rng=rng))
    if takes_other_shapes(trial):
        for n in filter(partial(may_be_resized, trial), _lengths(trial)):
            yield f"axes of {n} resized", partial(_resized_axes, trial, n)
        yield "made oblong", partial(_oblong_squares, trial)
    # a registered node says which ranks it takes by its samples
    if takes_other_ranks(trial) and not trial.registered:
        yield "another rank", partial(_other_ranks, trial)


def _lengths(trial: Trial) -> list[int]:
    return sorted({n for x in trial.sample.primals for n in x.shape} - {0, 1})


def _with_pairs(x: Array, rng: np.random.Generator) -> Array:
    flat = x.reshape(-1)
    flat[1::2] = flat[: 2 * (x.size // 2) : 2]
    return x


def _with_equal_slices(x: Array, rng: np.random.Generator) -> Array:
    if x.ndim > 1:
        x[1:2] = x[:1]
    return x


def _with_a_zero_and_a_one(x: Array, rng: np.random.Generator) -> Array:
    x.reshape(-1)[:1] = 0
    x.reshape(-1)[1:][-1:] = 1
    return x


# From near to far: what does not move numbers beyond their own size, and what does.
_NEAR: Mapping[str, Callable[..., Array]] = {
    "times 0.5": lambda x, rng: x * x.dtype.type(0.5),
    "times 2": lambda x, rng: x * x.dtype.type(2),
    "shuffled": lambda x, rng: rng.permutation(x.reshape(-1)).reshape(x.shape),
    "sign turned": lambda x, rng: -x,
    "times 0.1": lambda x, rng: x * x.dtype.type(0.1),
    "ties within pairs": _with_pairs,
    "two slices alike": _with_equal_slices,
    "an exact zero and one": _with_a_zero_and_a_one,
}
_FAR: Mapping[str, Callable[..., Array]] = {
    "plus 3": lambda x, rng: x + x.dtype.type(3),
    "minus 3": lambda x, rng: x - x.dtype.type(3),
    "times 10": lambda x, rng: x * x.dtype.type(10),
}
_FARTHEST: Mapping[str, Callable[..., Array]] = {"times 100": lambda x, rng: x * x.dtype.type(100)}


def _changed_values(
    trial: Trial, how: str, change: Callable[[Array], Array], meant: bool = False
) -> Iterator[DerivedTrials]:
    """Change all primals at once; where forward does not accept that, each primal alone that it lets change."""
    primals, names = trial.primals(), trial.names
    # of a function whose domain is known, all that lies in it is meant
    meant = meant or trial.domain is not None
    changed = brought_inside(trial.domain, names, [np.asarray(change(x.copy())) for x in primals])
    whole = trial.at(how, changed)
    if _are_equal(primals, changed):
        return
    if whole.accepted:
        yield DerivedTrials(how, [whole], meant=meant)
        return
    for i, name in enumerate(names) if len(primals) > 1 else ():
        if not _are_equal(primals[i : i + 1], changed[i : i + 1]):
            only = trial.at(f"{name} {how}", (*primals[:i], changed[i], *primals[i + 1 :]))
            if only.accepted:
                yield DerivedTrials(f"{name} {how}", [only], meant=meant)


def _are_equal(before: Iterable[Array], after: Iterable[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def _tied(trial: Trial) -> Iterator[DerivedTrials]:
    """Make the first element of every primal equal to that of the first primal: ties between primals."""
    primals = trial.primals()
    changed = [x.copy() for x in primals]
    for x in changed[1:]:
        if x.shape == primals[0].shape and x.size:
            x.reshape(-1)[0] = primals[0].reshape(-1)[0]
    tied = trial.at("a tie between primals", changed)
    if not _are_equal(primals, changed) and tied.accepted:
        yield DerivedTrials("a tie between primals", [tied])


def _repeated_integers(trial: Trial) -> Iterator[DerivedTrials]:
    """Let the second of several integers that are not differentiated be the first: what indexes an axis stays in it."""
    for name, value in trial.sample.settings.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.size < 2:
            continue
        if len(np.unique(value)) < value.size or holds_permutations(value):
            continue
        changed = value.copy()
        changed.reshape(-1)[1] = changed.reshape(-1)[0]
        how = f"an integer twice in {name}"
        derived = trial.at(how, trial.primals(), {**trial.sample.settings, name: changed})
        if derived.accepted:
            yield DerivedTrials(how, [derived], guessed=True)


def holds_permutations(integers: Array) -> bool:
    """Return whether each row holds every integer from 0 on once, as a permutation does."""
    return bool(integers.ndim and (np.sort(integers, axis=-1) == np.arange(integers.shape[-1])).all())


def resize(x: Array, axis: int, size: int) -> Array:
    """Return `x` cut to `size` along an axis, or repeated from its start until it has that size."""
    return np.asarray(np.take(x, np.arange(size) % x.shape[axis], axis=axis))


def _resized_batches(trial: Trial) -> Iterator[DerivedTrials]:
    n = _batch_size(trial)
    if n is not None:
        for how, size in (("batch cut to 1", 1), ("batch doubled", 2 * n)):
            trials = list(trials_with_batch(trial, how, size))
            if size != n and trials:
                # of an axis further behind nobody knows whether its length is that of the batch
                guessed = not trial.registered and any(n in x.shape[1:] for x in trial.sample.primals)
                # a batch of 1 may be broadcast by accident, to labels that the function holds
                if size < n and not trial.registered:
                    guessed = guessed or not any(trials_with_batch(trial, "batch doubled", 2 * n))
                # the one axis of a vector may be time, and one step of it too short for what looks back
                may_be_time = size < n and not trial.registered and trial.sample.primals[0].ndim == 1
                yield DerivedTrials(how, trials, guessed or may_be_time, meant=not guessed)


def _batch_size(trial: Trial) -> int | None:
    first = trial.sample.primals[0]
    return first.shape[0] if first.ndim and first.size else None


def trials_with_batch(trial: Trial, how: str, size: int) -> Iterator[Trial]:
    """Yield trials in which the batch, the first primal's leading axis, has another size.

    Settings that are arrays of the same leading length are resized with it. Which of the other primals are resized is a
    guess, from the most of them to the fewest: forward must accept the guess, and the output must be resized too.
    A registered node's new rows repeat the old ones; of other people's code nobody knows whether it takes equal rows,
    and they are like them.
    """
    n, primals = _batch_size(trial), trial.sample.primals
    if n is None or not may_be_resized(trial, n):
        return
    settings = _settings_with_batch(trial, n, size)
    if settings is None:
        return
    start, changed = settings
    rng = named_rng(trial.seed, trial.node.name, trial.sample.name, how)
    like = [i for i, x in enumerate(primals[1:], 1) if x.ndim and x.shape[0] == n]
    subsets = (some for count in range(len(like), -1, -1) for some in combinations(like, count))
    for some in islice(subsets, GUESSES):
        parts = [_from(start, x, size) if i in (0, *some) else x for i, x in enumerate(primals)]
        if size > n and not trial.registered:
            for x in (parts[i] for i in (0, *some)):
                x[n:] = redrawn(x[:n], rng)[: size - n]
        derived = trial.at(f"{how} ({', '.join(trial.names[i] for i in (0, *some))})", parts, changed)
        grown = [(size, *shape[1:]) if shape[:1] == (n,) else shape for shape in _output_shapes(trial)]
        if derived.accepted and _output_shapes(derived) == grown and counts_all(trial, derived):
            yield derived


def counts_all(trial: Trial, longer: Trial) -> bool:
    """Return whether the output depends on what was added along each axis of a primal that is longer than the given.

    Where it does not depend on what was there either, nobody knows.
    """
    if longer.registered:
        return True
    for i, given in enumerate(trial.sample.primals):
        shape = longer.sample.primals[i].shape
        kept = np.zeros(shape, bool)
        kept[tuple(map(slice, given.shape))] = True
        for axis in (a for a, (n, more) in enumerate(zip(given.shape, shape, strict=False)) if more > n):
            # along this axis alone: what another one adds may count
            beside = [slice(None) if a == axis else slice(n) for a, n in enumerate(given.shape)]
            added = np.zeros(shape, bool)
            added[tuple(beside)] = True
            added &= ~kept
            if _ignores(longer, i, added, f"added, axis {axis},") and not _ignores(longer, i, kept, "given"):
                return False
    return True


def _ignores(trial: Trial, i: int, where: Array, called: str) -> bool:
    """Return whether the output stays as it is with other numbers somewhere in a primal."""
    primals = list(trial.primals())
    primals[i][where] = 1.1 * primals[i][where] + 0.1
    moved = trial.at(f"with others for the {called} numbers of {trial.names[i]}", primals)
    return moved.accepted and _are_equal(as_tuple(trial.output), as_tuple(moved.output))


def _settings_with_batch(trial: Trial, n: int, size: int) -> tuple[int, dict[str, Any]] | None:
    """Return settings for a batch of another size, and the first row that is kept: one whose integers stay valid."""
    for start in range(n if size < n else 1):
        settings = {
            k: _from(start, v, size) if _has_leading_length(v, n) else v
            for k, v in trial.sample.settings.items()
        }
        if may_be_cut(trial, n, size, settings):
            return start, settings
    return None


def _from(start: int, x: Array, size: int) -> Array:
    return resize(np.roll(x, -start, axis=0), 0, size)


def _has_leading_length(value: Any, n: int | None) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.shape[0] == n


def _output_shapes(trial: Trial) -> list[tuple[int, ...]]:
    """Return the outputs' shapes; where these change otherwise than planned, a primal was broadcast by accident."""
    return [np.shape(y) for y in as_tuple(trial.output)]


def _resized_axes(trial: Trial, n: int) -> Iterator[DerivedTrials]:
    """Give all axes of length n, in primals and settings alike, another length: longer by 1, and 1."""
    longer = _resized_everywhere(trial, f"axes of {n} made {n + 1}", n, n + 1)
    if longer.accepted and not counts_all(trial, longer):
        return
    if not trial.registered and longer.accepted and not _is_resized(trial, longer, n, n + 1):
        # the output may have another length that follows from it, as that of a pooling has
        if list(map(len, _output_shapes(longer))) == list(map(len, _output_shapes(trial))):
            yield DerivedTrials(f"axes of {n} made {n + 1}", [longer], guessed=True)
        return
    # an axis of length 1 may be broadcast by accident; an axis that can grow may have any length
    if _is_resized(trial, longer, n, n + 1):
        yield DerivedTrials(f"axes of {n} made {n + 1}", [longer])
        single = _resized_everywhere(trial, f"axes of {n} made 1", n, 1)
        if may_be_cut(trial, n, 1, single.sample.settings) and _is_resized(trial, single, n, 1):
            alone = not trial.registered and all(x.ndim < 2 or n not in x.shape for x in trial.sample.primals)
            yield DerivedTrials(f"axes of {n} made 1", [single], guessed=alone)


def _is_resized(trial: Trial, derived: Trial, n: int, size: int) -> bool:
    return derived.accepted and _output_shapes(derived) == [
        _replaced_length(shape, n, size) for shape in _output_shapes(trial)
    ]


def _replaced_length(shape: tuple[int, ...], n: int, size: int) -> tuple[int, ...]:
    return tuple(size if length == n else length for length in shape)


def _resized_everywhere(trial: Trial, how: str, n: int, size: int) -> Trial:
    def resized(x: Any) -> Any:
        for axis in [a for a, length in enumerate(np.shape(x)) if length == n]:
            x = resize(x, axis, size)
        return x

    settings = {k: resized(v) if isinstance(v, np.ndarray) else v for k, v in trial.sample.settings.items()}
    return trial.at(how, [resized(x) for x in trial.sample.primals], settings)


def _oblong_squares(trial: Trial) -> Iterator[DerivedTrials]:
    """Make a square oblong: lengthen some of the axes of its length, in all arrays, where forward accepts it."""
    primals, settings = trial.sample.primals, trial.sample.settings
    arrays: dict[str, Any] = dict(zip(trial.names, primals, strict=True)) | dict(settings)
    ways: Iterator[DerivedTrials] = (
        DerivedTrials(
            derived.sample.name.removeprefix(f"{trial.sample.name}, "), [derived], not trial.registered
        )
        for n in sorted({x.shape[0] for x in primals if x.ndim > 1 and x.shape[0] == x.shape[1]} - {0, 1})
        if may_be_resized(trial, n)
        for axes in islice(_axis_choices(arrays, n), OBLONGS_TRIED)
        if (derived := _lengthened(trial, arrays, axes)).accepted
    )
    yield from islice(ways, OBLONGS)


def _other_ranks(trial: Trial) -> Iterator[DerivedTrials]:
    """Give the primals an axis more, where forward does with it what it does without: nobody may have meant it yet."""
    for how, derived in trials_of_other_ranks(trial):
        yield DerivedTrials(how, [derived], guessed=True)


def _axis_choices(arrays: Mapping[str, Any], n: int) -> Iterator[tuple[tuple[str, int], ...]]:
    axes = [
        (name, axis)
        for name, x in arrays.items()
        if isinstance(x, np.ndarray)
        for axis, length in enumerate(x.shape)
        if length == n
    ]
    return (some for count in range(1, len(axes)) for some in combinations(axes, count))


def _lengthened(trial: Trial, arrays: Mapping[str, Any], axes: Sequence[tuple[str, int]]) -> Trial:
    changed = dict(arrays)
    for name, axis in axes:
        changed[name] = resize(changed[name], axis, changed[name].shape[axis] + 1)
    how = "made oblong: " + ", ".join(f"axis {axis} of {name}" for name, axis in axes)
    settings = {name: changed.pop(name) for name in trial.sample.settings}
    return trial.at(how, tuple(changed.values()), settings)
