"""What an entry of the catalogue is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Book:
    """One right implementation, as a reader of the book would type it."""

    name: str  # unique
    form: str  # in a few words
    call: Callable[[Any], Any]  # call(gradlab): the report of the one call that a learner would make
    prove: Callable[
        [], list[tuple[Any, Any]]
    ]  # (claimed gradient, true gradient by differences of its own forward)
    tolerance: float = 1e-5  # of the proof: 1e-2 where the book's single precision is kept

    def __str__(self) -> str:
        return self.name
