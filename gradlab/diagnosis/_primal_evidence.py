"""What is known of one primal's gradient at all points: where it is wrong, and how much of that a guess explains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property

# A guess explains a mismatch if it leaves no more than LEFT of it: at every sample, and at the share ALMOST_ALL of the
# points beyond the samples (which may be badly conditioned).
LEFT, ALMOST_ALL = 0.02, 0.8
# At a point where a gradient is this much smaller than at the samples, a mistake in it may not show.
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
    def all_wrong_points(self) -> list[PointEvidence]:
        """The points where some element is wrong."""
        return [p for p in self.points if p.wrong(self.i).any()]

    @cached_property
    def wrong_points(self) -> list[PointEvidence]:
        """The wrong points without a kink, as at a kink several gradients are right; all if each has a kink."""
        return [p for p in self.all_wrong_points if not p.kinks[self.i].any()] or self.all_wrong_points

    @cached_property
    def right_points(self) -> list[PointEvidence]:
        """The points where no element is wrong, and the gradient is large enough for a mistake to show."""
        usual = max((self.numerical_size(p) for p in self.points if p.is_given), default=0.0)
        return [
            p for p in self.points if not p.wrong(self.i).any() and self.numerical_size(p) > VISIBLE * usual
        ]

    def numerical_size(self, p: PointEvidence) -> float:
        """Return the largest element that the gradient should have at a point."""
        return float(np.nan_to_num(np.abs(p.numerical(self.i))).max(initial=0.0))

    def analytic(self, p: PointEvidence) -> Array:
        """Return the gradient that backward gave at a point."""
        return p.gradients[self.i]

    def primal(self, p: PointEvidence) -> Array:
        """Return the primal at a point."""
        return p.trial.sample.primals[self.i]

    def explained_share_at(self, p: PointEvidence, guess: Array | None) -> float:
        """Return the share of the mismatch at a point that a guess explains: 1 if the guess is what backward gave."""
        analytic = self.analytic(p)
        if guess is None or guess.shape != analytic.shape:
            return 0.0
        # at a kink several gradients are right
        smooth = ~p.kinks[self.i]
        off = float(np.abs(analytic - p.numerical(self.i))[smooth].max(initial=0.0))
        left = float(np.abs(analytic - guess)[smooth].max(initial=0.0))
        return max(0.0, 1.0 - left / off) if off > 0 and np.isfinite(left) else 0.0

    @cached_property
    def _smoothly_wrong(self) -> list[PointEvidence]:
        """The points where elements without a kink are wrong, the samples first."""
        smooth = [p for p in self.wrong_points if (p.wrong(self.i) & ~p.kinks[self.i]).any()]
        return sorted(smooth, key=lambda p: not p.is_given)

    def explained_share(self, guess: Guess) -> float:
        """Return the share of the mismatch that a guess explains, on average over the points where it fits.

        0 if the guess fails at a sample, or at too many of the points beyond the samples.
        """
        shares = []
        beyond = sum(not p.is_given for p in self._smoothly_wrong)
        may_fail = int((1 - ALMOST_ALL) * beyond)
        for p in self._smoothly_wrong:
            share = self.explained_share_at(p, guess(p))
            if share >= 1 - LEFT:
                shares.append(share)
            elif p.is_given or may_fail == 0:
                return 0.0
            else:
                may_fail -= 1
        return float(np.mean(shares)) if shares else 0.0

    def finding(self, name: str, confidence: float, observed: str, cure: str) -> Finding:
        """Return a finding about this primal."""
        return Finding(name, self.name, confidence, observed, cure)
