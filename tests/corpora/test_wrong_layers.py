"""That in the wrong corpus the right versions are right, and the wrong ones show the mistake they are named for.

The differences here know nothing of the package, and neither does anything else.
"""

import inspect
from collections import Counter
from functools import partial

import numpy as np
import pytest

from .wrong.catalogue import WRONG, Wrong

RTOL = 1e-6
STEP = 1e-4
# a one-sided derivative of third order, so that at a kink each side stands for itself
ONE_SIDED = ((0, -11 / 6), (1, 3.0), (2, -3 / 2), (3, 1 / 3))
NAMES = {
    "sign-flipped",
    "log-parameter",
    "constant-factor",
    "ignores-cotangent",
    "wrong-cotangent",
    "nonlinear-in-cotangent",
    "transposed",
    "axes-permuted",
    "missing-broadcast-sum",
    "wrong-sum-axis",
    "zero-gradient",
    "swapped-primals",
    "last-write-wins",
    "missing-term",
    "masked-region",
    "tie-or-kink",
    "border",
    "shifted",
    "single-element",
    "additive-bias",
    "float32-round-trip",
    "stale-residuals",
    "accumulates",
    "mutates-argument",
    "aliases-memory",
    "assumes-contiguous",
    "nondeterministic",
    "wrong-dtype",
    "wrong-shape",
    "not-finite",
}
every_entry = pytest.mark.parametrize("wrong", WRONG, ids=str)


def tupled(values):
    return values if isinstance(values, tuple) else (values,)


def copies(arrays):
    return tuple(np.array(x) for x in arrays)


def other_point(wrong):
    return tuple(0.7 * x + 0.1 for x in wrong.primals)


def cotangent(output, seed=0, scale=1.0):
    rng = np.random.default_rng([29, seed])
    drawn = tuple(
        np.asarray(scale * rng.standard_normal(np.shape(y)), np.asarray(y).dtype) for y in tupled(output)
    )
    return drawn if isinstance(output, tuple) else drawn[0]


def mapped(f, g):
    return tuple(map(f, g)) if isinstance(g, tuple) else f(g)


def gradients(pair, primals, settings, seed=0, change=lambda g: g):
    forward, backward = pair
    output, residuals = forward(*copies(primals), **settings)
    with np.errstate(all="ignore"):
        return tuple(map(np.asarray, backward(residuals, mapped(change, cotangent(output, seed)))))


def one_sided(forward, primals, settings, g, which, sign):
    def value(primals):
        output, _ = forward(*primals, **settings)
        return sum(float((np.asarray(y) * gy).sum()) for y, gy in zip(tupled(output), tupled(g), strict=True))

    found = np.zeros(primals[which].shape)
    for place in np.ndindex(found.shape):
        for steps, weight in ONE_SIDED:
            moved = copies(primals)
            moved[which][place] += sign * steps * STEP
            found[place] += sign * weight * value(moved) / STEP
    return found


def assert_correct(forward, primals, settings, g, found):
    assert len(found) == len(primals)
    for i, (x, dx) in enumerate(zip(primals, found, strict=True)):
        assert np.shape(dx) == x.shape
        sides = [one_sided(forward, primals, settings, g, i, sign) for sign in (1, -1)]
        tolerance = RTOL * np.max(np.abs(sides))
        assert np.all(dx >= np.minimum(*sides) - tolerance), (dx, sides)
        assert np.all(dx <= np.maximum(*sides) + tolerance), (dx, sides)


@every_entry
def test_right_version_agrees_with_differences(wrong):
    forward, backward = wrong.make_right()
    output, residuals = forward(*copies(wrong.primals), **wrong.settings)
    g = cotangent(output)
    found = backward(residuals, mapped(np.copy, g))
    assert_correct(forward, wrong.primals, wrong.settings, g, found)


