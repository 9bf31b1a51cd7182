"""Plausible sizes for an input of some shape: shapes of weights, and numbers, told by their names.

No two sizes are equal where they need not be: a square weight hides a missing transpose.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradlab.adapters.numpy_layer.naming_conventions import is_parameter
from gradlab.commands.check._input_specs import InputSpec, parse_input

# The first input that a layer is tried on, the likeliest first. Integers come behind numbers of the same shape: what
# takes both has a gradient there, which integers would hide.
_FIRST = (
    "3x4 2x3x4 2x3x2x4 2x3x6x8 3x4:probabilities 3x4:positive 3 3:int<6 2x3 2x3:int<6 4 4x1 2x2x4x3 scalar"
)
FIRST = tuple(map(parse_input, _FIRST.split()))
OUT, LAST, FILTER = 5, 3, 2

_RECURRENT = re.compile(r"^(w.*h|u|u_.*|r|whh|rec.*)$")
_HIDDEN = re.compile(r"^(prev_?)?[hc]s?\d?(_?(prev|0|init|state))?$|hidden|^state$")
# The names of numbers, and the values that such numbers have; the first name that fits counts.
_NUMBERS: tuple[tuple[str, Any], ...] = (
    (r"stride", 1),
    (r"pad", 0),
    (r"pool", 2),
    (r"kernel|filter_?(size|h|w)|window|receptive|^k$|^f[hw]$", FILTER),
    (r"head", 2),
    (r"^eps|epsilon", 1e-5),
    (r"ratio|rate|drop|prob|^p$|keep|alpha|slope|momentum|decay", 0.5),
)
_OUT = re.compile(r"out|hidden|units|filters|neurons|nodes|embed|vec|classes|^to$|^[hm]$|^n_?h$")
_SIZE = re.compile(
    r"size|dim|features|vocab|channels|num|width|len|(^|_)(in|out)(_|$|put)|^[ndhm]$|^[fd]_?in|^n_|^to$|hidden|"
    r"units|filters|neurons|nodes|classes"
)


@dataclass(frozen=True)
class LayerSizes:
    """An input and the sizes that go with it.

    Attributes
    ----------
    x : InputSpec
    inside, outside : int
        The numbers of features, or of channels, that a layer takes and gives.
    weight, bias, each, hidden : tuple of int
        The shapes of a weight, a bias, a scale of each feature, and a state that one time step hands to the next.
    gates : int
        How many gates share one weight.
    """

    x: InputSpec
    inside: int
    outside: int
    weight: tuple[int, ...]
    bias: tuple[int, ...]
    each: tuple[int, ...]
    hidden: tuple[int, ...]
    gates: int = 1


def layer_sizes(x: InputSpec, gated: bool) -> Iterator[LayerSizes]:
    """Yield the sizes that a layer for this input may have; with gates, too, if it is `gated`."""
    shape = x.shape or (1,)
    if x.kind.startswith("int<"):
        many = int(x.kind.removeprefix("int<"))
        yield LayerSizes(x, many, OUT, (many, OUT), (OUT,), (OUT,), (shape[0], OUT))
        return
    n, last = shape[0], shape[-1]
    if len(shape) == 4:
        yield LayerSizes(x, shape[1], OUT, (OUT, shape[1], FILTER, FILTER), (OUT,), (shape[1],), (n, OUT))
        broadcast = (shape[1], 1, 1)
        yield LayerSizes(x, shape[1], OUT, (OUT, shape[1], FILTER, FILTER), (OUT, 1, 1), broadcast, (n, OUT))
        yield LayerSizes(x, last, OUT, (FILTER, FILTER, last, OUT), (OUT,), (last,), (n, OUT))
        return
    hidden = (n, OUT) if len(shape) > 1 else (OUT,)
    if shape[1:] == (1,):
        yield LayerSizes(x, n, OUT, (OUT, n), (OUT, 1), (n, 1), (OUT, 1))
        return
    for gates in (1, 4, 3) if gated else (1,):
        yield LayerSizes(x, last, OUT, (last, gates * OUT), (gates * OUT,), (last,), hidden, gates)
    yield LayerSizes(x, last, OUT, (OUT, last), (OUT,), (last,), hidden)
    if len(shape) == 2:
        yield LayerSizes(x, n, OUT, (OUT, n), (OUT, 1), (n, 1), (OUT, last))
    yield LayerSizes(x, last, last, (last, last), (last,), (last,), (*shape[:-1], last))


def is_recurrent(name: str) -> bool:
    """Return whether a weight of this name leads from one time step to the next."""
    return bool(_RECURRENT.match(_plain(name)))


def is_state(name: str) -> bool:
    """Return whether an argument of this name is the state that the last time step handed on."""
    return bool(_HIDDEN.search(_plain(name)))


def weight_shape(name: str, sizes: LayerSizes) -> tuple[int, ...]:
    """Return the shape of a parameter of this name; W2 and b2 belong to the layer behind that of W1 and b1."""
    plain = _plain(name)
    number = int((re.search(r"\d$", plain) or ["0"])[0])
    if number > 1:
        last = (OUT if number == 2 else LAST, LAST)
        return (LAST,) if plain.startswith("b") else last
    if is_recurrent(name) and len(sizes.x.shape) < 4:
        return (sizes.outside, sizes.gates * sizes.outside)
    if plain.startswith(("beta", "gamma", "scale", "shift")):
        return sizes.each
    return sizes.bias if plain.startswith("b") else sizes.weight


def constructor_value(parameter: inspect.Parameter, sizes: LayerSizes, alone: bool) -> Any:
    """Return a plausible value, as ``--init`` has it, for an argument of a constructor; None if its name tells none.

    `alone` says that no other argument is a size, so that this argument is the size of the input.
    """
    name, annotation = _plain(parameter.name), str(parameter.annotation).lower()
    number = any(kind in annotation for kind in ("int", "float", "bool"))
    learned = is_parameter(parameter.name, sure=True) or name in ("scale", "shift")
    if "array" in annotation or (learned and not number):
        return {"shape": list(weight_shape(parameter.name, sizes))}
    if "bool" in annotation:
        return False
    for pattern, value in _NUMBERS:
        if re.search(pattern, name):
            return value
    if "shape" in name:
        return list(sizes.x.shape[1:])
    if is_size(parameter):
        return sizes.outside if _OUT.search(name) and not alone else sizes.inside
    return 0.5 if "float" in annotation else None


def is_size(parameter: inspect.Parameter) -> bool:
    """Return whether an argument says how long an axis is."""
    name, annotation = _plain(parameter.name), str(parameter.annotation).lower()
    known = any(re.search(pattern, name) for pattern, _ in _NUMBERS)
    sized = bool(_SIZE.search(name)) or "int" in annotation
    return sized and not known and "float" not in annotation and "str" not in annotation


def _plain(name: str) -> str:
    return name.strip("_").lower()
