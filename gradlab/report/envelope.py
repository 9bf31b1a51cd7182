"""The JSON envelope that every command prints: ``{"ok": ..., "environment": {...}, "rows": [...]}``."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

# Every report states them, and a small check would spend its time on reading them from the disk.
_version = cache(metadata.version)


def environment(**more: Any) -> dict[str, Any]:
    """Return the versions and the machine of this run, and `more` (a seed, a data set's name)."""
    return {
        "gradlab": _version("gradlab"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        **more,
    }


def to_json(ok: bool, rows: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> str:
    """Return the envelope as JSON text.

    JSON knows no NaN and no infinity: they stand as the strings "NaN", "Infinity" and "-Infinity", which
    Python's ``float`` reads back.
    """
    envelope = {"ok": ok, "environment": _plain(environment), "rows": [_plain(row) for row in rows]}
    return json.dumps(envelope, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value