def layouts(x):
    """Return `x` again in Fortran order, strided, and read-only."""
    strided = np.repeat(np.asarray(x), 2, axis=-1)[..., ::2] if np.ndim(x) else np.array(x)
    frozen = np.array(x)
    frozen.setflags(write=False)
    return np.array(x, order="F"), strided, frozen


def arrays_within(values):
    if isinstance(values, np.ndarray):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from arrays_within(value)


@every_entry
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_right_version_keeps_the_contract(wrong, dtype):
    forward, backward = wrong.make_right()
    primals = tuple(x.astype(dtype) for x in wrong.primals)
    kept = copies(primals)
    output, residuals = forward(*primals, **wrong.settings)
    assert all(np.asarray(y).dtype == dtype for y in tupled(output))
    g = cotangent(output)
    before = copies(tupled(g))
    found = backward(residuals, g)
    again = backward(residuals, g)

    assert len(found) == len(primals)
    for dx, once_more, x in zip(found, again, primals, strict=True):
        assert np.shape(dx) == x.shape
        assert np.asarray(dx).dtype == dtype
        assert np.array_equal(dx, once_more)
    for x, old in zip((*primals, *tupled(g)), (*kept, *before), strict=True):
        assert np.array_equal(x, old)
    for i, dx in enumerate(found):
        others = arrays_within([*primals, g, output, residuals, *found[:i]])
        assert not any(np.may_share_memory(dx, other) for other in others)

    rtol = 1e-10 if dtype is np.float64 else 1e-3
    for laid_out in zip(*map(layouts, (*primals, *tupled(g))), strict=True):
        _, residuals = forward(*laid_out[: len(primals)], **wrong.settings)
        g_laid_out = laid_out[len(primals) :]
        again = backward(residuals, g_laid_out if isinstance(g, tuple) else g_laid_out[0])
        for dx, expected in zip(again, found, strict=True):
            np.testing.assert_allclose(dx, expected, rtol=rtol, atol=rtol)
    for scale in (2.0**20, 2.0**-20):
        scaled = backward(residuals, mapped(partial(np.multiply, dtype(scale)), g))
        for dx, expected in zip(scaled, found, strict=True):
            np.testing.assert_allclose(dx, scale * expected, rtol=rtol, atol=rtol * scale)
    ones = mapped(lambda y: np.broadcast_to(np.asarray(1.0, dtype), np.shape(y)), g)
    written_out = mapped(np.copy, ones)
    for dx, expected in zip(backward(residuals, ones), backward(residuals, written_out), strict=True):
        np.testing.assert_allclose(dx, expected, rtol=rtol, atol=rtol)


class Observed:
    """Both versions of an entry, and what they return for the wrong primal."""

    def __init__(self, wrong: Wrong):
        self.entry = wrong
        forward, _ = wrong.make_right()
        names = list(inspect.signature(forward).parameters)[: len(wrong.primals)]
        self.primal = names.index(wrong.primal) if wrong.primal else 0
        self.right = self.of(wrong.make_right)
        self.wrong = self.of(wrong.make)

    def of(self, make, seed=0, change=lambda g: g):
        found = gradients(make(), self.entry.primals, self.entry.settings, seed, change)
        return found[self.primal]

    @property
    def same(self):
        """Where the two agree, entry by entry."""
        return np.isclose(self.wrong, self.right, rtol=1e-9, atol=1e-12)


def first_call_and_two_more(make, wrong):
    """Return all gradients of two interleaved calls at two points, and of a repeated one."""
    forward, backward = make()
    output, one = forward(*copies(wrong.primals), **wrong.settings)
    g = cotangent(output)
    first = backward(one, mapped(np.copy, g))
    _, two = forward(*copies(other_point(wrong)), **wrong.settings)
    second = backward(two, mapped(np.copy, g))
    return [copies(first), copies(second), copies(backward(one, mapped(np.copy, g)))]


def differ(found, expected):
    return not all(np.allclose(a, b, rtol=1e-9) for a, b in zip(found, expected, strict=True))


