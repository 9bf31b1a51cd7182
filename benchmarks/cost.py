"""What a check costs beside its peers, side by side in one run: ``python benchmarks/cost.py --output reports``.

With ``pip install '.[bench]'``. Five sections, each alone with ``--only``: single checks beside gradcheck and the
textbook's loop (``table``), torch's operators beside gradcheck (``operators``, a quick look with ``--limit 60``), a
million elements (``million``), registered nodes at real sizes (``nodes``), and the time of ``gradlab verify``
(``readme``). Whatever may hang or crash runs in a worker process. The exit status is 1 if a goal is missed.
"""

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by

STYLES = {"table": "simple", "markdown": "github"}
SECTIONS = ("table", "operators", "million", "nodes", "readme")
VERIFY_SECONDS, VERIFY_ENDS = 15.0, 300.0


def section_of(name: str, options: argparse.Namespace, style: str) -> tuple[str, bool]:
    """Return a section of the report, and whether every goal in it is met."""
    # each loads what it needs alone: torch's operators take ten seconds
    return readme() if name == "readme" else import_module(f"cost_{name}").section(options, style)


def readme() -> tuple[str, bool]:
    """Return how long the README's first command takes."""
    start = perf_counter()
    try:
        status = subprocess.run(
            [sys.executable, "-m", "gradlab", "verify"], capture_output=True, timeout=VERIFY_ENDS
        ).returncode
    except subprocess.TimeoutExpired:
        status = "none"
    taken = perf_counter() - start
    said = f"`gradlab verify` takes {seconds(taken)} (goal {seconds(VERIFY_SECONDS)}), exit status {status} (goal 0)."
    return f"## The README's first command\n\n{said}", taken <= VERIFY_SECONDS and status == 0


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description="Print what a check costs beside its peers.")
    parser.add_argument("--format", choices=STYLES, default="table")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write cost.md there")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="these sections")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds after which a call is ended")
    parser.add_argument("--limit", type=positive, help="so many operators and nodes at most, evenly chosen")
    parser.add_argument(
        "--fast", action="store_true", help="operators beside gradcheck's fast mode, without goals"
    )
    parser.add_argument(
        "--every", action="store_true", help="a line for every operator, not only the slowest"
    )
    parser.add_argument("--seeds", type=positive, default=3, help="of the nodes")
    options = parser.parse_args()
    style = STYLES["markdown" if options.output else options.format]
    good, sections = True, []
    for name in SECTIONS:
        if name in options.only:
            text, met = section_of(name, options, style)
            print(text, end="\n\n", flush=True)
            sections.append(text)
            good &= met
    if options.output:
        command = " ".join(["python benchmarks/cost.py", *sys.argv[1:]])
        page = ["# What a check costs", made_by(command, versions()), *sections]
        write_atomically(options.output / "cost.md", "\n\n".join(page) + "\n")
    return 0 if good else 1


def versions() -> dict[str, object]:
    """Return the environment with the peers' versions."""
    from importlib.metadata import version

    return environment(torch=version("torch"), jax=version("jax"))


if __name__ == "__main__":
    sys.exit(main())
