"""What gradlab says of torch's operator database and of JAX's functions: ``python benchmarks/op_db.py``.

Every differentiable operator at its first samples, in float64 and, where it takes them, in complex128: reverse mode,
and, where the library has them, forward mode and second order; beside gradcheck, gradgradcheck and check_grads with the
same questions. Every call runs in a worker process, as it may hang or crash. ``--only torch``; a quick look with
``--limit 40``; ``--results FILE`` keeps what was reached, and it is not asked again. The exit status is 1 if a right
gradient is accused, or gradlab refuses or dies where its peer has an answer.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cost_jobs import CRASHED, KILLED, Measured
from op_db_judgements import FIRST_SIGHT, proof_of
from trust import STYLES, gathered, positive, version_of, what

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by
from gradlab.report.tables import table

LIBRARIES = {"torch": "operator", "jax": "function"}
PEERS = {"torch": "torch", "jax": "JAX"}
QUESTIONS = ("reverse mode", "forward mode", "second order")
HEADERS = (
    "", "asked", "of", "right accused", "at first sight", "faults found", "undecided", "warned", "refused", "died",
    "median", "peer",
    "its accusations", "its refusals", "its deaths", "its median",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What came of a question that was asked of one sample.

    Attributes
    ----------
    library, subject, dtype, sample, question : str
    kind : str
        right, warned, accused, undecided, refused or died.
    why : str
        Of what is not right, the first thing that was said.
    rows : sequence of dict
        Of gradlab, those that are not all right.
    seconds : float or None
    """

    library: str
    subject: str
    dtype: str
    sample: str
    question: str
    kind: str
    why: str = ""
    rows: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None

    @property
    def name(self) -> str:
        """What it is called in the report."""
        number = f" {self.sample}" if self.library == "torch" else ""
        return f"{self.subject}, {self.dtype}{number}, {self.question}"

    @property
    def unproved(self) -> Sequence[Mapping[str, Any]]:
        """The rows by which a gradient is accused that is right, for all that is known."""
        wrong = [row for row in self.rows if row["verdict"] == "wrong"]
        return [row for row in wrong if not self.proof(row)]

    def proof(self, row: Mapping[str, Any]) -> str:
        """Return the proof that a row accuses what is wrong, "" if there is none."""
        return proof_of(self.library, self.subject, self.dtype, str(row["check"]))


def answers(library: str, each: Measured, who: str) -> list[Answer]:
    """Return the answers of gradlab, or of its peer, at one sample."""
    subject, dtype = each.name.rpartition(" #")[0].rpartition(", ")[::2]
    sample = f"#{each.name.rpartition(' #')[2]}"
    found = []
    for question in QUESTIONS:
        way = f"{who}, {question}"
        if way not in each.told and way not in each.ended:
            continue
        told, ended = each.told.get(way, {}), each.ended.get(way, "")
        kind, why = kind_of(told, ended)
        rows = told.get("rows", ())
        if kind in ("accused", "undecided") and rows:
            wanted = "wrong" if kind == "accused" else "inconclusive"
            why = next((what(row) for row in rows if row["verdict"] == wanted), "no row")
        found.append(
            Answer(library, subject, dtype, sample, question, kind, why, rows, each.seconds.get(way))
        )
    return found


def kind_of(told: Mapping[str, Any], ended: str) -> tuple[str, str]:
    """Return what came of a way, and why."""
    if ended.startswith((CRASHED, KILLED)):
        return "died", ended
    if ended:
        # gradcheck and check_grads accuse by exceptions of their own
        return "accused" if ended.startswith(("GradcheckError", "AssertionError")) else "refused", ended
    if "accused" not in told:
        return "right", ""
    # a report without a row is no verdict
    kinds = (kind for kind in ("accused", "undecided", "warned") if told[kind])
    return next(kinds, "right" if told["ok"] else "undecided"), ""


def glance(found: Sequence[Measured], library: str, style: str) -> str:
    """Return a line for each dtype and question."""
    ours = [answer for each in found for answer in answers(library, each, "gradlab")]
    theirs = [answer for each in found for answer in answers(library, each, PEERS[library])]
    lines = []
    for dtype in ("float64", "complex128"):
        for question in QUESTIONS:
            some, others = (
                [a for a in them if a.dtype == dtype and a.question == question] for them in (ours, theirs)
            )
            if some:
                first = str(FIRST_SIGHT.get((library, dtype, question), ""))
                cells = list(line_of(some))
                cells.insert(3, first)
                lines.append((f"{dtype}, {question}", *cells, PEERS[library], *peer_of(others)))
    return table(HEADERS, lines, style)


def line_of(some: Sequence[Answer]) -> tuple[str, ...]:
    right = [a for a in some if a.kind == "accused" and a.unproved]
    faults = [a for a in some if a.kind == "accused" and not a.unproved]
    kinds = [a.kind for a in some]
    times = [a.seconds for a in some if a.seconds is not None]
    return (
        f"{len(some):,}",
        f"{len({a.subject for a in some})}",
        f"{len(right)}",
        f"{len(faults)}",
        *(f"{kinds.count(kind)}" for kind in ("undecided", "warned", "refused", "died")),
        seconds(median(times)) if times else "",
    )


def peer_of(others: Sequence[Answer]) -> tuple[str, ...]:
    kinds = [a.kind for a in others]
    times = [a.seconds for a in others if a.seconds is not None]
    counted = (f"{kinds.count(kind)}" for kind in ("accused", "refused", "died"))
    return (*counted, seconds(median(times)) if times else "")


