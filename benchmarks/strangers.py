"""What gradlab says of the corpus of strangers: ``python benchmarks/strangers.py --output reports``.

210 layers, nets, losses and pairs of functions, one call each, with default arguments. Beside the figures of this run
stand those of the first sight, before anything was mended with the corpus in view.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from tests.corpora.strangers.catalogue import STRANGERS
from tests.corpora.strangers.outcome import counted, is_right, outcome

FIRST_SIGHT = Path(__file__).parents[1] / "tests" / "corpora" / "strangers" / "first_sight.json"
STORY = """The corpus was written apart from the code, by somebody who had read the README and nothing else: 105
objects in the forms of layers and nets, 105 in those of losses, pairs of functions and plain functions;
105 are right, 89 wrong by one mistake each, 16 wrong in their behaviour only. Each truth is proved by
differences of the object's own forward (`tests/corpora/test_strangers_corpus.py`). The first sight was
taken of the code as it stood at the commit "What forward returns beside a loss is read last, and never of
a pair with a cache", before anybody who mends it had seen an entry; what came after was mended with the
corpus in view, and is no measure of what other strangers' code will see."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write strangers.md there")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    told = {entry.name: outcome(entry) for entry in tqdm(STRANGERS, disable=not sys.stderr.isatty())}
    first = json.loads(FIRST_SIGHT.read_text(encoding="utf-8"))
    style = "github" if args.output else "simple"
    columns = [counted(STRANGERS, first), counted(STRANGERS, told)]
    lines = [(name, *(f"{column[name]}" for column in columns)) for name in columns[0]]
    figures = table(("of 210", "first sight", "now"), lines, style)
    missed = [
        f"- {entry.name} ({entry.truth}): {told[entry.name][0]}"
        for entry in STRANGERS
        if not is_right(entry, told[entry.name][0])
    ]
    text = "\n\n".join([figures, "## What is said otherwise", "\n".join(missed) or "Nothing."])
    if args.output:
        command = "python benchmarks/strangers.py --output reports"
        page = f"# Strangers' layers, nets and functions\n\n{made_by(command, environment())}\n\n{STORY}\n\n{text}\n"
        write_atomically(args.output / "strangers.md", page)
    print(text)


if __name__ == "__main__":
    main()
