"""A gradient that is meant to be that of another function: straight through, clipped, stopped, reversed."""

from typing import Any

import numpy as np

from gradlab.adapters.framework.function_pair import FunctionPair
from gradlab.node import as_tuple

# What forward and the gradient are to agree in, and do not where the gradient is another function's.
OF_FORWARD = (
    "matches_reference",
    "hessian_is_symmetric",
    "second_derivative",
    "third_derivative",
    "fourth_derivative",
    "fifth_derivative",
    "forward_mode",
)


def same_outputs(pair: FunctionPair[Any], meant: FunctionPair[Any]) -> FunctionPair[Any]:
    """Return the pair of the function whose gradient is meant.

    Raises
    ------
    ValueError
        If it does not return as much as the other one.
    """
    given, others = ([leaf.value.copy() for leaf in p.leaves] for p in (pair, meant))
    shapes = [
        [np.shape(y) for y in as_tuple(p.value(*xs, **p.settings))]
        for p, xs in ((pair, given), (meant, others))
    ]
    if shapes[0] != shapes[1]:
        cure = "give a function of the same arguments that returns as much"
        raise ValueError(f"{pair.name} returns the shapes {shapes[0]}, and intended {shapes[1]}: {cure}")
    return meant


def meaningless_for(pair: FunctionPair[Any]) -> tuple[str, ...]:
    """Return the checks that say nothing of a function whose gradient is meant to be another one's."""
    return OF_FORWARD if pair.meant is not None else ()
