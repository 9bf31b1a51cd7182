"""The checks: one file a check, found by looking.

Each file holds one function, ``check(trial)``, or ``check_all(trials)`` where the question is about all
samples of a node together; it yields a `CheckResult` for each comparison. A check that is also run at primals derived
from the given ones has ``check_elsewhere(trial)``, which yields the faults there, and may have ``is_clear(run)``, which
tells from one observed run that the check would find none.

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
from gradlab.checks.trial.observed_run import ObservedRun, observe
from gradlab.verdict import CheckResult

__all__ = ["CHECKS", "Check", "ExploredFault", "Trial", "as_python", "explore", "quiet"]


@dataclass(frozen=True)
class Check:
    """A check as it is run: on the trials of one node, one at a time or all together.

    Attributes
    ----------
    run : callable
    needs_all_samples : bool
    elsewhere : callable or None
        What yields the faults at a trial beyond the given primals.
    is_clear : callable or None
        What returns whether one observed run there shows that it would yield none.
    """

    run: Callable[[Sequence[Trial]], Iterable[tuple[Trial, CheckResult]]]
    needs_all_samples: bool
    elsewhere: CheckElsewhere | None = None
    is_clear: Callable[[Trial], bool] | None = None


CHECKS: Mapping[str, Check]


@cache
def _modules() -> Mapping[str, ModuleType]:
    files = (p for p in Path(__file__).parent.glob("*.py") if not p.name.startswith("_"))
    # the values first: they decide most, and every other check says less about a gradient whose values are wrong
    paths = sorted(files, key=lambda p: (p.stem != "matches_numerical", p.stem))
    return {path.stem: import_module(f"{__name__}.{path.stem}") for path in paths}


@cache
def _discover() -> Mapping[str, Check]:
    return MappingProxyType({name: _check_from_module(module) for name, module in _modules().items()})


def _check_from_module(module: ModuleType) -> Check:
    if hasattr(module, "check_all"):
        return Check(module.check_all, needs_all_samples=True)

    def run(trials: Sequence[Trial]) -> Iterable[tuple[Trial, CheckResult]]:
        return ((trial, result) for trial in trials for result in module.check(trial))

    elsewhere, reads = (getattr(module, name, None) for name in ("check_elsewhere", "is_clear"))

    def is_clear(trial: Trial) -> bool:
        return module.__name__ in _clear_of(trial)

    return Check(run, needs_all_samples=False, elsewhere=elsewhere, is_clear=is_clear if reads else None)


def _clear_of(trial: Trial) -> set[str]:
    """Return the modules of the checks that one run of a trial shows to find nothing there; the run is not kept."""
    clear: set[str] = trial.remembered("clear of", _compute_clear_of)
    return clear


def _compute_clear_of(trial: Trial) -> set[str]:
    try:
        run = observe(trial)
        return {module.__name__ for module in _modules().values() if _reads_clear(module, run)}
    except Exception:  # the checks say what it is
        return set()


def _reads_clear(module: ModuleType, run: ObservedRun) -> bool:
    return hasattr(module, "is_clear") and bool(module.is_clear(run))


def __getattr__(name: str) -> Any:
    if name == "CHECKS":
        return _discover()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
