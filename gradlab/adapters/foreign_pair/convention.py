"""A convention: a gradient that belongs to another function than forward, such as the sum where forward means."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from gradlab.checks.trial import Trial
from gradlab.node import Array

NUMERICAL = "matches_numerical"

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[[Any, Any], tuple[Array, ...]]
Epsilon = Callable[[], AbstractContextManager[Any]]
# What forward is given, of the primals; and what its output is multiplied by.
Behind = Callable[[Sequence[Array]], Sequence[Array]]
Factor = Callable[[Sequence[Array]], float]


def named(forward: Forward, names: Sequence[str]) -> Forward:
    """Return `forward` with names for its primals, which a trial reads."""

    def of_the_same(*primals: Array, **settings: Any) -> tuple[Any, Any]:
        return forward(*primals, **settings)

    of_the_same.primal_names = names  # type: ignore[attr-defined] # where a trial looks for them
    return of_the_same


@dataclass(frozen=True, eq=False)
class Convention:
    """The function that a gradient belongs to, where that is not forward.

    Attributes
    ----------
    sentence : str
        Ends "the gradient is that ...".
    asked : str
        Its name for `loss=`; empty for the convention of a layer.
    scales : bool
        Whether it is only a factor.
    apply : callable
        ``apply(forward, backward, epsilon)`` returns both, with this function in forward's place.
    primals : tuple of ndarray
        The point at which the gradient is compared with it.
    unscaled : Convention or None
        What is left of it without the factor.
    """

    sentence: str
    asked: str
    scales: bool
    apply: Callable[[Forward, Backward, Epsilon], tuple[Forward, Backward]]
    primals: tuple[Array, ...]
    unscaled: "Convention | None" = None

    def trial(self, given: Trial, epsilon: Epsilon, primals: tuple[Array, ...] | None = None) -> Trial:
        """Return the trial with this function in forward's place; at the convention's own primals always the same."""
        if primals is None:
            made: Trial = given.remembered(
                f"convention: {self.sentence}", lambda trial: self.trial(trial, epsilon, self.primals)
            )
            return made
        forward, backward = self.apply(given.node.forward, given.node.backward, epsilon)
        sample = replace(given.sample, primals=primals)
        node = replace(given.node, forward=named(forward, given.names), backward=backward)
        return replace(given, node=node, sample=sample)
