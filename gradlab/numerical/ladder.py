"""Slopes from a ladder of steps, each with a bound on its error: the numerics behind `gradlab.numerical.estimate`.

Everything here works on lines: a line is one element of x seen through one functional of the outputs. All lines have
difference quotients for the same number of steps, largest first, NaN where a step leaves the domain.
"""

from typing import NamedTuple

import numpy as np

from gradlab.node import Array

# A window of the ladder holds at most this many steps: more gain nothing in double precision.
WINDOW = 5
# The truncation error is taken to be this many times what dropping a step changes.
SAFETY = 4.0
# Steps agree if their quotients differ by no more than this many times their known rounding.
AGREE = 8.0
# The noise of f is taken to be at least this many times the rounding of its outputs; more where more is measured.
KNOWN_NOISE = 2.0
# A few smaller steps show a few samples of the noise, which may be this many times as large elsewhere.
SAMPLED_NOISE = 10.0
# Swings of f count as noise up to this share of f's own size.
LOUDEST_NOISE = 0.01
# With fewer than three smaller steps the noise is not measured, and is taken to be this many times the rounding of the
# outputs.
UNMEASURED_NOISE = 1e3
# A step lies beyond the series that smaller steps show if it sees a slope that is more than so many times as steep.
STEEPER = 10.0
# Quotients drift if they change with a power of one over the step that is less than this; those of noise, and of a
# jump, change with the first power.
FASTEST_DRIFT = 0.75
# At a cusp the slopes from both sides grow against each other, by a power of one over the step that is less than this.
SHARPEST_CUSP = 0.95
# Numbers of the size of x, of f, or of 1 are right to this many units in their last place.
ORDINARY_ULPS = 16


class Slopes(NamedTuple):
    """One slope a line: its value, a bound on its error, and whether it grows without bound as steps shrink.

    `truncation`, `top` and `last` are those of the window that was believed: its truncation error, and the places
    of its largest and its smallest step.
    """

    value: Array
    error: Array
    truncation: Array
    top: Array
    last: Array
    diverges: Array

    def first(self, count: int) -> "Slopes":
        """Return the slopes of the first lines."""
        return Slopes(*(part[:count] for part in self))


