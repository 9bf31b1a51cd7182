"""The report on all targets of ``gradlab check``: its table, its JSON and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gradlab.report import Report
from gradlab.report.envelope import to_json
from gradlab.report.escaping import markdown, one_line
from gradlab.report.files import place_of, write_atomically
from gradlab.report.pages import made_by
from gradlab.report.tables import check_table, error_table
from gradlab.report.text import failure_text, report_text


@dataclass(frozen=True)
class TargetsReport:
    """What was found of each target.

    Attributes
    ----------
    report : Report
        On all targets that could be checked.
    unchecked : mapping
        For each target that could not be checked, the reason, which ends with the cure.
    taken : mapping
        For each target of which something was guessed, the options that would have said so.
    asked : sequence of str
        The targets that the user named; a walk over a module adds others.
    """

    report: Report
    unchecked: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    asked: Sequence[str] = ()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""
        return self.report.interrupted

    @property
    def complete(self) -> bool:
        """Whether something was checked, and with it every target that the user named."""
        return bool(self.report.rows) and not any(target in self.unchecked for target in self.asked)

    @property
    def wrong(self) -> bool:
        """Whether a gradient is wrong, or could not be decided."""
        return bool(self.report.rows) and not self.report.ok

    @property
    def ok(self) -> bool:
        """Whether the report is complete and every gradient is right."""
        return self.report.ok and self.complete

    def unchecked_lines(self) -> list[str]:
        """Return a line for every target that could not be checked."""
        return [one_line(f"{target}: {reason}") for target, reason in self.unchecked.items()]

    def to_table(self, style: str, *, verbose: bool = False, timings: bool = False) -> str:
        """Return the report as text, then what was guessed and what could not be checked."""
        text = report_text(self.report, style, verbose=verbose, timings=timings)
        return "\n\n".join([text, *self.remarks(style)])

    def remarks(self, style: str) -> list[str]:
        """Return a paragraph on what was guessed, and one on what could not be checked; neither where it is empty."""
        guessed = [one_line(f"{target} {options}") for target, options in self.taken.items()]
        # markdown takes a line for a part of the one before it, unless a list begins
        gap, bullet = ("\n\n", "- ") if style == "github" else ("\n", "")
        said = {
            "Guessed, where nothing was said (give what is meant instead):": guessed,
            "Not checked:": self.unchecked_lines(),
        }
        return [
            title + gap + "\n".join(bullet + (markdown(line) if bullet else line) for line in lines)
            for title, lines in said.items()
            if lines
        ]

    def to_json(self) -> str:
        """Return the envelope; its environment holds the mistakes, what was guessed and what was not checked."""
        more = {
            "mistakes": [asdict(fault) for fault in self.report.faults if fault.confidence],
            "explored": [asdict(places) for places in self.report.explored],
            "repairs": [repair.told() for repair in self.report.repairs],
            "guessed": dict(self.taken),
            "unchecked": dict(self.unchecked),
        }
        present = {key: value for key, value in more.items() if value}
        rows = [asdict(row) for row in self.report.rows]
        return to_json(self.ok, rows, {**self.report.environment, **present})


def write_page(found: TargetsReport, folder: Path, command: str) -> list[Path]:
    """Write check.md into `folder`, whole or not at all; return its path in a list."""
    verdict = "all right" if found.ok else "not all right" if found.wrong else "not all could be checked"
    parts = [
        "# Other people's gradients",
        made_by(command, found.report.environment),
        f"Verdict: **{verdict}**." + (" Interrupted: the rest was not checked." if found.interrupted else ""),
        failure_text(found.report, "github"),
        *found.remarks("github"),
        "## What each check concluded",
        check_table(found.report, "github"),
        "## Every comparison",
        error_table(found.report, "github"),
    ]
    path = place_of(folder / "check.md", found.interrupted)
    write_atomically(path, "\n\n".join(filter(None, parts)) + "\n")
    return [path]
