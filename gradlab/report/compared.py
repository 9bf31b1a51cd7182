"""Two reports, as JSON, compared: which verdicts got worse, which errors grew, and what takes longer."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from gradlab.report.envelope import to_json
from gradlab.report.escaping import one_line
from gradlab.report.numbers import count, number, seconds
from gradlab.report.problems import NUMERICAL, ORDER
from gradlab.report.tables import table
from gradlab.verdict import Verdict

# With so many times the machine's own speed is told from that of one node.
ENOUGH_TIMES = 5
# Below this no error is known.
TINY = 1e-16
VERDICT, ERROR = "verdict", "error"
TIMED = ("forward", "backward")
NUMBERS = (
    "relative_error",
    "relative_bound",
    *(f"{name}_{what}" for name in TIMED for what in ("s", "spread")),
)


class UnreadableReportError(ValueError):
    """A file that is no report, or a limit that is none; the message ends with the cure."""


@dataclass(frozen=True)
class Changed:
    """What is another in the newer report.

    Attributes
    ----------
    what : str
        The function and its input, with the test where there is one.
    kind : str
        "verdict", "error", "forward" or "backward"; "gone" or "added" for what only one of the reports has.
    old, new : str
    fails : bool
        Whether it is beyond what was allowed.
    """

    what: str
    kind: str
    old: str
    new: str
    fails: bool


@dataclass(frozen=True)
class Compared:
    """What has changed between two reports.

    Attributes
    ----------
    changes : sequence of Changed
        What fails comes first.
    compared : int
        How many rows both have.
    speed : float
        How many times as long the newer run took for the same, by the machine; 1 where that is not known.
    untimed : bool
        Whether times were to be compared, and the reports have none for the same.
    """

    changes: list[Changed]
    compared: int
    speed: float = 1.0
    untimed: bool = False
    environment: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether there was something to compare, and nothing is beyond what was allowed."""
        return self.compared > 0 and not any(change.fails for change in self.changes)

    def to_table(self, style: str) -> str:
        """Return a line for each change, and the counts."""
        shown = [(c.what, c.kind, c.old, c.new, "fails" if c.fails else "") for c in self.changes]
        failing = sum(change.fails for change in self.changes)
        head = "Nothing to compare." if not self.compared else "Nothing got worse." if not failing else ""
        head = head or f"WORSE: {count(failing, 'change')} beyond what is allowed."
        closing = f"{count(self.compared, 'row')} compared, {count(len(self.changes), 'change')}."
        if self.untimed:
            closing += (
                " No times in both: have them measured with --timings or --format json of gradlab check."
            )
        parts = [f"**{head}**" if style == "github" else head]
        parts += [table(("what", "reason", "old", "new", "verdict"), shown, style)] if shown else []
        return "\n\n".join([*parts, closing])

    def to_json(self) -> str:
        """Return the envelope ``{"ok": ..., "environment": {...}, "rows": [...]}`` as JSON text."""
        return to_json(self.ok, [asdict(change) for change in self.changes], self.environment)


def limits_of(text: str) -> dict[str, float]:
    """Return what ``error:10x,time:20%`` allows: how many times the old value a new one may be.

    Raises
    ------
    UnreadableReportError
        If it says something else.
    """
    limits = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        found = re.fullmatch(r"(error|time):(\d+(?:\.\d+)?)(x|%)", part)
        if not found or float(found[2]) < (found[3] == "x"):
            cure = "give error: and time: with a factor from 1x up or a percentage (20%), such as error:10x,time:20%"
            raise UnreadableReportError(f"--fail-if {part!r}: {cure}")
        limits[found[1]] = float(found[2]) if found[3] == "x" else 1 + float(found[2]) / 100
    return limits


