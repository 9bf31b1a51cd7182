"""Functions that are not gradlab's: what they raise arrives as an exception of the usual kind, known for theirs."""

import sys
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from types import CodeType
from typing import Any

from gradlab.checks.trial import ContractError
from gradlab.workers.lost_exceptions import Interrupt
from gradlab.workers.sent_exceptions import ToldException, as_received
from gradlab.workers.strange_objects import answer, attribute_of, text_of
from gradlab.workers.worker_map import WorkersLost

# What ends a run, or belongs to whoever runs this one.
ENDS = (KeyboardInterrupt, SystemExit, Interrupt, WorkersLost)
RUNNERS = {"_pytest", "pytest", "trio", "anyio"}
LIBRARIES = {"gradlab", "numpy", "scipy"}
PACKAGE = str(Path(__file__).parents[1])
NODES = str(Path(__file__).parents[1] / "nodes")
MISSING = object()
# So many decorators are looked behind.
DEEPEST = 20


class ForeignFunction:
    """Somebody's function. Of what it raises, all but what ends a run is an `Exception`, as checks expect.

    Attributes
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what pickle and copy ask for, the function itself among it
            raise AttributeError(name)
        if (found := answer(lambda: getattr(self.__dict__["function"], name), MISSING)) is MISSING:
            raise AttributeError(name)
        return found

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        try:
            return self.function(*args, **kwargs)
        except (Exception, *ENDS):
            raise
        except BaseException as error:
            if type(error).__module__.partition(".")[0] in RUNNERS:
                raise
            raise as_received(ToldException(type(error).__name__, text_of(error))) from error


def place_of(function: Any) -> tuple[str, int] | None:
    """Return the file and the line in which a function is written; None where nobody knows."""
    for _ in range(DEEPEST):
        behind = (attribute_of(function, name) for name in ("__wrapped__", "__func__", "func"))
        inner = next((found for found in behind if found is not None), None)
        if inner is None:
            break
        function = inner
    code = attribute_of(function, "__code__") or attribute_of(
        attribute_of(type(function), "__call__"), "__code__"
    )
    file = getattr(code, "co_filename", "")
    # what gradlab puts round a function is nobody's
    own = file.startswith(PACKAGE) and not file.startswith(NODES)
    return (
        (file, code.co_firstlineno)
        if isinstance(code, CodeType) and not file.startswith("<") and not own
        else None
    )


def is_foreign(error: BaseException) -> bool:
    """Return whether an exception is of a function that is not gradlab's, or of what such a function returned."""
    if issubclass(type(error), ContractError):
        return True
    own = {*LIBRARIES, *sys.stdlib_module_names} - {"__main__"}
    for frame, _ in walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code is ForeignFunction.__call__.__code__ or package not in own:
            return True
    return False
