"""Which of what backward returned is the gradient of what."""

from collections.abc import Sequence

from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.backward_traces import BackwardTraces
from gradlab.adapters.numpy_layer.gradient_places import returned_names
from gradlab.adapters.numpy_layer.layer_pair import ArgumentLeaf
from gradlab.adapters.numpy_layer.layer_run import method_of
from gradlab.adapters.numpy_layer.number_places import Path
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter, nearest_name
from gradlab.node import Array


def matched(
    left: BackwardTraces,
    inputs: Sequence[ArgumentLeaf],
    back: Sequence[tuple[Path, Array]],
    parameters: Sequence[Parameter],
) -> dict[str, Path]:
    """Match what came back without a name with the inputs: by order, by names in the source, by shape."""
    if not inputs or not back:
        return {}
    if len(back) == 1:
        shapes = [p.value(left.run.layer).shape for p in parameters]
        shape = back[0][1].shape
        fitting = [leaf for leaf in inputs if leaf.value.shape == shape]
        if not fitting and shape in shapes and left.run.given_back is not None and len(inputs) == 1:
            return {}  # the gradient of a parameter, returned alone
        return {(fitting or list(inputs))[0].name: back[0][0]}
    if len(back) in (len(inputs), len(left.bound.leaves)):
        some = inputs if len(back) == len(inputs) else left.bound.leaves
        return {leaf.name: path for leaf, (path, _) in zip(some, back, strict=True) if leaf in inputs}
    by_name = by_source(left, [leaf.name for leaf in inputs], back)
    if by_name:
        return by_name
    return in_order([(leaf.name, leaf.value.shape) for leaf in inputs], back)


def by_source(
    left: BackwardTraces, asked: Sequence[str], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match by the names in backward's ``return dx, dW, db``."""
    method = left.bound.way.method
    said = returned_names(method_of(left.run.layer, method)) if method else []
    if len(said) != len(back):
        return {}
    found = {}
    for name in asked:
        scored = [(names.is_gradient_of(s, name), path) for s, (path, _) in zip(said, back, strict=True)]
        score, path = max(scored, key=lambda pair: pair[0])
        if score:
            found[name] = path
    return found if len(found) == len(asked) and len(set(found.values())) == len(found) else {}


def in_order(
    asked: Sequence[tuple[str, tuple[int, ...]]], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match in order those whose shapes fit."""
    found: dict[str, Path] = {}
    free = list(back)
    for name, shape in asked:
        match = next((pair for pair in free if pair[1].shape == shape), None)
        if match:
            found[name] = match[0]
            free = [pair for pair in free if pair is not match]
    return found


def parameters_returned(
    left: BackwardTraces, sure: Sequence[Parameter], back: Sequence[tuple[Path, Array]]
) -> dict[str, Path]:
    """Match what is left of what came back without a name with the parameters."""
    if not back:
        return {}
    by_name = by_source(left, [nearest_name(p.occurrences[0].path) for p in sure if p.occurrences], left.back)
    if by_name:
        return {p.name: by_name[nearest_name(p.occurrences[0].path)] for p in sure if p.occurrences}
    if len(back) == len(sure):
        return {p.name: path for p, (path, _) in zip(sure, back, strict=True)}
    return in_order([(p.name, p.value(left.run.layer).shape) for p in sure], back)


def is_keyed(path: Path) -> bool:
    """Return whether something stands in a dict, under a name."""
    return isinstance(path[-1][1], str) and path[-1][0] == "item"
