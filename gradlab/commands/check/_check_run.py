"""A run of ``gradlab check``: every target in a process of its own, and one report of all."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gradlab.commands.check._check_task import CheckTask, TaskOutcome
from gradlab.commands.check._process import in_process
from gradlab.report import Report
from gradlab.report.envelope import environment, to_json
from gradlab.report.files import write_atomically
from gradlab.report.tables import check_table, error_table, failures, summary
from gradlab.running.progress import with_progress


@dataclass(frozen=True)
class Checked:
    """What a run found.

    Attributes
    ----------
    report : Report
        On everything that could be checked.
    unchecked : mapping
        Of every target that could not be, the reason, which ends with the cure.
    taken : mapping
        Of every target for which something was guessed, the options that would have said so.
    asked : sequence of str
        Those of the targets that somebody named, and not a walk over a module.
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
        """Whether something was checked, and everything that somebody named."""
        return bool(self.report.rows) and not any(target in self.unchecked for target in self.asked)

    @property
    def wrong(self) -> bool:
        """Whether a gradient is wrong, or could not be decided."""
        return bool(self.report.rows) and not self.report.ok

    @property
    def ok(self) -> bool:
        """Whether all is right."""
        return self.report.ok and self.complete

    def unchecked_lines(self) -> list[str]:
        """Return a line for every target that could not be checked."""
        return [f"{target}: {reason}" for target, reason in self.unchecked.items()]

    def to_table(self, style: str) -> str:
        """Return the error table, the failures, what was guessed and what could not be checked."""
        return "\n\n".join([summary(self.report, style), *self.remarks(style)])

    def remarks(self, style: str) -> list[str]:
        """Return what was guessed and what could not be checked, a paragraph each."""
        guessed = [f"{target} {options}" for target, options in self.taken.items()]
        # markdown takes a line for a part of the one before it, unless a list begins
        gap, bullet = ("\n\n", "- ") if style == "github" else ("\n", "")
        said = {
            "Guessed, where nothing was said (give what is meant instead):": guessed,
            "Not checked:": self.unchecked_lines(),
        }
        return [
            title + gap + "\n".join(bullet + line for line in lines) for title, lines in said.items() if lines
        ]

    def to_json(self) -> str:
        """Return the envelope; what the mistakes are, and what was guessed and not checked, is in its environment."""
        more = {
            "mistakes": [asdict(fault) for fault in self.report.faults if fault.confidence],
            "explored": [asdict(places) for places in self.report.explored],
            "guessed": dict(self.taken),
            "unchecked": dict(self.unchecked),
        }
        present = {key: value for key, value in more.items() if value}
        rows = [asdict(row) for row in self.report.rows]
        return to_json(self.ok, rows, {**self.report.environment, **present})


def check(targets: Sequence[str], task: CheckTask, *, every: bool = False, progress: bool = False) -> Checked:
    """Check objects by their names, each in a process of its own.

    Parameters
    ----------
    targets : sequence of str
        ``MODULE:OBJECT``, or, with `every`, modules.
    task : CheckTask
        What is asked of each of them.
    every : bool
        Whether to check all layer classes of the modules.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.

    Returns
    -------
    Checked
        After Ctrl-C on what was reached.
    """
    pending = deque(replace(task, target=target, every=every) for target in dict.fromkeys(targets))
    asked = [t.target for t in pending]
    done: dict[str, TaskOutcome] = {}
    interrupted = False
    try:
        for now in with_progress(_each(pending), progress, "object"):
            outcome = done[now.target] = in_process(now)
            parts = [replace(now, target=name, every=False, part=True) for name in outcome.parts]
            asked += [] if every else outcome.parts
            pending.extendleft(t for t in reversed(parts) if t.target not in done)
    except KeyboardInterrupt:
        interrupted = True
    return _checked(done, asked, task.seed, interrupted)


def _each(pending: deque[CheckTask]) -> Iterator[CheckTask]:
    while pending:
        yield pending.popleft()


def _checked(done: Mapping[str, TaskOutcome], asked: Sequence[str], seed: int, interrupted: bool) -> Checked:
    reports = [outcome.report for outcome in done.values() if outcome.report]
    report = Report(
        [row for part in reports for row in part.rows],
        environment(seed=seed),
        interrupted,
        [place for part in reports for place in part.explored],
        {name: found for part in reports for name, found in part.findings.items()},
    )
    unchecked = {target: outcome.unusable for target, outcome in done.items() if outcome.unusable}
    taken = {target: outcome.taken for target, outcome in done.items() if outcome.taken}
    return Checked(report, unchecked, taken, asked)


def write_page(checked: Checked, folder: Path, made_by: str) -> list[Path]:
    """Write check.md into `folder`, whole or not at all; return its path in a list."""
    verdict = "all right" if checked.ok else "not all right" if checked.wrong else "not all could be checked"
    parts = [
        "# Other people's gradients",
        made_by,
        f"Verdict: **{verdict}**."
        + (" Interrupted: the rest was not checked." if checked.interrupted else ""),
        failures(checked.report, "github"),
        *checked.remarks("github"),
        "## What each check concluded",
        check_table(checked.report, "github"),
        "## Every comparison",
        error_table(checked.report, "github"),
    ]
    path = folder / "check.md"
    write_atomically(path, "\n\n".join(filter(None, parts)) + "\n")
    return [path]
