"""What an expression gives in a function, where that is always the same number."""

import ast
from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Any

import numpy as np

from gradlab.checks.trial import Trial, quiet
from gradlab.repair._executed import executed
from gradlab.repair._source_function import SourceFunction
from gradlab.repair.forward_paths import points_near
from gradlab.workers.threads import printing_into


def constant_value(expression: ast.expr, function: SourceFunction, trial: Trial) -> float | None:
    """Return the number that an expression gives at a trial and near it; None if it gives others, or no number."""
    text, space = ast.unparse(expression), function.functions[0].__globals__
    found: set[float] = set()
    with quiet(), printing_into(StringIO()), suppress(Exception):
        for point in points_near(trial):
            _, (seen,) = executed([function], point.forward, partial(_backward, point))
            value = np.asarray(eval(text, space, dict(seen.scope)), dtype=float)
            if value.size != 1:
                return None
            found.add(float(value.item()))
    return found.pop() if len(found) == 1 else None


def _backward(point: Trial, run: Any) -> Any:
    return point.node.backward(run[1], point.cotangent()) if run else None
