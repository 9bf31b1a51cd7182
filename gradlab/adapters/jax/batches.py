"""What JAX makes of batches: jax.vmap over primals and over cotangents."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from gradlab.adapters.framework.batched import Axes, Batches
from gradlab.adapters.framework.leaves import common_dtype
from gradlab.adapters.jax.call import double_precision, numbers
from gradlab.adapters.jax.pair import JaxPair
from gradlab.node import Array


def batches_of(pair: JaxPair) -> Batches:
    """Return what JAX makes of batches of a function."""

    def outputs(
        stacked: Sequence[Array], axes: Axes, cotangents: Sequence[Array], settings: Any
    ) -> tuple[list[Array], list[Array]]:
        common = common_dtype(pair.leaves, stacked, pair.narrow)
        with double_precision(pair.call.in_double if common is None else common == np.float64):
            held = pair.call.settings(settings, common)
            arrays = list(map(jax.numpy.asarray, pair.call.arrays(stacked, common)))
            of = jax.vmap(lambda *xs: pair.call.run(xs, held), in_axes=axes)
            if not pair.reverse:
                return list(map(numbers, of(*arrays))), []
            found, pull = jax.vjp(of, *arrays)
            given = tuple(jax.numpy.asarray(g, y.dtype) for g, y in zip(cotangents, found, strict=True))
            return list(map(numbers, found)), list(map(numbers, pull(given)))

    def pulled(primals: Sequence[Array], cotangents: Sequence[Array], settings: Any) -> list[Array]:
        common, double = pair.precision(primals)
        with double_precision(double):
            held = pair.call.settings(settings, common)
            arrays = list(map(jax.numpy.asarray, pair.call.arrays(primals, common)))
            found, pull = jax.vjp(lambda *xs: pair.call.run(xs, held), *arrays)
            given = tuple(jax.numpy.asarray(g, y.dtype) for g, y in zip(cotangents, found, strict=True))
            return list(map(numbers, jax.vmap(pull)(given)))

    return Batches(outputs, {"vmap over the pullback": pulled} if pair.reverse else {}, shared=pair.own_vmap)
