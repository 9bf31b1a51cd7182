"""The report of a run: a row for each thing that a check compared."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gradlab.compare import Verdict
from gradlab.report.envelope import environment, to_json


class GradientError(AssertionError):
    """A gradient is wrong, or could not be decided; the message names every place."""


@dataclass(frozen=True)
class Row:
    """What one check found for one primal of one node at one sample; times in seconds.

    `relative_error` to `evaluations` are those of `gradlab.compare.CheckResult`. The times are the sample's, the
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
    """A mistake that the report found, or a warning; `name` is the check that saw it."""

    name: str
    node: str
    sample: str
    primal: str
    sentence: str


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
    """

    rows: Sequence[Row]
    environment: Mapping[str, Any] = field(default_factory=environment)
    interrupted: bool = False
    explored: Sequence[Explored] = ()

    @property
    def ok(self) -> bool:
        """Whether there is at least one row, and none is wrong or undecided."""
        return bool(self.rows) and all(row.verdict.ok for row in self.rows)

    @property
    def faults(self) -> list[Fault]:
        """What is wrong, undecided or warned of."""
        return [
            Fault(row.check, row.node, row.sample, row.primal, row.sentence())
            for row in self.rows
            if not row.verdict.ok or row.verdict is Verdict.WARNING
        ]

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
        if not self.ok:
            failing = [row.sentence() for row in self.rows if not row.verdict.ok]
            raise GradientError("\n".join(failing) or "nothing was checked: name at least one node or primal")

    def __str__(self) -> str:
        from gradlab.report.tables import summary

        return summary(self, "simple")
