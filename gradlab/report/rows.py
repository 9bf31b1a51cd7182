"""What a report is made of: a row for each comparison, where else was looked, and the faults found."""

from dataclasses import dataclass

from gradlab.report.escaping import one_line
from gradlab.verdict import Verdict


@dataclass(frozen=True)
class Row:
    """What one check found for one primal of one node at one sample; times in seconds.

    `relative_error` to `evaluations` are those of `gradlab.verdict.CheckResult`. The times are the sample's, the
    same on all its rows, and None where no command shows them: one forward, one backward for all primals, one full
    numerical gradient for all primals. `speedup` is ``numerical_s / (forward_s + backward_s)``, what backprop saves.
    Each time is the shortest of several moments; its `spread` is how many times as long the usual moment took.
    """

    node: str
    sample: str
    check: str
    primal: str
    dtype: str
    verdict: Verdict
    relative_error: float | None = None
    absolute_error: float | None = None
    reference_error: float | None = None
    relative_bound: float | None = None
    sensitivity: float | None = None
    element_sensitivity: float | None = None
    textbook_error: float | None = None
    worst_index: tuple[int, ...] | None = None
    analytic: float | None = None
    numerical: float | None = None
    forward_s: float | None = None
    backward_s: float | None = None
    numerical_s: float | None = None
    forward_spread: float | None = None
    backward_spread: float | None = None
    speedup: float | None = None
    evaluations: int | None = None
    note: str = ""

    def sentence(self) -> str:
        """Return everything that a reader needs to find the place, in one line."""
        place = f"{self.node} [{self.sample}]" + (f", {self.primal}" if self.primal else "")
        parts = [f"{self.verdict}: {place}: {self.check}"]
        if self.analytic is not None and self.numerical is not None and self.relative_error is not None:
            index = "" if not self.worst_index else f" at ({', '.join(map(str, self.worst_index))})"
            bound = f" +- {self.reference_error:.1g}" if self.reference_error else ""
            parts.append(
                f"{index[1:] + ': ' if index else ''}analytic {self.analytic:.10g}, "
                f"expected {self.numerical:.10g}{bound}, relative error {self.relative_error:.2g}"
            )
        return one_line("; ".join([*parts, *filter(None, [self.note])]))


@dataclass(frozen=True)
class Explored:
    """Where a run looked beyond one sample of a node: each way in which primals were derived from it.

    `cut` says what it did not look at, and why; empty if there is nothing to be said.
    """

    node: str
    sample: str
    derived: tuple[str, ...]
    cut: str = ""


@dataclass(frozen=True)
class Fault:
    """A mistake that the report found, or a warning.

    Attributes
    ----------
    name : str
        What the mistake is (see `gradlab.diagnosis.NAMES`); where nothing explains it, the check that saw it.
    node, sample, primal : str
    sentence : str
        Everything that a reader needs, in one line.
    confidence : float
        The share of the mismatch that the name explains; 0 where nothing does.
    evidence : str
        What was seen.
    warns : bool
        Whether it is a warning.
    cure : str
        What to change; empty where no mistake was named.
    """

    name: str
    node: str
    sample: str
    primal: str
    sentence: str
    confidence: float = 0.0
    evidence: str = ""
    warns: bool = False
    cure: str = ""
