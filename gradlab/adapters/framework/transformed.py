"""Transforms: compiled, checkpointed, or taken through another door, a function gives what it gives without."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gradlab.adapters.framework.batched import refused, same_arrays
from gradlab.checks import Check, Trial, quiet
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict

NAME = "transforms"
# ``transform(primals, cotangents, settings)`` returns the outputs and the gradients.
Transform = Callable[[Sequence[Array], Sequence[Array], Any], tuple[Sequence[Array], Sequence[Array]]]


def transformed(transforms: Mapping[str, Transform]) -> Check:
    """Return the check of transforms: the same outputs and gradients, or refused aloud."""

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            with quiet():
                results = [_compared(trial, name, transform) for name, transform in transforms.items()]
            yield from ((trial, result) for result in results)

    return Check(run, needs_all_samples=False)


def _compared(trial: Trial, name: str, transform: Transform) -> CheckResult:
    g = trial.cotangent()
    wanted = as_tuple(trial.output), trial.gradients(g)
    try:
        # twice: what is kept from the first run is used in the second
        found = [transform(trial.primals(), as_tuple(g), trial.settings()) for _ in range(2)]
    except Exception as error:
        return refused(error, name)
    for run in found:
        for what, some, others in zip(("outputs", "gradients"), run, wanted, strict=True):
            if not same_arrays(some, others, trial.noise):
                return CheckResult(Verdict.WRONG, note=f"under {name} there are other {what} than without it")
    return CheckResult(Verdict.PASS)


def chosen_transforms(asked: Any, known: Mapping[str, Transform]) -> Mapping[str, Transform]:
    """Return the transforms that are asked for: None for none, True for all, or their names.

    Raises
    ------
    ValueError
        If one does not exist.
    """
    if asked is None or asked is False:
        return {}
    if asked is True:
        return known
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, Sequence):
        raise ValueError(f"transforms is {asked!r}: give True, or some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ValueError(f"no transform is named {name!r}: there are {', '.join(known)}")
    return {name: known[name] for name in names}
