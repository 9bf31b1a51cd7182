"""The defaults that a project sets in the table ``[tool.gradlab]`` of its pyproject.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradlab.running.options import CheckOptions
from gradlab.running.selection import UnknownNameError
from gradlab.workers.worker_map import process_count

NAMES = ("rtol", "atol", "seed", "strict", "explore", "max_seconds", "max_evaluations", "workers")


def project_settings(folder: Path) -> Mapping[str, Any]:
    """Return the table of the nearest pyproject.toml, in a folder or above it, that has one; empty if none has.

    Raises
    ------
    UnknownNameError
        If it holds what is no default, or a value that cannot be used; in one line that ends with the cure.
    """
    for nearest in (folder, *folder.parents):
        path = nearest / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("gradlab")
        except (OSError, ValueError, AttributeError) as error:
            raise UnknownNameError(f"{path} cannot be read ({error}): mend it") from error
        if table is not None:
            return _checked(path, table)
    return {}


def _checked(path: Path, table: Any) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise UnknownNameError(f"{path}: tool.gradlab is no table: write [tool.gradlab]")
    for name in table:
        if name not in NAMES:
            raise UnknownNameError(f"{path}: [tool.gradlab] knows no {name!r}: give {', '.join(NAMES)}")
    try:
        CheckOptions(**table)
        process_count(table.get("workers"))
    except (TypeError, ValueError) as error:
        raise UnknownNameError(f"{path}: [tool.gradlab]: {error}") from error
    return table