def flips_the_sign(seen):
    return np.allclose(seen.wrong, -seen.right)


def has_a_factor(seen):
    factor = float(np.vdot(seen.wrong, seen.right) / np.vdot(seen.right, seen.right))
    return abs(factor - 1) > 0.05 and abs(factor) > 1e-3 and np.allclose(seen.wrong, factor * seen.right)


def ignores_a_cotangent(seen):
    output, _ = seen.entry.make_right()[0](*copies(seen.entry.primals), **seen.entry.settings)
    for i in range(len(tupled(output))):

        def change(g, i=i):
            return (
                tuple(2.0 * y if j == i else y for j, y in enumerate(g)) if isinstance(g, tuple) else 2.0 * g
            )

        def after(make, change=change):
            forward, backward = make()
            output, residuals = forward(*copies(seen.entry.primals), **seen.entry.settings)
            return backward(residuals, change(cotangent(output)))[seen.primal]

        if np.allclose(after(seen.entry.make), seen.wrong):
            return not np.allclose(after(seen.entry.make_right), seen.right)
    return False


def uses_another_cotangent(seen):
    output, _ = seen.entry.make()[0](*copies(seen.entry.primals), **seen.entry.settings)
    return isinstance(output, tuple) and not seen.same.all()


def is_not_linear(seen):
    doubled = seen.of(seen.entry.make, change=lambda g: -2.0 * g)
    return not np.allclose(doubled, -2.0 * seen.wrong)


def has_other_values(seen):
    return seen.wrong.shape == seen.right.shape and not seen.same.all()


def is_a_permutation(seen):
    return not np.array_equal(seen.wrong, seen.right) and np.allclose(
        np.sort(seen.wrong, axis=None), np.sort(seen.right, axis=None)
    )


def has_another_shape_or_values(seen):
    return has_another_shape(seen) or has_other_values(seen)


def is_zero(seen):
    return not seen.wrong.any() and seen.right.any()


def belongs_to_another_primal(seen):
    found = gradients(seen.entry.make_right(), seen.entry.primals, seen.entry.settings)
    return any(
        dx.shape == seen.wrong.shape and np.allclose(dx, seen.wrong)
        for i, dx in enumerate(found)
        if i != seen.primal
    )


def is_wrong_in_places(seen):
    return seen.wrong.shape == seen.right.shape and seen.same.any() and not seen.same.all()


def is_wrong_near_the_ends_only(seen):
    inner = tuple(slice(1, -1) if n > 3 else slice(None) for n in seen.right.shape)
    return is_wrong_in_places(seen) and seen.same[inner].all()


def is_shifted(seen):
    for axis, n in enumerate(seen.right.shape):
        wrong, right = np.moveaxis(seen.wrong, axis, 0), np.moveaxis(seen.right, axis, 0)
        for places in range(1, n - 1):
            if np.allclose(wrong[places:], right[:-places]) or np.allclose(wrong[:-places], right[places:]):
                return not seen.same.all()
    return False


def is_wrong_in_one_place(seen):
    return seen.right.size - seen.same.sum() == 1


def is_not_zero_at_zero(seen):
    return bool(seen.of(seen.entry.make, change=lambda g: 0.0 * g).any())


def is_rounded(seen):
    error = np.max(np.abs(seen.wrong - seen.right)) / np.max(np.abs(seen.right))
    return 1e-10 < error < 1e-2


def is_right_only_once(seen):
    right = first_call_and_two_more(seen.entry.make_right, seen.entry)
    wrong = first_call_and_two_more(seen.entry.make, seen.entry)
    fresh = gradients(seen.entry.make(), seen.entry.primals, seen.entry.settings)
    return not differ(fresh, right[0]) and any(map(differ, wrong, right))


