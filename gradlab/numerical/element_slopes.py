"""The slopes of single elements, read from a scan: which steps to take, where there are kinks, and their intervals."""

from typing import Any, Literal, NamedTuple

import numpy as np

from gradlab.node import Array
from gradlab.numerical.element_scan import Quotients, Scan
from gradlab.numerical.ladder import SAFETY, Slopes, slopes
from gradlab.numerical.plain_slopes import PlainSlopes, plain_slopes

Method = Literal["auto", "central", "forward", "backward", "complex-step"]

# Relative to an element's own scale: four steps for the extrapolation, four small ones to bear witness. Not
# powers of two, so that a moved x needs all its digits and shows in what precision f computes.
LADDER = 1.1 * np.exp2([-2.0, -4.0, -6.0, -8.0, -18.0, -27.0, -36.0, -43.0])
# Two rounds of further steps where these do not settle an element: 2 (8 + 3 + 4) + 1 = 31 evaluations at the most.
ROUNDS = (3, 4)
# An element is settled when its error bound is below this, a hundredth of the tolerance of its precision, relative to
# its own slope: not to its neighbours' slopes, so that it does not matter which elements are worked on together.
SETTLED, SETTLED_EXTENDED = 1e-10, 1e-12
# A slope of zero is settled that is known to this, relative to an ordinary slope: it could be no better known.
FLAT = 4 * float(np.finfo(np.float64).eps)
# The textbook's step, for the methods that take one step.
STEP = 1e-4
# An error of which more than this share is truncation is one of steps that are too long.
TRUNCATED = 0.9
# Steps of this size, relative to the ladder's largest, are far above the rounding of x.
COARSE = 2.0**-16
# At kinks so many outputs are looked at together, of all elements.
MOST_OUTPUTS = 2**20
# So many lines are read at once: more would leave the cache.
BLOCK = 512


def slopes_of_one_step(
    evaluate: Any, index: Array, x: Array, y0: Array, g: Array, method: Method
) -> tuple[Array, Array, Array, Array, Array, Array, int]:
    """Return the same as `slopes_of_ladder`, from the textbook's step and, for the error, one half as long."""
    scan = Scan(evaluate, index.tolist(), x[index], y0)
    scan.add_steps(np.broadcast_to(STEP * np.array([1.0, 0.5]), (len(index), 2)))
    central, right, left, noise, _ = scan.quotients(g[None])
    quotient = {"central": central, "forward": right, "backward": left}[method][0]
    error = np.abs(quotient[:, 0] - quotient[:, 1]) * (2 if method == "central" else 3) + 2 * noise[0, :, 0]
    value = quotient[:, 0]
    error = np.where(np.isnan(error), np.inf, error)
    gap = np.abs(right - left)[0]
    kinked = (gap[:, 1] > 0.75 * gap[:, 0]) & (gap[:, 1] > 100 * noise[0, :, 1])
    sides = np.stack([left[0, :, 0], right[0, :, 0]])
    lower, upper = np.where(kinked, sides.min(axis=0), value), np.where(kinked, sides.max(axis=0), value)
    scale = np.full(len(index), float(np.sum(np.abs(g * y0))) / STEP)
    terms = np.abs(value) + scale * STEP
    return value, error, lower, upper, scale, terms, scan.evaluations


def slopes_of_ladder(
    evaluate: Any,
    index: Array,
    x: Array,
    y0: Array,
    g: Array,
    method: Method,
    enough: float = 0.0,
    believe_flights: bool = False,
) -> tuple[Array, Array, Array, Array, Array, Array, int]:
    """Return value, error, lower, upper, scale, terms and evaluations for some elements of x, as in `Estimate`.

    `enough` and `believe_flights` as for `climb`.
    """
    scan = Scan(evaluate, index.tolist(), x[index], y0)
    sides = climb(scan, g, enough, believe_flights=believe_flights)
    value, error, lower, upper = _values_and_intervals(scan, g, sides)
    scale = sides.usual[: len(index)] / scan.reach
    # the rounding of an analytic gradient is in proportion to the terms that it adds up, and to the outputs
    terms = scan.shares(g, sides.best().top[: len(index)]) + np.sum(np.abs(g * y0))
    return value, error, lower, upper, scale, terms, scan.evaluations


