"""All forward and backward passes that are right, in the styles in which people write them by hand.

What complains about one of these at its own point raises a false alarm. They come in many dialects on purpose:
textbook formulas, guards such as ``+ 1e-7``, caches as dicts and tuples, closures over data, bound methods. Ties,
kinks, saturation and bad scales are among the points. Nothing here knows of any check.
"""

from . import (
    activations,
    arithmetic,
    attention,
    convolution,
    elementwise,
    kinks,
    linear_algebra,
    losses,
    normalisation,
    objectives,
    products,
    rearrangements,
    recurrent,
    reductions,
    scales,
    single_precision,
)
from ._entry import Right

RIGHT: tuple[Right, ...] = (
    *arithmetic.ENTRIES,
    *elementwise.ENTRIES,
    *kinks.ENTRIES,
    *reductions.ENTRIES,
    *rearrangements.ENTRIES,
    *products.ENTRIES,
    *linear_algebra.ENTRIES,
    *activations.ENTRIES,
    *losses.ENTRIES,
    *normalisation.ENTRIES,
    *convolution.ENTRIES,
    *recurrent.ENTRIES,
    *attention.ENTRIES,
    *objectives.ENTRIES,
    *scales.ENTRIES,
    *single_precision.ENTRIES,
)
