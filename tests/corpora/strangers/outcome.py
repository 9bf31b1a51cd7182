"""What gradlab says of an entry, in a word, and how many of these words are the truth."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gradlab
from gradlab.textbook.models import check_model

from ._entry import Stranger

# As a user has it: the package, and the one check that lives in the textbook's room.
PACKAGE = SimpleNamespace(
    __name__="gradlab", **{name: getattr(gradlab, name) for name in gradlab.__all__}, check_model=check_model
)
# The same without repairs, on which no verdict depends; a name may come from one.
WITHOUT_REPAIRS = SimpleNamespace(
    **{
        name: partial(value, repair=False) if name.startswith("check_") else value
        for name, value in vars(PACKAGE).items()
    }
)
# Which words are right for which truth.
RIGHT = {"right": ("right", "warned"), "wrong": ("wrong",), "habit": ("warned", "wrong")}


def outcome(entry: Stranger, package: SimpleNamespace = WITHOUT_REPAIRS) -> tuple[str, str]:
    """Return the verdict of the one call of an entry, and the name of the likeliest mistake."""
    try:
        report = entry.call(package)
    except Exception:
        return "raised", ""
    verdicts = {str(row.verdict) for row in report.rows}
    name = next((fault.name for fault in report.faults if fault.confidence and not fault.warns), "")
    if "wrong" in verdicts:
        return "wrong", name
    if not report.ok:
        return "undecided", ""
    return "warned" if "warning" in verdicts else "right", ""


def is_right(entry: Stranger, verdict: str) -> bool:
    """Return whether a verdict is the truth."""
    return verdict in RIGHT[entry.truth]


def counted(
    entries: Sequence[Stranger],
    told: Mapping[str, Sequence[str]],
    later: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return how many verdicts are right, of what kind the others are, and how many mistakes got their name.

    `later` has names that fit and that the tool did not have yet when the entries were written.
    """
    names = {e.name: (*e.names, *later.get(e.name, ())) for e in entries}
    wrong = [e for e in entries if e.truth == "wrong" and told[e.name][0] == "wrong" and names[e.name]]
    return {
        "right": sum(is_right(e, told[e.name][0]) for e in entries),
        "right called wrong": sum(e.truth == "right" and told[e.name][0] == "wrong" for e in entries),
        "wrong let go": sum(e.truth == "wrong" and told[e.name][0] in ("right", "warned") for e in entries),
        "raised": sum(told[e.name][0] == "raised" for e in entries),
        "named": sum(told[e.name][1] in names[e.name] for e in wrong),
        "to be named": len(wrong),
    }
