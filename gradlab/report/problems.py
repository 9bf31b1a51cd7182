"""What is wrong, undecided or warned of in a report: each cause once, in the books' words."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from gradlab.checks.trial import BEYOND
from gradlab.repair import Repair
from gradlab.report.comparison import Comparison, index_text
from gradlab.report.escaping import one_line
from gradlab.report.numbers import number, short
from gradlab.report.plain_words import MISTAKES, check_words, plain
from gradlab.report.rows import Explored, Fault, Row
from gradlab.verdict import Verdict

# From the best to the worst.
ORDER = [Verdict.PASS, Verdict.KINK, Verdict.WARNING, Verdict.INCONCLUSIVE, Verdict.WRONG]
NUMERICAL = "matches_numerical"
# Checks that fail wherever the values of a gradient are wrong.
OF_WRONG_VALUES = ("complex_step_agrees", "hessian_is_symmetric", "samples_can_fail")
# What stands in a note before the Python of other primals than the given ones.
ELSEWHERE = "not at the given primals, but at others: "
# A check that fails as well where an argument is written into, and the name of that mistake.
OF_WRITING = ("repeatable", "mutates-argument")
# The names that a headline has room for.
FEW = 4


class Reported(Protocol):
    """What is read of a `gradlab.Report`."""

    @property
    def rows(self) -> Sequence[Row]:
        """A row for each comparison."""

    @property
    def faults(self) -> Sequence[Fault]:
        """The likeliest mistakes, and every row that shows one."""

    @property
    def explored(self) -> Sequence[Explored]:
        """Where was looked beyond the samples."""

    @property
    def repairs(self) -> Sequence[Repair]:
        """Changes of the source that mend what is wrong."""

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """Both gradients, element by element."""

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run."""


def in_one_line(told: Any) -> None:
    """Make one line of each text of a dataclass: what a function is called, and what it raises, may be anything."""
    for field in fields(told):
        value = getattr(told, field.name)
        if type(value) is str:
            object.__setattr__(told, field.name, one_line(value))


@dataclass(frozen=True)
class Problem:
    """One cause of failing, or of a warning, told once.

    Attributes
    ----------
    verdict : Verdict
    what, input : str
        The function, and the input whose gradient it is; the latter is empty where it is the function as a whole.
    reason : str
        What is the matter, in a few words.
    where : str
        The worst element, with both numbers; empty where no numbers were compared.
    region : str
        Which elements are wrong, where that is known of all.
    seen : str
        What was seen: the evidence for a named mistake, or what the check says.
    cure : str
        What to change; empty where `seen` ends with it, or nobody knows.
    python : str
        The input that shows it, as Python, where it is not the given one.
    rows : sequence of Row
        The rows that show it, the first before all.
    fault : Fault or None
        The mistake that explains it.
    """

    verdict: Verdict
    what: str
    input: str
    reason: str
    where: str
    region: str
    seen: str
    cure: str
    python: str
    rows: Sequence[Row]
    fault: Fault | None = None

    def __post_init__(self) -> None:
        in_one_line(self)

    @property
    def title(self) -> str:
        """What it is about."""
        return f"{self.what}, gradient of {self.input}" if self.input else self.what

    @property
    def title_line(self) -> str:
        """The verdict, and what it is about."""
        return f"{headword(self.verdict)}: {self.title}"

    @property
    def details(self) -> list[tuple[str, str]]:
        """What the first moment does not need: checks, samples, bounds, and the names of mistakes."""
        first = self.rows[0]
        samples = list(dict.fromkeys(row.sample for row in self.rows))
        more = f" and {len(samples) - FEW} more" if len(samples) > FEW else ""
        known = [
            ("check", ", ".join(dict.fromkeys(row.check for row in self.rows))),
            ("sample", "; ".join(samples[:FEW]) + more),
            ("error", _errors_text(first)),
            ("note", plain(first.note.partition(ELSEWHERE)[0].removesuffix("; "))),
        ]
        return [(name, value) for name, value in known if value]


def problems_of(report: Reported) -> list[Problem]:
    """Return what is wrong, undecided or warned of in a report, each cause once."""
    rows = list(filter(is_told, report.rows))
    # a diagnosis that was cut off has evidence, and no confidence
    named = [fault for fault in report.faults if fault.evidence]
    causes: dict[tuple[object, ...], tuple[list[Row], Fault | None]] = {}
    for first, others in by_reason(rows):
        fault = _fault_of(first, named)
        alone = (first.primal, first.check, first.note if first.analytic is None else "")
        key = (first.node, first.verdict.ok, *((fault.name, fault.primal) if fault else alone))
        known, _ = causes.setdefault(key, ([], fault))
        known += [first, *others]
    problems = [_problem(rows, fault, report.comparisons) for rows, fault in causes.values()]
    return sorted(problems, key=lambda problem: -ORDER.index(problem.verdict))


def _fault_of(row: Row, named: Sequence[Fault]) -> Fault | None:
    """Return the mistake that explains a row: of its own primal's gradient, or of the function as a whole."""
    of_node = [fault for fault in named if fault.node == row.node and fault.warns == row.verdict.ok]
    if row.analytic is None:
        # a check that says in words what is the matter is explained by these words, or by a mistake of the whole
        said = [fault for fault in of_node if fault.evidence in row.note]
        # a gradient that cannot be compared at all, and another answer after an argument was written into
        causes = [f for f in of_node if row.check == NUMERICAL or (row.check, f.name) == OF_WRITING]
        return next(iter(said + causes), None)
    if row.verdict.ok:
        return None  # values that may well be right have no mistake
    own = [fault for fault in of_node if fault.primal == row.primal]
    whole = [fault for fault in of_node if not fault.primal or not row.primal]
    return next(iter(own + whole), None)


