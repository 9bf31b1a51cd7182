"""`functools.cached_property` as it is from Python 3.12 on: without a lock.

Before, one lock for each property is held by whichever thread computes a value, of whatever object: two checks wait for
each other, and in a process that is forked meanwhile it is held for ever.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property as cached_property
else:

    class cached_property:  # noqa: N801 # as the one that it stands for
        """A property that is computed once; the value then stands in the object's ``__dict__``."""

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self.function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            """Return the value, computed if it is not there yet."""
            if instance is None:
                return self
            value = self.function(instance)
            # where another thread was quicker, its value is the one
            return instance.__dict__.setdefault(self.name, value)
