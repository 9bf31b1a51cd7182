"""What ``gradlab compare`` says of a library of 30 ops, run after run: ``python benchmarks/comparisons.py``.

The library, tests/corpora/minops, was written apart from gradlab, and so were the changes in its mistakes.md: wrong
gradients, and backwards that are right and slow. Each is made in a copy, checked, and compared with the report on the
library as it is; so are gradients that lose five digits and are right still; and so is the library itself, ``--runs``
times over, of which nothing is to be said.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by

ROOT = Path(__file__).parents[1]
LIBRARY = Path("tests/corpora/minops")
OPS = """
import gradlab
from tests.corpora.minops.registry import OPS as THEIRS

FACTORS = {factors}


def node(op):
    def backward(residuals, g):
        return tuple(dx * FACTORS[op.name] for dx in op.backward(residuals, g))

    return gradlab.Node(op.name, "minops", op.forward, backward if op.name in FACTORS else op.backward,
                        lambda rng: iter([gradlab.Sample("example", *op.example(rng))]))


OPS = [node(op) for op in THEIRS]
"""
# A gradient that loses digits, and has eight left.
LOSS, LOSE_DIGITS = 5e-9, ("tanh", "softmax", "matmul")
CHANGE = re.compile(
    r"^### \d+\. (\w+) \(minops/(\w+\.py)\)\n\n(.*?)^-(.*?)\n\+(.*?)$", re.DOTALL | re.MULTILINE
)


ABOUT = (
    "The library, the wrong gradients and the slow ones were written apart from gradlab; the less exact ones lose "
    "digits and are right still. Each change is made in a copy, the copy is checked, two ops at a time, and its report "
    "is compared with that on the library as it is. Reports on the library itself, of which nothing is to be said, too."
)
# What a change of each kind is to fail by, and none.
SAME = "the same"
WHY = {"wrong": "verdict", "slow": "backward", "less exact": "error"}


def run_gradlab(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit status of a command, and what it prints."""
    # the copy comes first, and nothing else of this checkout's tests is wanted
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    command = [sys.executable, "-m", "gradlab", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


def report(folder: Path, name: str) -> Path:
    """Check the copy as it stands, two ops at a time; return the report."""
    path = folder / name
    asked = ("--no-repair", "--workers", "2", "--format", "json")
    path.write_text(run_gradlab(folder, "check", "ops.py:OPS", *asked)[1], "utf-8")
    return path


def failing(folder: Path, old: Path, new: Path, limits: str) -> list[tuple[str, str]]:
    """Return what the comparison fails on: which op, and why."""
    _, out = run_gradlab(folder, "compare", str(old), str(new), "--fail-if", limits, "--format", "json")
    return [(row["what"].partition(",")[0], row["kind"]) for row in json.loads(out)["rows"] if row["fails"]]


def changes(folder: Path) -> Iterator[tuple[str, str]]:
    """Make one change after the other in the copy; yield of which kind it is and in which op, while it is made."""
    text = (folder / LIBRARY / "mistakes.md").read_text("utf-8")
    slow = text.index("## Right but slow")
    for found in CHANGE.finditer(text):
        op, file, _, was, becomes = found.groups()
        path = folder / LIBRARY / file
        source = path.read_text("utf-8")
        path.write_text(source.replace(was, becomes), "utf-8")
        yield "slow" if found.start() > slow else "wrong", op
        path.write_text(source, "utf-8")
    for op in LOSE_DIGITS:
        (folder / "ops.py").write_text(OPS.replace("{factors}", repr({op: 1 + LOSS})), "utf-8")
        yield "less exact", op


def shown(runs: Sequence[tuple[str, str, list[tuple[str, str]]]], limits: str, style: str) -> str:
    """Return what fails under some limits, change by change, and in all; of runs of the same what fails."""
    rows = [
        (kind, what, "; ".join(dict.fromkeys(f"{op} ({why})" for op, why in fails)) or "nothing")
        for kind, what, fails in runs
        if fails or kind != SAME
    ]
    table = tabulate(rows, ("change", "op", f"fails, with --fail-if {limits}"), tablefmt=style)
    quiet = [not fails for kind, _, fails in runs if kind == SAME]
    told = [
        {name for name, _ in fails} == {op} and WHY[kind] in {why for _, why in fails}
        for kind, op, fails in runs
        if kind != SAME
    ]
    counts = f"{sum(quiet)} of {len(quiet)} runs of the same say nothing"
    told_of = f"{sum(told)} of {len(told)} changes fail, by what was done and on nothing else"
    return f"{counts}; {told_of}.\n\n{table}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="(default: 20)")
    parser.add_argument(
        "--limits",
        nargs="+",
        default=["error:10x,time:20%", "error:10x,time:80%"],
        help="(default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write comparisons.md there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copytree(ROOT / LIBRARY, folder / LIBRARY)
        for package in ("tests", "tests/corpora"):
            (folder / package / "__init__.py").touch()
        (folder / "ops.py").write_text(OPS.replace("{factors}", "{}"), "utf-8")
        old = report(folder, "old.json")
        same = ((SAME, f"run {k + 1}") for k in range(arguments.runs))
        runs: dict[str, list[tuple[str, str, list[tuple[str, str]]]]] = {
            limits: [] for limits in arguments.limits
        }
        for kind, what in tqdm(chain(same, changes(folder)), unit=" runs"):
            new = report(folder, "new.json")
            for limits, of_limits in runs.items():
                of_limits.append((kind, what, failing(folder, old, new, limits)))
    print("\n\n".join(shown(of_limits, limits, "simple") for limits, of_limits in runs.items()))
    if arguments.output:
        made = made_by(
            f"python benchmarks/comparisons.py --runs {arguments.runs} --output reports", environment()
        )
        parts = [
            f"## --fail-if {limits}\n\n{shown(of_limits, limits, 'github')}"
            for limits, of_limits in runs.items()
        ]
        page = "\n\n".join(["# What compare says of a library of 30 ops", made, ABOUT, *parts])
        write_atomically(arguments.output / "comparisons.md", page + "\n")


if __name__ == "__main__":
    main()
