"""All backward passes as people get them wrong by hand, each with its right version and the name of the mistake.

They were written down from memory of real code: exercises, textbook layers in NumPy, hand-written kernels. Nothing
here knows of any check or of any fault that is injected elsewhere, so that what finds and names these mistakes is
measured on something it was not made for. The order of the table is that of the names of mistakes.
"""

from . import (
    axis_order,
    cotangents,
    dtypes_and_shapes,
    formulas,
    lost_terms,
    memory,
    not_finite,
    places,
    randomness,
    regions,
    signs_and_factors,
    small_errors,
    state,
    sums,
    zeros_and_swaps,
)
from ._entry import Wrong

WRONG: tuple[Wrong, ...] = (
    *signs_and_factors.ENTRIES,
    *cotangents.ENTRIES,
    *axis_order.ENTRIES,
    *sums.ENTRIES,
    *zeros_and_swaps.ENTRIES,
    *lost_terms.ENTRIES,
    *regions.ENTRIES,
    *places.ENTRIES,
    *small_errors.ENTRIES,
    *state.ENTRIES,
    *memory.ENTRIES,
    *randomness.ENTRIES,
    *dtypes_and_shapes.ENTRIES,
    *not_finite.ENTRIES,
    *formulas.ENTRIES,
)
