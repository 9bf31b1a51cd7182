"""How many wrong backward passes are mended: ``python benchmarks/repairs.py --output reports``.

Mutants of the registered nodes, drawn at random; the wrong layers and functions of the corpora; wrong functions of
torch and JAX, where these are installed.
"""

import argparse
import ast
import importlib.util
import inspect
import linecache
import random
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gradlab.checks import CHECKS
from gradlab.checks.trial import Trial, quiet
from gradlab.checks.trial.line_slopes import is_right_along_lines
from gradlab.faults import Mutant, derived_samples, equivalent, source_mutants
from gradlab.faults.normal_form import normal_form
from gradlab.node import Node
from gradlab.nodes import NODES
from gradlab.repair import find_repairs
from gradlab.repair.proposal import Repair
from gradlab.report.envelope import environment
from gradlab.report.files import write_atomically
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from gradlab.running.check_rows import first_wrong, run_checks
from gradlab.verdict import Verdict
from gradlab.workers.child_process import ChildDiedError, in_child
from tests.adapters.framework._wrong_everywhere import WRONG
from tests.adapters.framework.test_same_everywhere import IN_JAX, in_jax, in_numpy, in_torch
from tests.corpora.strangers.catalogue import CORPORA
from tests.corpora.strangers.outcome import PACKAGE

