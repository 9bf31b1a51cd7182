"""Show what gradlab says of mistakes as people make them: one example for each name.

Run ``python benchmarks/diagnoses.py``; it prints the page that stands in reports/diagnoses.md. With ``--output DIR`` it
writes it there. The mistakes are those of the wrong layers in tests/corpora, which were written down without a look at
what finds them.
"""

import argparse
import sys
from pathlib import Path

from gradlab import check_vjp
from gradlab.diagnosis import NAMES
from gradlab.report import Report
from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.corpora.wrong.catalogue import WRONG, Wrong


def report_of(mistake: Wrong) -> Report:
    """Return what gradlab reports of a wrong layer."""
    forward, backward = mistake.make()
    layer = mistake.name.partition(",")[0]
    return check_vjp(forward, backward, mistake.primals, settings=mistake.settings, name=layer, repair=False)


def page(mistakes: tuple[Wrong, ...]) -> str:
    """Return the page: for each name the first mistake that bears it, and how often the names were right."""
    reports = {mistake.name: report_of(mistake) for mistake in mistakes}
    first = {
        mistake.name: next((f.name for f in reports[mistake.name].faults if f.confidence), "")
        for mistake in mistakes
    }
    named = [mistake for mistake in mistakes if mistake.diagnosis]
    hits = sum(first[mistake.name] in mistake.diagnosis for mistake in named)
    silent = sum(not first[mistake.name] for mistake in mistakes if not mistake.diagnosis)
    parts = [
        "# The mistake, named",
        made_by("python benchmarks/diagnoses.py --output reports", environment(seed=0)),
        f"Of {len(named)} wrong layers, written by hand, {hits} get their own name in the first place; of "
        f"{len(mistakes) - len(named)} that fit no name, {silent} get none. One example of each name:",
    ]
    for name in NAMES:
        mistake = next((m for m in named if m.diagnosis[0] == name and first[m.name] == name), None)
        if mistake is None:
            continue
        fault = next(f for f in reports[mistake.name].faults if f.confidence)
        parts += [f"## {name}", f"{mistake.name}:", f"> {fault.sentence}"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, metavar="DIR", help="write diagnoses.md there")
    folder = parser.parse_args().output
    text = page(WRONG)
    if folder:
        write_atomically(folder / "diagnoses.md", text)
    print(text, end="")


if __name__ == "__main__":
    main()
