"""A model's parameters in blocks, which workers move one at a time, each on a model of its own."""

import copyreg
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.layers import StatefulLayer
from gradlab.workers.strange_objects import text_of
from gradlab.workers.worker_map import Workers, numbered_results, open_worker_map

# So many elements a task, each some losses: the model's way to a worker takes no longer than a few of them.
ELEMENTS = 500


@dataclass(frozen=True)
class Block:
    """Some neighbouring elements of one parameter."""

    name: str
    start: int
    stop: int

    def of(self, array: Array) -> Array:
        """Return these elements of `array`, so that writing into them is writing into it."""
        return array.reshape(-1)[self.start : self.stop] if array.flags.c_contiguous else array


def blocks_of(params: Mapping[str, Array]) -> list[Block]:
    """Return the blocks that make up the parameters; a parameter that is not contiguous is one block."""
    return [
        Block(name, first, min(first + step, p.size))
        for name, p in params.items()
        for step in [ELEMENTS if p.flags.c_contiguous else max(p.size, 1)]
        for first in range(0, max(p.size, 1), step)
    ]


class BlockTask:
    """``measure(model, x, t, block)`` as a function of the block, on a copy of the model that each call makes anew.

    So the copy's parameters may be moved in place, whether the calls run in processes or in threads.

    Raises
    ------
    TypeError
        If the model cannot be sent to other processes.
    """

    def __init__(self, measure: Callable[..., Any], model: Any, x: Any, t: Any) -> None:
        buffer = io.BytesIO()
        try:
            _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump((measure, model, x, t))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise TypeError(
                f"the model cannot be sent to workers ({text_of(error)}): define what it is made of at the top "
                "level of a module, or leave workers out"
            ) from error
        self._pickled = buffer.getvalue()

    def __call__(self, block: Block) -> Any:
        """Return the measure of a block."""
        measure, model, x, t = pickle.loads(self._pickled)
        return measure(model, x, t, block)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, ModuleType):  # a node's, in a layer
            return import_module, (value.__name__,)
        if isinstance(
            value, StatefulLayer
        ):  # without what is left of its last batch, which may be all of the data
            return copyreg.__newobj__, (type(value),), {**vars(value), "_residuals": None}  # type: ignore[attr-defined] # typeshed lacks it
        return NotImplemented


def numerical_blocks(model: Any, x: Any, t: Any, workers: Workers) -> Iterator[tuple[Block, Array, float]]:
    """Yield each block of a model's parameters, its gradient by central differences, and the seconds that it took."""
    blocks, task = blocks_of(model.params), BlockTask(_numerical, model, x, t)
    with open_worker_map(workers) as over:
        for number, (gradient, seconds) in numbered_results(over, task, blocks):
            yield blocks[number], gradient, seconds


def numerical_gradients(model: Any, x: Any, t: Any, workers: Workers) -> dict[str, Array]:
    """Return the gradient of every parameter by central differences, bit for bit that of the plain loop."""
    gradients = {name: np.empty(p.shape, p.dtype) for name, p in model.params.items()}
    for block, gradient, _ in numerical_blocks(model, x, t, workers):
        block.of(gradients[block.name])[...] = gradient.reshape(-1)
    return gradients


def _numerical(model: Any, x: Any, t: Any, block: Block) -> tuple[Array, float]:
    start = perf_counter()
    gradient = numerical_gradient(lambda _: model.loss(x, t), block.of(model.params[block.name]))
    return gradient, perf_counter() - start
