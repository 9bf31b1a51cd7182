"""What an expression gives in a function, at a trial and near it."""

import ast
from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.node import Array
from gradlab.repair._executed import executed
from gradlab.repair._source_function import SourceFunction
from gradlab.repair.forward_paths import points_near
from gradlab.workers.threads import printing_into


def expression_values(expression: ast.expr, function: SourceFunction, trial: Trial) -> list[Array]:
    """Return what an expression gives in a function that backward runs through; empty if it can't be told."""
    text, space = ast.unparse(expression), function.functions[0].__globals__
    found: list[Array] = []
    with quiet(), printing_into(StringIO()), suppress(Exception):
        for point in points_near(trial):
            _, (seen,) = executed([function], point.forward, partial(_backward, point))
            found.append(np.array(eval(text, space, dict(seen.scope)), dtype=float))
        return found
    return []


def _backward(point: Trial, run: Any) -> Any:
    return point.node.backward(run[1], point.cotangent()) if run else None
