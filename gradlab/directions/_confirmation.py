"""A claimed gradient, confirmed along a few directions: what a look at every element would say, for a few evaluations.

Along a direction of random signs and sizes an error in one element cannot hide behind the others (see the room's
docstring), so that slopes which agree to nine digits confirm every element that the direction moves, each to an error
that follows from the bounds. An element that it moves too little is judged alone. Where the outputs have kinks, as at
ties, or too near, the cotangent is split: the outputs that are clear confirm their part of the gradient, and the
elements that move the other outputs are judged alone.

Nothing is ever called wrong here: what is not confirmed is left to the estimates of every element.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gradlab.directions._directional_slopes import signed
from gradlab.directions._flat_point import usual_sizes
from gradlab.node import Array
from gradlab.numerical.estimate import PARTS, Estimate, estimate_elements
from gradlab.numerical.lines import LineSlopes, output_slopes, scan_lines
from gradlab.numerical.moved_points import Points
from gradlab.numerical.sparse_slopes import LOCAL, SEVERAL, moving, single_movers

# A slope is clear that is known to this part of what one element of usual size adds to it; a gradient of so small
# disagreement is confirmed, too, whose rounding exceeds a few ulps.
CLEAR, NEAR = 1e-8, 1e-10
# An element is seen if an error of this part of its primal's largest would show.
SEEN = 1e-7
# Among more elements than MANY, all of these are so many times as large: what one adds is lost beside the others.
MANY, LOST = 10_000, 100
# An error shows that is so many times the bound, so that it could be told from noise.
RESOLVED = 4.0
# A right gradient may be rounded by so many ulps in each element, times the spread of a random sum (Hoeffding, 1963).
ROUNDING_ULPS, SPREAD = 2, 8.0
# The two parts of a gradient, for a cotangent split in two, add up to it to within so many ulps of the largest.
PARTS_ULPS = 256
# Two directions show one factor that agree to this; so many elements bear it out, each to `SURE`.
ONE_FACTOR, WITNESSES, SURE = 1e-7, 4, 1e-6
# A primal of fewer elements is looked at element by element.
FEWEST = 8
# If more than this share of the elements had to be judged alone, all are.
MOST_ALONE = 0.5
# Up to so many wrong elements among at least so many are looked for by halving.
FEW_WRONG, WORTH_HALVING = 8, 500


@dataclass(frozen=True)
class Claim:
    """A function of all primals as one vector, and the gradient that backward claims for it.

    Attributes
    ----------
    outputs : callable
        Takes the vector, gives all outputs in a row; NaN where there is no value.
    gradient : callable
        Takes a cotangent of all outputs in a row, gives the gradient of all primals in a row.
    x : ndarray of shape (n,)
    spans : sequence of slice
        Which elements are each primal's.
    g : ndarray of shape (outputs,)
        The cotangent.
    """

    outputs: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    x: Array
    spans: Sequence[slice]
    g: Array

    def of_primal(self, i: int) -> "Claim":
        """Return the claim for one primal alone, the others held."""
        span = self.spans[i]

        def outputs(part: Array) -> Array:
            moved = self.x.copy()
            moved[span] = part
            return self.outputs(moved)

        own = slice(0, span.stop - span.start)
        return Claim(outputs, lambda g: self.gradient(g)[span], self.x[span], [own], self.g)


class Confirmation(NamedTuple):
    """A gradient that was confirmed.

    Attributes
    ----------
    estimate : Estimate
        Of shape (n,): the claimed gradient, or, of elements that were judged alone, what these should be.
    analytic, numerical : float
        The slopes along the direction that agreed least.
    size : float
        The usual size of such a slope.
    directions, alone : int
        How many directions there were, and how many elements were judged alone.
    factor : float
        What the claimed gradient was multiplied by, to be confirmed; 1 where it is right as it is.
    put_right : int
        How many elements were found to be wrong, each by its own ladder, before the others were confirmed.
    """

    estimate: Estimate
    analytic: float
    numerical: float
    size: float
    directions: int
    alone: int
    factor: float = 1.0
    put_right: int = 0

    @property
    def is_as_claimed(self) -> bool:
        """Whether it was the claimed gradient that was confirmed, and no other in its place."""
        return self.factor == 1 and not self.put_right

    def of_primal(self, span: slice) -> "Confirmation":
        """Return what is said of the elements of one primal."""
        parts = {name: getattr(self.estimate, name)[span] for name in PARTS}
        return self._replace(estimate=replace(self.estimate, **parts))


class _Agreement(NamedTuple):
    """What clear directions say: the error in each element that would have shown, and the slopes that agreed least."""

    caught: Array
    analytic: float
    numerical: float
    size: float
    scale: Array
    directions: int


def confirmed_together(claim: Claim, rng: np.random.Generator) -> Confirmation | None:
    """Return what confirms the gradients of all primals at once; None where they are not all confirmed."""
    with np.errstate(all="ignore"):
        return _confirmed(claim, rng)


def confirmed_alone(claim: Claim, i: int, rng: np.random.Generator) -> Confirmation | None:
    """Return what confirms the gradient of one primal, the others held; None where it is not confirmed.

    A gradient that is wrong by one factor is confirmed without it, and one of which a few elements are wrong with what
    these should be: that tells all that a look at every element would.
    """
    part = claim.of_primal(i)
    if part.x.size < FEWEST:
        return None
    with np.errstate(all="ignore"):
        return _confirmed(part, rng, scaled=True)


def _confirmed(claim: Claim, rng: np.random.Generator, *, scaled: bool = False) -> Confirmation | None:
    gradient, y0 = claim.gradient(claim.g), claim.outputs(claim.x)
    if not (np.isfinite(gradient).all() and np.isfinite(y0).all()):
        return None
    looks = _Looks(claim, gradient.copy(), y0, rng)
    found = looks.agreement(scaled)
    if found is None and scaled and looks.put_few_right():
        found = looks.agreement(False)
    if found is None:
        return None
    agreement, unclear = found
    unclear = np.union1d(unclear, looks.put_right)
    many = claim.x.size > MANY
    # of so many elements those that are not seen have an error bound that says so
    alone = (unclear if many else np.union1d(unclear, looks.unseen(agreement))).astype(int)
    if len(alone) > (MANY / 10 if many else MOST_ALONE * claim.x.size) or not looks.bears_factor():
        return None
    estimate = looks.estimate(agreement, alone)
    return Confirmation(
        estimate,
        agreement.analytic,
        agreement.numerical,
        agreement.size,
        agreement.directions,
        len(alone),
        looks.factor,
        len(looks.put_right),
    )


class _Looks:
    """The evaluations that one confirmation makes, counted."""

    def __init__(self, claim: Claim, gradient: Array, y0: Array, rng: np.random.Generator) -> None:
        self.claim, self.gradient, self.y0, self.rng = claim, gradient, y0, rng
        self.evaluations, self.factor, self.put_right = 1, 1.0, np.empty(0, dtype=int)
        self._rows = Points(claim.outputs, y0)
        lost = LOST if claim.x.size > MANY else 1
        self.clear, self.near, self.seen = CLEAR * lost, NEAR * lost, SEEN * lost

    def agreement(self, scaled: bool) -> tuple[_Agreement, Array] | None:
        """Return what the directions say, and the elements that move unclear outputs; None where they disagree.

        With `scaled`, a gradient that all directions show to be wrong by one factor is corrected first.
        """
        # the first turns no sign and moves no zero, so that it passes fewer kinks; and least of all from nearby
        own = self._signed() * np.abs(self.claim.x)
        for vs in (np.stack([own, self._even(self.claim.spans)]), LOCAL * own[None]):
            scan, slopes = self._measured(vs)
            clear = self._is_clear(vs, self.gradient, slopes)
            if clear.any():
                if scaled and clear.sum() > 1:
                    self._correct_factor(vs[clear], _some(slopes, clear))
                agreement = self._agreed(vs[clear], self.gradient, _some(slopes, clear))
                return agreement and (self._looked_closer(agreement), np.empty(0, dtype=int))
        return self._without_unclear_outputs(vs[0], output_slopes(scan, 0))

    def _correct_factor(self, vs: Array, slopes: LineSlopes) -> None:
        """Multiply the gradient by the factor that brings its slopes to forward's, if there is one and it is not 1."""
        ratios = slopes.value / (vs @ self.gradient)
        same = np.ptp(ratios) <= ONE_FACTOR * np.abs(ratios[0])
        if same and ratios[0] and abs(ratios[0] - 1) > 10 * ONE_FACTOR:
            self.factor = float(ratios[0])
            self.gradient *= self.factor

    def put_few_right(self) -> bool:
        """Put forward's slopes in the place of a few elements that are wrong; return whether they were found.

        They are found by halving, all parts of a direction at once, until each part that disagrees is one element.
        """
        if not WORTH_HALVING <= self.claim.x.size <= MANY:
            return False  # among more elements the room's own group testing finds them
        self.gradient, self.factor = self.claim.gradient(self.claim.g).copy(), 1.0
        own = self._signed() * np.abs(self.claim.x)
        v = np.where(own == 0, self._even(self.claim.spans), own)
        parts = self._disagreeing(v) or self._disagreeing(LOCAL * v)
        if not parts:
            return False
        self.put_right = np.concatenate(parts)
        found = estimate_elements(self.claim.outputs, self.claim.x, self.claim.g, self.put_right)
        self.evaluations += found.evaluations
        self.gradient[self.put_right] = found.value
        return True

    def _disagreeing(self, v: Array) -> list[Array]:
        """Return the single elements that disagree along a direction; none where they are not few."""
        parts = [np.arange(v.size)]
        while any(part.size > 1 for part in parts):
            parts = [half for part in parts for half in np.array_split(part, 2) if half.size]
            vs = np.zeros((len(parts), v.size))
            for row, part in zip(vs, parts, strict=True):
                row[part] = v[part]
            _, slopes = self._measured(vs)
            agrees, *_ = self._apart(vs, self.gradient, slopes)
            sure = agrees & self._is_clear(vs, self.gradient, slopes)
            parts = [part for part, is_right in zip(parts, sure, strict=True) if not is_right]
            if not 0 < len(parts) <= FEW_WRONG:
                return []
        return parts

    def bears_factor(self) -> bool:
        """Return whether the largest elements, each by its own ladder, bear out the factor that was corrected."""
        if self.factor == 1:
            return True
        largest = np.argsort(-np.abs(self.gradient))[:WITNESSES]
        found = estimate_elements(self.claim.outputs, self.claim.x, self.claim.g, largest)
        self.evaluations += found.evaluations
        expected = self.gradient[largest]
        return bool((np.abs(found.value - expected) <= SURE * np.abs(expected) + found.error).all())

    def _measured(self, vs: Array) -> tuple[Any, LineSlopes]:
        enough = self.clear / 10 * self._usual(vs, self.gradient)
        scan, slopes = scan_lines(
            lambda moves: self._rows([self.claim.x + s * vs[e] for e, s in moves]),
            len(vs),
            self.y0,
            self.claim.g,
            enough,
        )
        self.evaluations += scan.evaluations
        return scan, slopes

    def _signed(self) -> Array:
        return signed(self.rng, self.claim.x.size)

    def _even(self, spans: Sequence[slice]) -> Array:
        """Return a direction in which all elements of some primals move by about their primal's usual size."""
        v, sizes = self._signed(), usual_sizes(self.claim.x, self.claim.spans)
        for span, usual in zip(self.claim.spans, sizes, strict=True):
            v[span] *= usual if span in spans else 0.0
        return v

    def _usual(self, vs: Array, gradient: Array) -> Array:
        """Return, for each direction, what one element of usual size adds to its slope."""
        moved = np.maximum(np.count_nonzero(vs, axis=1), 1)
        return np.asarray(np.sqrt(np.sum((vs * gradient) ** 2, axis=1) / moved))

    def _is_clear(self, vs: Array, gradient: Array, slopes: LineSlopes) -> Array:
        usual = self._usual(vs, gradient)
        # of a gradient of zeros nothing has a size but an ordinary slope
        usual = np.where(usual <= slopes.error, self.near * slopes.scale / self.clear, usual)
        return np.asarray((slopes.error <= self.clear * usual) & ~slopes.kinked & vs.any(axis=1))

    def _apart(self, vs: Array, gradient: Array, slopes: LineSlopes) -> tuple[Array, Array, Array, Array]:
        """Return along which directions a gradient's slopes are forward's; and, of each, how far the two are apart.

        And what rounding may make of that, and a slope's usual size.
        """
        terms = vs * gradient
        norm = np.sqrt(np.sum(terms**2, axis=1))
        eps = float(np.finfo(np.float64).eps)
        sums = eps * (20 + np.log2(self.claim.x.size + 1)) * np.abs(terms).sum(axis=1)
        bound = slopes.error + sums + SPREAD * ROUNDING_ULPS * eps * norm
        apart = np.abs(terms.sum(axis=1) - slopes.value)
        return apart <= bound + self.near * self._usual(vs, gradient), apart, bound, norm

    def _agreed(self, vs: Array, gradient: Array, slopes: LineSlopes) -> _Agreement | None:
        """Return what directions say of a gradient whose slopes along them are known; None where they disagree."""
        agrees, apart, bound, norm = self._apart(vs, gradient, slopes)
        if not agrees.all():
            return None
        with np.errstate(divide="ignore"):
            shows = RESOLVED * (bound + apart)[:, None] / np.abs(vs)
        worst = int(np.argmax(apart / bound))
        return _Agreement(
            shows.min(axis=0),
            float((vs[worst] * gradient).sum()),
            float(slopes.value[worst]),
            float(norm[worst]),
            np.min(slopes.scale[:, None] / np.where(vs == 0, np.nan, np.abs(vs)), axis=0),
            len(vs),
        )

    def _looked_closer(self, agreement: _Agreement) -> _Agreement:
        """Return the agreement with a direction more for each primal that the others do not show well."""
        unseen = self.unseen(agreement)
        if self.claim.x.size > MANY:
            return agreement
        spans = [s for s in self.claim.spans if ((s.start <= unseen) & (unseen < s.stop)).any()]
        if not spans or len(self.claim.spans) == 1:
            return agreement
        vs = np.stack([self._even([span]) for span in spans])
        _, slopes = self._measured(vs)
        clear = self._is_clear(vs, self.gradient, slopes)
        closer = self._agreed(vs[clear], self.gradient, _some(slopes, clear)) if clear.any() else None
        if closer is None:
            return agreement
        return agreement._replace(
            caught=np.minimum(agreement.caught, closer.caught),
            scale=np.fmin(agreement.scale, closer.scale),
            directions=agreement.directions + closer.directions,
        )

    def unseen(self, agreement: _Agreement) -> Array:
        """Return the elements in which an error would not show that is small beside their primal's gradient."""
        seen = np.zeros(self.claim.x.size, dtype=bool)
        for span in self.claim.spans:
            size, caught = np.abs(self.gradient[span]), agreement.caught[span]
            all_zero = (size <= caught).all()
            beside = np.nan_to_num(agreement.scale[span]) if all_zero else size.max(initial=0.0)
            seen[span] = caught <= self.seen * beside
        return np.flatnonzero(~seen)

    def _without_unclear_outputs(self, v: Array, slopes: LineSlopes) -> tuple[_Agreement, Array] | None:
        """Split the cotangent, and return what the clear outputs say, and the elements that move the others.

        None where backward is not linear in the cotangent, or the two disagree.
        """
        (usual,) = self._usual(v[None], self.gradient)
        unclear = _largest(np.abs(self.claim.g) * slopes.error, self.clear * usual)
        if not v.any():
            return None
        g = np.where(unclear, 0.0, self.claim.g)
        kept, rest = self.claim.gradient(g), self.claim.gradient(self.claim.g - g)
        size = float(np.abs(self.gradient).max() + np.abs(kept).max() + np.abs(rest).max())
        apart = np.abs(self.gradient - kept - rest)
        if not (apart <= PARTS_ULPS * float(np.finfo(np.float64).eps) * size).all():
            return None
        error = np.abs(g) @ np.where(unclear, 0.0, slopes.error)
        clear = LineSlopes(
            np.array([slopes.value @ g]),
            np.array([error]),
            np.zeros(1, bool),
            np.array([slopes.scale @ np.abs(g)]),
        )
        agreement = self._agreed(v[None], kept, clear)
        return agreement and (agreement, np.union1d(self._moving(v, unclear), np.flatnonzero(rest)))

    def _moving(self, v: Array, outputs: Array) -> Array:
        """Return the elements that move some outputs if they themselves are moved."""
        # nearby: what an element moves from afar does not decide its slope
        v = LOCAL * np.where(v == 0, self._even(self.claim.spans), v)
        found = [np.empty(0, dtype=int)]
        for span in self.claim.spans:
            own = np.arange(span.start, span.stop)
            movers, evaluations = single_movers(self._rows, self.claim.x, self.y0, own, np.abs(v[span]))
            self.evaluations += evaluations
            found.append(own[movers[outputs & (movers >= 0)]])
            shared = outputs & (movers == SEVERAL)
            if shared.any():
                several, evaluations = moving(self._rows, self.claim.x, self.y0, own, np.abs(v[span]), shared)
                self.evaluations += evaluations
                found.append(own[several])
        return np.unique(np.concatenate(found))

    def estimate(self, agreement: _Agreement, alone: Array) -> Estimate:
        """Return the estimate of the whole gradient, with own ladders of the elements to be judged alone."""
        value, error = self.gradient.copy(), agreement.caught.copy()
        terms = np.abs(value) + float(np.sum(np.abs(self.claim.g * self.y0)))
        lower, upper = value.copy(), value.copy()
        scale = np.nan_to_num(agreement.scale)
        unseen = 0.0
        for span in self.claim.spans:
            own = alone[(span.start <= alone) & (alone < span.stop)]
            if not own.size:
                continue
            found = estimate_elements(self.claim.outputs, self.claim.x, self.claim.g, own)
            self.evaluations += found.evaluations
            for whole, part in (
                (value, found.value),
                (error, found.error),
                (lower, found.lower),
                (upper, found.upper),
                (scale, found.scale),
                (terms, found.terms),
            ):
                whole[own] = part
            unseen = found.unseen
        return Estimate(value, error, self.evaluations, lower, upper, scale, terms, unseen)


def _some(slopes: LineSlopes, lines: Array) -> LineSlopes:
    return LineSlopes(*(part[lines] for part in slopes))


def _largest(shares: Array, allowed: float) -> Array:
    """Return which shares are to be left out, the largest, so that the others add up to no more than is allowed."""
    order = np.argsort(shares)
    left_out = np.ones(shares.size, dtype=bool)
    left_out[order[np.cumsum(shares[order]) <= allowed]] = False
    return left_out