def climb(
    scan: Scan, g: Array, enough: float | Array = 0.0, *, believe_flights: bool = False
) -> "SidedSlopes":
    """Take the steps of the ladder, and more where an element is not settled; return the slopes of two functionals.

    The first is `g`, the second the same outputs with other weights: kinks of two outputs may cancel in the first.
    `enough` is an error bound that settles an element, too. With `believe_flights`, stairs finer than the steps are
    taken for rounding, and their flight for f.
    """
    own = np.abs(scan.at)
    scan.add_steps(np.where(own > 0, own, 1)[:, None] * LADDER.astype(own.dtype))
    watched = np.stack([g, g * _weights(g.size)])
    sides = _slopes_of_functionals(scan, watched, believe_flights)
    for more in ROUNDS:
        best = sides.best().first(len(own))
        settled = _is_settled(best.value, best.error, sides.usual[: len(own)] / scan.reach)
        pending = np.flatnonzero(~(settled | (best.error <= enough)))
        if not pending.size:
            break
        steps = np.full((len(own), more), np.nan, dtype=own.dtype)
        lines = np.concatenate([pending, pending + len(own)])
        steps[pending] = _next_steps(scan.of_elements(pending), sides.of_lines(lines), more)
        scan.add_steps(steps)
        more_sides = _slopes_of_functionals(scan.of_elements(pending), watched, believe_flights)
        sides.replace_lines(lines, more_sides)
    return sides


def _slopes_of_functionals(scan: Scan, g: Array, believe_flights: bool) -> "SidedSlopes":
    """Return the slopes of every functional (a row of `g`) and element, in a row."""
    quotients = Quotients(*(q.reshape(-1, q.shape[-1]) for q in scan.quotients(g)))
    h, reach = np.tile(scan.h, (len(g), 1)), np.tile(scan.reach, len(g))
    return sided_slopes(h, reach, quotients, believe_flights=believe_flights)


def _weights(size: int) -> Array:
    return np.random.default_rng(0).uniform(0.5, 2.0, size)


class SidedSlopes(NamedTuple):
    """The slopes of each line, which is a functional and an element: central, one-sided, and their difference."""

    central: Slopes
    right: Slopes
    left: Slopes
    gap: Slopes
    # where both one-sided slopes were read from steps far above the rounding of x
    coarse: Array
    # the size of the functional within reach
    usual: Array

    def of_lines(self, lines: Array) -> "SidedSlopes":
        """Return the slopes of some lines."""
        central, right, left, gap = (Slopes(*(part[lines] for part in slopes)) for slopes in self[:4])
        return SidedSlopes(central, right, left, gap, self.coarse[lines], self.usual[lines])

    def replace_lines(self, lines: Array, others: "SidedSlopes") -> None:
        """Put others in the place of some lines."""
        for own, other in zip(self[:4], others[:4], strict=True):
            for part, replaced in zip(own, other, strict=True):
                part[lines] = replaced
        self.coarse[lines], self.usual[lines] = others.coarse, others.usual

    def best(self) -> Slopes:
        """Return the central slopes, or one-sided slopes where these are known better, as at a domain's edge."""
        best = self.central
        for side in (self.right, self.left):
            lacking = np.isnan(best.value)
            best = Slopes(*(np.where(lacking, a, b) for a, b in zip(side, best, strict=True)))
        # where only the second derivative jumps, the central quotients are a series in h and not in h^2, and the
        # one-sided slopes are known better
        error = self.right.error + self.left.error + np.abs(self.right.value - self.left.value)
        value = (self.right.value + self.left.value) / 2
        agrees = np.abs(value - best.value) <= best.error + error
        better = np.isfinite(best.error) & (error < best.error / 10) & agrees & self.coarse
        # rounding may leave f on one plateau for all small steps, and central differences take that for a slope of 0
        better |= (best.value == 0) & (np.abs(value) > 10 * error) & self.coarse
        # both sides of one stair are flat, and say nothing of a flight of them
        better &= (best.value == 0) | (self.right.value != 0) | (self.left.value != 0)
        return best._replace(
            value=np.where(better, value, best.value),
            error=np.where(better, error, best.error),
        )

    def kinked(self) -> Array:
        """Return the lines on which right and left slope differ however small the step."""
        # the noise that the central slope shows counts here too: a gap may be free of it by symmetry
        noise = np.fmin(self.central.error, self.right.error + self.left.error)
        noise = np.where(np.isfinite(noise), noise, 0.0)
        apart = np.abs(self.gap.value) > 2 * (self.gap.error + noise)
        both = ~np.isnan(self.right.value) & ~np.isnan(self.left.value)
        return np.asarray(both & (apart | (self.right.diverges != self.left.diverges)))


