"""The inputs that a forward may take, told by the names of its parameters."""

import re
from collections.abc import Iterator, Sequence
from inspect import Parameter
from itertools import product, takewhile

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.naming_conventions import is_parameter, is_target, is_training_flag
from gradlab.commands.check._input_specs import InputSpec
from gradlab.commands.check._plausible_sizes import LayerSizes, is_state, weight_shape

_SETTINGS = re.compile(r"param|config|option|kwargs")


def choices(parameters: Sequence[Parameter], sizes: LayerSizes) -> Iterator[tuple[InputSpec, ...]]:
    """Yield the inputs that a forward with these parameters may take, the likeliest first.

    Raises
    ------
    LayerError
        If a parameter is a dict of settings, which no shape can stand for.
    """
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    wanted = _wanted(parameters)
    if not wanted:
        yield from [(sizes.x,), (sizes.x, sizes.x)] if several else [()] if parameters else [(sizes.x,), ()]
        return
    first = next((p for p in wanted if not is_target(p.name) and not _is_parameter(p)), wanted[0])
    options = [[sizes.x] if p is first else list(_options(p, sizes)) for p in wanted]
    for chosen in product(*options):
        yield tuple(spec for spec in takewhile(lambda spec: spec is not None, chosen) if spec is not None)


def refuse_count(parameters: Sequence[Parameter], count: int) -> None:
    """Raise LayerError unless a forward with these parameters takes `count` inputs."""
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in plain if p.default is p.empty and not is_training_flag(p.name)]
    several = not parameters or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if count < len(needed) or (count > len(plain) and not several):
        wanted = f"takes {', '.join(p.name for p in plain)}" if plain else "takes none"
        raise LayerError(f"forward {wanted}, and --input gives {count}: give it once for each")


def _wanted(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Return the parameters that need a value, and the targets behind them that may have one."""
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    plain = [p for p in plain if p.default is not p.empty or not is_training_flag(p.name)]
    return list(takewhile(lambda p: p.default is p.empty or is_target(p.name), plain))


def _is_parameter(p: Parameter) -> bool:
    return is_parameter(p.name, sure=True)


def _options(p: Parameter, sizes: LayerSizes) -> Iterator[InputSpec | None]:
    if is_target(p.name):
        yield from _targets(sizes.x)
        if p.default is not p.empty:
            yield None
        return
    if _SETTINGS.search(p.name.lower()):
        raise LayerError(
            f"forward takes {p.name!r}, which no shape stands for: give it with --settings, or all with --samples"
        )
    if _is_parameter(p):
        yield InputSpec(weight_shape(p.name, sizes))
    if is_state(p.name):
        yield InputSpec(sizes.hidden)
        yield from [InputSpec((sizes.x.shape[0], sizes.x.shape[-1]))] if len(sizes.x.shape) == 3 else []
    yield sizes.x
    if not _is_parameter(p) and not is_state(p.name):
        yield from (InputSpec(sizes.hidden), InputSpec(sizes.weight), *_targets(sizes.x))


def _targets(x: InputSpec) -> Iterator[InputSpec]:
    """Yield the targets that a loss may compare x with: labels, one-hot rows, numbers, probabilities, yes and no."""
    if x.shape:
        yield InputSpec(x.shape[:-1], f"int<{x.shape[-1]}")
        yield InputSpec(x.shape, "onehot")
    yield InputSpec(x.shape)
    if x.shape:
        yield InputSpec(x.shape, "probabilities")
    yield InputSpec(x.shape, "int<2")
