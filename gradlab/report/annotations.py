"""What is wrong in the form in which GitHub's workflows show it beside the lines of a pull request.

Source of the form: GitHub's documentation of workflow commands.
"""

from collections.abc import Iterator
from pathlib import Path

from gradlab.report._report import Report
from gradlab.report.problems import Problem, headword, problems_of
from gradlab.report.text import problem_fields
from gradlab.verdict import Verdict

LEVELS = {Verdict.WRONG: "error", Verdict.INCONCLUSIVE: "error", Verdict.WARNING: "warning"}


def annotations(report: Report) -> list[str]:
    """Return a workflow command for each problem of a report: at the line that a repair changes, or at backward."""
    return list(_annotations(report))


def _annotations(report: Report) -> Iterator[str]:
    mended = [(repair.file, repair.line) for repair in report.repairs if repair.diff]
    alone = len(report.places) <= 1
    for problem in problems_of(report):
        place = mended[0] if mended and alone else report.places.get(problem.what)
        where = "" if place is None else f"file={_property(_relative(place[0]))},line={place[1]},"
        title = _property(f"{headword(problem.verdict)}: {problem.title}")
        yield f"::{LEVELS[problem.verdict]} {where}title={title}::{_message(_told(problem))}"


def _told(problem: Problem) -> str:
    fields = problem_fields(problem)
    return "\n".join(f"{label}: {value}" for label, value in fields) or problem.reason


def _relative(file: str) -> str:
    path = Path(file)
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
