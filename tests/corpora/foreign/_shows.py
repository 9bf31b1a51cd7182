"""For each name of a fault, whether a wrong layer shows it, seen beside its right twin at the same inputs."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ._proof import Seen
from ._use import tupled


def close(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def alike(a: Any, b: Any) -> Any:
    """Return where two gradients of one shape agree."""
    return np.isclose(a, b, rtol=1e-9, atol=1e-12)


def scaled(g: Any, *factors: float) -> Any:
    """Return a cotangent times a number, or each part of it times its own."""
    return (
        tuple(c * part for c, part in zip(factors, g, strict=True))
        if isinstance(g, tuple)
        else factors[0] * g
    )


def after(seen: Seen, name: str, *factors: float) -> Any:
    """Return a gradient for a multiple of the cotangent."""
    return seen.gradients(scaled(seen.g, *factors))[name]


def has_a_factor(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    factor = np.vdot(w, r) / np.vdot(r, r)
    return bool(abs(factor) > 1e-3 and abs(factor - 1) > 0.05 and close(w, factor * r))


def ignores_the_cotangent(wrong: Seen, right: Seen, name: str) -> bool:
    """The last output's cotangent, that is, where there are several."""
    factors = [1.0] * (len(tupled(wrong.g)) - 1) + [-3.0]
    same = close(after(wrong, name, *factors), wrong.analytic[name])
    # what the last output does not depend on is right whatever becomes of it
    return same and not close(after(right, name, *factors), right.analytic[name])


def exchanges_the_cotangents(wrong: Seen, right: Seen, name: str) -> bool:
    return close(wrong.analytic[name], right.gradients(wrong.g[::-1])[name])


def is_not_linear(wrong: Seen, right: Seen, name: str) -> bool:
    assert close(after(right, name, -2.0), -2.0 * right.analytic[name])
    return not close(after(wrong, name, -2.0), -2.0 * wrong.analytic[name])


def is_transposed(wrong: Seen, right: Seen, name: str) -> bool:
    """The gradient itself, or what it would be for a square parameter transposed."""
    turned = copy.deepcopy(right.layer)
    for p in right.use.params(turned).values():
        if p.ndim == 2:
            p[...] = p.T.copy()
    w, r = wrong.analytic[name], right.analytic[name]
    return not close(w, r) and (close(w, r.T) or close(w, right.gradients(layer=turned)[name]))


