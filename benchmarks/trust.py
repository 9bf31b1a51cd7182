"""What gradlab says of gradients that its authors did not write: ``python benchmarks/trust.py --output reports``.

With ``pip install '.[bench]' statsmodels scikit-learn``. Two sections, each alone with ``--only``: torch's operators
beside gradcheck (``operators``), and gradients that SciPy, statsmodels, scikit-learn and JAX derive, beside the checks
of SciPy and JAX (``libraries``); a quick look with ``--limit 40``. Every check runs in a worker process, as it may
hang or crash. Ctrl-C writes what was reached; ``--results FILE`` keeps it, and what stands there is not asked again.
The exit status is 1 if a right gradient is accused, or a check dies.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from cost_jobs import CRASHED, GRADLAB, KILLED, Measured, cut, measure
from trust_judgements import NONE, WITHOUT_TRUTH, proof_of_operator, proof_of_pair

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by
from gradlab.report.tables import table

STYLES = {"table": "simple", "markdown": "github"}
UNITS = {"operators": "sample", "libraries": "pair"}
TITLES = {"operators": "Torch's operators", "libraries": "Libraries"}
PEERS = {
    "operators": ("gradcheck, slow", "gradcheck, fast"),
    "libraries": ("scipy.optimize.check_grad", "jax.test_util.check_grads"),
}
PACKAGES = ("torch", "statsmodels", "scikit-learn", "jax")
KEPT_EVERY = 50  # results
# Checks that warn of values, not of habits, and what stands in a warning where backward refuses the primals.
OF_VALUES = ("matches_numerical", "linear_in_cotangent", "second_derivative", "saves_for_backward")
REFUSED = "raised "
HEADERS = (
    "", "gradients", "right accused", "of these beyond", "faults found", "undecided", "warned", "refused", "died",
    "median",
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """What was told of a kind of gradients, and how much of it there is."""

    name: str
    found: Sequence[Measured]
    wanted: int

    def proof(self, each: Measured, row: Mapping[str, Any] | None = None) -> str:
        """Return the proof that a gradient is at fault, in what a row says or at all; "" if there is none."""
        if self.name == "libraries":
            return proof_of_pair(each.name, beyond=row is not None and is_beyond([row]))
        return proof_of_operator(subject(each), row["check"] if row else None)

    def has_truth(self, each: Measured) -> bool:
        """Return whether a gradient can be right or wrong."""
        return self.name == "libraries" or subject(each) not in WITHOUT_TRUTH


def subject(each: Measured) -> str:
    """Return the operator of a sample, or the name of a pair."""
    return each.name.rpartition(" #")[0] or each.name


def is_asked(each: Measured, way: str) -> bool:
    return way in each.told or way in each.ended


def verdict_of(each: Measured, way: str) -> str:
    """Return what came of a check: right, warned, accused, undecided, refused, or died."""
    why = each.ended.get(way, "")
    if why.startswith((CRASHED, KILLED)):
        return "died"
    if why:
        # gradcheck accuses by an exception of its own
        return "accused" if why.startswith("GradcheckError") else "refused"
    told = each.told[way]
    if way != GRADLAB:
        return "right" if told["ok"] else "accused"
    # a report without a row is no verdict
    kinds = (kind for kind in ("accused", "undecided", "warned") if told[kind])
    return next(kinds, "right" if told["ok"] else "undecided")


def wrong_rows(each: Measured) -> list[Mapping[str, Any]]:
    """Return the rows by which gradlab accuses a gradient."""
    return [row for row in each.told.get(GRADLAB, {}).get("rows", ()) if row["verdict"] == "wrong"]


def unproved_rows(section: Section, each: Measured) -> list[Mapping[str, Any]]:
    """Return the rows by which gradlab accuses a gradient of what nobody has proved."""
    return [row for row in wrong_rows(each) if not section.proof(each, row)]


def accuses_right(section: Section, each: Measured, way: str) -> bool:
    """Return whether a check accuses a gradient that is right, for all that is known."""
    if verdict_of(each, way) != "accused" or not section.has_truth(each):
        return False
    return bool(unproved_rows(section, each)) if way == GRADLAB else not section.proof(each)


def is_beyond(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether none of the rows is at the given point itself."""
    return all(row["sample"] != "given" for row in rows)


