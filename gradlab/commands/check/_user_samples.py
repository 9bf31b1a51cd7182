"""The samples that a function of the user's own gives: ``--samples MODULE:FUNCTION``."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.commands.check._target_lookup import find
from gradlab.node import Sample, named_rng


def samples_of(reference: str, parameters: Sequence[Parameter], seed: int) -> list[Sample]:
    """Return the samples that ``samples(rng)`` returns or yields.

    A list or a generator gives several samples. Of a sample, a tuple is the inputs, a dict their names and values, an
    array or a number the single input; a `gradlab.Sample` is taken as it is.

    Parameters
    ----------
    reference : str
        ``MODULE:FUNCTION``.
    parameters : sequence of Parameter
        The parameters of forward; a dict's values belong to the parameters that its keys name.
    seed : int

    Raises
    ------
    LayerError
        If the function cannot be found, raises, or gives nothing.
    """
    function = find(reference)
    if not callable(function):
        raise LayerError(
            f"--samples: {reference} is {type(function).__name__}: name a function, samples(rng)"
        )
    try:
        given = function(named_rng(seed, "samples"))
        several = isinstance(given, list | Iterator)
        found = list(given) if several else [given]
    except Exception as error:
        raise LayerError(f"--samples: {reference}(rng) {error_text(error)}: mend that") from error
    cure = "return or yield the inputs, as a tuple"
    if not found or any(value is None for value in found):
        raise LayerError(f"--samples: {reference}(rng) gives nothing: {cure}")
    names = [f"sample {i}" for i in range(len(found))] if several else ["given"]
    return [_sample(value, name, parameters, reference) for value, name in zip(found, names, strict=True)]


def _sample(value: Any, name: str, parameters: Sequence[Parameter], reference: str) -> Sample:
    if isinstance(value, Sample):
        return value
    if isinstance(value, Mapping):
        return _by_name(dict(value), name, parameters)
    if isinstance(value, np.ndarray | np.generic | int | float):
        return Sample(name, (value,))  # type: ignore[arg-type] # an input need not be an array
    if isinstance(value, tuple):
        return Sample(name, value)
    cure = "give a tuple of inputs, or a dict of them by name"
    raise LayerError(f"--samples: {reference}(rng) gives inputs that are {type(value).__name__}: {cure}")


def _by_name(values: dict[str, Any], name: str, parameters: Sequence[Parameter]) -> Sample:
    """Return a sample: inputs for forward's parameters up to the first that is not named, the rest as settings."""
    inputs = []
    for p in parameters:
        if p.name not in values or p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            break
        inputs.append(values.pop(p.name))
    return Sample(name, tuple(inputs), values)
