"""What is known at one point: primals, outputs, the analytic gradients, and forward's whole Jacobian by differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.checks.exploration.derived_inputs import DerivedTrials, derived_trials
from gradlab.checks.trial import Trial, quiet
from gradlab.directions import Confirmation
from gradlab.node import Array, as_tuple
from gradlab.verdict import atol_for, rtol_for
from gradlab.workers.lock_free import cached_property

# The step of the Jacobian's differences, relative to an element, and by how much it shrinks near an edge of the domain;
# and how far slopes may be off by truncation and rounding, relative to each slope and to the largest.
STEP, NEARER, RTOL, ATOL = 2.0**-13, 2.0**-10, 1e-6, 1e-7
# At most so many points beyond the samples are looked at, with at most so many elements in all.
POINTS, ELEMENTS = 60, 2000
# At least so many points beyond the samples are looked at, one of each kind; fewer with more elements than SMALL.
KINDS, FEW_KINDS, SMALL = 16, 4, 200
# And only so many, where a mistake of more elements than SMALL shows at a sample.
SHOWN = 2
# A Jacobian of more numbers than this is not computed.
LARGEST = 2**18


@dataclass(frozen=True)
class PointEvidence:
    """A trial, the gradients that backward gave there, and the gradients that forward's differences give.

    Attributes
    ----------
    trial : Trial
    gradients : tuple of ndarray
        One for each primal, of the primal's shape, in double precision at least.
    """

    trial: Trial
    gradients: tuple[Array, ...]

    @property
    def jacobians(self) -> tuple[Array, ...]:
        """For each primal the slopes of all outputs, shape (outputs, elements)."""
        return self._differences[0]

    def columns(self, i: int, places: Sequence[int]) -> Array:
        """Return the slopes of all outputs in some elements of primal `i`, shape (outputs, places)."""
        return _jacobian_by_differences(self.trial, doubles_of(self.trial), i, places)[0]

    @property
    def kinks(self) -> tuple[Array, ...]:
        """For each primal which elements have one-sided slopes that differ, in the primal's shape."""
        if self.is_given:
            return tuple(estimate.kink for estimate in self.trial.estimates)
        confirmed = self._confirmed
        if all(confirmed):
            return tuple(told.estimate.kink for told in confirmed if told)
        return tuple(
            told.estimate.kink if told else kinks
            for told, kinks in zip(confirmed, self._differences[2], strict=True)
        )

    @property
    def _confirmed(self) -> tuple[Confirmation | None, ...]:
        """What directions confirm; they are not asked where the Jacobian of few elements costs less."""
        primals = self.trial.sample.primals
        few = sum(x.size for x in primals) <= SMALL
        return (None,) * len(primals) if few else self.trial.confirmed

    @property
    def _differences(self) -> tuple[tuple[Array, ...], ...]:
        found: tuple[tuple[Array, ...], ...] = self.trial.remembered("jacobians", jacobians_of)
        return found

    @cached_property
    def g(self) -> Array:
        """The cotangents of all outputs in a row."""
        return flat(self.trial.cotangent())

    @property
    def is_given(self) -> bool:
        """Whether the trial is a sample, not derived from a sample."""
        return self.trial.origin is None

    def numerical(self, i: int) -> Array:
        """Return what the gradient of primal `i` should be.

        At a sample the estimate; elsewhere what directions confirm, or by the Jacobian.
        """
        if ("numerical", i) not in self._known:
            told = None if self.is_given else self._confirmed[i]
            known = self.trial.estimates[i] if self.is_given else told and told.estimate
            self._known["numerical", i] = known.value if known else self.numerical_for(i, self.g)
        return self._known["numerical", i]

    @cached_property
    def _known(self) -> dict[tuple[str, int], Array]:
        return {}

    def numerical_for(self, i: int, g: Array) -> Array:
        """Return what the gradient of primal `i` should be for a cotangent `g`, all outputs in a row.

        NaN where the Jacobian is too large to be computed.
        """
        if has_large_jacobian(self.trial):
            return np.full(self.trial.sample.primals[i].shape, np.nan)
        return np.asarray((g @ self.jacobians[i]).reshape(self.trial.sample.primals[i].shape))

    def wrong(self, i: int) -> Array:
        """Return which elements of the gradient of primal `i` are wrong."""
        if ("wrong", i) not in self._known:
            self._known["wrong", i] = self._wrong(i)
        return self._known["wrong", i]

    def _wrong(self, i: int) -> Array:
        analytic, numerical = self.gradients[i], self.numerical(i)
        scale = np.nan_to_num(np.abs(numerical)).max(initial=0.0)
        if self.is_given:
            estimate = self.trial.estimates[i]
            dtype = self.trial.sample.primals[i].dtype
            allowed = atol_for(estimate, dtype) + rtol_for(dtype) * np.abs(numerical) + estimate.error
            between = (estimate.lower - allowed <= analytic) & (analytic <= estimate.upper + allowed)
            return np.asarray(~between | (~np.isfinite(analytic) & np.isfinite(numerical)))
        told = self._confirmed[i]
        if told:
            doubt = told.estimate.error
        else:
            truncation = (np.abs(self.g) @ self._differences[1][i]).reshape(numerical.shape)
            doubt = self._rounding + 4 * truncation
        allowed = RTOL * np.abs(numerical) + ATOL * scale + doubt
        off = ~(np.abs(analytic - numerical) <= allowed) & np.isfinite(numerical)
        return np.asarray(off & ~self.kinks[i])

    @cached_property
    def _rounding(self) -> float:
        terms = float(np.abs(self.g * flat(self.trial.output)).sum())
        return 64 * float(np.finfo(np.float64).eps) * terms / STEP


