"""The report of a run: a row for each thing that a check compared."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gradlab.diagnosis import Finding
from gradlab.report.envelope import environment, to_json
from gradlab.verdict import Verdict


class GradientError(AssertionError):
    """A gradient is wrong, or could not be decided; the message names every place.

    Attributes
    ----------
    report : Report or None
        What was found.
    """

    __module__ = "gradlab"  # so it is called where its users find it, and so pytest names it

    def __init__(self, message: str, report: "Report | None" = None) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Row:
    """What one check found for one primal of one node at one sample; times in seconds.

    `relative_error` to `evaluations` are those of `gradlab.verdict.CheckResult`. The times are the sample's, the
    same on all its rows: one forward, one backward for all primals, one full numerical gradient for all
    primals. `speedup` is ``numerical_s / (forward_s + backward_s)``, what backprop saves.
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
    sensitivity: float | None = None
    textbook_error: float | None = None
    worst_index: tuple[int, ...] | None = None
    analytic: float | None = None
    numerical: float | None = None
    forward_s: float | None = None
    backward_s: float | None = None
    numerical_s: float | None = None
    speedup: float | None = None
    evaluations: int | None = None
    note: str = ""

    def sentence(self) -> str:
        """Return everything that a reader needs to find the place, in one line."""
        place = f"{self.node} [{self.sample}]" + (f", {self.primal}" if self.primal else "")
        parts = [f"{self.verdict}: {place}: {self.check}"]
        if self.analytic is not None and self.numerical is not None and self.relative_error is not None:
            index = "" if not self.worst_index else f" at ({', '.join(map(str, self.worst_index))})"
            bound = f" ± {self.reference_error:.1g}" if self.reference_error else ""
            parts.append(
                f"{index[1:] + ': ' if index else ''}analytic {self.analytic:.10g}, "
                f"expected {self.numerical:.10g}{bound}, relative error {self.relative_error:.2g}"
            )
        return "; ".join([*parts, *filter(None, [self.note])])


@dataclass(frozen=True)
class Explored:
    """Where a run looked beyond one sample of a node: each way in which primals were derived from it."""

    node: str
    sample: str
    derived: tuple[str, ...]


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
    """

    name: str
    node: str
    sample: str
    primal: str
    sentence: str
    confidence: float = 0.0
    evidence: str = ""


@dataclass(frozen=True)
class Report:
    """The rows of a run, and where they came from.

    Attributes
    ----------
    rows : sequence of Row
    environment : mapping
        Versions, machine and seed, so that a reader can run it again.
    interrupted : bool
        Whether Ctrl-C ended the run before its last node.
    explored : sequence of Explored
        Where it looked beyond the given samples.
    findings : mapping
        For each node that was rejected, the mistakes that would explain it, the likeliest first.
    """

    rows: Sequence[Row]
    environment: Mapping[str, Any] = field(default_factory=environment)
    interrupted: bool = False
    explored: Sequence[Explored] = ()
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is at least one row, and none is wrong or undecided."""
        return bool(self.rows) and all(row.verdict.ok for row in self.rows)

    @property
    def faults(self) -> list[Fault]:
        """What is wrong, undecided or warned of: the likeliest mistakes first, then every row that shows one."""
        rows = [row for row in self.rows if not row.verdict.ok or row.verdict is Verdict.WARNING]
        named = [
            _named_fault(node, finding, [row for row in rows if row.node == node])
            for node, findings in self.findings.items()
            for finding in findings
        ]
        return named + [Fault(row.check, row.node, row.sample, row.primal, row.sentence()) for row in rows]

    def to_markdown(self) -> str:
        """Return the error table, one row a node and primal, as markdown, and the failures below it."""
        from gradlab.report.tables import summary  # tabulate loads only where a table is wanted

        return summary(self, "github")

    def to_json(self) -> str:
        """Return ``{"ok": ..., "environment": {...}, "rows": [...]}`` as JSON text.

        Where the run looked beyond the given primals stands in the environment, as "explored".
        """
        explored = {"explored": [asdict(places) for places in self.explored]} if self.explored else {}
        return to_json(self.ok, [asdict(row) for row in self.rows], {**self.environment, **explored})

    def raise_if_failed(self) -> None:
        """Raise `GradientError` with every failing row, if there is one."""
        __tracebackhide__ = True  # pytest shows the line that called this, and not this one
        if not self.ok:
            from gradlab.report.tables import failures

            nothing = "nothing was checked: name at least one node or primal"
            raise GradientError(failures(self, "simple") or nothing, self)

    def __str__(self) -> str:
        from gradlab.report.tables import summary

        return summary(self, "simple")


def _named_fault(node: str, finding: Finding, rows: Sequence[Row]) -> Fault:
    """Return a finding as a fault, with the row that shows it best: the worst element, before and after."""
    concerned = [row for row in rows if row.primal == finding.primal] or list(rows)
    row = next((row for row in concerned if row.analytic is not None), concerned[0] if concerned else None)
    place = f"{row.verdict}: {node} [{row.sample}]" if row else node
    sentence = f"{place}: {finding.sentence}"
    if row and row.analytic is not None and row.numerical is not None:
        index = ", ".join(map(str, row.worst_index or ()))
        sentence += f" (at ({index}) it gives {row.analytic:.6g} and should give {row.numerical:.6g})"
    sample = row.sample if row else ""
    return Fault(finding.name, node, sample, finding.primal, sentence, finding.confidence, finding.evidence)
