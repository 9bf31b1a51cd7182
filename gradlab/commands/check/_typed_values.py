"""Arguments as people type them in a shell: JSON, or ``W=4x5,b=5,mode=same``."""

import ast
import json
import re
from typing import Any

from gradlab.adapters.numpy_layer.naming_conventions import is_parameter

_COMMAS = re.compile(r",(?![^(\[{]*[)\]}])")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)
_SHAPE = re.compile(r"(\d+(?:x\d+)+)(?::(.+))?")
_CURE = """write W=4x5,b=5,mode=same, or JSON in single quotes, '{"W": {"shape": [4, 5]}}'"""


def parse_values(text: str) -> dict[str, Any] | list[Any]:
    """Return the arguments, by name or in their order, that a text stands for, as JSON has them.

    ``4x5`` is an array of that shape, and so is ``5`` for what is called like a weight or a bias; other words are
    numbers, truths and nothing where JSON or Python reads them so, and text where neither does.

    Raises
    ------
    ValueError
        If the text stands for no arguments; the message ends with the cure.
    """
    if text.lstrip()[:1] in ("{", "["):
        return _json(text)
    parts = _COMMAS.split(text)
    named = [_NAMED.fullmatch(part) for part in parts]
    if all(named):
        return {part[1]: _value(part[2], part[1]) for part in named if part}
    if any(named) or not all(part.strip() for part in parts):
        raise ValueError(f"{text!r} gives some by name and some not: {_CURE}")
    return [_value(part) for part in parts]


def parse_named_values(text: str) -> dict[str, Any]:
    """Return the arguments that a text gives by name; raises ValueError as `parse_values` does."""
    values = parse_values(text)
    if not isinstance(values, dict):
        raise ValueError(f"{text!r} gives no names: write train=false,scale=2, or a JSON object")
    return values


def _json(text: str) -> dict[str, Any] | list[Any]:
    try:
        value: dict[str, Any] | list[Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{text!r} is no JSON, {error}: {_CURE}") from error
    return value


def _value(text: str, name: str = "") -> Any:
    """Return what one word stands for."""
    text = text.strip()
    if found := _SHAPE.fullmatch(text):
        return _array([int(n) for n in found[1].split("x")], found[2])
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if type(value) is int and is_parameter(name, sure=True):
            return _array([value], None)
        return list(value) if isinstance(value, tuple) else value
    return text


def _array(shape: list[int], kind: str | None) -> dict[str, Any]:
    return {"shape": shape, "dtype": kind} if kind else {"shape": shape}
