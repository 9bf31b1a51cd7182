"""Adaptive group testing: which of a million elements make a projection wrong, by halving the group they lie in."""

from typing import NamedTuple

import numpy as np

from gradlab.directions._best_steps import Steps, best_steps
from gradlab.directions._directional_slopes import DirectionalSlope, projection
from gradlab.directions._flat_point import FlatPoint, function_along
from gradlab.numerical.estimate import Method, estimate_line

# With so many wrong groups a fault is no matter of single elements.
MANY_GROUPS = 16
# A group's disagreement is to be known to this part of itself.
PRECISION = 1 / 8
# So many evaluations are spent on one search at the most.
MOST_EVALUATIONS = 1000


class Group(NamedTuple):
    """Neighbouring elements, by how much their projection disagrees, and how far that figure may be off."""

    start: int
    stop: int
    disagreement: float
    error: float

    @property
    def is_single(self) -> bool:
        """Whether this is one element."""
        return self.stop - self.start == 1

    @property
    def disagrees(self) -> bool:
        """Whether something is wrong in this group; where it has no value, something may be."""
        return not abs(self.disagreement) <= self.error


class GroupSearch:
    """The search for wrong groups along one direction; it counts its evaluations."""

    def __init__(self, point: FlatPoint, slope: DirectionalSlope, method: Method) -> None:
        self.point, self.slope, self.method = point, slope, method
        self.steps = best_steps(slope)
        self.evaluations = 0

    def wrong_groups(self, wanted: int = MANY_GROUPS) -> list[Group]:
        """Return wrong groups, the most wrong first: halved to single elements, or until there are `wanted`."""
        whole = Group(0, self.point.x.size, self.slope.disagreement, self.slope.bound)
        return self._split([whole], wanted)

    def wrong_elements(self, groups: list[Group]) -> list[Group]:
        """Return one wrong element of each group in which one can be found."""
        return [single for group in groups for single in self._wrong_element(group)]

    def _wrong_element(self, group: Group) -> list[Group]:
        while not group.is_single and self.evaluations < MOST_EVALUATIONS:
            halves = self._wrong_halves(group)
            if not halves:
                return []
            group = max(halves, key=_size)
        return [group] if group.is_single else []

    def _split(self, groups: list[Group], wanted: int) -> list[Group]:
        while self.evaluations < MOST_EVALUATIONS:
            of_one_primal = [group for group in groups if not self._boundary(group)]
            larger = [group for group in groups if not group.is_single]
            if not larger or len(of_one_primal) >= wanted:
                break
            group = max(larger, key=lambda g: (self._boundary(g) is not None, _size(g)))
            groups.remove(group)
            groups += self._wrong_halves(group)
        return sorted(groups, key=_size, reverse=True)

    def _boundary(self, group: Group) -> int | None:
        """Return the boundary between two primals that is nearest the middle of a group, if the group has one."""
        inside = self.point.ends[(self.point.ends > group.start) & (self.point.ends < group.stop)]
        middle = (group.start + group.stop) / 2
        return int(min(inside, key=lambda end: abs(end - middle))) if len(inside) else None

    def _wrong_halves(self, group: Group) -> list[Group]:
        """Return the halves that disagree.

        If neither does for sure, and the group had most of the direction's disagreement, the likelier half.
        """
        halves = self._halves(group)
        has_most = abs(group.disagreement) > abs(self.slope.disagreement) / 2
        guess = [max(halves, key=_size)] if has_most else []
        return [half for half in halves if half.disagrees] or guess

    def _halves(self, group: Group) -> tuple[Group, Group]:
        middle = self._boundary(group) or (group.start + group.stop) // 2
        precision = PRECISION * abs(group.disagreement)
        left = self._measured(group.start, middle, precision)
        right = Group(middle, group.stop, group.disagreement - left.disagreement, group.error + left.error)
        if not right.error <= 2 * precision:
            right = self._measured(middle, group.stop, precision)
        return left, right

    def _measured(self, start: int, stop: int, precision: float) -> Group:
        """Return the group of these elements, its disagreement measured to `precision` where that can be had."""
        part = slice(start, stop)
        f = function_along(self.point, self.slope.v, part)
        analytic, rounding = projection(self.point, self.slope.v, part)
        steps: Steps | None = next((steps for steps in self.steps if steps.error <= precision), None)
        if steps is not None:
            self.evaluations += 2 * len(steps.h)
            return Group(start, stop, analytic - steps.slope(f), steps.error + rounding)
        estimate = estimate_line(f, enough=precision / 2, method=self.method)
        self.evaluations += estimate.evaluations
        return Group(start, stop, analytic - float(estimate.value), float(estimate.error) + rounding)


def _size(group: Group) -> float:
    """Return the size of a group's disagreement, infinite where it has no value."""
    return float(abs(np.nan_to_num(group.disagreement, nan=np.inf)))
