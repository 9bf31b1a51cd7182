"""A guess where the command line says nothing: arguments of a constructor and inputs of forward that fit."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, isroutine
from itertools import islice
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.check import methods_lent, read_layer
from gradlab.adapters.numpy_layer.forward_calls import forward_methods
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.adapters.numpy_layer.layer_reading import Reading
from gradlab.adapters.numpy_layer.layer_run import HeldLayer, method_of
from gradlab.adapters.numpy_layer.reading_choice import NoBackwardError
from gradlab.checks.trial import quiet
from gradlab.commands.check._check_task import CheckTask
from gradlab.commands.check._construction import made, parameters_of, required, settings_of
from gradlab.commands.check._input_choices import choices
from gradlab.commands.check._input_specs import InputSpec
from gradlab.commands.check._plausible_sizes import (
    FIRST,
    LayerSizes,
    constructor_value,
    is_recurrent,
    is_size,
    layer_sizes,
)
from gradlab.commands.check._target_lookup import find
from gradlab.node import Sample, named_rng

# So many ways to give one layer its inputs are tried for one set of sizes.
CHOICES = 30
# Where a layer is wrong at the first inputs that it takes, so many inputs of more axes are tried.
MORE = 6


@dataclass(frozen=True)
class Guess:
    """A layer, its inputs, and the options of the command that would have asked for both."""

    layer: Any
    samples: Sequence[Sample]
    taken: str = ""


def drawn(specs: Sequence[InputSpec], subject: Any, task: CheckTask) -> Sample:
    """Return a sample of the arrays that the specs ask for, each from a random stream of its own, with the settings."""
    arrays = [spec.draw(named_rng(task.seed, "input", str(i))) for i, spec in enumerate(specs)]
    settings = settings_of(task.settings, parameters_of_forward(subject, task), task.seed)
    return Sample("given", tuple(arrays), settings)


def call_of(task: CheckTask) -> dict[str, Any]:
    """Return what a task tells of a layer's ``forward``, ``backward`` and ``cotangent``, as `check_layer` takes them.

    Raises
    ------
    LayerError
        If one is a function that cannot be found.
    """
    methods = {"forward": task.forward, "backward": task.backward}
    found = {what: find(name) if ":" in name else name or None for what, name in methods.items()}
    return {**found, "cotangent": task.cotangent or None}


def guess(subject: Any, task: CheckTask, samples: Sequence[Sample]) -> Guess:
    """Return an object with inputs that its forward takes: the likeliest at which its backward does not raise.

    If the gradient is wrong at those inputs, and right at inputs with more axes, the latter are returned.

    Parameters
    ----------
    subject : class or object
    task : CheckTask
        What is told of it; without ``init``, the arguments of a class's constructor are guessed.
    samples : sequence of Sample
        The inputs; empty if they are to be guessed.

    Raises
    ------
    LayerError
        If no inputs fit; the message says what is missing.
    """
    failed: dict[str, str] = {}
    raising, first, more = None, None, 0
    silent: NoBackwardError | None = None
    for attempt in _attempts(subject, task, samples, failed):
        if first and (more == MORE or not _has_more_axes(attempt, first)):
            continue
        try:
            reading = _reading(attempt.layer, attempt.samples[0], task)
        except NoBackwardError as error:
            silent = silent or error
            continue
        except Exception as error:
            failed.setdefault(error_text(error), attempt.taken)
            continue
        if reading.perfect:
            return attempt
        more += first is not None
        if reading.raised:
            raising = raising or attempt
        else:
            first = first or attempt
    found = first or raising
    if found is None and silent:
        raise silent  # the layer takes these inputs, and others will not help
    if found is None:
        raise LayerError(_why_not(subject, task, failed, bool(samples)))
    return found


def _has_more_axes(attempt: Guess, first: Guess) -> bool:
    """Return whether the inputs of an attempt have more axes than those of the first.

    A layer for sequences often takes rows too, and is wrong there. With fewer axes, a missing sum over the batch
    would not show.
    """
    here, there = (
        max([len(_spec_of(x).shape) for x in guess.samples[0].primals], default=0)
        for guess in (attempt, first)
    )
    return here > there


def _attempts(
    subject: Any, task: CheckTask, samples: Sequence[Sample], failed: dict[str, str]
) -> Iterator[Guess]:
    """Yield every object that can be made, with every choice of inputs, the likeliest first."""
    tried: set[str] = set()
    for sizes in _sizes_for(subject, task, samples):
        asked = task.init
        if isinstance(subject, type) and task.init is None:
            asked = _guessed_init(subject, sizes)
        shown = f"--init {shlex.quote(json.dumps(asked))}" if asked and task.init is None else ""
        try:
            layer = made(subject, asked, task.seed) if isinstance(subject, type) else subject
        except LayerError as error:
            failed.setdefault(str(error), shown)
            continue
        wanted = [p for p in parameters_of_forward(layer, task) if p.name not in task.settings]
        for specs in [()] if samples else islice(choices(wanted, sizes), CHOICES):
            taken = " ".join(filter(None, [shown, *(f"--input {shlex.quote(str(spec))}" for spec in specs)]))
            key = f"{json.dumps(asked)} {taken}"
            if key not in tried:
                tried.add(key)
                yield Guess(layer, samples or [drawn(specs, layer, task)], taken)


def _sizes_for(subject: Any, task: CheckTask, samples: Sequence[Sample]) -> Iterator[LayerSizes]:
    kind = subject if isinstance(subject, type) else None
    taken = [*(required(kind) if kind else ()), *parameters_of_forward(subject, task)]
    gated = any(is_recurrent(p.name) for p in taken)
    given = [_spec_of(x) for sample in samples[:1] for x in sample.primals[:1]]
    for x in given or FIRST:
        yield from layer_sizes(x, gated)


def _spec_of(x: Any) -> InputSpec:
    array = np.asarray(x) if not isinstance(x, list | dict | tuple) else np.zeros(())
    kind = f"int<{int(array.max()) + 1}" if array.dtype.kind in "iu" and array.size else ""
    return InputSpec(array.shape, kind)


def parameters_of_forward(layer: Any, task: CheckTask) -> list[Parameter]:
    """Return the parameters of an object's or a class's forward, without ``self``; none where they cannot be read."""
    told = call_of(task)["forward"]
    if callable(told):
        return parameters_of(told)[1:]
    if isroutine(layer):
        return parameters_of(layer)
    names = [told] if told and hasattr(layer, told) else forward_methods(layer, ())
    found = parameters_of(method_of(layer, names[0])) if names else []
    return found[1:] if isinstance(layer, type) else found


def _guessed_init(kind: type, sizes: LayerSizes) -> dict[str, Any]:
    needed = required(kind)
    alone = sum(map(is_size, needed)) == 1
    found: Mapping[str, Any] = {p.name: constructor_value(p, sizes, alone) for p in needed}
    untold = [name for name, value in found.items() if value is None]
    if untold:
        example = json.dumps({name: found[name] if found[name] is not None else "..." for name in found})
        raise LayerError(
            f"{kind.__name__} needs {untold[0]!r}, of which the name does not say what it is: "
            f"give --init {shlex.quote(example)}"
        )
    return dict(found)


def _reading(layer: Any, sample: Sample, task: CheckTask) -> Reading:
    """Return the likeliest reading of a layer at these inputs; raises what forward raises."""
    held = HeldLayer(layer, sample.primals)
    try:
        with quiet(), methods_lent(layer, **call_of(task)) as told:
            return read_layer(layer, sample.primals, sample.settings, None, None, task.seed, told)
    finally:
        held.reset()


def _why_not(subject: Any, task: CheckTask, failed: Mapping[str, str], known: bool) -> str:
    """Return the error of the likeliest attempt and, if there were others, the options to give."""
    first, taken = next(iter(failed.items()))
    if known or (len(failed) == 1 and "--init" not in taken):
        return first
    wanted = ", ".join(p.name for p in parameters_of_forward(subject, task) if p.kind.name.startswith("POS"))
    reason = first.rpartition(": ")[0] or first
    init = "--init JSON, " if "--init" in taken else ""
    cure = f"give {init}--input SHAPE for each of {wanted or 'its inputs'}, or --samples MODULE:FUNCTION"
    return f"no inputs that were tried fit, with {taken or 'none'} {reason}: {cure}"
