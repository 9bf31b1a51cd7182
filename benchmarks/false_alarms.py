"""Right nodes held to every check, beyond their samples too, for many seeds and in both precisions.

Run ``python benchmarks/false_alarms.py --seeds 20``; it prints how often each verdict came, and every row that is not
all right. Every layout in memory is among the checks.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np

from gradlab.checks import CHECKS, Trial, quiet
from gradlab.node import Node, Sample
from gradlab.nodes import NODES
from gradlab.report import Row
from gradlab.running.check_rows import explore_trials, run_checks


def rows_of(node: Node, seed: int, dtype: type) -> Iterator[Row]:
    """Yield every row of a node at one seed, with its primals in one precision."""
    trials = [
        Trial(node, Sample(s.name, tuple(x.astype(dtype) for x in s.primals), s.settings), seed)
        for s in node.draw_samples(seed)
    ]
    with quiet():
        rows = list(run_checks(trials, CHECKS))
        yield from rows
        yield from explore_trials(trials, CHECKS, rows)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    counts: Counter[str] = Counter()
    for seed in range(seeds):
        for node in NODES.values():
            for dtype in (np.float32, np.float64):
                for row in rows_of(node, seed, dtype):
                    counts[str(row.verdict)] += 1
                    if not row.verdict.ok:
                        print(f"seed {seed}, {dtype.__name__}: {row.sentence()}")
    print(f"{len(NODES)} nodes, {seeds} seeds, float32 and float64: {dict(counts)}")


if __name__ == "__main__":
    main()