def accusation_lines(ours: Sequence[Answer]) -> list[str]:
    """Return a line for each accusation, with its judgement, once for each operator, dtype and question."""
    right: dict[tuple[str, ...], list[Answer]] = {}
    faulty: dict[tuple[str, ...], list[Answer]] = {}
    for answer in ours:
        if answer.kind == "accused":
            group = right if answer.unproved else faulty
            group.setdefault((answer.subject, answer.dtype, answer.question), []).append(answer)
    lines = []
    for groups in (right, faulty):
        for those in groups.values():
            first = those[0]
            row = (first.unproved or [row for row in first.rows if row["verdict"] == "wrong"])[0]
            judged = first.proof(row) or "not judged: counts as an accusation of a right gradient"
            more = f" (and {len(those) - 1} more samples)" if len(those) > 1 else ""
            kind = "true fault: " if first.proof(row) else ""
            lines.append(f"- {first.name}: {what(row)}{more}. **{kind}{judged}**")
    return lines


def other_lines(ours: Sequence[Answer], theirs: Sequence[Answer], kinds: Sequence[str]) -> list[str]:
    """Return a line for each reason why there is no answer, and of how many the peer has one."""
    known = {(a.name) for a in theirs if a.kind in ("right", "accused")}
    reasons: dict[str, list[Answer]] = {}
    for answer in ours:
        if answer.kind in kinds:
            reasons.setdefault(f"{answer.kind}: {answer.why.replace(answer.subject, 'NAME')}", []).append(
                answer
            )
    return [
        f"- {reason}: {', '.join(a.name for a in those)}"
        f" ({sum(a.name in known for a in those)} of them have an answer from the peer)"
        for reason, those in reasons.items()
    ]


def refused_alone(ours: Sequence[Answer], theirs: Sequence[Answer]) -> list[Answer]:
    """Return what gradlab refuses, or dies of, where its peer has an answer."""
    known = {a.name for a in theirs if a.kind in ("right", "accused")}
    return [a for a in ours if a.kind in ("refused", "died") and a.name in known]


def section(library: str, found: Sequence[Measured], wanted: int, style: str) -> list[str]:
    """Return the parts of a library's section."""
    ours = [answer for each in found for answer in answers(library, each, "gradlab")]
    theirs = [answer for each in found for answer in answers(library, each, PEERS[library])]
    accused = accusation_lines(ours)
    without = other_lines(ours, theirs, ("refused", "died"))
    undecided = other_lines(ours, theirs, ("undecided",))
    raised = [f"- {each.name}: {each.raised or each.failed}" for each in found if each.raised or each.failed]
    return [
        f"## {library}",
        *([] if len(found) == wanted else [f"**Interrupted: {len(found):,} of {wanted:,} were reached.**"]),
        glance(found, library, style),
        f"### What gradlab accuses: {len(accused)}",
        "\n".join(accused) or "Nothing.",
        f"### Refused or died: {len(without)} reasons",
        "\n".join(without) or "Nothing.",
        *(["### Undecided", "\n".join(undecided)] if undecided else []),
        *(["### Not asked", "\n".join(raised)] if raised else []),
    ]


def report(sections: Mapping[str, tuple[Sequence[Measured], int]], style: str, command: str) -> str:
    """Return the page."""
    versions = {name: installed for name in LIBRARIES if (installed := version_of(name))}
    parts = [
        "# Torch's operators and JAX's functions",
        made_by(command, environment(**versions)),
        "Torch's own database of operators, each at its first 3 samples with no more than 400 elements to "
        "differentiate, and JAX's functions, of `jax.numpy`, `jax.nn`, `jax.lax` and `jax.scipy`, each at one point. "
        "Reverse mode is `check_torch` or `check_jax` with default arguments, forward mode `checks=['forward_mode']`, "
        "second order `checks=['second_derivative'], order=2`: beside `gradcheck` and `gradgradcheck` in slow mode "
        "with what the database says of an operator, and `check_grads`. Right accused: by a row whose fault nobody has "
        "proved. Refused: the check raises. Died: the process crashes, or there is no answer in time.",
    ]
    for library, (found, wanted) in sections.items():
        parts += section(library, found, wanted, style)
    return "\n\n".join(parts) + "\n"


def is_met(library: str, found: Sequence[Measured]) -> bool:
    """Return whether no right gradient is accused, and gradlab has an answer where its peer has one."""
    ours = [answer for each in found for answer in answers(library, each, "gradlab")]
    theirs = [answer for each in found for answer in answers(library, each, PEERS[library])]
    return not refused_alone(ours, theirs) and not any(a.kind == "accused" and a.unproved for a in ours)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Print what gradlab says of torch's operators and JAX's functions."
    )
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write op_db.md there")
    parser.add_argument(
        "--only", nargs="+", choices=LIBRARIES, default=list(LIBRARIES), help="these libraries"
    )
    parser.add_argument("--limit", type=positive, help="so many operators at most, evenly chosen")
    parser.add_argument("--workers", type=positive, default=1, help="so many processes check at a time")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds after which a call is ended")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="keep every result there, and go on from it"
    )
    options = parser.parse_args()
    kept = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
    sections, stopped = {}, False
    for library in options.only:
        if not stopped and version_of(library):
            found, wanted, stopped = gathered(f"op_db_{library}", library, LIBRARIES[library], options, kept)
            sections[library] = found, wanted
    only = [] if options.only == list(LIBRARIES) else ["--only", *options.only]
    limit = ["--limit", str(options.limit)] if options.limit else []
    command = " ".join(["python benchmarks/op_db.py", *only, *limit, "--output reports"])
    print(report(sections, STYLES[options.format], command), end="")
    if options.output:
        write_atomically(options.output / "op_db.md", report(sections, STYLES["markdown"], command))
    if stopped:
        return 130
    return 0 if all(is_met(library, found) for library, (found, _) in sections.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
