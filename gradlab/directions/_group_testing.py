"""Adaptive group testing: which of a million elements make a projection wrong, by halving what does."""

from typing import NamedTuple

import numpy as np

from gradlab.directions._best_steps import Steps, steps_of
from gradlab.directions._directional_slopes import DirectionalSlope, projection
from gradlab.directions._flat_point import FlatPoint, along
from gradlab.numerical.estimate import Method, estimate_line

# With so many wrong groups a fault is no matter of single elements.
MANY = 16
# A group's disagreement is to be known to this part of itself.
PART = 1 / 8
# So many evaluations are spent on one search at the most.
EVALUATIONS = 1000


class Group(NamedTuple):
    """Neighbouring elements, by how much their projection disagrees, and how well that is known."""

    start: int
    stop: int
    off: float
    error: float

    @property
    def is_single(self) -> bool:
        """Whether this is one element."""
        return self.stop - self.start == 1

    @property
    def disagrees(self) -> bool:
        """Whether there is something wrong in it; where it has no value there may be."""
        return not abs(self.off) <= self.error


class Search:
    """The search along one direction, which counts its evaluations."""

    def __init__(self, point: FlatPoint, look: DirectionalSlope, method: Method) -> None:
        self.point, self.look, self.method = point, look, method
        self.steps = steps_of(look)
        self.evaluations = 0

    def groups(self, wanted: int = MANY) -> list[Group]:
        """Return wrong groups, the most wrong first: single elements, or, if there are `wanted`, not yet split."""
        return self._split([Group(0, self.point.x.size, self.look.off, self.look.bound)], wanted)

    def singles(self, groups: list[Group]) -> list[Group]:
        """Return one wrong element of each group, if that can be found."""
        return [single for group in groups for single in self._one_of(group)]

    def _one_of(self, group: Group) -> list[Group]:
        while not group.is_single and self.evaluations < EVALUATIONS:
            halves = self._wrong_halves(group)
            if not halves:
                return []
            group = max(halves, key=_size)
        return [group] if group.is_single else []

    def _split(self, groups: list[Group], wanted: int) -> list[Group]:
        while self.evaluations < EVALUATIONS:
            spread = [group for group in groups if not self._boundary(group)]
            larger = [group for group in groups if not group.is_single]
            if not larger or len(spread) >= wanted:
                break
            group = max(larger, key=lambda g: (self._boundary(g) is not None, _size(g)))
            groups.remove(group)
            groups += self._wrong_halves(group)
        return sorted(groups, key=_size, reverse=True)

    def _boundary(self, group: Group) -> int | None:
        """Return the boundary between two primals that is nearest the middle of a group, if there is one in it."""
        inside = self.point.ends[(self.point.ends > group.start) & (self.point.ends < group.stop)]
        middle = (group.start + group.stop) / 2
        return int(min(inside, key=lambda end: abs(end - middle))) if len(inside) else None

    def _wrong_halves(self, group: Group) -> list[Group]:
        """Return the halves that disagree; if neither does for sure, and all that is wrong was here, the likelier."""
        halves = self._halves(group)
        guess = [max(halves, key=_size)] if abs(group.off) > abs(self.look.off) / 2 else []
        return [half for half in halves if half.disagrees] or guess

    def _halves(self, group: Group) -> tuple[Group, Group]:
        middle = self._boundary(group) or (group.start + group.stop) // 2
        near = PART * abs(group.off)
        left = self._measured(group.start, middle, near)
        right = Group(middle, group.stop, group.off - left.off, group.error + left.error)
        if not right.error <= 2 * near:
            right = self._measured(middle, group.stop, near)
        return left, right

    def _measured(self, start: int, stop: int, near: float) -> Group:
        part = slice(start, stop)
        f = along(self.point, self.look.v, part)
        analytic, rounding = projection(self.point, self.look.v, part)
        steps: Steps | None = next((steps for steps in self.steps if steps.error <= near), None)
        if steps is not None:
            self.evaluations += 2 * len(steps.h)
            return Group(start, stop, analytic - steps.slope(f), steps.error + rounding)
        estimate = estimate_line(f, enough=near / 2, method=self.method)
        self.evaluations += estimate.evaluations
        return Group(start, stop, analytic - float(estimate.value), float(estimate.error) + rounding)


def _size(group: Group) -> float:
    """Return by how much a group disagrees, where it has no value without bound."""
    return float(abs(np.nan_to_num(group.off, nan=np.inf)))
