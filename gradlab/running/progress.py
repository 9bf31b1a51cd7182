"""A progress bar on a terminal, and none in a pipe."""

from collections.abc import Iterable
from typing import Any


def with_progress(items: Iterable[Any], progress: bool, unit: str, total: int | None = None) -> Iterable[Any]:
    """Return the items, and show on stderr how many have been taken, if `progress` and if that is a terminal."""
    if not progress:
        return items
    from tqdm import tqdm

    # disable=None: a bar on a terminal, none in a pipe
    return tqdm(items, total=total, unit=unit, leave=False, disable=None)
