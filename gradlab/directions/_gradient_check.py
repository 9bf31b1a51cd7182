"""The whole check by directions: look, and where something disagrees search, judge what is found alone, look again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradlab.directions._directional_slopes import DirectionalSlope, alike, in_proportion, look
from gradlab.directions._flat_point import FlatPoint
from gradlab.directions._group_testing import MANY, Group, Search
from gradlab.directions._single_elements import judge_element
from gradlab.node import Array
from gradlab.numerical.estimate import Method
from gradlab.verdict import CheckResult, Verdict

# So many wrong elements of a primal are named at the most; where most are wrong so many are looked at, and of each
# primal at least so many.
NAMED, SAMPLED, FEWEST = 8, 16, 4
# So often it looks again without what was found.
ROUNDS = 4
# Steps that are so many times shorter than one over the number of elements see no kinks but for bad luck.
SHORTER = 4.0
# A slope that such steps tell to this is taken: larger steps, against rounding, would see kinks again.
NEARBY = 1e-5
# What exceeds a bound by so much can be followed into halves of the direction, whose slopes have bounds of their own.
RESOLVED = 4.0


@dataclass
class CheckProgress:
    """What a check by directions found.

    Attributes
    ----------
    looks : list of DirectionalSlope
        The last ones, without the elements of `apart`.
    elements : dict
        What single elements were judged to be, by their place in the vector.
    lost : dict
        How many elements of a primal are not finite, where there are such.
    spread : dict
        For each primal that has more wrong elements than were looked for, the groups that have some.
    sample : dict
        Those of the elements that were drawn from groups by chance, and how large the group was.
    open : set of int
        Elements that are not right, but cannot be seen alone to be wrong.
    suspects : set of int
        The primals that what is unexplained lies in.
    diffuse : bool
        Whether what is unexplained is spread over many elements.
    apart : ndarray of bool
        Which elements the last looks left out.
    zeros : int
        How many of these were left out since a kink, or the edge of f's domain, lies at zero; some were judged alone.
    grain : float
        The rounding of f if it computes in single precision, 0 otherwise.
    evaluations, showed : int
        How many there were, and how many of them had been enough to show that something is wrong.
    """

    apart: Array
    looks: list[DirectionalSlope] = field(default_factory=list)
    elements: dict[int, CheckResult] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    spread: dict[int, list[Group]] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    sample: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    diffuse: bool = False
    zeros: int = 0
    grain: float = 0.0
    evaluations: int = 0
    showed: int = 0

    @property
    def unexplained(self) -> bool:
        """Whether the last looks still disagree."""
        return any(seen.suspicion > 1 for seen in self.looks)

    def wrong(self, elements: Iterable[int]) -> list[int]:
        """Return those elements that are wrong."""
        return [k for k in elements if self.elements[k].verdict is Verdict.WRONG]


@dataclass(frozen=True)
class GradientCheck:
    """A point with tolerances and a stream of random numbers, and what is done there."""

    point: FlatPoint
    rng: np.random.Generator
    rtol: float | None
    atol: float | None
    method: Method

    def run(self) -> CheckProgress:
        """Look at the whole gradient, and find what is wrong with it."""
        found = CheckProgress(~np.isfinite(self.point.gradient))
        for i, span in enumerate(self.point.spans):
            lost = np.flatnonzero(found.apart[span]) + span.start
            if lost.size:
                found.lost[i] = lost.size
                self._judge(found, lost[:NAMED])
                self.point.gradient[lost] = 0.0
        found.open |= {k for k, result in found.elements.items() if not result.verdict.ok}
        for _ in range(ROUNDS):
            found.looks = self._looks(found)
            found.showed = found.showed or found.evaluations
            if not self._goes_on(found):
                return found
        found.looks = self._looks(found)
        return found

    def _goes_on(self, found: CheckProgress) -> bool:
        """Find out why a look disagrees, leave that out, and return whether it is worth looking again."""
        edges = [seen for seen in found.looks if seen.width or not np.isfinite(seen.bound)]
        if edges and not found.zeros:
            zeros = np.flatnonzero((self.point.x == 0) & ~found.apart)
            found.zeros = len(zeros)
            found.apart[zeros] = True
            self._judge(found, self.rng.permutation(zeros)[:NAMED])
            if found.zeros:
                return True
        if not found.unexplained:
            return False
        return self._explain(found, max(found.looks, key=lambda seen: seen.suspicion))

    def _looks(self, found: CheckProgress) -> list[DirectionalSlope]:
        """Return a look along each of two directions; a third ladder is climbed where the first one was of no use."""
        looks: list[DirectionalSlope] = []
        unit, tried = 1.0, False
        for draw in (in_proportion, alike):
            v = draw(self.point, self.rng) * unit
            v[found.apart] = 0.0
            if not v.any():
                continue
            seen = self._look(found, v, NEARBY if unit < 1 else 0.0)
            if unit < 1 and not seen.tells_steps_apart:
                seen = _widened(seen, np.inf)  # f is too coarse for so short steps
            if seen.is_rough and not tried:
                tried, near = True, self._from_nearby(found, seen)
                unit, seen = (1.0 if near.v is v else 1 / (SHORTER * v.size)), near
            looks.append(seen)
        return looks

    def _from_nearby(self, found: CheckProgress, seen: DirectionalSlope) -> DirectionalSlope:
        """Return a look with steps in which hardly any element passes a kink, if that knows more than `seen` does.

        Where the two contradict each other, the shorter ones are right, unless f is too coarse for them.
        """
        n = SHORTER * seen.v.size
        if n * seen.grain >= seen.error:
            return seen
        near = self._look(found, seen.v / n, NEARBY)
        apart, known = abs(n * near.numerical - seen.numerical), n * near.error + seen.error
        if apart > known and not (near.decides and near.tells_steps_apart):
            return _widened(seen, apart + known)
        return near if apart > known or n * near.error < seen.error else seen

    def _look(self, found: CheckProgress, v: Array, settled: float = 0.0) -> DirectionalSlope:
        seen, evaluations = look(
            self.point, v, rtol=self.rtol, atol=self.atol, method=self.method, settled=settled
        )
        found.evaluations += evaluations
        found.grain = max(found.grain, seen.grain if seen.is_coarse else 0.0)
        return seen

    def _explain(self, found: CheckProgress, seen: DirectionalSlope) -> bool:
        """Search what disagrees along a direction, and return whether something was found."""
        search = Search(self.point, seen, self.method)
        groups = search.groups()
        found.suspects = {self.point.owner(group.start) for group in groups}
        found.diffuse = len(groups) >= MANY
        if found.diffuse:
            explained = self._judge_many(found, search, groups)
        else:
            explained = self._judge_singles(found, seen, groups)
        found.evaluations += search.evaluations
        return bool(explained)

    def _judge_many(self, found: CheckProgress, search: Search, groups: Sequence[Group]) -> list[int]:
        """Judge some elements of the groups, and, where few of these are wrong, look for wrong ones in them."""
        sample = [k for own in self._by_primal(groups) for k in self._sampled(found, own)]
        self._judge(found, sample)
        if 2 * len(found.wrong(sample)) < len(sample):
            sample += self._judge_singles(found, search.look, search.singles(list(groups[:NAMED])))
        wrong = found.wrong(sample)
        for i in {self.point.owner(k) for k in wrong}:
            found.spread[i] = [group for group in groups if self.point.owner(group.start) == i]
            found.apart[self.point.spans[i]] = True
        return wrong

    def _by_primal(self, groups: Sequence[Group]) -> list[list[Group]]:
        owners = sorted({self.point.owner(group.start) for group in groups})
        return [[group for group in groups if self.point.owner(group.start) == i] for i in owners]

    def _sampled(self, found: CheckProgress, groups: Sequence[Group]) -> list[int]:
        """Draw some elements of one primal's groups, each group's in its turn."""
        count = max(FEWEST, SAMPLED * len(groups) // MANY)
        order = self.rng.permutation(len(groups))
        turns = [groups[order[turn % len(groups)]] for turn in range(count)]
        drawn = {int(self.rng.integers(group.start, group.stop)): group for group in turns}
        found.sample |= {k: group.stop - group.start for k, group in drawn.items()}
        return list(drawn)

    def _judge_singles(
        self, found: CheckProgress, seen: DirectionalSlope, groups: Sequence[Group]
    ) -> list[int]:
        """Judge single elements alone, and return those whose disagreement along a direction that explains."""
        singles = [group for group in groups if group.is_single]
        self._judge(found, [group.start for group in singles])
        explained = []
        for group in singles:
            k, error = group.start, abs(group.off / seen.v[group.start])
            alone = found.elements[k]
            vague = 2 * (alone.reference_error or 0.0) >= error
            if (
                vague
                and (group.disagrees or seen.suspicion > RESOLVED)
                and alone.verdict is not Verdict.WRONG
            ):
                note = f"along a direction it is off by {error:.2g}, which is too little to be seen alone"
                found.elements[k] = replace(alone, verdict=Verdict.INCONCLUSIVE, note=note)
                found.open.add(k)
            elif alone.verdict is Verdict.PASS and not _is_about(alone.absolute_error, error):
                # noise has misled the search to an element that is right
                del found.elements[k]
                found.apart[k] = False
                continue
            explained.append(k)
        return explained

    def _judge(self, found: CheckProgress, elements: Iterable[int]) -> None:
        """Judge elements alone, and leave them out of what follows."""
        for k in map(int, elements):
            if k not in found.elements:
                result = judge_element(self.point, k, self.rtol, self.atol, self.method, found.grain)
                found.elements[k] = result
                found.apart[k] = True
                found.evaluations += result.evaluations or 0
                if result.verdict is Verdict.WRONG and result.numerical is not None:
                    self.point.gradient[k] = result.numerical  # it says nothing of what the others may round


def _widened(seen: DirectionalSlope, error: float) -> DirectionalSlope:
    """Return a look whose slope may be off by this too."""
    return replace(seen, error=error, bound=seen.bound + error, allowed=seen.allowed + error)


def _is_about(value: float | None, expected: float) -> bool:
    return value is not None and abs(value - expected) <= expected / 2