# The search for one repair may take so long, and a mended function is held to so many seeds that no search has used.
SECONDS, FRESH_SEEDS, FULL_SEEDS, FRESH_CALLS = 10.0, range(100, 120), (200, 201), range(100, 105)
# A child that does not end with its search is killed so many seconds later.
PATIENCE_S = 2.0
STRANGERS = "tests.corpora.strangers"
# What was mended, and how often the right line was told, when the code first saw a corpus (see strangers.py for when).
FIRST_SIGHT = {
    "fourth": (52, 61),
    "fifth": (54, 68),
    "sixth": (64, 75),
    "seventh": (63, 73),
    "eighth": (58, 64),
    "ninth": (55, 68),
    "tenth": (60, 73),
}
EXACT = ("the original's source", "the original's, bit for bit")
RIGHT = (*EXACT, "another right one")


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant: how it was mended, by what kind of fault it was made, and how long it took."""

    node: str
    fault: str
    ended: str
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=2000, help="(default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write repairs.md there")
    args = parser.parse_args()
    style = "github" if args.output else "simple"
    parts = [
        mutants_section(args.mutants, args.seed, args.workers, style),
        corpora_section(args.workers, style),
        frameworks_section(style),
    ]
    text = "\n\n".join(parts)
    if args.output:
        command = "python benchmarks/repairs.py --output reports"
        page = f"# The mistake, mended\n\n{made_by(command, environment(seed=args.seed))}\n\n{text}\n"
        write_atomically(args.output / "repairs.md", page)
    print(text)


def mutants_section(count: int, seed: int, workers: int, style: str) -> str:
    every = [(name, i) for name in NODES for i in range(len(mutants_of(name)))]
    drawn = random.Random(seed).sample(every, min(count, len(every)))
    found = list(_over(workers, judged_mutant, drawn))
    tried = [o for o in found if o.ended != "right at all samples"]
    total, ended = len(tried), Counter(o.ended for o in tried)
    right, exact = sum(ended[name] for name in RIGHT), sum(ended[name] for name in EXACT)
    times = [o.seconds for o in tried]
    kinds = sorted({o.fault for o in tried})
    by_kind = {kind: Counter(o.ended for o in tried if o.fault == kind) for kind in kinds}
    names = (*RIGHT, "rejected afterwards", "none")
    rows = [(kind, *(str(of[name]) for name in names)) for kind, of in by_kind.items()]
    rows.append(("all", *(str(ended[name]) for name in names)))
    said = (
        f"Of {count:,} mutants of the sources of the {len(NODES)} nodes, drawn at random, {total:,} give another "
        f"gradient at some sample. Of these {right:,} ({right / total:.1%}) are mended to a function that no check "
        f"rejects, {exact:,} ({exact / total:.1%}) to exactly the original's. The search takes {np.median(times):.2f} "
        f"s in the median, {np.quantile(times, 0.9):.2f} s at the 90th percentile, {max(times):.1f} s at most, on "
        f"{workers} processes at once. A mended function that is not the original's bit for bit is held to "
        f"{len(FRESH_SEEDS)} seeds that no search has used, along lines at every sample, and to all checks at "
        f"{len(FULL_SEEDS)}: {ended['rejected afterwards']} were rejected there."
    )
    return "\n\n".join(["## Mutants of the nodes", said, table(("fault", *names), rows, style)])


@cache
def mutants_of(name: str) -> list[Mutant]:
    return source_mutants(NODES[name])


def judged_mutant(which: tuple[str, int]) -> Outcome:
    """Return what becomes of one mutant, whose source is found where that of a file would be."""
    warnings.simplefilter("ignore")
    name, i = which
    node, mutant = NODES[name], mutants_of(name)[i]
    source, function = mutant.make.args[1:3]  # type: ignore[attr-defined]
    file = f"<{name}, mutant {i}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    wrong = _with_source(node, source, function, file)
    trials = [Trial(wrong, s, registered=False) for s in node.draw_samples(0)]
    with quiet():
        at = next((trial for trial in trials if _is_wrong(trial)), None)
    if at is None:
        return Outcome(name, mutant.fault, "right at all samples", 0.0)
    start = perf_counter()

    def rejected() -> bool:
        with quiet():
            return first_wrong([replace(trial, seed=7) for trial in trials], CHECKS) is not None

    def search() -> list[Repair]:
        return find_repairs(at, rejected, "all checks", lambda: (perf_counter() - start) / SECONDS)

    try:
        # as a check does it: a candidate may read beyond its memory
        repairs = in_child(search, SECONDS + PATIENCE_S)
    except ChildDiedError:
        repairs = []
    seconds = perf_counter() - start
    mended = [repair for repair in repairs if repair.mended]
    ended = _judged(node, mended[0].mended, function) if mended else "none"
    return Outcome(name, mutant.fault, ended, seconds)


def _is_wrong(trial: Trial) -> bool:
    rows = run_checks([trial], {"matches_numerical": CHECKS["matches_numerical"]})
    return any(row.verdict is Verdict.WRONG for row in rows)


def _with_source(node: Node, source: str, function: str, file: str) -> Node:
    right = inspect.unwrap(node.backward)
    space: dict[str, Any] = {**right.__globals__, **inspect.getclosurevars(right).nonlocals}
    exec(compile(source, file, "exec"), space)
    return replace(node, backward=space[function])


def _judged(node: Node, source: str, function: str) -> str:
    """Return what a mended function is: the original, one that does bit for bit the same, another, or a wrong one."""
    (mended,) = ast.parse(source).body
    (right,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(node.backward)))).body
    assert isinstance(mended, ast.FunctionDef)
    assert isinstance(right, ast.FunctionDef)
    if list(map(normal_form, mended.body)) == list(map(normal_form, right.body)):
        return EXACT[0]
    other = _with_source(node, source, function, "<mended>")
    samples = [*node.draw_samples(0), *derived_samples(node, node.draw_samples(0))]
    with quiet():
        if equivalent(other, node, samples, np.random.default_rng(0)):
            return EXACT[1]
        for seed in FRESH_SEEDS:
            trials = [Trial(other, s, seed) for s in node.draw_samples(seed)]
            if not all(is_right_along_lines(t) or not _is_wrong(t) for t in trials if t.accepted):
                return "rejected afterwards"
        for seed in FULL_SEEDS:
            if first_wrong(
                [Trial(other, s, seed, registered=False) for s in node.draw_samples(seed)], CHECKS
            ):
                return "rejected afterwards"
    return RIGHT[-1]


@dataclass(frozen=True)
class Told:
    """What is told of one wrong entry.

    Attributes
    ----------
    mended : bool
        Whether a repair is shown.
    named : bool or None
        Whether its wrong line is among those that are changed or named; None where its author does not say.
    seconds : float
        Of the whole call.
    held : bool
        Whether the mended source passes at seeds that the search has not used.
    """

    mended: bool
    named: bool | None
    seconds: float
    held: bool


def corpora_section(workers: int, style: str) -> str:
    rows, rejected, everything = [], [], []
    for title, entries in CORPORA.items():
        wrong = [e.name for e in entries if e.truth == "wrong"]
        found = list(_over(workers, partial(judged_entry, title), wrong))
        everything += found
        rejected += [name for name, o in zip(wrong, found, strict=True) if not o.held]
        at_first = [f"{n} ({n / len(wrong):.0%})" for n in FIRST_SIGHT.get(title, ())] or ["", ""]
        rows.append(_row_of(title, found, at_first))
    rows.append(_row_of("all", everything, ["", ""]))
    said = (
        "Of each wrong layer, net, loss or function of the ten corpora of strangers, one call with default "
        "arguments. The authors of the last eight say which lines are wrong: it is counted whether one of these is "
        "changed, or among the three that are named where nothing was mended (where the same is mended in another "
        "line, it is not). The time is that of the whole call. The last seven were written after the code, "
        "and what it did at first sight of them stands beside what it does now. "
        f"Each mended source is called at the {len(FRESH_CALLS)} seeds {min(FRESH_CALLS)} to {max(FRESH_CALLS)}, "
        f"which no search has used: {len(rejected)} were rejected there{': ' * bool(rejected)}{'; '.join(rejected)}."
    )
    headers = (
        "corpus",
        "wrong",
        "mended at first sight",
        "mended",
        "its line at first sight",
        "the wrong line named",
        "time",
    )
    return "\n\n".join(["## Strangers' layers and functions", said, table(headers, rows, style)])


def _row_of(title: str, found: Sequence[Told], at_first: Sequence[str]) -> tuple[str, ...]:
    mended, lined = sum(o.mended for o in found), [o.named for o in found if o.named is not None]
    lines = f"{sum(lined)} of {len(lined)} ({sum(lined) / len(lined):.0%})" if lined else ""
    time = f"{np.median([o.seconds for o in found]):.1f} s"
    share = f"{mended} ({mended / len(found):.0%})"
    return title, str(len(found)), at_first[0], share, at_first[1], lines, time


def judged_entry(corpus: str, name: str) -> Told:
    """Return what is told of an entry, and whether its mended source holds."""
    warnings.simplefilter("ignore")
    entry = next(e for e in CORPORA[corpus] if e.name == name)
    start = perf_counter()
    try:
        repairs = entry.call(PACKAGE).repairs
    except Exception:
        repairs = ()
    seconds = perf_counter() - start
    lines = [line.strip() for line in entry.line.splitlines()]
    told = [part.strip() for repair in repairs for part in repair.before.splitlines()]
    named = any(line in part or part in line for line in lines for part in told if part)
    mended = [repair for repair in repairs if repair.mended]
    held = all(_holds(corpus, name, repair) for repair in mended)
    return Told(bool(mended), named if lines else None, seconds, held)


def _holds(corpus: str, name: str, repair: Repair) -> bool:
    """Return whether the entry of a mended source passes at seeds that no search has used."""
    own = {key: module for key, module in sys.modules.items() if key.startswith(STRANGERS)}
    key, old = next((k, m) for k, m in own.items() if m.__file__ == repair.file)
    mended = ModuleType(key)
    mended.__dict__.update(__file__=repair.file, __package__=old.__package__, __spec__=old.__spec__)
    for other in own:
        del sys.modules[other]
    try:
        sys.modules[key] = mended
        exec(compile(repair.mended, repair.file, "exec"), mended.__dict__)
        catalogue = importlib.import_module(f"{STRANGERS}.catalogue")
        entry = next(e for e in getattr(catalogue, corpus.upper()) if e.name == name)
        return all(entry.call(_at_seed(seed)).ok for seed in FRESH_CALLS)
    except Exception:  # of what its owner does with it before the check
        return False
    finally:
        for other in [k for k in sys.modules if k.startswith(STRANGERS)]:
            del sys.modules[other]
        sys.modules.update(own)


def _at_seed(seed: int) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            name: partial(value, repair=False, seed=seed) if name.startswith("check_") else value
            for name, value in vars(PACKAGE).items()
        }
    )


def frameworks_section(style: str) -> str:
    rows = []
    for title, package, check, kinds in (
        ("NumPy", "numpy", in_numpy, list(WRONG)),
        ("torch", "torch", in_torch, list(WRONG)),
        ("JAX", "jax", in_jax, IN_JAX),
    ):
        if importlib.util.find_spec(package) is None:
            rows.append((title, str(len(kinds)), f"{title} is not installed", ""))
            continue
        mended, times = 0, []
        for kind in kinds:
            start = perf_counter()
            mended += any(repair.mended for repair in check(kind).repairs)
            times.append(perf_counter() - start)
        rows.append(
            (title, str(len(kinds)), f"{mended} ({mended / len(kinds):.0%})", f"{np.median(times):.1f} s")
        )
    said = (
        "The wrong functions of `tests/adapters/framework/_wrong_everywhere.py`, each as a pair for NumPy, as a "
        "`torch.autograd.Function` and as a `jax.custom_vjp`; what writes into an argument there is none of in JAX."
    )
    headers = ("in", "wrong", "mended", "time")
    return "\n\n".join(["## torch and JAX", said, table(headers, rows, style)])


def _over(workers: int, judge: Any, items: Iterable[Any]) -> Iterable[Any]:
    items = list(items)
    with ProcessPoolExecutor(workers) as pool:
        yield from tqdm(pool.map(judge, items), total=len(items), disable=not sys.stderr.isatty())


if __name__ == "__main__":
    main()