def glance(sections: Sequence[Section], style: str) -> str:
    """Return the comparison at a glance: a line for each check of each kind of gradients."""
    lines = []
    for section in sections:
        faulty = [each for each in section.found if is_faulty(section, each)]
        for way in (GRADLAB, *PEERS[section.name]):
            asked = [each for each in section.found if is_asked(each, way)]
            if not asked:
                continue
            accused = [each for each in asked if accuses_right(section, each, way)]
            beyond = [each for each in accused if is_beyond(unproved_rows(section, each))]
            known = [each for each in faulty if is_asked(each, way)]
            times = [each.seconds[way] for each in asked if way in each.seconds]
            kinds = [verdict_of(each, way) for each in asked]
            kinds += ["died" for each in asked if way == GRADLAB and each.damaged_by]
            lines.append(
                (
                    f"{way}, {section.name}" if way == GRADLAB else way,
                    f"{len(asked):,}",
                    f"{len(accused)}",
                    f"{len(beyond)}" if way == GRADLAB else "",
                    f"{sum(verdict_of(each, way) == 'accused' for each in known)} of {len(known)}",
                    *(f"{kinds.count(kind)}" for kind in ("undecided", "warned", "refused", "died")),
                    seconds(median(times)) if times else "",
                )
            )
    return table(HEADERS, lines, style)


def is_faulty(section: Section, each: Measured) -> bool:
    """Return whether a gradient is known to be at fault: of an operator, where somebody sees it at this sample."""
    if section.name == "libraries":
        return bool(section.proof(each))
    if rows := wrong_rows(each):
        return any(section.proof(each, row) for row in rows)
    peers = [way for way in PEERS[section.name] if is_asked(each, way)]
    return bool(section.proof(each)) and any(verdict_of(each, way) == "accused" for way in peers)


def accusation_lines(section: Section) -> list[str]:
    """Return a line for each accusation of gradlab, with the judgement; those of right gradients come first."""
    right: list[str] = []
    faulty: list[str] = []
    told: set[str] = set()
    for each in section.found:
        rows = wrong_rows(each)
        if not rows:
            continue
        unproved = unproved_rows(section, each) if section.has_truth(each) else []
        row = (unproved or rows)[0]
        proof = "" if unproved else section.proof(each, row)
        # what is proved of an operator once is not said again of its other samples
        judged = "true fault, as above" if proof in told else f"true fault: {proof}"
        told.add(proof)
        if not proof:
            judged = NONE if unproved else WITHOUT_TRUTH[subject(each)]
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        (right if unproved else faulty).append(f"- {each.name}: {what(row)}{more}. **{judged}**")
    return [*right, *faulty]


def what(row: Mapping[str, Any]) -> str:
    """Return what a row found, and where."""
    place = ", ".join(filter(None, [row["sample"], row["primal"]]))
    if row["analytic"] is None or row["numerical"] is None:
        return cut(f"{row['check']} [{place}]: {row['note']}")
    index = ", ".join(map(str, row["worst_index"] or ()))
    values = f"analytic {row['analytic']:.6g}, numerical {row['numerical']:.6g}"
    return cut("; ".join(filter(None, [f"{row['check']} [{place}] at ({index}): {values}", row["note"]])))


