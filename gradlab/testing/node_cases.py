"""A library's own nodes as tests: one id for each node, sample and check."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest

from gradlab.checks import CHECKS
from gradlab.checks.trial import Trial
from gradlab.checks.trial.budget import Budget
from gradlab.node import Node
from gradlab.report import GradientError, Report
from gradlab.report.envelope import environment
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.explanation import explain
from gradlab.running.pictured import comparisons_of
from gradlab.running.selection import select_checks
from gradlab.workers.threads import one_at_a_time

# The place of a sample in the id of a check that looks at all of a node's samples together.
ALL = "all_samples"


@dataclass(frozen=True, eq=False)
class NodeCase:
    """One check at one sample of a node.

    Attributes
    ----------
    node : Node
    sample : int or None
        The number of one of the node's samples; None for a check that looks at all samples together.
    check : str
    names : sequence of str
        The names that the node's samples had when the ids were made.
    trials : callable
        ``trials(seed, rtol, atol, strict)`` returns a trial for each sample. All cases of a node share this function,
        and so the trials, and so the numerical gradients that the trials keep.
    """

    node: Node
    sample: int | None
    check: str
    names: tuple[str, ...]
    trials: Callable[[int, float | None, float | None, bool], list[Trial]]

    @one_at_a_time
    def report(
        self,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        seed: int = 0,
        strict: bool = True,
        explore: bool = True,
        max_seconds: float | None = None,
        max_evaluations: int | None = None,
    ) -> Report:
        """Return the check's report at this sample and at primals derived from it; skip the test if it has no rows.

        Raises
        ------
        ValueError
            If the samples have other names with this seed.
        """
        trials = self.trials(seed, rtol, atol, strict)
        if tuple(trial.sample.name for trial in trials) != self.names:
            raise ValueError(
                f"the samples of {self.node.name} have other names with seed {seed} than with seed 0, which made "
                "the tests' ids: name them alike whatever is drawn"
            )
        chosen = trials if self.sample is None else [trials[self.sample]]
        run = select_checks([self.check])
        if chosen and (budget := chosen[0].budget):
            # all cases share the trials, and each has a budget of its own
            budget.restart(max_seconds, max_evaluations)
        rows = list(run_checks(chosen, run))
        more, explored = explore_trials(chosen, run, rows, explore)
        rows += more
        if not rows:
            pytest.skip(f"{self.check} has nothing to compare at this sample")
        findings, comparisons = explain(chosen, rows), comparisons_of(chosen, rows)
        return Report(
            rows, environment(seed=seed), explored=explored, findings=findings, comparisons=comparisons
        )


def parametrize_nodes(
    registry: Iterable[Any], *, expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Give a test function a test for each check at each sample of each node, as `gradlab.verify` runs them.

    It decorates a function with the argument ``node_check``, whose call raises `GradientError` where the check
    rejects the node, and skips the test where the check has no say (a node whose output is no scalar has no Hessian).
    The marker ``gradlab`` sets tolerances and seed. The numerical side of a sample is computed once, for all checks.

    Parameters
    ----------
    registry : iterable or mapping
        Nodes, or modules and other objects with ``forward``, ``backward`` and ``samples`` as `gradlab.Node` has
        them. A mapping's keys are the names in the ids.
    expected_failures : mapping, optional
        The ids of tests that are known to fail, and why: they are marked xfail, strictly.

    Returns
    -------
    pytest.MarkDecorator
        A ``pytest.mark.parametrize`` whose ids are NODE-SAMPLE-CHECK, with ``_`` for what is neither letter nor digit.

    Raises
    ------
    TypeError
        If something in the registry is no node.
    ValueError
        If the registry is empty, a node has no samples, or an expected failure is no test's id.

    Examples
    --------
    >>> from gradlab.nodes import NODES
    >>> @parametrize_nodes([NODES["relu"]], expected_failures={})
    ... def test_nodes(node_check):
    ...     node_check()
    """
    cases = {case_id: case for label, node in labelled(registry) for case_id, case in _cases(label, node)}
    if not cases:
        raise ValueError("the registry is empty: give it at least one node")
    reasons = dict(expected_failures or {})
    for unknown in reasons.keys() - cases.keys():
        near = difflib.get_close_matches(unknown, cases, n=1) or list(cases)[:1]
        raise ValueError(f"expected_failures has {unknown!r}, which is no test: did you mean {near[0]!r}?")
    parameters = [pytest.param(case, id=key, marks=_marks(reasons.get(key))) for key, case in cases.items()]
    return pytest.mark.parametrize("node_check", parameters, indirect=True)


