"""All that was seen of one primal's gradient: where it is wrong, and whether a guess gives what backward gave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array

# A guess explains a mismatch if it leaves no more than this share of it, at every sample, and at this share of the
# points beyond them (which may be badly conditioned).
LEFT, ALMOST_ALL = 0.02, 0.8
# Where a gradient is this much smaller than at the samples, a mistake in it may not show.
VISIBLE = 1e-5

Guess = Callable[[PointEvidence], Array | None]


@dataclass(frozen=True)
class PrimalEvidence:
    """What is known of one primal's gradient, at all points.

    Attributes
    ----------
    points : sequence of PointEvidence
    i : int
        The number of the primal.
    """

    points: Sequence[PointEvidence]
    i: int

    @property
    def name(self) -> str:
        """The primal's name."""
        return str(self.points[0].trial.names[self.i])

    @cached_property
    def all_wrong(self) -> list[PointEvidence]:
        """The points where some element is wrong."""
        return [p for p in self.points if p.wrong(self.i).any()]

    @cached_property
    def wrong(self) -> list[PointEvidence]:
        """Those of them without a kink, where what is right is no choice; all of them if each has one."""
        return [p for p in self.all_wrong if not p.kinks[self.i].any()] or self.all_wrong

    @cached_property
    def right(self) -> list[PointEvidence]:
        """The points where none is, and where it could have been seen: the gradient is not as good as zero."""
        usual = max((self.size(p) for p in self.points if p.is_given), default=0.0)
        return [p for p in self.points if not p.wrong(self.i).any() and self.size(p) > VISIBLE * usual]

    def size(self, p: PointEvidence) -> float:
        """Return the size of what should be there at a point."""
        return float(np.nan_to_num(np.abs(p.numerical(self.i))).max(initial=0.0))

    def analytic(self, p: PointEvidence) -> Array:
        """Return what backward gave at a point."""
        return p.gradients[self.i]

    def primal(self, p: PointEvidence) -> Array:
        """Return the primal at a point."""
        return p.trial.sample.primals[self.i]

    def share(self, p: PointEvidence, guess: Array | None) -> float:
        """Return the share of the mismatch at a point that a guess explains: 1 if it is what backward gave."""
        analytic = self.analytic(p)
        if guess is None or guess.shape != analytic.shape:
            return 0.0
        # at a kink what is right is a choice
        smooth = ~p.kinks[self.i]
        off = float(np.abs(analytic - p.numerical(self.i))[smooth].max(initial=0.0))
        left = float(np.abs(analytic - guess)[smooth].max(initial=0.0))
        return max(0.0, 1.0 - left / off) if off > 0 and np.isfinite(left) else 0.0

    @cached_property
    def _smoothly_wrong(self) -> list[PointEvidence]:
        """The points where more than a kink is wrong, the samples first."""
        smooth = [p for p in self.wrong if (p.wrong(self.i) & ~p.kinks[self.i]).any()]
        return sorted(smooth, key=lambda p: not p.is_given)

    def explained(self, guess: Guess) -> float:
        """Return the share of the mismatch that a guess explains, 0 if it fails somewhere."""
        shares = []
        beyond = sum(not p.is_given for p in self._smoothly_wrong)
        may_fail = int((1 - ALMOST_ALL) * beyond)
        for p in self._smoothly_wrong:
            share = self.share(p, guess(p))
            if share >= 1 - LEFT:
                shares.append(share)
            elif p.is_given or may_fail == 0:
                return 0.0
            else:
                may_fail -= 1
        return float(np.mean(shares)) if shares else 0.0

    def found(self, name: str, confidence: float, evidence: str, cure: str) -> Finding:
        """Return a finding about this primal."""
        return Finding(name, self.name, confidence, evidence, cure)