def rows_in(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows and the environment of a report that was written as JSON.

    Raises
    ------
    UnreadableReportError
        If the file is none.
    """
    try:
        envelope = json.loads(path.read_text("utf-8"))
        rows, environment = envelope["rows"], envelope["environment"]
        for row in rows:
            _place_of(row), _rank(row), *(_float(row.get(name)) for name in NUMBERS)
        return rows, dict(environment)
    except OSError as error:
        raise UnreadableReportError(f"{path} cannot be read ({error.strerror}): name a report") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        cure = "write one with --format json, or with pytest --gradlab-report"
        raise UnreadableReportError(f"{path} is no report of gradlab's: {cure}") from error


def compare_reports(
    before: Iterable[dict[str, Any]],
    after: Iterable[dict[str, Any]],
    limits: Mapping[str, float],
    environment: Mapping[str, Any],
) -> Compared:
    """Return what has changed from the rows of one report to those of another, which was made in `environment`.

    A verdict that got worse always fails. An error has grown where it is beyond what the numerical side itself may be
    off by. Times are those of a node over all its samples, and are compared after the median of all, since another
    machine, or another hour, is not a slower backward. One has grown that is beyond what is allowed by more than the
    moments of each run differ among themselves.
    """
    olds, news = _by_place(before), _by_place(after)
    both = [key for key in olds if key in news]
    changes = [c for key in both for c in _row_changes(_what(key), olds[key], news[key], limits)]
    slower, speed, timed = _time_changes(olds, news, both, limits)
    changes += slower
    changes += [
        Changed(_what(key), "gone", str(olds[key]["verdict"]), "", False) for key in olds if key not in news
    ]
    changes += [
        Changed(_what(key), "added", "", str(news[key]["verdict"]), False) for key in news if key not in olds
    ]
    changes.sort(key=lambda change: not change.fails)
    return Compared(changes, len(both), speed, "time" in limits and not timed, environment)


Place = tuple[str, str, str, str, str]


def _place_of(row: Mapping[str, Any]) -> Place:
    node, sample, check, primal = (str(row[name]) for name in ("node", "sample", "check", "primal"))
    return str(row.get("test") or ""), node, sample, check, primal


def _by_place(rows: Iterable[dict[str, Any]]) -> dict[Place, dict[str, Any]]:
    found: dict[Place, dict[str, Any]] = {}
    for row in rows:
        key = _place_of(row)
        # of several comparisons in one place the worst
        if key not in found or _rank(row) > _rank(found[key]):
            found[key] = row
    return found


def _what(key: Place) -> str:
    test, node, sample, check, primal = key
    return one_line(
        ", ".join(filter(None, [test, node, sample, primal, "" if check == NUMERICAL else check]))
    )


def _rank(row: Mapping[str, Any]) -> int:
    return ORDER.index(Verdict(row["verdict"]))


def _row_changes(
    what: str, old: Mapping[str, Any], new: Mapping[str, Any], limits: Mapping[str, float]
) -> Iterable[Changed]:
    if old["verdict"] != new["verdict"]:
        worse = _rank(new) > _rank(old) and not Verdict(new["verdict"]).ok
        yield Changed(what, VERDICT, str(old["verdict"]), str(new["verdict"]), worse)
    was, now = _float(old.get("relative_error")), _float(new.get("relative_error"))
    if was is None or now is None:
        return
    known = max(was, _float(old.get("relative_bound")) or 0.0, TINY)
    factor = limits.get(ERROR)
    if factor and now > (_float(new.get("relative_bound")) or 0.0) and now >= factor * known:
        yield Changed(what, ERROR, number(was), number(now), True)


@dataclass
class _Sum:
    """The times of a node over its samples: the shortest, and the usual ones."""

    shortest: float = 0.0
    usual: float = 0.0

    def add(self, shortest: float, spread: float) -> None:
        self.shortest += shortest
        self.usual += shortest * spread

    @property
    def spread(self) -> float:
        """How many times as long the usual ones are."""
        return self.usual / self.shortest


def _time_changes(
    olds: Mapping[Place, Mapping[str, Any]],
    news: Mapping[Place, Mapping[str, Any]],
    both: Iterable[Place],
    limits: Mapping[str, float],
) -> tuple[list[Changed], float, int]:
    """Return what takes longer, how many times as long everything takes, and how many times were compared."""
    sums: dict[tuple[str, str, str], tuple[_Sum, _Sum]] = {}
    seen: set[tuple[str, str, str]] = set()
    for key in both:
        if (sample := key[:3]) in seen:
            continue  # the times are the sample's, on all its rows
        for name in TIMED:
            times = [(_float(row.get(f"{name}_s")), row) for row in (olds[key], news[key])]
            if all(time and time > 0 for time, _ in times):
                seen.add(sample)
                total = sums.setdefault((key[0], key[1], name), (_Sum(), _Sum()))
                for one, (time, row) in zip(total, times, strict=True):
                    one.add(time or 0.0, _float(row.get(f"{name}_spread")) or 1.0)
    ratios = {key: new.shortest / old.shortest for key, (old, new) in sums.items()}
    speed = median(ratios.values()) if len(ratios) >= ENOUGH_TIMES else 1.0
    factor = limits.get("time")
    slower = [
        Changed(
            one_line(", ".join(filter(None, [test, node]))),
            name,
            seconds(old.shortest),
            seconds(new.shortest),
            True,
        )
        for (test, node, name), (old, new) in sums.items()
        if factor and ratios[test, node, name] >= factor * speed * old.spread * new.spread
    ]
    return slower, speed, len(ratios)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
