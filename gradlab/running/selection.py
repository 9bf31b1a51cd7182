"""Nodes and checks by their names."""

import difflib
from collections.abc import Iterable, Sequence

from gradlab import checks as check_room
from gradlab import nodes as node_room
from gradlab.node import Node


class UnknownNameError(ValueError):
    """A node, family or check that does not exist; the message offers the nearest names."""


def select_nodes(names: Sequence[str], family: str | None = None) -> list[Node]:
    """Return the registered nodes of these names (all, if none is given) and this family."""
    known = node_room.NODES
    for name in names:
        if name not in known:
            raise UnknownNameError(_unknown("node", name, known, "gradlab list shows all"))
    families = sorted({node.family for node in known.values()})
    if family is not None and family not in families:
        raise UnknownNameError(_unknown("family", family, families, f"there are {', '.join(families)}"))
    chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    return [node for node in chosen if family in (None, node.family)]


def select_checks(names: Sequence[str] | None) -> dict[str, check_room.Check]:
    """Return the checks of these names (all, if None)."""
    known = check_room.CHECKS
    for name in names or ():
        if name not in known:
            raise UnknownNameError(_unknown("check", name, known, f"there are {', '.join(known)}"))
    return {name: check for name, check in known.items() if names is None or name in names}


def _unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"no {kind} is named {name!r}: " + (f"did you mean {' or '.join(near)}?" if near else otherwise)
