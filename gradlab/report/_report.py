"""The report of a run, and the error that it raises."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from gradlab.diagnosis import Finding
from gradlab.repair import Repair
from gradlab.report.comparison import Comparison
from gradlab.report.envelope import environment, to_json
from gradlab.report.escaping import one_line
from gradlab.report.rows import Explored, Fault, Row
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
    repairs : sequence of Repair
        Changes of the source that mend what is wrong, each proven; empty where none was found.
    comparisons : sequence of Comparison
        Both gradients, element by element, for pictures.
    places : mapping
        For each function whose source is known, the file and the line of its backward.
    """

    rows: Sequence[Row]
    environment: Mapping[str, Any] = field(default_factory=environment)
    interrupted: bool = False
    explored: Sequence[Explored] = ()
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    repairs: Sequence[Repair] = ()
    comparisons: Sequence[Comparison] = field(default=(), repr=False, compare=False)
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether there is at least one row, and none is wrong or undecided."""
        return bool(self.rows) and all(row.verdict.ok for row in self.rows)

    @property
    def faults(self) -> list[Fault]:
        """What is wrong or undecided, the likeliest mistakes first, then every row that shows one; then warnings."""
        errors = [row for row in self.rows if not row.verdict.ok]
        warnings = [row for row in self.rows if row.verdict is Verdict.WARNING]
        found: list[Fault] = []
        for rows, warns in ((errors, False), (warnings, True)):
            found += [
                _named_fault(node, finding, [row for row in rows if row.node == node])
                for node, findings in self.findings.items()
                for finding in findings
                if finding.warns is warns
            ]
            found += [
                Fault(row.check, row.node, row.sample, row.primal, row.sentence(), warns=warns)
                for row in rows
            ]
        return found

    def to_markdown(self) -> str:
        """Return the verdict, what is wrong and what to change, and a table with a line for each input, as markdown."""
        from gradlab.report.text import report_text  # tabulate loads only where a table is wanted

        return report_text(self, "github")

    def to_json(self) -> str:
        """Return ``{"ok": ..., "environment": {...}, "rows": [...]}`` as JSON text.

        Where the run looked beyond the given primals stands in the environment, as "explored", and the repairs, if
        there are any, as "repairs".
        """
        more = {
            "explored": [asdict(places) for places in self.explored],
            "repairs": [repair.told() for repair in self.repairs],
        }
        present = {key: value for key, value in more.items() if value}
        return to_json(self.ok, [asdict(row) for row in self.rows], {**self.environment, **present})

    def plot(self, primal: str | None = None) -> Any:
        """Return a matplotlib figure of both gradients: of what fails first, or of the first where all is right.

        Parameters
        ----------
        primal : str, optional
            The input whose gradient is drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is nothing to draw.

        Examples
        --------
        >>> from gradlab import verify
        >>> figure = verify("affine").plot("W")
        """
        from gradlab.report.figures import can_plot

        if not can_plot():
            raise ImportError("matplotlib is not installed: pip install 'gradlab[plot]'")
        known = [both for both in self.comparisons if primal in (None, both.primal)]
        if not known:
            names = ", ".join(dict.fromkeys(both.primal for both in self.comparisons))
            cure = (
                f"give one of {names}"
                if names
                else "run matches_numerical, on no more than full_below= elements"
            )
            raise ValueError(f"there is no gradient to draw{f' of {primal!r}' if primal else ''}: {cure}")
        from gradlab.report.pictures import figure_of

        return figure_of(max(known, key=lambda both: bool(both.wrong.any())))

    def renamed(self, rename: Callable[[str], str]) -> "Report":
        """Return this report in which each function is called what `rename` makes of its name."""
        return replace(
            self,
            rows=[replace(row, node=rename(row.node)) for row in self.rows],
            explored=[replace(place, node=rename(place.node)) for place in self.explored],
            findings={rename(name): found for name, found in self.findings.items()},
            comparisons=[replace(both, node=rename(both.node)) for both in self.comparisons],
            places={rename(name): place for name, place in self.places.items()},
        )

    def raise_if_failed(self) -> None:
        """Raise `GradientError` with every failing row, if there is one."""
        __tracebackhide__ = True  # pytest shows the line that called this, and not this one
        if not self.ok:
            from gradlab.report.text import failure_text

            nothing = "nothing was checked: name at least one node or primal"
            raise GradientError(failure_text(self) or nothing, self)

    def to_dataframe(self) -> Any:
        """Return the rows as a pandas DataFrame, a column for each field of `Row`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("pandas is not installed: pip install pandas, or read Report.rows") from None
        names = [of_row.name for of_row in fields(Row)]
        return pd.DataFrame([{**vars(row), "verdict": str(row.verdict)} for row in self.rows], columns=names)

    def __repr__(self) -> str:
        from gradlab.report.overview import overview

        view = overview(self)
        return f"<gradlab.Report: {view.headline} {view.closing}>"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        from gradlab.report.notebook import cell

        return cell(self)

    def __str__(self) -> str:
        from gradlab.report.text import report_text

        return report_text(self, "simple")


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
    return Fault(
        finding.name,
        node,
        sample,
        finding.primal,
        one_line(sentence),
        finding.confidence,
        finding.evidence,
        finding.warns,
        finding.cure,
    )