def slopes(
    h: Array,
    c: Array,
    noise: Array,
    size: Array,
    usual: Array,
    reach: Array,
    power: Array,
    gap: Array,
    still: Array,
) -> Slopes:
    """Extrapolate the difference quotients of each line to a step of zero.

    Parameters
    ----------
    h, c, noise, size : ndarray of shape (lines, steps)
        Steps, largest first; difference quotients, NaN outside the domain; the rounding of each quotient, as far
        as it follows from the size of the outputs; and that size.
    usual : ndarray of shape (lines,)
        The size of the outputs on the ladder's first steps.
    reach : ndarray of shape (lines,)
        The largest of the ladder's first steps. Larger ones were only added against rounding: they may reach into
        another part of f, beyond a pole or many periods away.
    power : ndarray of shape (lines,)
        2 for central differences, whose error is a series in h^2; 1 for one-sided differences.
    gap : ndarray of shape (lines, steps)
        For central quotients, the right quotients minus the left; else 0. A window in which the two stay apart
        spans a kink, and is left out.
    still : ndarray of shape (lines, steps)
        Which steps leave f where it is, to one side at least.

    Notes
    -----
    Neville's scheme on every window of consecutive steps gives a value each; what dropping a step changes is the
    truncation error, and the misfit of all smaller steps is the measured noise. The window with the smallest sum
    is the answer, unless smaller steps agree with one another on another slope: then f has a kink, or changes its
    course, nearer to x than the window's steps.
    """
    # relative to the largest step, since the square of a step, or one over it, may be no number any more
    inside = np.where(np.isfinite(c), h, np.finfo(h.dtype).tiny)
    largest = np.max(np.nan_to_num(inside, nan=0.0), axis=1, keepdims=True)
    h = h / largest
    values, amplified, amplified_unit, truncation, drifts = _neville(h, c, noise, power)
    predicted_misfit = _misfits(h, c, values, power)
    measured, unmeasured, several = _measured_noise(h, c, predicted_misfit)
    # (steps that drift differ by more than noise)
    unmeasured = np.where(drifts[:, :, None], 0.0, unmeasured)
    known = np.where(several, KNOWN_NOISE, UNMEASURED_NOISE) * amplified
    error = SAFETY * truncation + np.maximum(
        known, np.maximum(SAMPLED_NOISE * measured, unmeasured) * amplified_unit
    )
    size = np.nan_to_num(size) / largest
    # where f does not change, its last places, as large as those of f's values nearby, may hide a slope
    hidden = np.finfo(c.dtype).eps / 2 * (usual / largest[:, 0])[:, None] / h
    error = np.where(values == 0, np.maximum(error, hidden[:, :, None]), error)
    # swings by as much as f's own size are no noise, they are f: the window's steps are too large
    too_loud = (measured > LOUDEST_NOISE * size[:, :, None]) & (
        measured > 0.1 * np.abs(values) * h[:, :, None]
    )
    error = np.where(np.isfinite(values) & ~too_loud, error, np.inf)
    error = np.where(_spans_a_kink(h, c, noise, gap), np.inf, error)
    against, unclear, plateau = _contradicted_windows(h, c, noise, size, values, truncation, predicted_misfit)
    # steps that agree only since they lie on one plateau of a noise say nothing of the function
    sure = plateau & (error < 0.1 * np.abs(values))[..., None]
    error = np.where(sure.any(axis=(1, 2)).cumsum(axis=1)[:, :, None] > 0, np.inf, error)
    best, bound, at = _window_of_least_error(values, np.where(against, np.inf, error))
    # of quotients that drift, and reach no limit, the last is the best
    best = np.where(drifts.any(axis=1) & np.isinf(bound), _of_smallest_step(c), best)
    last, width = at // error.shape[2], at % error.shape[2]
    coarser = np.arange(h.shape[1]) < (last - width)[:, None]
    rival_steps = h <= (reach / largest[:, 0])[:, None]
    rival = coarser & rival_steps
    other, other_bound, _ = _window_of_least_error(
        values, np.where(unclear & rival[:, :, None], error, np.inf)
    )
    # of two answers the finer may be noise, or the coarser come from beyond a kink: the bound covers both
    apart = np.abs(best - other)
    rows = np.arange(len(h))
    faint = np.abs(best) * h[rows, last - width] <= LOUDEST_NOISE * size[rows, last]
    rivals = faint & (other_bound < 0.1 * apart) & (apart > bound)
    bound = np.where(rivals, apart + other_bound, bound)
    # steps that agree may all lie on one tread of a stair, which need not be level: the flight is likelier, and the
    # bound covers both
    ordinary = _ordinary_rounding(size * largest, reach) / largest
    off_tread = _off_a_tread(h, np.where(rival_steps, c, np.nan), noise, last, power, ordinary)
    if off_tread.any():
        moves = np.abs(values) * h[:, :, None] > ORDINARY_ULPS * ordinary[:, :, None]
        flight, off, _ = _window_of_least_error(values, np.where(moves & rival[:, :, None], error, np.inf))
        apart = np.abs(best - flight)
        known = (off_tread > 0) & (off < 0.1 * apart) & (apart > bound)
        best = np.where(known, flight, best)
        bound = np.maximum(bound, np.where(known, apart + off, 2 * off_tread))
    bound = np.maximum(bound, _roughness(h, c, noise, best, coarser))
    finer = np.arange(h.shape[1]) > last[:, None]
    stairs = (on_stairs(h * largest, c, still, noise, best, size * largest, reach) & finer).any(axis=1)
    if stairs.any():
        # the bound covers both slopes, the stair's and the flight's; and that of longer steps, over more flights
        longer, off, _ = _window_of_least_error(values, np.where(rival[:, :, None], error, np.inf))
        longer = np.where(off < 0.1 * np.abs(longer), longer, best)
        low, high = np.minimum(np.minimum(best, longer), 0), np.maximum(np.maximum(best, longer), 0)
        best = np.where(stairs, (low + high) / 2, best)
        bound = np.where(stairs, bound + (high - low) / 2, bound)
    # at a cusp, as that of |x|^0.5, the mean of both sides stays 0; what grows by a whole power of 1/h is f's own value
    # there, which may be off by a noise
    diverges = _diverges(h, c, noise) | _diverges(h, gap, 2 * noise, SHARPEST_CUSP)
    return Slopes(
        value=best,
        error=np.where(diverges, np.inf, bound),
        truncation=truncation[rows, last, width],
        top=last - width,
        last=last,
        diverges=diverges,
    )


