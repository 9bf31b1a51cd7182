"""The specs of arrays that ``--input`` gives: a shape, and the kind of numbers to draw."""

import re
from dataclasses import dataclass
from math import prod

import numpy as np

from gradlab.node import Array
from gradlab.sampling import positive, probabilities

FLOATS = ("float64", "float32", "float16", "longdouble")
# A kink is at 0 more often than anywhere else, and no step should reach over it.
FROM_ZERO = 0.1
# More numbers than this are a slip of the pen.
LARGEST = 10**9

_SPEC = re.compile(r"(scalar|-?\d+(?:x-?\d+)*)(?::(.+))?")
# Shapes as Python prints them, (3, 4), are meant as well.
_PYTHONS = re.compile(r"[(\[]?([^:()\[\]]*?),?\s*[)\]]?(:.+)?")
_BELOW = re.compile(r"int<(\d+)")
_CURE = "write a shape as 3x4 or scalar, with what to draw behind it as in 3x4:float32 or 3:int<10"


@dataclass(frozen=True)
class InputSpec:
    """An array to draw.

    Attributes
    ----------
    shape : tuple of int
    kind : str
        A dtype of floats, "int<N", "onehot", "positive" or "probabilities"; empty for float64 that nobody asked for.
    """

    shape: tuple[int, ...]
    kind: str = ""

    def draw(self, rng: np.random.Generator) -> Array:
        """Return the array: standard normal and away from 0, unless its kind says otherwise."""
        if below := _BELOW.fullmatch(self.kind):
            return np.asarray(rng.integers(int(below[1]), size=self.shape))
        if self.kind == "onehot":
            return np.eye(self.shape[-1])[rng.integers(self.shape[-1], size=self.shape[:-1])]
        if self.kind == "positive":
            return positive(rng, *self.shape)
        if self.kind == "probabilities":
            return probabilities(rng, *self.shape)
        x = rng.standard_normal(self.shape)
        return np.asarray(x + np.copysign(FROM_ZERO, x), dtype=self.kind or "float64")

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"{shape}:{self.kind}" if self.kind else shape


def parse_input(text: str) -> InputSpec:
    """Return the spec that a text such as ``100x784:float32``, ``3,4`` or ``100:int<10`` stands for.

    Raises
    ------
    ValueError
        If the text stands for no spec; the message ends with the cure.
    """
    pythons = _PYTHONS.fullmatch(text.strip())
    plain = re.sub(r"\s*[,*]\s*", "x", pythons[1]) + (pythons[2] or "") if pythons else text
    found = _SPEC.fullmatch(plain)
    if not found:
        raise ValueError(f"{text!r} is no shape: {_CURE}")
    shape = () if found[1] == "scalar" else tuple(int(n) for n in found[1].split("x"))
    return checked(InputSpec(shape, found[2] or ""), text)


def checked(spec: InputSpec, text: str) -> InputSpec:
    """Return the spec, if an array can be drawn from it; `text` is what the user wrote for it.

    Raises
    ------
    ValueError
        If no array can be drawn from it; the message ends with the cure.
    """
    small = [n for n in spec.shape if n < 1]
    if small:
        raise ValueError(f"{text!r} has a dimension of {small[0]}: give each from 1 up")
    if prod(spec.shape) > LARGEST:
        raise ValueError(f"{text!r} are {prod(spec.shape):,} numbers: give a smaller shape")
    below = _BELOW.fullmatch(spec.kind)
    if (below and int(below[1])) or spec.kind in ("", *FLOATS, "positive"):
        return spec
    if spec.kind not in ("onehot", "probabilities"):
        known = ", ".join((*FLOATS, "int<N", "onehot", "positive"))
        raise ValueError(f"{spec.kind!r} in {text!r} is nothing to draw: give {known} or probabilities")
    if not spec.shape:
        raise ValueError(f"{text!r} has no axis that could sum to one: give it one, as in 3x4:{spec.kind}")
    return spec
