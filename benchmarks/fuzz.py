"""What holds under odd calls, odd objects, kills and threads: ``python benchmarks/fuzz.py --calls N --seed S``."""

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import fuzz_calls
import fuzz_kills
import fuzz_threads
from tqdm import tqdm

from gradlab.commands.common_arguments import positive_count
from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from gradlab.workers.child_process import ChildDiedError, in_child
from tests.corpora.hostile import corpus, harness

# A batch of calls is one process; one that hangs is killed after so many seconds a call.
BATCH, PATIENCE_S = 1000, 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="calls with drawn arguments")
    parser.add_argument("--seed", type=int, default=0, help="seed of the calls and kills")
    parser.add_argument("--objects", type=int, default=0, help="objects of the corpus of odd ones; -1: all")
    parser.add_argument("--kills", type=int, default=0, help="runs that are ended in their midst")
    parser.add_argument(
        "--threads", type=float, default=0.0, metavar="SECONDS", help="mixed checks in eight threads"
    )
    parser.add_argument("--workers", type=positive_count, default=2)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write fuzz.md there")
    arguments = parser.parse_args()
    start = monotonic()
    parts, wrong = [], 0
    for section, count in (
        (_calls, arguments.calls),
        (_objects, arguments.objects),
        (_kills, arguments.kills),
        (_threads, arguments.threads),
    ):
        if count:
            text, failures = section(count, arguments)
            parts.append(text)
            wrong += failures
            print(text, end="\n\n", flush=True)
    if arguments.output:
        words = ["python benchmarks/fuzz.py", *sys.argv[1:]]
        made = f"{made_by(' '.join(words), environment(seed=arguments.seed))} It took {monotonic() - start:,.0f} s."
        write_atomically(arguments.output / "fuzz.md", "\n\n".join(["# What holds", made, *parts]) + "\n")
    return int(wrong > 0)


def _spread(task: Callable[[Any], Any], items: Sequence[Any], what: str, workers: int) -> list[Any]:
    with ThreadPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(task, items), total=len(items), unit=what, disable=None))


def _calls(count: int, arguments: argparse.Namespace) -> tuple[str, int]:
    batches = [
        (min(BATCH, count - first), 10_000 * arguments.seed + first // BATCH)
        for first in range(0, count, BATCH)
    ]
    found = fuzz_calls.Outcomes()
    for outcomes in _spread(_batch, batches, "batch", arguments.workers):
        found.counts += outcomes.counts
        found.said += outcomes.said
        found.failures += outcomes.failures
        found.longest_s = max(found.longest_s, outcomes.longest_s)
        found.memory_gb = max(found.memory_gb, outcomes.memory_gb)
    said = ", ".join(f"{what} {n:,}" for what, n in found.said.most_common())
    parts = [
        "## Calls of every public entrance",
        "Right gradients, the same with a mistake, and arguments that nothing is meant to be given. Wrong would be a "
        "traceback that is not gradlab's own line, a wrong verdict, anything of the process or of the object that is "
        f"left changed, more than {fuzz_calls.MOST_S:.0f} s, or more than 1 GB.",
        f"{sum(found.counts.values()):,} calls: {said}. The longest took {found.longest_s:.1f} s, the largest process "
        f"{found.memory_gb:.2f} GB. Wrong: {len(found.failures)}.",
        table(
            ("entrance", "calls"), [(name, f"{n:,}") for name, n in sorted(found.counts.items())], "github"
        ),
        *_listed(found.failures),
    ]
    return "\n\n".join(parts), len(found.failures)


def _batch(batch: tuple[int, int]) -> fuzz_calls.Outcomes:
    calls, number = batch
    try:
        return in_child(partial(_outcomes, calls, number), 60 + PATIENCE_S * calls)
    except ChildDiedError as death:
        return fuzz_calls.Outcomes(failures=[f"seed {number}: {death}"])


def _outcomes(calls: int, number: int) -> fuzz_calls.Outcomes:
    # the bar's own lock may be held by the parent's main thread at the moment of the fork, and is never released here
    tqdm.set_lock(threading.RLock())
    return fuzz_calls.outcomes(calls, number)


def _objects(count: int, arguments: argparse.Namespace) -> tuple[str, int]:
    cases = corpus.CASES if count < 0 else corpus.CASES[:: max(1, len(corpus.CASES) // count)]
    judged: Counter[tuple[str, str]] = Counter()
    failures = []
    for case, outcome in zip(
        cases, _spread(harness.outcome_of, cases, "object", arguments.workers), strict=True
    ):
        wrong, _ = harness.judged(case, outcome)
        changed = [what for what in outcome["changed"] if not case.touches]
        judged[case.truth, outcome["said"]] += 1
        if wrong or changed:
            what = wrong or f"{', '.join(changed)} changed"
            failures.append(f"{case.name} ({case.why}): {what}. {outcome['note']:.200}")
    rows = [(truth, said, f"{n:,}") for (truth, said), n in sorted(judged.items())]
    parts = [
        "## Odd objects",
        f"{len(cases):,} of the corpus in tests/corpora/hostile, which was written apart, each in its own process. "
        f"Wrong: {len(failures)}.",
        table(("truth", "gradlab says", "objects"), rows, "github"),
        *_listed(failures),
    ]
    return "\n\n".join(parts), len(failures)


def _kills(count: int, arguments: argparse.Namespace) -> tuple[str, int]:
    outcomes = _spread(
        fuzz_kills.killed, [arguments.seed + i for i in range(count)], "kill", arguments.workers
    )
    counts = Counter((name, how) for name, how, _ in outcomes)
    failures = [f"{name}, {how}: {'; '.join(wrong)}" for name, how, wrong in outcomes if wrong]
    rows = [(name, how, str(n)) for (name, how), n in sorted(counts.items())]
    parts = [
        "## Kills",
        f"{count} runs, ended by Ctrl-C or killed after 0.2 to 6 s. Wrong would be a page that is neither the old "
        f"nor a whole new one, or a process that is there {fuzz_kills.AFTER_S:.0f} s later. Wrong: {len(failures)}.",
        table(("run", "ended by", "runs"), rows, "github"),
        *_listed(failures),
    ]
    return "\n\n".join(parts), len(failures)


def _threads(seconds: float, arguments: argparse.Namespace) -> tuple[str, int]:
    done, wrong = fuzz_threads.in_threads(seconds)
    parts = [
        "## Threads",
        f"{fuzz_threads.THREADS} threads for {seconds:.0f} s, {done:,} checks of {len(fuzz_threads.TASKS)} kinds. "
        "Wrong would be another verdict than one after the other, or stdout, filters or errstate left changed. "
        f"Wrong: {len(wrong)}.",
        *_listed(wrong),
    ]
    return "\n\n".join(parts), len(wrong)


def _listed(failures: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {failure}" for failure in failures)] if failures else []


if __name__ == "__main__":
    sys.exit(main())
