"""The checks: one file a check, found by looking.

Each file holds one function, ``check(trial)``, or ``check_all(trials)`` where the question is about all
samples of a node together; it yields a `CheckResult` for each comparison. A check that is also run at primals derived
from the given ones has ``check_elsewhere(trial)``, which yields the faults there.

Attributes
----------
CHECKS : Mapping[str, Check]
    Every check by its name, filled when it is first asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from gradlab.checks.exploration.fault_search import CheckElsewhere, ExploredFault, as_python, explore
from gradlab.checks.trial import Trial, quiet
from gradlab.verdict import CheckResult

__all__ = ["CHECKS", "Check", "ExploredFault", "Trial", "as_python", "explore", "quiet"]


@dataclass(frozen=True)
class Check:
    """A check as it is run: on the trials of one node, one at a time or all together."""

    run: Callable[[Sequence[Trial]], Iterable[tuple[Trial, CheckResult]]]
    needs_all_samples: bool
    elsewhere: CheckElsewhere | None = None


CHECKS: Mapping[str, Check]


@cache
def _discover() -> Mapping[str, Check]:
    files = (p for p in Path(__file__).parent.glob("*.py") if not p.name.startswith("_"))
    # the values first: they decide most, and every other check says less about a gradient whose values are wrong
    paths = sorted(files, key=lambda p: (p.stem != "matches_numerical", p.stem))
    modules = {path.stem: import_module(f"{__name__}.{path.stem}") for path in paths}
    return MappingProxyType({name: _check_from_module(module) for name, module in modules.items()})


def _check_from_module(module: ModuleType) -> Check:
    if hasattr(module, "check_all"):
        return Check(module.check_all, needs_all_samples=True)

    def run(trials: Sequence[Trial]) -> Iterable[tuple[Trial, CheckResult]]:
        return ((trial, result) for trial in trials for result in module.check(trial))

    return Check(run, needs_all_samples=False, elsewhere=getattr(module, "check_elsewhere", None))


def __getattr__(name: str) -> Any:
    if name == "CHECKS":
        return _discover()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
