"""Whether a function's source has a loop in it."""

import ast
import inspect
import textwrap
from typing import Any


def has_loop(function: Any) -> bool:
    """Return whether a function written in Python has a ``for`` or a ``while`` statement; False if nobody can tell."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, ast.For | ast.While) for node in ast.walk(tree))
