"""Forward mode: the tangents that a framework computes, held to differences."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gradlab.adapters.framework.pair_report import has_right_gradients
from gradlab.checks import Check, Trial
from gradlab.node import Array
from gradlab.running.tangents import judged_tangents
from gradlab.verdict import CheckResult, Verdict

NAME = "forward_mode"
# ``tangents(primals, tangents, settings)`` returns those of the outputs.
Tangents = Callable[[Sequence[Array], Sequence[Array], dict[str, Any]], Any]


class NotForwardError(Exception):
    """The function does not claim to have a forward mode."""


def forward_mode(tangents: Tangents) -> Check:
    """Return the check of forward mode: right, or refused aloud.

    Parameters
    ----------
    tangents : callable
        Raises `NotForwardError` where the function does not claim to have a forward mode.
    """

    def run(trials: Sequence[Trial]) -> Iterator[tuple[Trial, CheckResult]]:
        for trial in trials:
            yield from ((trial, result) for result in _judged(trial))

    def _judged(trial: Trial) -> Iterator[CheckResult]:
        settings = trial.settings()
        try:
            gradients = trial.own_gradients if has_right_gradients(trial) else ()
            yield from judged_tangents(trial, lambda xs, ts: tangents(xs, ts, settings), gradients)
        except NotForwardError as error:
            yield CheckResult(Verdict.PASS, note=str(error))

    return Check(run, needs_all_samples=False)