def other_lines(section: Section) -> list[str]:
    """Return a line for each reason why gradlab has no answer, with all the gradients of which it has none."""
    reasons: dict[str, list[str]] = {}
    for each in section.found:
        if each.damaged_by:
            told = f"died: after {each.damaged_by}, in a peer's check that a fresh process survives"
            reasons.setdefault(told, []).append(each.name)
        kind = verdict_of(each, GRADLAB) if is_asked(each, GRADLAB) else ""
        if kind in ("refused", "died"):
            why = each.ended[GRADLAB].replace(subject(each), "NAME")
            reasons.setdefault(f"{kind}: {why}", []).append(each.name)
        elif kind == "undecided":
            rows = [row for row in each.told[GRADLAB]["rows"] if row["verdict"] == "inconclusive"]
            reasons.setdefault(f"undecided: {what(rows[0]) if rows else 'no row'}", []).append(each.name)
        elif each.failed or each.raised:
            reasons.setdefault(f"not asked: {each.failed or each.raised}", []).append(each.name)
    return [f"- {reason}: {', '.join(names)}" for reason, names in reasons.items()]


def warning_lines(section: Section) -> list[str]:
    """Return a line for each check of each operator or pair that warns of a value, mostly beyond the point."""
    first: dict[tuple[str, str], str] = {}
    for each in section.found:
        for row in each.told.get(GRADLAB, {}).get("rows", ()):
            if row["verdict"] == "warning" and row["check"] in OF_VALUES and REFUSED not in row["note"]:
                first.setdefault((subject(each), row["check"]), f"- {each.name}: {what(row)}")
    return list(first.values())


def missed_lines(section: Section) -> list[str]:
    """Return a line for each known fault that gradlab does not see."""
    return [
        f"- {each.name}: {verdict_of(each, GRADLAB)}, {section.proof(each)}"
        for each in section.found
        if is_faulty(section, each) and is_asked(each, GRADLAB) and verdict_of(each, GRADLAB) != "accused"
    ]


def about(section: Section) -> str:
    """Return what the gradients of a section are, and who is asked."""
    reached = f"{len(section.found):,} of {section.wanted:,}"
    rest = "" if len(section.found) == section.wanted else f" **Interrupted: {reached} were reached.**"
    if section.name == "operators":
        if not version_of("torch"):
            return "torch is not installed: this section is left out."
        from trust_operators import ELEMENTS, SAMPLES

        count = len({subject(each) for each in section.found})
        return (
            f"Torch's own database of operators, in float64 on the CPU: of {count} operators the first {SAMPLES} "
            f"samples at most with no more than {ELEMENTS} elements to differentiate, each as a function of its "
            "differentiable tensors. `check_torch` with default arguments, beside `gradcheck` with its own, but for "
            "batched gradients, which are left out, and the tolerance that the database has for operators that are not "
            f"deterministic.{rest}"
        )
    from trust_libraries import LIBRARIES as KNOWN
    from trust_libraries import TOO_MUCH, built, installed

    missing = [library for library in KNOWN if library not in installed()]
    left_out = f" Not installed, and left out: {', '.join(missing)}." if missing else ""
    if stopped := built()[1]:
        left_out += f" Broken off, as the library has something else there: {', '.join(stopped)}."
    return (
        "Functions of SciPy, statsmodels, scikit-learn and JAX with the gradients, Jacobians and Hessians that the "
        "libraries have for them, called as they stand there. `check_gradient`, `check_jacobian` and `check_jax` with "
        "default arguments, beside SciPy's `check_grad`, which accuses where its error is above "
        f"{TOO_MUCH:g} of the gradient's norm, or of 1 if that is larger, and JAX's `check_grads` in reverse mode."
        f"{left_out}{rest}"
    )


def page_of(section: Section) -> list[str]:
    """Return the parts of a section of the page, below the glance."""
    accused, missed = accusation_lines(section), missed_lines(section)
    warned, others = warning_lines(section), other_lines(section)
    return [
        f"## {TITLES[section.name]}",
        about(section),
        f"### What gradlab accuses: {len(accused)}",
        "\n".join(accused) or "Nothing.",
        *(["### Known faults that gradlab does not see", "\n".join(missed)] if missed else []),
        *(["### Without an answer", "\n".join(others)] if others else []),
        *(["### What gradlab warns of, the first of each", "\n".join(warned)] if warned else []),
    ]


