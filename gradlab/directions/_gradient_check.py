"""The whole check along directions.

Measure the slopes along random directions. Where they disagree with the gradient, search for the elements that do,
judge those alone, set them apart, and measure again without them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradlab.directions._directional_slopes import (
    DirectionalSlope,
    even_direction,
    measure_slope,
    proportional_direction,
)
from gradlab.directions._flat_point import FlatPoint
from gradlab.directions._group_testing import MANY_GROUPS, Group, GroupSearch
from gradlab.directions._single_elements import judge_element
from gradlab.node import Array
from gradlab.numerical.estimate import Method
from gradlab.verdict import CheckResult, Verdict

# So many wrong elements of a primal are named at the most; where most are wrong so many are sampled, and of each
# primal at least so many.
NAMED, SAMPLED, FEWEST = 8, 16, 4
# The slopes are measured again so often at the most.
ROUNDS = 4
# Steps that are so many times shorter than one over the number of elements see no kinks but for bad luck.
SHORTER = 4.0
# The ladder of such short steps ends when the slope is known to this: larger steps, against rounding, would see kinks
# again.
NEARBY = 1e-5
# A disagreement of so many times its bound can be followed into halves of the direction, whose slopes have bounds of
# their own.
RESOLVED = 4.0


@dataclass
class GradientFindings:
    """What a check along directions has found so far.

    Attributes
    ----------
    slopes : list of DirectionalSlope
        Those of the last round, without the elements of `set_apart`.
    elements : dict
        The result of each element that was judged alone, by its place in the vector.
    not_finite : dict
        How many elements of a primal are not finite, for the primals that have such elements.
    wrong_groups : dict
        For each primal that has too many wrong elements to find all of them, the groups that hold some.
    sample : dict
        The elements that were drawn from groups by chance, and how large the group of each was.
    undecided : set of int
        Elements that disagree, but cannot be seen alone to be wrong.
    suspects : set of int
        The primals in which the last search found a disagreement.
    is_diffuse : bool
        Whether that disagreement is spread over many groups of elements.
    set_apart : ndarray of bool
        Which elements no direction moves any more: each was judged alone, or was counted with others like it.
    zeros : int
        How many elements were set apart since a kink, or the edge of f's domain, lies at zero; some were judged alone.
    grain : float
        The rounding of f if it computes in single precision, 0 otherwise.
    evaluations, first_evaluations : int
        How many evaluations there were in all, and up to the end of the first round, which shows a fault.
    """

    set_apart: Array
    slopes: list[DirectionalSlope] = field(default_factory=list)
    elements: dict[int, CheckResult] = field(default_factory=dict)
    not_finite: dict[int, int] = field(default_factory=dict)
    wrong_groups: dict[int, list[Group]] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    sample: dict[int, int] = field(default_factory=dict)
    undecided: set[int] = field(default_factory=set)
    is_diffuse: bool = False
    zeros: int = 0
    grain: float = 0.0
    evaluations: int = 0
    first_evaluations: int = 0

    @property
    def unexplained(self) -> bool:
        """Whether the last slopes still disagree with the gradient."""
        return any(slope.suspicion > 1 for slope in self.slopes)

    def wrong_among(self, elements: Iterable[int]) -> list[int]:
        """Return those of some elements that were judged alone, and are wrong."""
        # an element to which noise had led the search is taken back: it is right
        judged = ((k, self.elements.get(k)) for k in elements)
        return [k for k, result in judged if result is not None and result.verdict is Verdict.WRONG]


@dataclass(frozen=True)
class GradientCheck:
    """A check of the gradient at one point, with its tolerances and its stream of random numbers."""

    point: FlatPoint
    rng: np.random.Generator
    rtol: float | None
    atol: float | None
    method: Method

    def run(self) -> GradientFindings:
        """Check the whole gradient, and find which elements are wrong."""
        findings = GradientFindings(~np.isfinite(self.point.gradient))
        for i, span in enumerate(self.point.spans):
            not_finite = np.flatnonzero(findings.set_apart[span]) + span.start
            if not_finite.size:
                findings.not_finite[i] = not_finite.size
                self._judge_alone(findings, not_finite[:NAMED])
                self.point.gradient[not_finite] = 0.0
        findings.undecided |= {k for k, result in findings.elements.items() if not result.verdict.ok}
        for _ in range(ROUNDS):
            findings.slopes = self._slopes(findings)
            findings.first_evaluations = findings.first_evaluations or findings.evaluations
            if not self._prepares_next_round(findings):
                return findings
        findings.slopes = self._slopes(findings)
        return findings

    def _prepares_next_round(self, findings: GradientFindings) -> bool:
        """Set apart the elements that explain the disagreement; return whether measuring again is worth while."""
        at_edges = [slope for slope in findings.slopes if slope.width or not np.isfinite(slope.bound)]
        if at_edges and not findings.zeros:
            zeros = np.flatnonzero((self.point.x == 0) & ~findings.set_apart)
            findings.zeros = len(zeros)
            findings.set_apart[zeros] = True
            self._judge_alone(findings, self.rng.permutation(zeros)[:NAMED])
            if findings.zeros:
                return True
        if not findings.unexplained:
            return False
        return self._explains(findings, max(findings.slopes, key=lambda slope: slope.suspicion))

    def _slopes(self, findings: GradientFindings) -> list[DirectionalSlope]:
        """Return the slopes along two directions; the first that is rough is measured again, with short steps."""
        slopes: list[DirectionalSlope] = []
        unit, tried = 1.0, False
        for draw in (proportional_direction, even_direction):
            v = draw(self.point, self.rng) * unit
            v[findings.set_apart] = 0.0
            if not v.any():
                continue
            slope = self._measured(findings, v, NEARBY if unit < 1 else 0.0)
            if unit < 1 and not slope.tells_steps_apart:
                slope = _widened(slope, np.inf)  # f is too coarse for so short steps
            if slope.is_rough and not tried:
                tried, near = True, self._with_short_steps(findings, slope)
                unit, slope = (1.0 if near.v is v else 1 / (SHORTER * v.size)), near
            slopes.append(slope)
        return slopes

    def _with_short_steps(self, findings: GradientFindings, slope: DirectionalSlope) -> DirectionalSlope:
        """Return the slope measured with steps in which hardly any element passes a kink, if that is known better.

        Where the two slopes contradict each other, the short steps are right, unless f is too coarse for them.
        """
        n = SHORTER * slope.v.size
        if n * slope.grain >= slope.error:
            return slope
        near = self._measured(findings, slope.v / n, NEARBY)
        apart, known = abs(n * near.numerical - slope.numerical), n * near.error + slope.error
        if apart > known and not (near.decides and near.tells_steps_apart):
            return _widened(slope, apart + known)
        return near if apart > known or n * near.error < slope.error else slope

    def _measured(self, findings: GradientFindings, v: Array, settled: float = 0.0) -> DirectionalSlope:
        slope, evaluations = measure_slope(
            self.point, v, rtol=self.rtol, atol=self.atol, method=self.method, settled=settled
        )
        findings.evaluations += evaluations
        findings.grain = max(findings.grain, slope.grain if slope.is_coarse else 0.0)
        return slope

    def _explains(self, findings: GradientFindings, slope: DirectionalSlope) -> bool:
        """Search for the elements that make a slope disagree, and return whether some were found."""
        search = GroupSearch(self.point, slope, self.method)
        groups = search.wrong_groups()
        findings.suspects = {self.point.primal_of(group.start) for group in groups}
        findings.is_diffuse = len(groups) >= MANY_GROUPS
        if findings.is_diffuse:
            explained = self._judge_sample(findings, search, groups)
        else:
            explained = self._judge_single_groups(findings, slope, groups)
        findings.evaluations += search.evaluations
        return bool(explained)

    def _judge_sample(
        self, findings: GradientFindings, search: GroupSearch, groups: Sequence[Group]
    ) -> list[int]:
        """Judge some elements of many groups, and return the wrong ones.

        Where few of the elements are wrong, a wrong one is searched for in some of the groups.
        """
        sample = [k for own in self._by_primal(groups) for k in self._drawn(findings, own)]
        self._judge_alone(findings, sample)
        if 2 * len(findings.wrong_among(sample)) < len(sample):
            singles = search.wrong_elements(list(groups[:NAMED]))
            sample += self._judge_single_groups(findings, search.slope, singles)
        wrong = findings.wrong_among(sample)
        for i in {self.point.primal_of(k) for k in wrong}:
            findings.wrong_groups[i] = [group for group in groups if self.point.primal_of(group.start) == i]
            findings.set_apart[self.point.spans[i]] = True
        return wrong

    def _by_primal(self, groups: Sequence[Group]) -> list[list[Group]]:
        owners = sorted({self.point.primal_of(group.start) for group in groups})
        return [[group for group in groups if self.point.primal_of(group.start) == i] for i in owners]

    def _drawn(self, findings: GradientFindings, groups: Sequence[Group]) -> list[int]:
        """Draw some elements of one primal's groups, from one group after the other in random order."""
        count = max(FEWEST, SAMPLED * len(groups) // MANY_GROUPS)
        order = self.rng.permutation(len(groups))
        turns = [groups[order[turn % len(groups)]] for turn in range(count)]
        drawn = {int(self.rng.integers(group.start, group.stop)): group for group in turns}
        findings.sample |= {k: group.stop - group.start for k, group in drawn.items()}
        return list(drawn)

    def _judge_single_groups(
        self, findings: GradientFindings, slope: DirectionalSlope, groups: Sequence[Group]
    ) -> list[int]:
        """Judge the elements of single groups alone; return those that explain their group's disagreement."""
        singles = [group for group in groups if group.is_single]
        self._judge_alone(findings, [group.start for group in singles])
        explained = []
        for group in singles:
            k, error = group.start, abs(group.disagreement / slope.v[group.start])
            alone = findings.elements[k]
            vague = 2 * (alone.reference_error or 0.0) >= error
            if (
                vague
                and (group.disagrees or slope.suspicion > RESOLVED)
                and alone.verdict is not Verdict.WRONG
            ):
                note = f"along a direction it is off by {error:.2g}, which is too little to be seen alone"
                findings.elements[k] = replace(alone, verdict=Verdict.INCONCLUSIVE, note=note)
                findings.undecided.add(k)
            elif alone.verdict is Verdict.PASS and not _is_about(alone.absolute_error, error):
                # noise has misled the search to an element that is right
                del findings.elements[k]
                findings.set_apart[k] = False
                continue
            explained.append(k)
        return explained

    def _judge_alone(self, findings: GradientFindings, elements: Iterable[int]) -> None:
        """Judge each of some elements alone, and set it apart."""
        for k in map(int, elements):
            if k not in findings.elements:
                result = judge_element(self.point, k, self.rtol, self.atol, self.method, findings.grain)
                findings.elements[k] = result
                findings.set_apart[k] = True
                findings.evaluations += result.evaluations or 0
                if result.verdict is Verdict.WRONG and result.numerical is not None:
                    # a wrong value says nothing of how much the other elements may round
                    self.point.gradient[k] = result.numerical


def _widened(slope: DirectionalSlope, error: float) -> DirectionalSlope:
    """Return a slope that may be off by `error`, with wider bounds to match."""
    return replace(slope, error=error, bound=slope.bound + error, allowed=slope.allowed + error)


def _is_about(value: float | None, expected: float) -> bool:
    return value is not None and abs(value - expected) <= expected / 2