def flat(outputs: Any) -> Array:
    """Return all outputs, or cotangents, in a row, in double precision at least."""
    parts = [np.asarray(y).reshape(-1) for y in as_tuple(outputs)]
    joined = np.concatenate(parts) if parts else np.empty(0)
    return joined.astype(np.promote_types(joined.dtype, np.float64))


def all_evidence(trials: Sequence[Trial]) -> tuple[list[PointEvidence], list[Trial]]:
    """Return the evidence at the trials and at primals derived from them, and the trials at which backward fails."""
    ways = [
        d
        for trial in trials
        for d in derived_trials(trial)
        if not d.guessed and not has_large_jacobian(d.trials[0])
    ]
    # some points for every sample, not all of them for the first one
    size = max((sum(x.size for x in d.trials[0].sample.primals) for d in ways), default=1)
    fewest = KINDS if size <= SMALL else FEW_KINDS
    ways = _every_kind_first(ways)[: min(POINTS, max(fewest, ELEMENTS // max(size, 1)))]
    known, broken = list[PointEvidence](), list[Trial]()
    with quiet():
        for alternatives in [*([trial] for trial in trials), *(list(d.trials) for d in ways)]:
            # with many elements a mistake that shows at a sample is looked at only where no Jacobian is needed
            derived = alternatives[0].origin is not None
            enough = len(known) >= len(trials) + SHOWN
            if derived and size > SMALL and _shows(known) and (enough or not all(alternatives[0].confirmed)):
                continue
            found = next(filter(None, map(evidence_at, alternatives)), None)
            if found:
                known.append(found)
            else:
                broken.append(alternatives[0])
    return known, broken


def _shows(known: Sequence[PointEvidence]) -> bool:
    """Return whether a gradient is wrong at a point."""
    return any(p.wrong(i).any() for p in known[:1] for i in range(len(p.gradients)))


def _every_kind_first(ways: Sequence[DerivedTrials]) -> list[DerivedTrials]:
    """Return the derived trials in an order in which each kind comes up once before any kind comes up again.

    Each kind starts at another sample: the first kind at the first sample, the second at the second.
    """
    kinds: dict[str, list[DerivedTrials]] = {}
    for d in ways:
        kinds.setdefault(d.how.partition(" (")[0], []).append(d)
    turns = [
        (turn, kind, of_kind[(turn + kind) % len(of_kind)])
        for kind, of_kind in enumerate(kinds.values())
        for turn in range(len(of_kind))
    ]
    return [d for _, _, d in sorted(turns, key=lambda turn: turn[:2])]


def has_large_jacobian(trial: Trial) -> bool:
    """Return whether forward's Jacobian has too many numbers to be computed."""
    outputs = flat(trial.witness.output if trial.witness else trial.output).size
    return any(x.size * outputs > LARGEST for x in trial.sample.primals)


def evidence_at(trial: Trial) -> PointEvidence | None:
    """Return the evidence at a trial, or None where backward gives no gradients that can be compared."""
    try:
        gradients = trial.gradients(trial.cotangent())
    except Exception:
        return None
    doubles = tuple(d.astype(np.promote_types(d.dtype, np.float64)) for d in gradients)
    return PointEvidence(trial, doubles)


def jacobians_of(trial: Trial) -> tuple[tuple[Array, ...], ...]:
    """Return, for each primal, forward's Jacobian by differences, its errors, and which elements sit at a kink."""
    if trial.witness:
        known: tuple[tuple[Array, ...], ...] = trial.witness.remembered("jacobians", jacobians_of)
        return known
    primals = doubles_of(trial)
    columns, errors, kinks = zip(
        *(_jacobian_by_differences(trial, primals, i, range(x.size)) for i, x in enumerate(primals)),
        strict=True,
    )
    return columns, errors, tuple(k.reshape(x.shape) for k, x in zip(kinks, primals, strict=True))


def doubles_of(trial: Trial) -> list[Array]:
    """Return a trial's primals in double precision at least."""
    return [x.astype(np.promote_types(x.dtype, np.float64)) for x in trial.sample.primals]


def _jacobian_by_differences(
    trial: Trial, primals: list[Array], i: int, places: Sequence[int]
) -> tuple[Array, Array, Array]:
    x, here = primals[i], flat(trial.function(*primals))
    usual = float(np.sqrt(np.mean(x**2))) if x.size else 0.0
    columns, errors = np.zeros((2, here.size, len(places)))
    kinks = np.zeros(len(places), dtype=bool)
    for column, k in enumerate(places):
        h = STEP * max(abs(float(x.flat[k])), 0.1 * usual or 1.0)
        up, down, half_up, half_down = _outputs_at_four_steps(trial, primals, i, k, h)
        if not np.isfinite(up + down).all():
            h *= NEARER  # the edge of the domain, or a pole, may be near
            up, down, half_up, half_down = _outputs_at_four_steps(trial, primals, i, k, h)
        columns[:, column] = (8 * (half_up - half_down) - (up - down)) / (6 * h)
        errors[:, column] = np.abs(columns[:, column] - (half_up - half_down) / h)
        right, left = (4 * half_up - up - 3 * here) / h, (3 * here + down - 4 * half_down) / h
        scale = np.abs(right) + np.abs(left)
        kinks[column] = bool((np.abs(right - left) > 1e-3 * scale + 1e-9 * np.abs(here) / h).any())
    return columns, errors, kinks


def _outputs_at_four_steps(trial: Trial, primals: list[Array], i: int, k: int, h: float) -> list[Array]:
    """Return all outputs with element `k` of primal `i` moved by h, -h, h / 2 and -h / 2."""
    return [_outputs_at_step(trial, primals, i, k, t) for t in (h, -h, h / 2, -h / 2)]


def _outputs_at_step(trial: Trial, primals: list[Array], i: int, k: int, t: float) -> Array:
    moved = primals[i].copy()
    moved.reshape(-1)[k] += t
    size = flat(trial.output).size
    try:
        outputs = flat(trial.function(*primals[:i], moved, *primals[i + 1 :]))
    except (ArithmeticError, ValueError):
        return np.full(size, np.nan)  # outside the domain
    # as is where there are more outputs, or fewer
    return outputs if outputs.size == size else np.full(size, np.nan)
