"""Functions of torch and JAX, right and wrong, row by row: ``python benchmarks/frameworks.py --output reports``.

Written apart from the checks, by people who had not read them. Each is checked by one call; a wrong one is to be
rejected, a right one is not. Beside the figures of this run stand those of the first sight, and what the frameworks'
own checkers say.
"""

import argparse
import importlib
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from inspect import signature
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by
from gradlab.report.tables import table

CORPUS = Path(__file__).parents[1] / "tests" / "corpora" / "frameworks"
FIRST_SIGHT = json.loads((CORPUS / "first_sight.json").read_text(encoding="utf-8"))
STORY = """Functions by row of what there is to be asked, wrong in just that and right in every respect, written by
people who had not read the checks; each truth was proved by means of their own. One call each, with the defaults, but
for `order=`, `intended=` and `transforms=`. What is wrong in another shape or rank than the given one alone is warned
of, and a backward that solves to a tolerance is undecided, with the line that settles it. The first sight of a row was
taken before anybody who mends had seen an entry of it: wrong ones rejected, right ones passed."""
KERNELS = """Ten kinds of fused kernel beside an eager reference, in each of the precisions that the author speaks of:
right ones, which stay within twice the reference's error and one ulp, some of them better than it; wrong ones by their
mathematics, and by summing in too few bits. Counted are pairs of a kernel and a precision."""
# What is asked for beside the defaults, in each row.
ASKED: dict[str, dict[str, Any]] = {
    "second order": {"order": 2},
    "third order": {"order": 3},
    "transforms": {"transforms": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", help="(default: all)")
    parser.add_argument("--framework", choices=["torch", "jax"], help="(default: both)")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write what was said there, and ask nothing that stands there",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write frameworks.md there")
    args = parser.parse_args()
    style = "github" if args.output else "simple"
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    sections, told = [], {}
    kernels = {}
    for framework in [args.framework] if args.framework else ["torch", "jax"]:
        # fresh: what a corpus sets in its framework stays in its process
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            there = known.get(framework, {})
            found = pool.submit(outcomes, framework, args.rows, there).result()
            kernels[framework] = {} if args.rows else pool.submit(kernel_outcomes, framework, there).result()
        told[framework] = found | kernels[framework]
        sections.append(section(framework, found, style))
    if not args.rows:
        sections.append(kernel_section(kernels, style))
    text = "\n\n".join(sections)
    if args.json:
        write_atomically(args.json, json.dumps(told, indent=1) + "\n")
    if args.output:
        only = f"--framework {args.framework} " if args.framework else ""
        command = f"python benchmarks/frameworks.py {only}--output reports"
        page = f"# Functions of torch and JAX\n\n{made_by(command, environment())}\n\n{text}\n"
        write_atomically(args.output / "frameworks.md", page)
    print(text)


def outcomes(
    framework: str, rows: list[str] | None, known: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what is said of each entry of a framework, by name; what is known is not asked again."""
    import gradlab

    warnings.simplefilter("ignore")
    check = {"torch": gradlab.check_torch, "jax": gradlab.check_jax}[framework]
    return {
        entry.name: known.get(entry.name) or _outcome(check, entry)
        for entry in entries(framework)
        if rows is None or entry.row in rows
    }


def entries(framework: str) -> Iterator[Any]:
    for path in sorted((CORPUS / f"{framework}_rows").glob("*.py")):
        yield from importlib.import_module(f"tests.corpora.frameworks.{framework}_rows.{path.stem}").ENTRIES


def _outcome(check: Any, entry: Any) -> dict[str, Any]:
    call = entry.make()
    accepted = signature(check).parameters
    asked = ASKED.get(entry.row, {}) | ({"intended": call.intended} if call.intended else {})
    options = {name: value for name, value in asked.items() if name in accepted}
    start = perf_counter()
    try:
        report = check(call.function, *call.inputs, settings=call.settings, repair=False, **options)
    except Exception as error:
        said, faults = (
            "refused",
            [f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"],
        )
    else:
        warned = any(fault.warns for fault in report.faults)
        undecided = not report.ok and all(str(row.verdict) != "wrong" for row in report.rows)
        said = "undecided" if undecided else "wrong" if not report.ok else "warned" if warned else "right"
        faults = [fault.sentence for fault in report.faults[:3]]
    seconds = round(perf_counter() - start, 2)
    return {"row": entry.row, "wrong": entry.wrong, "said": said, "seconds": seconds, "faults": faults}


def kernel_outcomes(framework: str, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what is said of each kernel in each of the precisions that its author speaks of, by name."""
    import gradlab

    warnings.simplefilter("ignore")
    check = {"torch": gradlab.check_torch, "jax": gradlab.check_jax}[framework]
    numbers = importlib.import_module({"torch": "torch", "jax": "jax.numpy"}[framework])
    found = {}
    for path in sorted((CORPUS / "kernels").glob(f"{framework}_*.py")):
        module = importlib.import_module(f"tests.corpora.frameworks.kernels.{path.stem}")
        for entry in module.ENTRIES:
            for dtype in module.DTYPES[entry.name]:
                if told := known.get(f"{entry.name}, {dtype}"):
                    found[f"{entry.name}, {dtype}"] = told
                    continue
                call = entry.make(getattr(numbers, dtype))
                start = perf_counter()
                try:
                    report = check(
                        call.function, *call.inputs, settings=call.settings, reference=call.reference
                    )
                    said = "right" if report.ok else "wrong"
                except Exception:
                    said = "refused"
                found[f"{entry.name}, {dtype}"] = {
                    "row": entry.row,
                    "wrong": entry.wrong,
                    "precision": entry.why.startswith("precision"),
                    "said": said,
                    "seconds": round(perf_counter() - start, 2),
                }
    return found


def kernel_section(kernels: dict[str, dict[str, dict[str, Any]]], style: str) -> str:
    lines, missed = [], []
    for framework, found in kernels.items():
        first = FIRST_SIGHT["kernels"][framework]
        of = {
            kind: [k for k, told in found.items() if (told["wrong"], told["precision"]) == which]
            for kind, which in (
                ("right", (False, False)),
                ("other mathematics", (True, False)),
                ("too few bits", (True, True)),
            )
        }
        count = {
            kind: f"{sum((found[k]['said'] == 'right') is (kind == 'right') for k in names)} of {len(names)}"
            for kind, names in of.items()
        }
        lines.append((framework, *count.values(), f"{first[0]} wrong, {first[1]} right"))
        missed += [
            f"- {name} ({framework}, {'wrong' if told['wrong'] else 'right'}): {told['said']}"
            for name, told in found.items()
            if told["said"] != ("wrong" if told["wrong"] else "right")
        ]
    headers = ("", "right passed", "other mathematics told", "too few bits told", "at first sight")
    return "\n\n".join(
        [
            "## Kernels",
            KERNELS,
            table(headers, lines, style),
            "Said otherwise:",
            "\n".join(missed) or "Nothing.",
        ]
    )


def section(framework: str, found: dict[str, dict[str, Any]], style: str) -> str:
    own = json.loads((CORPUS / f"{framework}_framework_says.json").read_text(encoding="utf-8"))
    by_row: dict[str, list[str]] = defaultdict(list)
    for name, told in found.items():
        by_row[told["row"]].append(name)
    checker = {"torch": "gradcheck", "jax": "check_grads"}[framework]
    lines, first = [], FIRST_SIGHT[framework]
    for row, names in by_row.items():
        wrong, right = ([n for n in names if found[n]["wrong"] is is_wrong] for is_wrong in (True, False))
        lines.append(
            (
                row,
                f"{sum(found[n]['said'] == 'wrong' for n in wrong)} of {len(wrong)}",
                f"{sum(found[n]['said'] == 'warned' for n in wrong) or ''}",
                f"{sum(found[n]['said'] in ('right', 'warned') for n in right)} of {len(right)}",
                f"{sum(found[n]['said'] == 'undecided' for n in right) or ''}",
                "{} and {}".format(*first[row]) if row in first else "",
                f"{sum(str(own.get(n)).startswith('fails') for n in wrong)} of {len(wrong)}",
                f"{sum(str(own.get(n)).startswith('passes') for n in right)} of {len(right)}",
            )
        )
    headers = (
        "row",
        "wrong rejected",
        "warned of",
        "right passed",
        "undecided",
        "first sight",
        f"{checker}: wrong",
        f"{checker}: right",
    )
    missed = [
        f"- {name} ({told['row']}, {'wrong' if told['wrong'] else 'right'}): {told['said']}"
        for name, told in found.items()
        if told["said"] not in (("wrong",) if told["wrong"] else ("right", "warned"))
    ]
    slowest = max((told["seconds"] for told in found.values()), default=0.0)
    return "\n\n".join(
        [
            f"## {framework}",
            STORY,
            table(headers, lines, style),
            f"The slowest took {slowest:.1f} s.",
            "Said otherwise:",
            "\n".join(missed) or "Nothing.",
        ]
    )


if __name__ == "__main__":
    main()