def sided_slopes(
    h: Array, reach: Array, of: Quotients, *, loose: bool = False, believe_flights: bool = False
) -> SidedSlopes:
    """Return the slopes of lines, from their steps, of shape (lines, steps), and the quotients there.

    `reach` is the largest of each line's first steps. With `loose`, a line that is plainly smooth is read no further,
    however wide its bound is. `believe_flights` as for `climb`.
    """
    usual = np.max(np.where(h <= reach[:, None], np.nan_to_num(of.size), 0.0), axis=1, initial=0.0)
    plain = plain_slopes(h, reach, of, believe_flights=believe_flights)
    settled = loose | _is_settled(plain.value, plain.error, usual / reach)
    sides_settled = loose | _is_settled(
        np.maximum(np.abs(plain.right), np.abs(plain.left)), plain.side_error, usual / reach
    )
    sides = _of_plain_slopes(plain, usual)
    rest = np.flatnonzero(~((plain.smooth & settled) | (plain.kinked & sides_settled)))
    if rest.size:
        some = Quotients(*(part[rest] for part in of))
        sides.replace_lines(rest, _whole_ladders(h[rest], reach[rest], some, usual[rest], believe_flights))
    return sides


def _of_plain_slopes(plain: PlainSlopes, usual: Array) -> SidedSlopes:
    none, never = np.zeros(len(usual), dtype=int), np.zeros(len(usual), dtype=bool)
    zero = np.zeros_like(plain.value)

    def as_slopes(value: Array, error: Array) -> Slopes:
        return Slopes(value, error, zero.copy(), none.copy(), none + 3, never.copy())

    kinked = plain.kinked
    right, left = (
        as_slopes(np.where(kinked, part, plain.value), np.where(kinked, plain.side_error, plain.error))
        for part in (plain.right, plain.left)
    )
    gap = as_slopes(np.where(kinked, plain.right - plain.left, 0.0), np.where(kinked, plain.side_error, 0.0))
    return SidedSlopes(as_slopes(plain.value, plain.error), right, left, gap, ~never, usual)


def _whole_ladders(h: Array, reach: Array, of: Quotients, usual: Array, believe_flights: bool) -> SidedSlopes:
    """Return the slopes of lines by all that their ladders tell."""
    gap, none = of.right - of.left, np.zeros_like(of.noise)
    still_right, still_left = ((side == 0) & (not believe_flights) for side in (of.right, of.left))
    # all four at once: of a few elements, most of the time goes into NumPy's calls
    lines = (
        np.concatenate([h] * 4),
        np.concatenate([of.central, of.right, of.left, gap]),
        np.concatenate([of.noise, of.noise, of.noise, 2 * of.noise]),
        np.concatenate([of.size] * 4),
        np.tile(usual, 4),
        np.tile(reach, 4),
        np.repeat([2, 1, 1, 1], len(h)),
        np.concatenate([gap, none, none, none]),
        np.concatenate([still_right | still_left, still_right, still_left, none > 0]),
    )
    blocks = [
        slopes(*(part[start : start + BLOCK] for part in lines))
        for start in range(0, max(1, len(lines[0])), BLOCK)
    ]
    joined = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    of_central, of_right, of_left, of_gap = (
        Slopes(*parts) for parts in zip(*(np.split(part, 4) for part in joined), strict=True)
    )
    rows = np.arange(len(h))
    coarse = np.minimum(h[rows, of_right.top], h[rows, of_left.top]) >= COARSE * reach
    return SidedSlopes(of_central, of_right, of_left, of_gap, coarse, usual)


def _is_settled(value: Array, error: Array, ordinary: Array) -> Array:
    """Return which slopes are known well: beside themselves, or, where they are zero, beside an ordinary slope."""
    share = SETTLED if value.dtype == np.float64 else SETTLED_EXTENDED
    return np.asarray(error <= np.maximum(share * np.nan_to_num(np.abs(value)), FLAT * ordinary))