def adds_up(seen):
    forward, backward = seen.entry.make()
    output, residuals = forward(*copies(seen.entry.primals), **seen.entry.settings)
    g = cotangent(output)
    once, twice = (np.array(backward(residuals, g)[seen.primal]) for _ in range(2))
    return np.allclose(once, seen.right) and np.allclose(twice, 2.0 * seen.right)


def writes_into_an_argument(seen):
    forward, backward = seen.entry.make()
    primals = copies(seen.entry.primals)
    output, residuals = forward(*primals, **seen.entry.settings)
    g = cotangent(output)
    before = copies(tupled(g))
    backward(residuals, g)
    return not all(
        np.array_equal(a, b)
        for a, b in zip((*primals, *tupled(g)), (*seen.entry.primals, *before), strict=True)
    )


def shares_memory(seen):
    forward, backward = seen.entry.make()
    output, residuals = forward(*copies(seen.entry.primals), **seen.entry.settings)
    g = cotangent(output)
    found = backward(residuals, g)
    return any(
        np.shares_memory(dx, other) for i, dx in enumerate(found) for other in (*tupled(g), *found[:i])
    )


def needs_c_order(seen):
    forward, backward = seen.entry.make()
    output, residuals = forward(*map(np.asfortranarray, seen.entry.primals), **seen.entry.settings)
    g = cotangent(output)
    try:
        in_fortran_order = backward(residuals, mapped(np.asfortranarray, g))
        in_c_order = backward(residuals, mapped(np.ascontiguousarray, g))
    except ValueError as error:
        return "contiguous" in str(error) and seen.same.all()
    expected = gradients(seen.entry.make_right(), seen.entry.primals, seen.entry.settings)
    return seen.same.all() and (differ(in_fortran_order, expected) or differ(in_c_order, expected))


def changes_from_call_to_call(seen):
    forward, backward = seen.entry.make()
    output, residuals = forward(*copies(seen.entry.primals), **seen.entry.settings)
    g = cotangent(output)
    return differ(backward(residuals, g), backward(residuals, g))


def has_another_dtype(seen):
    return seen.wrong.dtype != seen.right.dtype


def has_another_shape(seen):
    return seen.wrong.shape != seen.right.shape


def is_not_finite(seen):
    return np.isfinite(seen.right).all() and not np.isfinite(seen.wrong).all()


SHOWS = {
    "sign-flipped": flips_the_sign,
    "constant-factor": has_a_factor,
    "ignores-cotangent": ignores_a_cotangent,
    "wrong-cotangent": uses_another_cotangent,
    "nonlinear-in-cotangent": is_not_linear,
    "transposed": has_another_shape_or_values,
    "axes-permuted": is_a_permutation,
    "missing-broadcast-sum": has_another_shape_or_values,
    "zero-gradient": is_zero,
    "swapped-primals": belongs_to_another_primal,
    "masked-region": is_wrong_in_places,
    "tie-or-kink": is_wrong_in_places,
    "shifted": is_shifted,
    "border": is_wrong_near_the_ends_only,
    "single-element": is_wrong_in_one_place,
    "additive-bias": is_not_zero_at_zero,
    "float32-round-trip": is_rounded,
    "stale-residuals": is_right_only_once,
    "accumulates": adds_up,
    "mutates-argument": writes_into_an_argument,
    "aliases-memory": shares_memory,
    "assumes-contiguous": needs_c_order,
    "nondeterministic": changes_from_call_to_call,
    "wrong-dtype": has_another_dtype,
    "wrong-shape": has_another_shape,
    "not-finite": is_not_finite,
}


@every_entry
def test_wrong_version_shows_its_mistake(wrong):
    for name in wrong.diagnosis or ("",):
        assert SHOWS.get(name, has_other_values)(Observed(wrong)), name


def test_names():
    assert len({wrong.name for wrong in WRONG}) == len(WRONG)
    counts = Counter(name for wrong in WRONG for name in wrong.diagnosis[:1])
    assert set(counts) == NAMES
    assert min(counts.values()) >= 2
    assert sum(counts.values()) >= 80
