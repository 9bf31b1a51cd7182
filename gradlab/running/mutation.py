"""What a pass is worth: faults are put into right backward passes, and the checks must notice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from time import perf_counter
from typing import Any

from gradlab.checks import Check, Trial, quiet
from gradlab.diagnosis import diagnose
from gradlab.faults import Mutant, derived_samples, equivalent, mutants, run_bounded
from gradlab.node import named_rng
from gradlab.report.envelope import environment, to_json
from gradlab.report.numbers import count
from gradlab.report.tables import table
from gradlab.running.check_rows import first_wrong
from gradlab.running.options import check_seed
from gradlab.running.progress import with_progress
from gradlab.running.selection import select_checks, select_nodes
from gradlab.workers.blas_threads import one_blas_thread
from gradlab.workers.main_thread import in_main_thread
from gradlab.workers.threads import one_at_a_time
from gradlab.workers.worker_map import Workers, numbered_results, open_worker_map

# What one mutant may take before it counts as killed: a check of a right node takes less than a second.
SECONDS, MEMORY = 20.0, 2 * 2**30
# A process is handed so many mutants at once.
MUTANTS_A_TASK = 100
NEVER_FIRST = (
    "Every mutant changes a backward alone: matches_reference judges forward and samples_can_fail the samples, so "
    "neither can kill one. complex_step_agrees sees errors too small for the numerical bound, and none is injected."
)
# The headers and the rows of a table, and the same behind a caption.
Cells = tuple[Sequence[str], Sequence[Sequence[str]]]
Tabled = tuple[str, Sequence[str], Sequence[Sequence[str]]]
KILLED, EQUIVALENT, SURVIVING = "killed", "equivalent", "surviving"


@dataclass(frozen=True)
class MutantRow:
    """The outcome of one mutant.

    Attributes
    ----------
    node, fault, description, primal
        As of `gradlab.faults.Mutant`.
    outcome : str
        "killed", "equivalent" or "surviving".
    killed_by : str
        The first check that rejected it, with " (explored)" behind it if only primals beyond the samples showed it;
        or "time" or "memory" if it took more than it may.
    note : str
        What that check said, or the reason why it is the same function.
    diagnosis : str
        The name of the mistake that was injected; empty for a change of the source, which may look like anything.
    named : tuple of str
        The names that the diagnosis gave it, the likeliest first, three at the most.
    """

    node: str
    fault: str
    description: str
    primal: str
    outcome: str
    killed_by: str = ""
    note: str = ""
    diagnosis: str = ""
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class MutationReport:
    """The outcomes of all mutants.

    Attributes
    ----------
    rows : sequence of MutantRow
    checks : sequence of str
        The checks that were run, those that never killed anything included.
    environment : mapping
    seconds : float
        What the whole run took.
    interrupted : bool
        Whether Ctrl-C ended the run before its last mutant.
    """

    rows: Sequence[MutantRow]
    checks: Sequence[str]
    environment: Mapping[str, Any] = field(default_factory=environment)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is at least one mutant, and none survived."""
        return bool(self.rows) and all(row.outcome != SURVIVING for row in self.rows)

    def to_json(self) -> str:
        """Return the envelope ``{"ok": ..., "environment": {...}, "rows": [...]}`` as JSON text."""
        return to_json(self.ok, [asdict(row) for row in self.rows], self.environment)

    def to_table(self, style: str) -> str:
        """Return the tables by node, by fault and by check, every survivor, and the totals."""
        head = "## {}" if style == "github" else "{}"
        parts = [
            part
            for caption, headers, rows in self.tables()
            for part in (head.format(caption), table(headers, rows, style))
        ]
        parts += [NEVER_FIRST, *self._listed(SURVIVING, head, style), *self._listed(EQUIVALENT, head, style)]
        return "\n\n".join([*parts, self.totals()])

    def tables(self) -> list[Tabled]:
        """Return the tables by node, by fault, by the name that it got, and by check, each with its caption."""
        return [
            ("By node", *_counted("node", [row.node for row in self.rows], self.rows)),
            ("By fault", *_counted("fault", [row.fault for row in self.rows], self.rows)),
            ("The mistake named", *_named(self.rows)),
            ("By the check that killed first", *_by_check(self.rows, self.checks)),
        ]

    def _listed(self, outcome: str, head: str, style: str) -> list[str]:
        bullet = "- " if style == "github" else ""
        lines = [
            f"{bullet}{row.node}: {row.fault}: {row.description}" + (f" ({row.note})" if row.note else "")
            for row in self.rows
            if row.outcome == outcome
        ]
        return [head.format(outcome.capitalize()), "\n".join(lines)] if lines else []

    def totals(self) -> str:
        """Return how many mutants there were, and what became of them, in one line."""
        counts = Counter(row.outcome for row in self.rows)
        cut = " Interrupted: the rest was not tried." if self.interrupted else ""
        nodes = count(len({row.node for row in self.rows}), "node")
        return (
            f"{nodes}, {count(len(self.rows), 'mutant')}: {counts[KILLED]} killed, "
            f"{counts[EQUIVALENT]} equivalent, {counts[SURVIVING]} surviving.{_named_totals(self.rows)}{cut}"
        )