def _problem(rows: Sequence[Row], fault: Fault | None, comparisons: Sequence[Comparison]) -> Problem:
    # the row of numbers says where, whichever check came first
    first = next((row for row in rows if row.check == NUMERICAL), rows[0])
    primal = fault.primal if fault and fault.primal else first.primal
    ordered = [first, *(row for row in rows if row is not first)]
    how_read = f"gradient of {first.primal}: "  # so an adapter says where it found the gradient
    note, _, python = first.note.partition(ELSEWHERE)
    python = python.partition(f"; {how_read}")[0]
    note = plain(note).removesuffix("; ")
    told = "; ".join(part for part in note.split("; ") if not part.startswith(how_read))
    if told.rstrip().endswith(plain(BEYOND).strip()):
        told = "at your input it is right, and nobody has said that it is meant for this one"
    if fault:
        reason, cure = MISTAKES.get(fault.name, fault.name), plain(fault.cure)
        # where numbers were compared, a note adds to what the diagnosis saw, unless it is what that was told from
        evidence = plain(fault.evidence)
        adds = first.analytic is not None and not told.startswith(evidence)
        seen = "; ".join(filter(None, [evidence, told if adds else ""]))
        if fault.name in ("stale-residuals", "mutates-argument") or not fault.primal:
            primal = "" if len({row.primal for row in rows}) > 1 else primal
    else:
        reason, seen, cure = check_words(first.check), told, ""
        if "raised " in note:
            reason = "raises an error"
        if first.verdict is Verdict.INCONCLUSIVE:
            reason = "cannot be decided here"
        elif first.verdict is Verdict.WARNING and first.analytic is not None:
            reason = "another at other inputs" if first.check == NUMERICAL else f"{reason}, elsewhere"
    return Problem(
        first.verdict,
        first.node,
        primal,
        reason,
        _where(first),
        _region(first, comparisons),
        seen,
        cure,
        python,
        ordered,
        fault,
    )


def _errors_text(row: Row) -> str:
    if row.relative_error is None or row.absolute_error is None:
        return ""
    return f"{short(row.relative_error)} relative, {number(row.absolute_error)} absolute"


def _where(row: Row) -> str:
    if row.analytic is None or row.numerical is None:
        return ""
    place = f"at {row.primal}{index_text(row.worst_index)} " if row.worst_index else ""
    how = row.sample.partition(", ")[2] if ELSEWHERE in row.note else ""
    at = f", for your input, {plain(how)}" if how else ""
    bound = f" +- {row.reference_error:.1g}" if row.reference_error else ""
    return f"{place}backprop gives {row.analytic:.6g}, numerical {row.numerical:.6g}{bound}{at}"


def _region(row: Row, comparisons: Sequence[Comparison]) -> str:
    at = (row.node, row.sample, row.primal)
    found = next((both for both in comparisons if (both.node, both.sample, both.primal) == at), None)
    return found.region if found and row.check == NUMERICAL else ""


def by_reason(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Return each row with those that follow and fail at the same place for the same reason.

    That is told in the same words; or it is a gradient whose values are wrong, which then is that of no function, and
    differs from what the complex step gives; or an argument that is written into, which then must be writeable.
    """
    found: dict[tuple[str, ...], tuple[Row, list[Row]]] = {}
    wrong: dict[tuple[str, ...], tuple[str, ...]] = {}
    writes = {(row.node, row.sample): row for row in rows if _writes(row)}
    for i, row in enumerate(rows):
        same = row.note if row.analytic is None and row.note else str(i)
        key: tuple[str, ...] = (row.node, row.sample, same)
        if row.check == NUMERICAL and row.verdict is Verdict.WRONG:
            wrong.setdefault(key[:2], key)
        elif row.check in OF_WRONG_VALUES and row.verdict is Verdict.WRONG:
            key = wrong.get(key[:2], key)
        elif (by := writes.get((row.node, row.sample))) and (row is by or _is_of_writing(row)):
            key = (row.node, row.sample, "writes into an argument")
            found.setdefault(key, (by, []))
            if row is by:
                continue
        if key in found:
            found[key][1].append(row)
        else:
            found[key] = (row, [])
    return list(found.values())


def _writes(row: Row) -> bool:
    return row.check == "leaves_arguments_unchanged" and not row.note.startswith("raised ")


def _is_of_writing(row: Row) -> bool:
    """Return whether a row tells what comes of writing into an argument: it must be writeable, and is handed back."""
    if row.check == "owns_its_memory":
        return "shares memory with the cotangent" in row.note
    return row.check == "any_layout" and "read-only" in row.note


def is_told(row: Row) -> bool:
    """Return whether a problem tells of a row."""
    return not row.verdict.ok or row.verdict is Verdict.WARNING


def headword(verdict: Verdict) -> str:
    """Return the word that a reader must not miss."""
    return {Verdict.WRONG: "WRONG", Verdict.INCONCLUSIVE: "UNDECIDED", Verdict.WARNING: "Warning"}.get(
        verdict, "All right"
    )
