"""The check of a function as SciPy takes it, with ``--grad`` or ``--jac``, or with its derivative as second result."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.adapters.scipy import check_gradient, check_jacobian
from gradlab.checks.trial import quiet
from gradlab.commands.check._check_task import CheckTask
from gradlab.commands.check._construction import parameters_of
from gradlab.commands.check._input_choices import choices
from gradlab.commands.check._input_specs import InputSpec
from gradlab.commands.check._layer_guess import CHOICES, Guess, drawn
from gradlab.commands.check._plausible_sizes import FIRST, layer_sizes
from gradlab.commands.check._target_lookup import find, split
from gradlab.node import Sample
from gradlab.report import Report

# Functions of a few unknowns by their places, x[0] and x[1], take no more.
UNKNOWNS = (InputSpec((2,)), InputSpec((3,)))


def companion(target: str, name: str) -> Any:
    """Return the function that belongs to a target: one of its module by its name, or ``MODULE:FUNCTION``."""
    return find(name if ":" in name else f"{split(target)[0]}:{name}")


def scipys_function(
    f: Callable[..., Any], task: CheckTask, samples: Sequence[Sample]
) -> tuple[Guess, Callable[[Sample, dict[str, Any]], Report]]:
    """Return the inputs at which a function is checked, and the check.

    Raises
    ------
    LayerError
        If the function has no derivative, or takes none of the inputs.
    """
    named = task.grad or task.jac
    told = companion(task.target, named) if named else True
    refused: list[str] = []
    raised: list[str] = []
    for sample, taken in _samples(f, task, samples):
        try:
            with quiet():
                value, derivative = _both(f, told, sample)
            if task.grad and np.size(value) != 1:
                raise LayerError(f"f returned shape {np.shape(value)}: give --jac, or return one real number")
            if not samples:
                _refuse_other_shapes(value, derivative, np.shape(sample.primals[0]))
        except LayerError as error:
            refused.append(str(error))
            continue
        except Exception as error:
            cure = "check the inputs' shapes, give --input SHAPE for each"
            raised.append(f"{task.target} {error_text(error)}: {cure}")
            continue
        is_vector = bool(task.jac) or (not task.grad and np.size(value) != 1)
        check = check_jacobian if is_vector else check_gradient

        def checked(sample: Sample, options: dict[str, Any], check: Any = check) -> Report:
            x, *more = sample.primals
            derivative = partial(told, **sample.settings) if callable(told) else True
            report: Report = check(partial(f, **sample.settings), derivative, x, args=tuple(more), **options)
            return report

        return Guess(f, samples or [sample], taken), checked
    raise LayerError([*refused, *raised][0])


def _samples(
    f: Callable[..., Any], task: CheckTask, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, str]]:
    """Yield the given inputs, or all that the function may take, with the options that would have asked for them."""
    if samples:
        yield samples[0], ""
        return
    parameters = [p for p in parameters_of(f) if p.name not in task.settings]
    for x in (*FIRST, *UNKNOWNS):
        for sizes in layer_sizes(x, False):
            for specs in islice(choices(parameters, sizes), CHOICES):
                if specs and not specs[0].kind.startswith("int"):
                    yield drawn(specs, f, task), " ".join(f"--input {spec}" for spec in specs)


def _both(f: Callable[..., Any], told: Any, sample: Sample) -> tuple[Any, Any]:
    """Return a function's value and its derivative; raises LayerError where it has none."""
    value = f(*deepcopy(sample.primals), **sample.settings)
    if told is not True:
        return value, told(*deepcopy(sample.primals), **sample.settings)
    if not isinstance(value, tuple) or len(value) != 2:
        raise LayerError(
            f"{getattr(f, '__name__', f)} is a function without a backward pass: name both, MODULE:FORWARD,BACKWARD, "
            "or give --grad FUNCTION or --jac FUNCTION"
        )
    return value


def _refuse_other_shapes(value: Any, derivative: Any, x: tuple[int, ...]) -> None:
    """Raise LayerError where inputs are not those that a function and its derivative are meant for."""
    wanted = np.shape(value) + x if np.size(value) != 1 else x
    if isinstance(derivative, np.ndarray) and derivative.shape != wanted:
        raise LayerError(
            f"the derivative has shape {derivative.shape} for inputs of {x}: return shape {wanted}"
        )