def is_a_permutation(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    return not close(w, r) and close(np.sort(w, axis=None), np.sort(r, axis=None))


def lacks_a_sum(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    if w.shape == r.shape:
        return close(w, wrong.g[0])
    missing = np.reshape(r, (1,) * (w.ndim - r.ndim) + r.shape)
    axes = tuple(k for k in range(w.ndim) if missing.shape[k] == 1)
    return close(w.sum(axis=axes, keepdims=True), missing)


def sums_another_axis(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    same_total = np.allclose(w.sum(), r.sum(), rtol=1e-5)  # some entries compute in single precision
    return bool(same_total and (w.size == 1 or (w.shape == r.shape and not alike(w, r).any())))


def is_zero(wrong: Seen, right: Seen, name: str) -> bool:
    return not wrong.analytic[name].any() and right.analytic[name].any()


def belongs_to_another(wrong: Seen, right: Seen, name: str) -> bool:
    return any(close(wrong.analytic[name], d) for other, d in right.analytic.items() if other != name)


def drops_shares(wrong: Seen, right: Seen, name: str) -> bool:
    """Other numbers in places that had some, and nowhere else; not a multiple of what is right."""
    w, r = wrong.analytic[name], right.analytic[name]
    return (
        w.shape == r.shape
        and not close(w, r)
        and not (w[r == 0]).any()
        and not has_a_factor(wrong, right, name)
    )


def lacks_a_term(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    changed = w.shape == r.shape and not close(w, r) and np.isfinite(w).all()
    return changed and (not np.abs(r).max() > 1e-12 or not has_a_factor(wrong, right, name))


def is_wrong_in_places(wrong: Seen, right: Seen, name: str) -> bool:
    agree = alike(wrong.analytic[name], right.analytic[name])
    return bool(agree.any() and not agree.all())


def is_wrong_at_ties(wrong: Seen, right: Seen, name: str) -> bool:
    x = wrong.primals[name]
    values, counts = np.unique(x, return_counts=True)
    tied = np.isin(x, values[counts > 1])
    agree = alike(wrong.analytic[name], right.analytic[name])
    return bool(agree[~tied].all() and not agree[tied].all())


def is_wrong_at_the_ends(wrong: Seen, right: Seen, name: str) -> bool:
    agree = alike(wrong.analytic[name], right.analytic[name])
    return bool(agree[..., 1:-1].all() and not agree[..., [0, -1]].any())


def is_shifted(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    moves = range(1, min(r.shape[-2:]))
    return not close(w, r) and any(close(w[..., k:, k:], r[..., :-k, :-k]) for k in moves)


def is_not_zero_at_zero(wrong: Seen, right: Seen, name: str) -> bool:
    return after(wrong, name, 0.0).any() and not after(right, name, 0.0).any()


def is_rounded(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    return bool(1e-10 < np.abs(w - r).max() / np.abs(r).max() < 1e-3)


def later(seen: Seen, name: str, inputs: Any) -> Any:
    """Return a gradient of the second use of one layer, after another with `inputs`."""
    layer = copy.deepcopy(seen.layer)
    seen.gradients(layer=layer, inputs=inputs)
    return seen.gradients(layer=layer)[name]


def is_right_only_once(wrong: Seen, right: Seen, name: str) -> bool:
    """Right at first, and after another forward right for what that one was given."""
    others = tuple(0.7 * x for x in wrong.inputs)
    stale = later(wrong, name, others)
    known = right.gradients(inputs=others)[name]
    r = right.analytic[name]
    first = close(wrong.analytic[name], r) and close(later(right, name, others), r)
    return first and close(stale, known) and not close(stale, r)


def adds_up(wrong: Seen, right: Seen, name: str) -> bool:
    r = right.analytic[name]
    first = close(wrong.analytic[name], r) and close(later(right, name, right.inputs), r)
    return first and close(later(wrong, name, wrong.inputs), 2 * r)


def writes_into_the_cotangent(wrong: Seen, right: Seen, name: str) -> bool:
    g = copy.deepcopy(wrong.g)
    wrong.gradients(g)
    return not close(g, wrong.g)


def shares_memory(wrong: Seen, right: Seen, name: str) -> bool:
    found = list(wrong.gradients(g := copy.deepcopy(wrong.g)).values())
    return any(np.shares_memory(d, other) for k, d in enumerate(found) for other in (g, *found[:k]))


def needs_c_order(wrong: Seen, right: Seen, name: str) -> bool:
    in_c_order = tuple(map(np.ascontiguousarray, wrong.inputs))
    r = right.analytic[name]
    return close(wrong.gradients(inputs=in_c_order)[name], r) and not close(wrong.analytic[name], r)


def changes_between_calls(wrong: Seen, right: Seen, name: str) -> bool:
    def twice(seen: Seen) -> bool:
        layer = copy.deepcopy(seen.layer)
        seen.forward(layer)
        return close(*(layer.backward(copy.deepcopy(seen.g)) for _ in range(2)))

    return twice(right) and not twice(wrong)


def has_another_shape(wrong: Seen, right: Seen, name: str) -> bool:
    return wrong.analytic[name].shape != right.analytic[name].shape


def is_not_finite(wrong: Seen, right: Seen, name: str) -> bool:
    w, r = wrong.analytic[name], right.analytic[name]
    return bool(np.isfinite(r).all() and alike(w, r)[np.isfinite(w)].all() and not np.isfinite(w).all())


SHOWS: dict[str, Callable[[Seen, Seen, str], bool]] = {
    "sign-flipped": lambda wrong, right, name: close(wrong.analytic[name], -right.analytic[name]),
    "constant-factor": has_a_factor,
    "ignores-cotangent": ignores_the_cotangent,
    "wrong-cotangent": exchanges_the_cotangents,
    "nonlinear-in-cotangent": is_not_linear,
    "transposed": is_transposed,
    "axes-permuted": is_a_permutation,
    "missing-broadcast-sum": lacks_a_sum,
    "wrong-sum-axis": sums_another_axis,
    "zero-gradient": is_zero,
    "swapped-primals": belongs_to_another,
    "last-write-wins": drops_shares,
    "missing-term": lacks_a_term,
    "masked-region": is_wrong_in_places,
    "tie-or-kink": is_wrong_at_ties,
    "border": is_wrong_at_the_ends,
    "shifted": is_shifted,
    "additive-bias": is_not_zero_at_zero,
    "float32-round-trip": is_rounded,
    "stale-residuals": is_right_only_once,
    "accumulates": adds_up,
    "mutates-argument": writes_into_the_cotangent,
    "aliases-memory": shares_memory,
    "assumes-contiguous": needs_c_order,
    "nondeterministic": changes_between_calls,
    "wrong-shape": has_another_shape,
    "not-finite": is_not_finite,
    "": lacks_a_term,
}
