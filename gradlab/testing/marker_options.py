"""The options that the marker ``gradlab`` and the command line give to a test's checks."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import pytest

from gradlab.running.project_settings import project_settings
from gradlab.running.selection import UnknownNameError


def options_for(test: pytest.Item) -> dict[str, Any]:
    """Return the options of a test's markers, the nearest marker's first; then the run's seed, the project's defaults.

    Raises
    ------
    ValueError
        If a marker has an unknown option, or a value that cannot be used.
    """
    # workers are pytest-xdist's matter
    settings = {k: v for k, v in project_settings(test.config.rootpath).items() if k in _OPTIONS}
    options: dict[str, Any] = {**settings, "seed": seed_of(test.config)}
    for mark in reversed(list(test.iter_markers("gradlab"))):  # a class's or a module's, then the test's own
        if mark.args:
            raise ValueError(
                f"the marker gradlab was given {mark.args[0]!r} without a name: "
                f"give keywords, such as gradlab(rtol=1e-6)"
            )
        for name, value in mark.kwargs.items():
            _check_option(name, value)
        options |= mark.kwargs
    return options


def seed_of(config: pytest.Config) -> int:
    """Return the seed of a run: that of the command line, or else of the project, or 0."""
    seed = config.getoption("gradlab_seed")
    if seed is not None:
        return int(seed)
    try:
        return int(project_settings(config.rootpath).get("seed", 0))
    except UnknownNameError:  # each test that checks something has told it
        return 0


def _check_option(name: str, value: Any) -> None:
    if name not in _OPTIONS:
        *others, last = _OPTIONS
        raise ValueError(f"the marker gradlab knows no {name!r}: give {', '.join(others)} or {last}")
    usable, cure = _OPTIONS[name]
    if not usable(value):
        raise ValueError(f"the marker gradlab has {name}={value!r}: give {cure}")


def _is_tolerance(value: Any) -> bool:
    return value is None or (isinstance(value, Real) and 0 <= float(value) < math.inf)


def _is_seed(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def _is_time(value: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return value is None or (number and float(value) > 0)


def _is_count(value: Any) -> bool:
    return value is None or (_is_seed(value) and int(value) > 0)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rtol": (_is_tolerance, "a number from 0 up"),
    "atol": (_is_tolerance, "a number from 0 up"),
    "seed": (_is_seed, "a whole number from 0 up"),
    "strict": (_is_flag, "True or False"),
    "explore": (lambda value: _is_flag(value) or value == "all", "True, False or 'all'"),
    "max_seconds": (_is_time, "a number above 0, or None"),
    "max_evaluations": (_is_count, "a whole number from 1 up, or None"),
}