@one_blas_thread()
def mutate(
    *names: str,
    family: str | None = None,
    seed: int = 0,
    checks: Sequence[str] | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> MutationReport:
    """Put every fault into nodes, one at a time, and see which check notices it first.

    Parameters
    ----------
    *names : str
        The nodes; none means all.
    family : str, optional
        Only the nodes of this family.
    seed : int
        Seed of samples, cotangents and faults; the same seed gives the same rows.
    checks : sequence of str, optional
        The checks to run; by default all.
    workers : int or map-like callable, optional
        Spreads the mutants over that many processes (-1: as many as there are processors), or over what
        ``workers(function, iterable)`` makes of them, as in SciPy. The result does not depend on it.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.

    Returns
    -------
    MutationReport

    Raises
    ------
    UnknownNameError
        If a node, family or check does not exist.
    ValueError
        If `seed` is negative, or `workers` neither a number of processes nor a callable.
    """
    start = perf_counter()
    check_seed(seed)
    nodes, chosen = select_nodes(names, family), select_checks(checks)
    judge = partial(in_main_thread, partial(_judge_some, seed, tuple(chosen), MUTANTS_A_TASK))
    done: dict[int, list[MutantRow]] = {}
    interrupted = False
    try:
        with open_worker_map(workers) as over:
            tasks = [
                (node.name, first)
                for node in nodes
                for first in range(0, len(_prepared(node.name, seed)[0]), MUTANTS_A_TASK)
            ]
            for i, rows in with_progress(numbered_results(over, judge, tasks), progress, "task", len(tasks)):
                done[i] = rows
    except KeyboardInterrupt:
        interrupted = True
    rows = [row for i in sorted(done) for row in done[i]]
    return MutationReport(rows, list(chosen), environment(seed=seed), perf_counter() - start, interrupted)


@cache
def _prepared(name: str, seed: int) -> tuple[list[Mutant], list[Trial]]:
    """Return a node's mutants, and the trials of the right node that bear witness for them; made once a process."""
    (node,) = select_nodes([name])
    return mutants(node, seed), [Trial(node, sample, seed) for sample in node.draw_samples(seed)]


@one_at_a_time
def _judge_some(seed: int, checks: Sequence[str], count: int, task: tuple[str, int]) -> list[MutantRow]:
    # told by name and number, so that any process finds the same mutants
    name, first = task
    some, witnesses = _prepared(name, seed)
    chosen = select_checks(checks)
    return [_judge(mutant, witnesses, chosen) for mutant in some[first : first + count]]


def _judge(mutant: Mutant, witnesses: Sequence[Trial], checks: Mapping[str, Check]) -> MutantRow:
    row = partial(MutantRow, mutant.node, mutant.fault, mutant.description, mutant.primal)

    def killer() -> tuple[str, str] | None:
        wrong = mutant.make()
        with quiet():
            return first_wrong([witness.of(wrong) for witness in witnesses], checks)

    outcome = run_bounded(killer, SECONDS, MEMORY)
    if not outcome.returned:
        by = {"timed out": "time", "out of memory": "memory"}.get(outcome.ended, "an error")
        return row(KILLED, by, outcome.note)
    if outcome.value is not None:
        by, note = outcome.value
        by = "memory" if "MemoryError" in note else by
        return row(
            KILLED, by, note, mutant.diagnosis, _names(mutant, witnesses, checks) if mutant.diagnosis else ()
        )
    node, samples = witnesses[0].node, [witness.sample for witness in witnesses]
    rng = named_rng(witnesses[0].seed, node.name, "equivalence")
    everywhere = [*samples, *derived_samples(node, samples)]
    is_same = run_bounded(lambda: equivalent(mutant.make(), node, everywhere, rng), SECONDS, MEMORY)
    if is_same.ended == "timed out":
        return row(KILLED, "time", is_same.note)
    if not is_same.value:
        return row(SURVIVING)
    reason = node.equivalent_mutants.get(mutant.description.rpartition(" -> ")[2], "")
    if reason:
        return row(EQUIVALENT, note=reason)
    return row(
        SURVIVING,
        note="does the same wherever it was tried: give the reason in the node's EQUIVALENT_MUTANTS",
    )


def _names(mutant: Mutant, witnesses: Sequence[Trial], checks: Mapping[str, Check]) -> tuple[str, ...]:
    def names() -> tuple[str, ...]:
        wrong = mutant.make()
        found = diagnose([witness.of(wrong) for witness in witnesses], list(checks))
        return tuple(dict.fromkeys(finding.name for finding in found))[:3]

    outcome = run_bounded(names, SECONDS, MEMORY)
    return outcome.value if outcome.returned else ()


def _named(rows: Sequence[MutantRow]) -> Cells:
    """Return, for each name that was injected, how often the diagnosis gave it in the first place, and in three."""
    groups: dict[str, list[MutantRow]] = {}
    for row in rows:
        if row.diagnosis:
            groups.setdefault(row.diagnosis, []).append(row)
    shown = [
        (name, str(len(group)), str(sum(_is_first(row) for row in group)),
         str(sum(row.diagnosis in row.named for row in group)))
        for name, group in sorted(groups.items())
    ]  # fmt: skip
    return ("fault", "injected", "named first", "among three"), shown


def _is_first(row: MutantRow) -> bool:
    return row.named[:1] == (row.diagnosis,)


def _named_totals(rows: Sequence[MutantRow]) -> str:
    injected = [row for row in rows if row.diagnosis]
    if not injected:
        return ""
    first = sum(map(_is_first, injected)) / len(injected)
    three = sum(row.diagnosis in row.named for row in injected) / len(injected)
    return f" Of {len(injected)} named faults {first:.1%} were named in the first place, {three:.1%} among three."


def _counted(title: str, keys: Sequence[str], rows: Sequence[MutantRow]) -> Cells:
    counts: dict[str, Counter[str]] = {}
    for key, row in zip(keys, rows, strict=True):
        counts.setdefault(key, Counter())[row.outcome] += 1
    by: dict[str, Counter[str]] = {}
    for key, row in zip(keys, rows, strict=True):
        if row.killed_by:
            by.setdefault(key, Counter())[row.killed_by] += 1
    shown = [
        (key, str(sum(c.values())), *(str(c[outcome]) for outcome in (KILLED, EQUIVALENT, SURVIVING)),
         ", ".join(f"{check} {n}" for check, n in by.get(key, Counter()).most_common()))
        for key, c in counts.items()
    ]  # fmt: skip
    return (title, "mutants", KILLED, EQUIVALENT, SURVIVING, "killed first by"), shown


def _by_check(rows: Sequence[MutantRow], checks: Sequence[str]) -> Cells:
    counts = Counter(row.killed_by for row in rows if row.killed_by)
    shown = [(name, str(counts.get(name, 0))) for name in dict.fromkeys([*checks, *sorted(counts)])]
    return ("check", "killed first"), shown
