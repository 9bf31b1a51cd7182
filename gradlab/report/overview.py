"""What a reader is told of a report, whatever shows it: the verdict, what is wrong and what to change, and a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gradlab.repair import Repair
from gradlab.report.escaping import one_line
from gradlab.report.numbers import count, error_of
from gradlab.report.problems import (
    FEW,
    NUMERICAL,
    ORDER,
    Problem,
    Reported,
    headword,
    in_one_line,
    is_told,
    problems_of,
)
from gradlab.report.rows import Explored, Row
from gradlab.verdict import Verdict


@dataclass(frozen=True)
class Line:
    """A line of the table: one input of one function, the worst of all samples.

    Attributes
    ----------
    what, input : str
    error : str
        The relative error, or the bound that it lies below.
    verdict : Verdict
    reason : str
    rows : sequence of Row
        The comparisons that stand behind `error`.
    """

    what: str
    input: str
    error: str
    verdict: Verdict
    reason: str
    rows: Sequence[Row]

    def __post_init__(self) -> None:
        in_one_line(self)


@dataclass(frozen=True)
class Overview:
    """A report as a reader wants it: the verdict, what is the matter, the table, and the counts.

    Attributes
    ----------
    verdict : Verdict
        The worst of all; "inconclusive" where nothing was checked.
    headline : str
    problems : sequence of Problem
        What is wrong before what is undecided, and that before warnings.
    lines : sequence of Line
        The same way round.
    repairs : sequence of Repair
    closing : str
    """

    verdict: Verdict
    headline: str
    problems: Sequence[Problem]
    lines: Sequence[Line]
    repairs: Sequence[Repair]
    closing: str


def overview(report: Reported) -> Overview:
    """Return what a reader is told of a report."""
    worst = max((row.verdict for row in report.rows), key=ORDER.index, default=Verdict.INCONCLUSIVE)
    problems = problems_of(report)
    return Overview(
        worst,
        one_line(_headline(report, worst, problems)),
        problems,
        _lines(report.rows, problems),
        report.repairs,
        _closing(report),
    )


def _lines(rows: Sequence[Row], problems: Sequence[Problem]) -> list[Line]:
    """Return a line for each primal of each node, and one for what is wrong with a node as a whole; the worst first."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.node, row.primal), []).append(row)
    reasons: dict[tuple[str, str, Verdict], str] = {}
    # a problem of the input itself before one that shows there as well
    told = [
        (problem.input != row.primal, row, problem.reason) for problem in problems for row in problem.rows
    ]
    for _, row, reason in sorted(told, key=lambda one: one[0]):
        reasons.setdefault((row.node, row.primal, row.verdict), reason)
    of_an_input = {id(row) for problem in problems if problem.input for row in problem.rows}
    lines = []
    for (node, primal), of_primal in groups.items():
        compared = [row for row in of_primal if row.check == NUMERICAL]
        verdict = max((row.verdict for row in of_primal), key=ORDER.index)
        if not compared and verdict in (Verdict.PASS, Verdict.KINK) and _has_more(node, primal, groups):
            continue  # what is right of the whole needs no line beside those of its primals
        if not primal and all(id(row) in of_an_input for row in of_primal if is_told(row)):
            continue  # nor does what has its line with the primal whose gradient it is
        corner = "at a corner" if verdict is Verdict.KINK else ""
        reason = reasons.get((node, primal, verdict), corner)
        lines.append(Line(node, primal, error_of(compared), verdict, reason, compared))
    return sorted(lines, key=lambda line: -_rank(line.verdict))


def _rank(verdict: Verdict) -> int:
    """Return how far up a line stands; what is right keeps its order, at a kink or not."""
    return max(ORDER.index(verdict), ORDER.index(Verdict.KINK))


def _has_more(node: str, primal: str, groups: Mapping[tuple[str, str], Sequence[Row]]) -> bool:
    return any(key[0] == node and key[1] != primal for key in groups)


def _headline(report: Reported, worst: Verdict, problems: Sequence[Problem]) -> str:
    if not report.rows:
        return "Nothing was checked."
    nodes = list(dict.fromkeys(row.node for row in report.rows))
    what = nodes[0] if len(nodes) == 1 else ""
    if worst.ok:
        warnings = sum(problem.verdict is Verdict.WARNING for problem in problems)
        begin = f"All right, with {count(warnings, 'warning')}" if warnings else "All right"
        return f"{begin}: {what or f'all {len(nodes)}'} {'agrees' if what else 'agree'} with the numerical gradient."
    begin = headword(worst)
    failing = [problem for problem in problems if problem.verdict is worst]
    if not what:
        names = list(dict.fromkeys(problem.what for problem in failing))
        return f"{begin}: {len(names)} of {len(nodes)}: {_some(names)}."
    inputs = list(dict.fromkeys(problem.input for problem in failing if problem.input))
    if inputs and all(problem.input for problem in failing):
        return f"{begin}: {what}, the gradient of {_some(inputs)}."
    return f"{begin}: {what}: {failing[0].reason}." if failing else f"{begin}: {what}."


def _some(names: Sequence[str]) -> str:
    shown = list(names[:FEW])
    if len(names) > FEW:
        return f"{', '.join(shown)} and {len(names) - FEW} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _closing(report: Reported) -> str:
    nodes = len({row.node for row in report.rows})
    counts = {verdict: sum(row.verdict is verdict for row in report.rows) for verdict in ORDER}
    parts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    points, cuts = sum(len(places.derived) for places in report.explored), _cuts(report.explored)
    beyond = f" Looked at {count(points, 'other input')} as well{cuts}." if points or cuts else ""
    cut = " Interrupted: the rest was not checked." if report.interrupted else ""
    checked = f"{nodes} functions, " if nodes > 1 else ""
    return f"{checked}{count(len(report.rows), 'comparison')}: {parts or 'none'}.{beyond}{cut}"


def _cuts(explored: Iterable[Explored]) -> str:
    """Return what was not looked at, of the first sample of which anything is to be said."""
    cuts = [places.cut for places in explored if places.cut]
    more = f", and {count(len(cuts) - 1, 'other sample')} likewise" if len(cuts) > 1 else ""
    return f" ({cuts[0]}{more})" if cuts else ""
