"""Hold a hand-written forward mode to differences: the tangents of the outputs for those of the primals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Unpack

import numpy as np

from gradlab.checks import Check, Trial
from gradlab.node import Array
from gradlab.numerical.finite_difference import sequence_of
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.running.check_rows import run_checks
from gradlab.running.check_vjp import checks_of, node_of, report_on_functions
from gradlab.running.options import CheckKeywords, options_of, takes_options
from gradlab.running.tangents import Jvp, judged_tangents, transposed
from gradlab.verdict import CheckResult
from gradlab.workers.strange_objects import shown, title_of
from gradlab.workers.threads import one_at_a_time

NAME = "forward_mode"
# A gradient is made of one call of jvp an element, of so many at the most; of more the tangents alone are judged.
MOST_TRANSPOSED = 100


@one_at_a_time
@takes_options()
def check_jvp(
    forward: Callable[..., Any],
    jvp: Callable[..., Any],
    primals: Sequence[Array],
    *,
    settings: Mapping[str, Any] | None = None,
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check a forward mode written by hand, the product of the Jacobian with tangents.

    Parameters
    ----------
    forward : callable
        ``forward(*primals, **settings)`` returns the output; several outputs are a tuple.
    jvp : callable
        ``jvp(primals, tangents, **settings)`` returns the tangent of the output, or the output and its tangent, as
        `jax.jvp` does. `tangents` are arrays of the shapes of the primals.
    primals : sequence of ndarray
        The differentiable inputs, arrays of floats.
    settings : mapping, optional
        Keyword arguments of `forward` and `jvp` that are not differentiated.

    Returns
    -------
    Report
        Tangents along random ones are held to differences. With up to 100 elements in all primals together these are
        the rows ``forward_mode``, and the gradient that `jvp` makes, one call an element, is held to all checks as
        well, and the mistake named.

    Raises
    ------
    TypeError
        If `forward` or `jvp` is no function, or a primal no array of floats.
    ValueError
        If there are no primals, or an option cannot be used.

    Examples
    --------
    >>> def jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return 3 * x * t
    >>> check_jvp(lambda x: x**2, jvp, (np.array([1.0, 2.0]),)).ok
    False
    """
    options = options_of(check_jvp, keywords)
    for what, function in (("forward", forward), ("jvp", jvp)):
        if not callable(function):
            raise TypeError(f"{what} is {shown(function)}, which is no function: pass one")
    sequence_of("primals", primals)
    options = replace(options, name=options.name or title_of(jvp))

    @wraps(forward)  # which has the names of the primals
    def forward_with_primals(*xs: Array, **others: Any) -> tuple[Any, Any]:
        y = forward(*xs, **others)
        return y, (tuple(x.copy() for x in xs), others, isinstance(y, tuple))

    def at(others: Mapping[str, Any], several: bool) -> Jvp:
        return lambda xs, ts: _tangents_in(jvp(tuple(xs), tuple(ts), **others), several)

    def backward(residuals: Any, g: Any) -> tuple[Array, ...]:
        xs, others, several = residuals
        return transposed(at(others, several))(xs, g)

    own = forward_mode(lambda trial: at(trial.settings(), isinstance(trial.output, tuple)))
    if sum(map(np.size, primals)) <= MOST_TRANSPOSED:
        chosen = {NAME: own, **checks_of(options)}
        return report_on_functions(
            forward_with_primals, backward, primals, options, settings=settings, checks=chosen
        )
    node, sample = node_of(forward_with_primals, backward, primals, options.name, settings)
    rows = list(run_checks([options.trial(node, sample)], {"matches_numerical": own}))
    return Report(rows, environment(seed=options.seed))


def forward_mode(jvp_at: Callable[[Trial], Jvp]) -> Check:
    """Return the check of tangents; ``jvp_at(trial)`` is the jvp under the trial's settings."""

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        return ((trial, result) for trial in trials for result in judged_tangents(trial, jvp_at(trial)))

    return Check(run, needs_all_samples=False)


def _tangents_in(returned: Any, several: bool) -> Any:
    """Return the tangents of the outputs, also where a jvp returns the outputs before them."""
    pair = isinstance(returned, tuple | list) and len(returned) == 2
    if pair and (not several or isinstance(returned[0], tuple | list)):
        returned = returned[1]
    return tuple(returned) if isinstance(returned, list) else returned
