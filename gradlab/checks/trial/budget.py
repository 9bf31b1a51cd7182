"""A budget: how long a check may go on, and how often it may evaluate forward, before it ends with what it has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any

from gradlab.workers.lost_exceptions import Interrupt

# What one call at primals that nobody gave may take: a share of what is left, so that one that never returns leaves
# something for the others, and at least so many seconds.
SHARE, LEAST_S = 0.25, 1.0


class OutOfBudget(Interrupt):
    """Raised inside a call that takes more than its share."""


@dataclass
class Budget:
    """A budget, which the verdict at the given primals may overdraw and everything after it shares.

    Attributes
    ----------
    max_seconds : float or None
        Counted from the moment at which the budget is made.
    max_evaluations : int or None
    evaluations : int
        How often forward has been evaluated for the numerical side.
    kept_s, kept_evaluations : float, int
        What is kept back at the moment for what comes later.
    guarded : int
        How many calls that may be interrupted are running, one inside the other.
    """

    max_seconds: float | None = None
    max_evaluations: int | None = None
    evaluations: int = 0
    kept_s: float = 0.0
    kept_evaluations: int = 0
    guarded: int = 0
    _start: float = field(default_factory=monotonic)

    def restart(self, max_seconds: float | None, max_evaluations: int | None) -> None:
        """Begin anew, with other limits."""
        self.max_seconds, self.max_evaluations = max_seconds, max_evaluations
        self.evaluations, self._start = 0, monotonic()

    @property
    def elapsed_s(self) -> float:
        """The seconds since it began."""
        return monotonic() - self._start

    @property
    def left_s(self) -> float:
        """The seconds that are left."""
        return inf if self.max_seconds is None else max(0.0, self.max_seconds - self.elapsed_s - self.kept_s)

    @property
    def left_evaluations(self) -> float:
        """The evaluations that are left."""
        if self.max_evaluations is None:
            return inf
        return max(0, self.max_evaluations - self.evaluations - self.kept_evaluations)

    @property
    def share_s(self) -> float:
        """The seconds that one call at primals that nobody gave may take."""
        left = self.left_s
        return min(left, max(LEAST_S, SHARE * left))

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.left_s == 0 or self.left_evaluations == 0

    @property
    def limit(self) -> str:
        """The limit that was reached, where it is spent, as its caller wrote it."""
        if self.left_evaluations == 0:
            return f"max_evaluations={self.max_evaluations}"
        return f"max_seconds={self.max_seconds:g}"

    @property
    def used_up(self) -> str:
        """What is told where it is spent, with the cure."""
        return f"{self.limit} was used up, raise it"

    @contextmanager
    def keeping(self, share: float) -> Iterator[None]:
        """Keep a share of what is left back, for what comes after this context."""
        seconds = 0.0 if self.max_seconds is None else share * self.left_s
        evaluations = 0 if self.max_evaluations is None else int(share * self.left_evaluations)
        self.kept_s += seconds
        self.kept_evaluations += evaluations
        try:
            yield
        finally:
            self.kept_s -= seconds
            self.kept_evaluations -= evaluations

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are counted; inside a guarded call it ends where no evaluation is left."""

        def counting(*primals: Any) -> Any:
            if self.guarded and self.left_evaluations == 0:
                raise OutOfBudget
            self.evaluations += 1
            return function(*primals)

        return counting
