"""A model's loss by differences: the estimate that knows its error, and the textbook's, of every parameter."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.estimate import Estimate, Method, estimate_gradient
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.textbook.models.parameter_blocks import Block, BlockTask, blocks_of
from gradlab.workers.worker_map import Workers, open_worker_map, results_in_order

Named = Mapping[str, Array] | Sequence[Array]
Differences = tuple[Estimate, Array, float]


def differences(model: Any, x: Any, t: Any, method: Method, workers: Workers) -> dict[str, Differences]:
    """Return, for each parameter, its estimate, the textbook's differences, and the seconds that these took."""
    params = named(model.params)
    if workers is None:
        return {key: _in_place(model, x, t, p, method) for key, p in params.items()}
    blocks, task = blocks_of(params), BlockTask(partial(_of_block, method), model, x, t)
    parts: dict[str, list[Differences]] = {key: [] for key in params}
    with open_worker_map(workers) as over:
        for block, part in zip(blocks, results_in_order(over, task, blocks), strict=True):
            parts[block.name].append(part)
    return {key: _joined(parts[key], p.shape) for key, p in params.items()}


def _of_block(method: Method, model: Any, x: Any, t: Any, block: Block) -> Differences:
    return _in_place(model, x, t, block.of(named(model.params)[block.name]), method)


def _in_place(model: Any, x: Any, t: Any, moved: Array, method: Method) -> Differences:
    def loss() -> float:
        return float(model.loss(x, t))

    estimate = estimate_gradient(_moved(loss, moved), moved, method=method)
    start = perf_counter()
    textbook = numerical_gradient(lambda _: loss(), moved)
    return estimate, textbook, perf_counter() - start


def _joined(parts: Sequence[Differences], shape: tuple[int, ...]) -> Differences:
    """Return the blocks of one parameter as one."""
    estimates, textbooks, times = zip(*parts, strict=True)
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name).ravel() for part in estimates]).reshape(shape)
        for name in ("value", "error", "lower", "upper", "scale", "terms")
    }
    # each block has asked for the loss where nothing is moved
    evaluations = 1 + sum(part.evaluations - 1 for part in estimates)
    estimate = Estimate(evaluations=evaluations, unseen=estimates[0].unseen, **arrays)
    return estimate, np.concatenate([part.ravel() for part in textbooks]).reshape(shape), sum(times)


def _moved(loss: Callable[[], float], parameter: Array) -> Callable[[Array], float]:
    """Return the loss as a function of one parameter, whose own values are restored after each call."""

    def f(values: Array) -> float:
        saved = parameter.copy()
        try:
            parameter[...] = values
            return loss()
        finally:
            parameter[...] = saved

    return f


def named(arrays: Named) -> dict[str, Array]:
    """Return the arrays by name, those of a list by their place in it."""
    if isinstance(arrays, Mapping):
        return dict(arrays)
    return {f"params[{i}]": array for i, array in enumerate(arrays)}