def collect(name: str, options: argparse.Namespace, kept: dict[str, dict[str, Any]]) -> tuple[Section, bool]:
    """Return a section, as far as it was reached, and whether Ctrl-C ended it; add its results to those kept."""
    if name == "operators" and not version_of("torch"):
        return Section(name, [], 0), False
    found, wanted, stopped = gathered(f"trust_{name}", name, UNITS[name], options, kept)
    return Section(name, found, wanted), stopped


def gathered(
    module: str, name: str, unit: str, options: argparse.Namespace, kept: dict[str, dict[str, Any]]
) -> tuple[list[Measured], int, bool]:
    """Return the results of a module's jobs, how many were wanted, and whether Ctrl-C ended it; add to those kept."""
    names = import_module(module).names(options.limit)
    results = kept.setdefault(name, {})
    missing = [job for job in names if job not in results]
    stopped = False
    try:
        told = measure(module, missing, options.patience, unit, options.workers, apart=True)
        with closing(told):
            for each in told:
                results[each.name] = asdict(each)
                if options.results and len(results) % KEPT_EVERY == 0:
                    keep(options.results, kept)
    except KeyboardInterrupt:
        stopped = True
    finally:
        if options.results:
            keep(options.results, kept)
    reached = [Measured(**results[job]) for job in names if job in results]
    # an operator may have fewer samples than are asked for, or take no complex numbers
    found = [each for each in reached if each.elements or each.failed or each.raised]
    return found, len(found) + len(names) - len(reached), stopped


def keep(path: Path, kept: Mapping[str, Mapping[str, Any]]) -> None:
    """Write every result to a file, the whole of it or nothing."""
    write_atomically(path, json.dumps(kept) + "\n")


def report(sections: Sequence[Section], style: str, command: str) -> str:
    """Return the page."""
    versions = {name: installed for name in PACKAGES if (installed := version_of(name))}
    parts = [
        "# What gradlab says of gradients that others wrote",
        made_by(command, environment(**versions)),
        "Right accused: gradients whose fault nobody has proved, and that a check calls wrong all the same; beyond are "
        "those of which it says so at other points than the given one alone. Faults found: of the gradients that are "
        "proved to be wrong. Refused: the check raises. Died: the process crashes, or there is no answer in time; if "
        "it crashes in a peer's check that a fresh process survives, gradlab's check before that counts.",
        glance(sections, style),
        *(part for section in sections for part in page_of(section)),
    ]
    return "\n\n".join(parts) + "\n"


def version_of(package: str) -> str:
    """Return the version of a package; "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def is_trusted(section: Section) -> bool:
    """Return whether gradlab accuses no right gradient, and never dies."""
    asked = [each for each in section.found if is_asked(each, GRADLAB)]
    died = any(verdict_of(each, GRADLAB) == "died" or each.damaged_by for each in asked)
    return not died and not any(accuses_right(section, each, GRADLAB) for each in asked)


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description="Print what gradlab says of gradients that others wrote.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write trust.md there")
    parser.add_argument("--only", nargs="+", choices=UNITS, default=list(UNITS), help="these sections")
    parser.add_argument("--limit", type=positive, help="so many operators and pairs at most, evenly chosen")
    parser.add_argument("--workers", type=positive, default=1, help="so many processes check at a time")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds after which a check is ended")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="keep every result there, and go on from it"
    )
    options = parser.parse_args()
    kept = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
    sections, stopped = [], False
    for name in options.only:
        if not stopped:
            section, stopped = collect(name, options, kept)
            sections.append(section)
    command = " ".join(["python benchmarks/trust.py", *sys.argv[1:]])
    print(report(sections, STYLES[options.format], command), end="")
    if options.output:
        write_atomically(options.output / "trust.md", report(sections, STYLES["markdown"], command))
    if stopped:
        return 130
    return 0 if all(map(is_trusted, sections)) else 1


if __name__ == "__main__":
    sys.exit(main())
