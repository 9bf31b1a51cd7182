"""A layer off its defaults, and without its epsilons."""

from collections.abc import Mapping
from typing import Any

from gradlab.adapters._convention import Epsilon
from gradlab.adapters._off_defaults import Variation
from gradlab.adapters.layer._pair import Bound


def off(how: str, bound: Bound, settings: Mapping[str, Any] | None = None, **more: Any) -> Variation:
    """Return a reading as a variation; `more` as `Variation` has it."""
    return Variation(how, bound.forward, bound.backward, settings or {}, epsilon=epsilon_of(bound), **more)


def epsilon_of(bound: Bound) -> Epsilon:
    """Return what makes a context in which forward runs without its epsilons."""
    return lambda: bound.stage.epsilons.applied()