def _next_steps(scan: Scan, sides: SidedSlopes, count: int) -> Array:
    """Return `count` further steps an element, where they promise most.

    If the slope drifts beside the edge of f's domain, and no window was believed, between the two smallest steps: the
    edge may be nearer than all others. If the steps of the window that was believed lie far apart, between them. Else,
    if one side's slope is known far better than the central slope, below the window: a kink lies near on the other
    side, and f is smooth from there to x. Below it as well where nothing but truncation is in the way: f takes another
    course within the window. Else above the window, against rounding: towards the next larger step, or beyond the
    largest.
    """
    best = sides.best()
    beside_kink = np.fmin(sides.right.error, sides.left.error) < best.error / 10
    # from the largest step on: where the larger ones were passed over, f may have lost digits there
    whole = (best.top == 0) & (SAFETY * best.truncation > TRUNCATED * best.error)
    too_long = beside_kink | whole
    taken = ~np.isnan(scan.h)
    beside_edge = (taken & np.isnan(scan.above + scan.below).all(axis=2)).any(axis=1)
    steps = np.full((len(scan.h), count), np.nan, dtype=scan.h.dtype)
    for e, h in enumerate(scan.h):
        h = h[~np.isnan(h)]
        if not h.size:
            continue
        if h.size > 1 and beside_edge[e] and np.isfinite(best.value[e]) and np.isinf(best.error[e]):
            steps[e] = np.geomspace(float(h[-2]), float(h[-1]), count + 2)[1:-1]
            continue
        top = min(int(best.top[e]), h.size - 1)
        last = min(int(best.last[e]), h.size - 1)
        if last > h.size - 4:
            # too few smaller steps to have measured the noise
            steps[e] = np.geomspace(float(h[last]), float(h[-1]) / 8, count + 2)[1:-1]
            continue
        # a window of one step has its truncation error from the next larger step, which so belongs to the window
        first = max(top - 1, 0) if top == last and beside_kink[e] else top
        gaps = h[first:last] / h[first + 1 : last + 1]
        if gaps.size and gaps.max() > 8:
            widest = first + int(gaps.argmax())
            high, low = h[widest], h[widest + 1]
        elif too_long[e] and (below := np.flatnonzero(h[last:-1] > 8 * h[last + 1 :])).size:
            high, low = h[last + below[0]], h[last + below[0] + 1]
        elif top == 0:
            high, low = max(h[0] * 4.0 ** (count + 1), 0.3), h[0]
        else:
            # the next larger step may have been passed over only for a fault of the steps beyond it
            high, low = h[max(top - 2, 0)], h[top]
        steps[e] = np.geomspace(float(high), float(low), count + 2)[1:-1]
    # the same step again would tell nothing
    again = np.isclose(steps[:, :, None], scan.h[:, None, :], rtol=1e-3, atol=0.0).any(axis=2)
    return np.where(again, 0.75 * steps, steps)


def _values_and_intervals(scan: Scan, g: Array, sides: SidedSlopes) -> tuple[Array, Array, Array, Array]:
    """Return value, error, lower and upper of each element, with the intervals of its kinks."""
    count = len(scan.h)
    value, error = (part.copy() for part in sides.best().first(count)[:2])
    lower, upper = value.copy(), value.copy()
    kinked = np.nonzero(sides.kinked().reshape(-1, count).any(axis=0))[0]
    at_once = max(1, MOST_OUTPUTS // max(1, int(np.count_nonzero(g))))
    for start in range(0, len(kinked), at_once):
        e = kinked[start : start + at_once]
        value[e], error[e], lower[e], upper[e] = _values_at_kinks(scan.of_elements(e), g)
    return value, error, lower, upper


def _values_at_kinks(scan: Scan, g: Array) -> tuple[Array, Array, Array, Array]:
    """Return value, error, lower and upper of elements at a kink, from the one-sided slopes of each output.

    A right gradient at a tie is a choice made output by output, so the interval is the sum of the outputs' intervals.
    """
    # of each output and element that moves it: the others have no slope
    e, k = np.nonzero(scan.moved_outputs() & (g != 0))
    sides = sided_slopes(scan.h[e], scan.reach[e], scan.quotients_of_pairs(e, k))
    total, error, lower, upper = sums_of_outputs(sides, g[k], e, len(scan.h))
    return np.clip(total, lower, upper), error, lower, upper


def sums_of_outputs(
    sides: SidedSlopes, weights: Array, elements: Array, count: int
) -> tuple[Array, Array, Array, Array]:
    """Return value, error, lower and upper of `count` elements: the weighted sums of the slopes of single outputs.

    `weights` and `elements` tell each output's weight, and the element that it is summed for.
    """
    right, left = sides.right, sides.left
    value, error = sides.best()[:2]
    kinked = sides.kinked()
    jumps = kinked & (right.diverges != left.diverges)
    # at a jump one side's slope is finite, and the other's has a sign
    finite, finite_error = (
        np.where(right.diverges, a, b) for a, b in ((left.value, right.value), (left.error, right.error))
    )
    steep = np.copysign(np.inf, np.where(right.diverges, right.value, left.value))
    # where some outputs jump to one side, the slopes of the others to that side belong to another branch as well
    of_jump = [np.bincount(elements, jumps & side.diverges, count) > 0 for side in (right, left)]
    only_right, only_left = ((of_jump[i] & ~of_jump[1 - i])[elements] & kinked & ~jumps for i in (1, 0))
    value = np.select([jumps, only_right, only_left], [finite, right.value, left.value], value)
    of_kink = np.where(kinked, right.error + left.error, error)
    error = np.select([jumps, only_right, only_left], [finite_error, right.error, left.error], of_kink)
    ends = weights * np.where(jumps, [finite, steep], np.where(kinked, [right.value, left.value], value))
    sums = np.zeros((4, count), dtype=value.dtype)
    for total, part in zip(
        sums, (weights * value, np.abs(weights) * error, ends.min(axis=0), ends.max(axis=0)), strict=True
    ):
        np.add.at(total, elements, part)
    return sums[0], sums[1], sums[2], sums[3]
