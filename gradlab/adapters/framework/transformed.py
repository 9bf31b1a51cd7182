"""Transforms: compiled, checkpointed, or taken through another door, a function gives what it gives without."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gradlab.adapters.framework.batched import refused, same_arrays
from gradlab.checks import Check, Trial, quiet
from gradlab.node import Array, as_tuple
from gradlab.verdict import CheckResult, Verdict
from gradlab.workers.strange_objects import shown

NAME = "transforms"
# ``transform(primals, cotangents, settings)`` returns the outputs and the gradients.
Transform = Callable[[Sequence[Array], Sequence[Array], Any], tuple[Sequence[Array], Sequence[Array]]]
# ``look(trial)`` returns what is seen under a transform.
Look = Callable[[Trial], CheckResult]


def transformed(looks: Mapping[str, Look]) -> Check:
    """Return the check of transforms: right under each, or refused aloud."""

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            with quiet():
                results = [_looked(trial, name, look) for name, look in looks.items()]
            yield from ((trial, result) for result in results)

    return Check(run, needs_all_samples=False)


def _looked(trial: Trial, name: str, look: Look) -> CheckResult:
    try:
        return look(trial)
    except Exception as error:
        return refused(error, name)


def same_under(name: str, transform: Transform) -> Look:
    """Return the look at a transform under which outputs and gradients are to be what they are without it."""

    def look(trial: Trial) -> CheckResult:
        g = trial.cotangent()
        wanted = as_tuple(trial.output), trial.gradients(g)
        # twice: what is kept from the first run is used in the second
        for _ in range(2):
            run = transform(trial.primals(), as_tuple(g), trial.settings())
            for what, some, others in zip(("outputs", "gradients"), run, wanted, strict=True):
                if not same_arrays(some, others, trial.noise):
                    note = f"under {name} there are other {what} than without it"
                    return CheckResult(Verdict.WRONG, note=note)
        return CheckResult(Verdict.PASS)

    return look


def chosen_transforms(asked: Any, known: Mapping[str, Look]) -> Mapping[str, Look]:
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
        raise ValueError(f"transforms is {shown(asked)}: give True, or some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ValueError(f"no transform is named {name!r}: there are {', '.join(known)}")
    return {name: known[name] for name in names}