def _marks(reason: str | None) -> tuple[pytest.MarkDecorator, ...]:
    return () if reason is None else (pytest.mark.xfail(reason=reason, raises=GradientError, strict=True),)


def labelled(registry: Iterable[Any]) -> Iterator[tuple[str, Node]]:
    """Return the nodes of a registry, each with its part of the ids."""
    if isinstance(registry, str | Node) or not isinstance(registry, Iterable):
        raise TypeError(f"the registry is {registry!r:.60}: give a list or a mapping of nodes")
    if isinstance(registry, Mapping):
        nodes = [as_node(entry, str(key)) for key, entry in registry.items()]
        return zip(unique(map(str, registry)), nodes, strict=True)
    nodes = [as_node(entry) for entry in registry]
    if isinstance(registry, Set):  # another order in each process of pytest-xdist
        nodes.sort(key=lambda node: (node.family, node.name))
    return zip(unique(node.name for node in nodes), nodes, strict=True)


def as_node(entry: Any, name: str = "") -> Node:
    """Return a node as it is, and a module or another object in the node contract as a node.

    Raises
    ------
    TypeError
        If `entry` is neither.
    """
    if isinstance(entry, Node):
        return entry
    parts = ("forward", "backward", "samples")
    if not all(callable(getattr(entry, part, None)) for part in parts):
        raise TypeError(
            f"{entry!r:.60} is no node: give a gradlab.Node, or a module with functions forward, backward and samples"
        )
    own = str(getattr(entry, "__name__", type(entry).__name__)).rpartition(".")[2]
    return Node(
        name or own,
        "own",
        entry.forward,
        entry.backward,
        entry.samples,
        reference=getattr(entry, "reference", None),
        zero_gradient=getattr(entry, "ZERO_GRADIENT", ""),
    )


def _cases(label: str, node: Node) -> Iterator[tuple[str, NodeCase]]:
    names = tuple(sample.name for sample in node.draw_samples())
    if not names:
        raise ValueError(
            f"{node.name} has no samples: let its samples(rng) yield at least one gradlab.Sample"
        )
    case = partial(NodeCase, node, names=names, trials=cache(partial(_trials, node)))
    checks = {name: check for name, check in CHECKS.items() if node.reference or name != "matches_reference"}
    for i, sample in enumerate(unique(names)):
        for name, check in checks.items():
            if not check.needs_all_samples:
                yield f"{label}-{sample}-{name}", case(sample=i, check=name)
    for name, check in checks.items():
        if check.needs_all_samples:
            yield f"{label}-{ALL}-{name}", case(sample=None, check=name)


def _trials(node: Node, seed: int, rtol: float | None, atol: float | None, strict: bool) -> list[Trial]:
    budget, samples = Budget(), node.draw_samples(seed)
    return [Trial(node, sample, seed, rtol, atol, strict=strict, budget=budget) for sample in samples]


def unique(names: Iterable[str]) -> list[str]:
    """Return names as parts of ids, of word characters only, a second one of the same name with a number."""
    taken: dict[str, None] = {}
    for name in names:
        word = label = re.sub(r"\W+", "_", name).strip("_") or "unnamed"
        number = 1
        while label in taken:
            number += 1
            label = f"{word}_{number}"
        taken[label] = None
    return list(taken)