def _window_of_least_error(values: Array, error: Array) -> tuple[Array, Array, Array]:
    """Return value, error and place of each line's window of least error; NaN and infinity if no window has a bound."""
    rows, flat = np.arange(len(error)), error.reshape(len(error), -1)
    at = flat.argmin(axis=1)
    bound = flat[rows, at]
    return np.where(np.isfinite(bound), values.reshape(len(error), -1)[rows, at], np.nan), bound, at


def _of_smallest_step(c: Array) -> Array:
    steps = np.where(np.isfinite(c), np.arange(c.shape[1]), -1).max(axis=1)
    return np.asarray(c[np.arange(len(c)), steps])


def _neville(h: Array, c: Array, noise: Array, power: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return each window's value, its noise, its noise for a noise in f of one unit, and its truncation error.

    Each of the four has the shape (lines, last step, size - 1). And at which steps the quotients drift.
    """
    lines, steps = h.shape
    shape = (lines, steps, min(WINDOW, steps))
    values, amplified, unit, truncation = (np.full(shape, np.nan, dtype=c.dtype) for _ in range(4))
    t = np.where(power[:, None] == 2, h**2, h)
    values[:, :, 0], amplified[:, :, 0], unit[:, :, 0] = c, noise, 1 / h
    change = np.abs(np.diff(c, axis=1))
    truncation[:, 1:, 0] = change
    slow = _converges_slowly(t, change)
    left, drifts = _left_of_drift(h, c, noise, power)
    truncation[:, :, 0] = np.maximum(truncation[:, :, 0], left)
    slow |= left > 0
    beyond = np.zeros_like(slow)
    for k in range(1, shape[2]):
        big, small = t[:, : steps - k], t[:, k:]
        without_big, without_small = values[:, k:, k - 1], values[:, k - 1 : -1, k - 1]
        values[:, k:, k] = (big * without_big - small * without_small) / (big - small)
        for part in (amplified, unit):
            # by the steps' ratio: noise of the smallest numbers times a step would vanish
            part[:, k:, k] = (part[:, k:, k - 1] + small / big * part[:, k - 1 : -1, k - 1]) / (
                1 - small / big
            )
        # the remaining error shows where the largest step is dropped, and (far worse a guess) the smallest
        nearer = np.abs(values[:, k:, k] - without_big)
        # (where the smallest step is far from the others, the value is nearly that step's alone, with its errors)
        shrinks = small / t[:, k - 1 : -1]
        alone = h[:, k:] < h[:, k - 1 : -1] / 64
        farther = np.abs(values[:, k:, k] - without_small) * np.where(alone, 1.0, shrinks)
        truncation[:, k:, k] = np.maximum(nearer, farther)
        truncation[:, k:, k] = np.where(
            slow[:, k:], np.maximum(truncation[:, k:, k], truncation[:, k:, 0]), truncation[:, k:, k]
        )
        # where the largest step sees a far steeper slope, and the smallest step alone is nearer to the value than all
        # the others together, the largest lies beyond the series: without it the value would be hardly another only
        # since it counts for little
        apart = np.abs(values[:, k:, k] - without_small) - AGREE * amplified[:, k - 1 : -1, k - 1]
        apart = apart > np.abs(values[:, k:, k] - c[:, k:])
        beyond[:, k:] |= (k > 1) & apart & (np.abs(c[:, : steps - k]) > STEEPER * np.abs(values[:, k:, k]))
        held = np.maximum(truncation[:, k:, k], truncation[:, k:, k - 1])
        truncation[:, k:, k] = np.where(beyond[:, k:], held, truncation[:, k:, k])
    truncation[:, 0, 0] = np.inf
    return values, amplified, unit, np.where(np.isnan(truncation), np.inf, truncation), drifts


def _converges_slowly(t: Array, change: Array) -> Array:
    """Return at which steps the quotients approach their limit more slowly than a series in t would.

    Those of x^1.5 at 0 approach it with the square root of h, and extrapolation by powers of h proves nothing there.
    """
    expected = (t[:, :-2] - t[:, 1:-1]) / (t[:, 1:-1] - t[:, 2:])
    slow = np.zeros(t.shape, dtype=bool)
    slow[:, 2:] = change[:, :-1] < 0.3 * expected * change[:, 1:]
    return slow


def _left_of_drift(h: Array, c: Array, noise: Array, power: Array) -> tuple[Array, Array]:
    """Return by how much the quotients have still to go at each step, where they drift towards a limit; else 0.

    And at which steps they do drift: the last three changes have one direction, none of them is rounding, and they
    shrink with a smaller power of the step than a series would. With that power they go on, for ever if they do not
    shrink at all. Where rounding begins to hide how they go on, they have as far to go as it can hide.
    """
    change, length = np.diff(c, axis=1), np.log(h[:, :-1] / h[:, 1:])
    clear = np.abs(change) > AGREE * (noise[:, 1:] + noise[:, :-1])
    rate = change / length
    shrinks = 2 * np.log(rate[:, :-1] / rate[:, 1:]) / (length[:, :-1] + length[:, 1:])
    slow = (shrinks < 0.9 * power[:, None]) & (shrinks > -FASTEST_DRIFT)
    both = clear[:, :-1] & clear[:, 1:]
    slow &= both & (change[:, :-1] * change[:, 1:] > 0)
    drifts, left = np.zeros(c.shape, dtype=bool), np.zeros_like(c)
    drifts[:, 3:] = slow[:, 1:] & slow[:, :-1]
    if not drifts.any():
        return left, drifts
    power_of_drift, rate_of_drift = np.zeros(len(c)), np.zeros(len(c))
    for i in range(3, c.shape[1]):
        power_of_drift = np.where(drifts[:, i], np.maximum(shrinks[:, i - 2], 0.0), power_of_drift)
        rate_of_drift = np.where(drifts[:, i], np.abs(rate[:, i - 1]), rate_of_drift)
        fades = power_of_drift * length[:, i - 1]
        rounding = AGREE * (noise[:, i] + noise[:, i - 1])
        to_go = np.where(clear[:, i - 1], np.abs(change[:, i - 1]), rounding) / np.expm1(fades)
        # a drift is over that would show, and does not, or that has become a series
        shows = rate_of_drift * length[:, i - 1] * np.exp(-fades) > rounding
        over = (shows & ~clear[:, i - 1]) | (both[:, i - 2] & ~slow[:, i - 2]) | (left[:, i - 1] == 0)
        hidden = np.where(over, 0.0, np.fmin(left[:, i - 1], to_go))
        left[:, i] = np.where(drifts[:, i], to_go, hidden)
    return left, drifts


def _misfits(h: Array, c: Array, values: Array, power: Array) -> Array:
    """Return by how much each step misses each window's extrapolation, shape (lines, last, size - 1, steps).

    The extrapolation is followed back to a smaller step by its leading term; the further terms are negligible there.
    """
    ratio = h[:, None, None, :] / h[:, :, None, None]
    ratio = np.where(power[:, None, None, None] == 2, ratio**2, ratio)
    curve = values[..., None] + (c[:, :, None] - values)[..., None] * ratio
    misfit = c[:, None, None, :] - curve
    smaller = np.arange(h.shape[1])[None, :] > np.arange(h.shape[1])[:, None]
    return np.asarray(np.where(smaller[None, :, None, :], misfit, np.nan))


def _measured_noise(h: Array, c: Array, misfit: Array) -> tuple[Array, Array, Array]:
    """Return each window's measured noise in f, its noise where none is measured, and where several steps measure it.

    Smaller steps than the window's measure the noise. Where they are too few, the noise may be all that neighbouring
    steps differ by, from two above the window's last step on.
    """
    amount = np.max(np.nan_to_num(np.abs(misfit) * h[:, None, None, :]), axis=-1)
    several = (~np.isnan(misfit)).sum(axis=-1) >= 3
    differ = np.zeros(c.shape, dtype=c.dtype)
    differ[:, 2:] = np.nan_to_num(np.abs(np.diff(c, axis=1)) * h[:, 1:])[:, :-1]
    differ[:, 1] = differ[:, 2]
    nearby = np.maximum.accumulate(differ[:, ::-1], axis=1)[:, ::-1]
    return amount, np.where(several, 0.0, nearby[:, :, None]), several


def _contradicted_windows(
    h: Array, c: Array, noise: Array, size: Array, values: Array, truncation: Array, misfit: Array
) -> tuple[Array, Array, Array]:
    """Return which windows are contradicted by smaller steps that agree with one another, which of them unclearly.

    And, with a further axis for the steps, which steps lie on a plateau of a noise that contradicts no window.

    Smaller steps that agree may show noise. A function rounded to a grid is flat for all steps below the grid. But the
    steps between those and the window have misfits that are small and jump about, where those of a kink all have one
    size; or f always changes by a whole number of grid units.
    """
    differ = np.abs(np.diff(c, axis=1))
    nearly = np.maximum(np.abs(c[:, 1:]), np.abs(c[:, :-1])) / 100
    together = differ <= np.maximum(AGREE * (noise[:, 1:] + noise[:, :-1]), nearly)
    beyond = np.abs(misfit) > AGREE * noise[:, None, None, :] + 2 * truncation[..., None]
    far = np.minimum(np.abs(misfit[..., 1:]), np.abs(misfit[..., :-1])) > 10 * differ[:, None, None, :]
    pairs = beyond[..., 1:] & beyond[..., :-1] & together[:, None, None, :] & far
    witness = np.zeros(misfit.shape, dtype=bool)
    witness[..., 1:] |= pairs
    witness[..., :-1] |= pairs
    amount = np.where(beyond & ~witness, misfit * h[:, None, None, :], np.nan)
    several = (~np.isnan(amount)).sum(axis=-1) >= 2
    low = np.where(np.isnan(amount), np.inf, amount).min(axis=-1)
    high = np.where(np.isnan(amount), -np.inf, amount).max(axis=-1)
    loudness = np.maximum(np.abs(low), np.abs(high))
    jumps_about = several & (high - low > 0.5 * loudness)
    # the slope that the witnesses agree on: on a fine ripple it is far steeper than the function's, or zero
    fine = np.max(np.where(witness, np.abs(c)[:, None, None, :], 0.0), axis=-1)
    flat = fine == 0
    ripple = flat | (fine > 10 * np.abs(values))
    beside_slope = loudness < 0.01 * np.abs(values) * h[:, :, None]
    is_noise = beside_slope & ripple & (jumps_about | (flat & _on_a_grid(h, c)[:, None, None]))
    # where a still smaller step is back at the window's slope, and clearly not at theirs, the witnesses are noise too
    off = np.minimum.accumulate(np.where(witness, np.abs(misfit), np.inf), axis=-1)
    back = (np.abs(misfit) + AGREE * noise[:, None, None, :] < off) & ~beyond & np.isfinite(off)
    overruled = beside_slope & back.any(axis=-1)
    against = pairs.any(axis=-1) & ~is_noise & ~overruled
    kink = (against & ((~np.isnan(amount)).sum(axis=-1) >= 3) & ~jumps_about).any(axis=(1, 2), keepdims=True)
    quiet = loudness <= LOUDEST_NOISE * size[:, :, None]
    unclear = against & ripple & ~kink & quiet & (jumps_about | (flat & ~several))
    steepest = np.max(np.where(beyond, np.abs(c)[:, None, None, :], 0.0), axis=-1)
    drift = _drifts_away(h, c, noise, misfit, beyond) & ~(beside_slope & (steepest > 10 * np.abs(values)))
    return against | drift, np.asarray(unclear | drift), witness & is_noise[..., None]


def _drifts_away(h: Array, c: Array, noise: Array, misfit: Array, beyond: Array) -> Array:
    """Return the windows from which three smaller steps drift away: ever farther, to one side, and not as noise does.

    The misfit of noise grows with one over the step, that of a power of the step much less.
    """
    clear = (np.abs(np.diff(c, axis=1)) > AGREE * (noise[:, 1:] + noise[:, :-1]))[:, None, None, :]
    growth = misfit[..., 1:] / misfit[..., :-1]
    slow = (growth > 1) & (growth < ((h[:, :-1] / h[:, 1:]) ** FASTEST_DRIFT)[:, None, None, :])
    away = beyond[..., 1:] & beyond[..., :-1] & clear & slow
    return np.asarray((away[..., 1:] & away[..., :-1]).any(axis=-1))


def _spans_a_kink(h: Array, c: Array, noise: Array, gap: Array) -> Array:
    """Return the windows whose right and left slopes, extrapolated from their own steps, stay well apart."""
    values, amplified, _, truncation, _ = _neville(h, gap, 2 * noise, np.ones(len(h)))
    clear = np.abs(values) > 4 * (2 * truncation + KNOWN_NOISE * amplified)
    return np.asarray(clear & (np.abs(values) > 0.1 * (np.abs(c) + np.abs(gap) / 2)[:, :, None]))


def _roughness(h: Array, c: Array, noise: Array, value: Array, coarser: Array) -> Array:
    """Return by how much coarser steps miss the answer slightly, but in a way that no smooth function does.

    Truncation shrinks with the square of the step, from each larger step and to each smaller one. A miss that does not
    shrink so, and at still smaller steps is gone at once, is a noise: the smallest steps lie all on one plateau of that
    noise, and show nothing of it. (Steps that miss by a hundredth or more lie beyond a kink.)
    """
    miss = np.nan_to_num(np.abs(c - value[:, None]))
    known = AGREE * noise
    t = h**2
    # [line, one step, another step]
    expected = 10 * miss[:, None, :] * (t[:, :, None] / t[:, None, :])
    is_larger = np.triu(np.ones((h.shape[1], h.shape[1]), dtype=bool), 1).T
    larger = is_larger & np.isfinite(c)[:, None, :]
    persists = ((miss[:, :, None] > expected + known[:, :, None]) & larger).any(axis=2)
    beyond = np.maximum(miss - known, 0.0)
    smaller = np.where(is_larger.T, beyond[:, None, :] * (t[:, :, None] / t[:, None, :]), 0.0)
    vanishes = miss > 10 * np.nan_to_num(smaller).max(axis=2)
    slight = coarser & (miss < 0.01 * np.abs(value)[:, None])
    return np.asarray(np.max(np.where(persists & vanishes & slight, miss, 0.0), axis=1))


def on_stairs(
    h: Array, c: Array, still: Array, noise: Array, value: Array, size: Array, reach: Array
) -> Array:
    """Return which steps that leave f still, to a side, should by a slope of `value` move it by more than rounding.

    A flight of stairs rises by the slope that long steps see, and has the slope 0 that short steps see: whether the
    stairs are f or a rounding of f, nobody can tell. A rounding to the last places of double precision is told from
    them by its size, and one that is known is in `noise`. (Beside a stair's edge f jumps to the other side; beside a
    kink it rises there by a slope like `value`.)
    """
    ordinary = _ordinary_rounding(size, reach)
    slope = np.abs(value)[:, None]
    still = still & ((c == 0) | (np.abs(c) > STEEPER * slope))
    return np.asarray(still & (slope > AGREE * noise) & (slope * h > ORDINARY_ULPS * ordinary))


def _off_a_tread(h: Array, c: Array, noise: Array, last: Array, power: Array, ordinary: Array) -> Array:
    """Return how far larger steps are from the slope of the `last` one, as a flight from a tread; 0 where they are not.

    They are nearer to one another than to it. The smaller ones would not see their slope: it would move f there by no
    more than what f is computed from may be rounded to; truncation of theirs would show at the next smaller step as
    well. And they do see it.
    """
    rows, k = np.arange(len(h)), np.arange(h.shape[1])
    tread, unsure = c[rows, last][:, None], noise[rows, last][:, None]
    miss = np.where(k < last[:, None], np.abs(c - tread), np.nan)
    misses = miss > AGREE * (noise + unsure)
    misses[:, 1:] &= miss[:, 1:] > np.abs(c[:, 1:] - c[:, :-1])
    edge = np.where(misses, k, -1).max(axis=1)
    below = np.minimum(edge + 1, last)
    off, next_off = miss[rows, edge], np.nan_to_num(miss[rows, below])
    expected = off * (h[rows, below] / h[rows, edge]) ** power
    at_once = next_off <= np.fmax(0.1 * expected, AGREE * (noise[rows, below] + unsure[:, 0]))
    hidden = off * h[rows, below] <= ORDINARY_ULPS * ordinary[rows, below]
    moves = (np.abs(c) * h > ORDINARY_ULPS * ordinary).any(axis=1)
    return np.where((edge >= 0) & at_once & hidden & moves, off, 0.0)


def _ordinary_rounding(size: Array, reach: Array) -> Array:
    """Return the last place of numbers of the size of x, of f, or of 1, whichever is the largest."""
    # (the reach is a quarter of x)
    return np.asarray(np.finfo(size.dtype).eps * np.fmax(size, np.fmax(4 * reach, 1)[:, None]))


def _on_a_grid(h: Array, c: Array) -> Array:
    """Return the lines on which all changes of f are whole eighths of the smallest change, and not all are equal."""
    change = np.abs(np.nan_to_num(c * h))
    unit = np.min(np.where(change > 0, change, np.inf), axis=1, keepdims=True)
    eighths = 8 * change / unit
    counts = (change > 0) & (eighths < 4e5)
    whole = np.abs(eighths - np.round(eighths)) < 0.01
    sizes = np.where(counts, np.round(eighths), np.nan)
    different = np.nanmax(sizes, axis=1, initial=0.0) > np.nanmin(sizes, axis=1, initial=np.inf)
    return np.asarray((whole | ~counts).all(axis=1) & (counts.sum(axis=1) >= 3) & different)


def _diverges(h: Array, c: Array, noise: Array, fastest: float = np.inf) -> Array:
    """Return the lines whose quotients grow by one power of 1/h, at most `fastest`, over their smallest steps."""
    growth = np.log(np.abs(c[:, 1:] / c[:, :-1])) / np.log(h[:, :-1] / h[:, 1:])
    sure = (np.abs(c) > 10 * AGREE * noise) & (np.abs(c) > 0)
    last = growth[:, -3:]
    steady = ((last > 0.05) & (last < fastest)).all(axis=1) & (np.ptp(last, axis=1) < 0.1)
    return np.asarray(steady & sure[:, -4:].all(axis=1))
