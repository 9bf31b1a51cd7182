"""What linearity in the cotangent demands of the gradients for several cotangents."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradlab.checks.trial._trial import Trial, map_arrays
from gradlab.node import Array, as_tuple
from gradlab.verdict import largest_of

# The cotangents that backward is asked for: two, and their combination 2 first - 3 second.
FIRST, SECOND, COMBINED = "first", "second", "combined"
# And the first a thousand times as large, which a clip would cut, a billion times as small, which a threshold would
# take for 0, and 0.
FACTORS = (2.0**10, 2.0**-30, 0.0)
# Of half precision, which has no such numbers, less.
FACTORS_OF_HALF = (2.0**4, 2.0**-6, 0.0)
ROUNDING_ULPS = 64


class Relation(NamedTuple):
    """A gradient of primal `i`, the value that linearity demands, and the cotangent's size relative to the usual.

    `eps` is the precision of the coarser of cotangent and gradient: both round.
    """

    i: int
    found: Array
    expected: Array
    size: float
    eps: float


def demanded_cotangents(trial: Trial) -> dict[Any, Any]:
    """Return the cotangents by name, and by the factor that the first is multiplied by.

    Beyond the given primals of other people's code only the first, a second and their combination: what a clip or a
    threshold does shows at the given primals.
    """
    first, second = trial.cotangent(), trial.cotangent("second")
    combined = tuple(2 * a - 3 * b for a, b in zip(as_tuple(first), as_tuple(second), strict=True))
    brief = trial.origin is not None and not trial.registered
    half = any(part.dtype == np.float16 for part in as_tuple(first))
    factors = FACTORS_OF_HALF if half else FACTORS
    return {
        FIRST: first,
        SECOND: second,
        COMBINED: combined if isinstance(first, tuple) else combined[0],
        **{factor: _times(factor, first) for factor in (() if brief else factors)},
    }


def relations_between(
    gradients: Mapping[Any, tuple[Array, ...]], cotangents: Mapping[Any, Any]
) -> Iterator[Relation]:
    """Yield what linearity demands of the gradients for these cotangents: of an infinite element, nothing."""
    coarsest = max(float(np.finfo(part.dtype).eps) for part in as_tuple(cotangents[FIRST]))
    factors = [which for which in gradients if isinstance(which, float)]
    for i, (a, b) in enumerate(zip(gradients[FIRST], gradients[SECOND], strict=True)):
        eps = max(coarsest, float(np.finfo(a.dtype).eps))
        combined = Relation(i, gradients[COMBINED][i], np.asarray(2 * a - 3 * b), 5.0, eps)
        yield _where(np.isfinite(a) & np.isfinite(b), combined)
        for c in factors:
            yield _where(np.isfinite(a), Relation(i, gradients[c][i], _times(c, a), c, eps))


def of_values(relation: Relation) -> Relation:
    """Return a relation of the elements that have a value on both sides."""
    return _where(np.isfinite(relation.found) & np.isfinite(relation.expected), relation)


def _where(counts: Array, relation: Relation) -> Relation:
    """Return a relation of some of the elements."""
    if counts.all():
        return relation
    found, expected = (np.where(counts, part, 0) for part in (relation.found, relation.expected))
    return relation._replace(found=found, expected=expected)


def is_near(relation: Relation) -> bool:
    """Return whether the two sides of a relation differ by no more than the rounding of numbers of their own size."""
    size = largest_of(relation.expected)
    # below the smallest normal number there are no digits
    rounding = ROUNDING_ULPS * relation.eps * size + float(np.finfo(relation.found.dtype).tiny)
    return bool((np.abs(relation.found - relation.expected) <= rounding).all())


def _times(c: float, g: Any) -> Any:
    # nothing times an infinity is no number
    return map_arrays(lambda part: np.asarray(part * part.dtype.type(c)) if c else np.zeros_like(part), g)
