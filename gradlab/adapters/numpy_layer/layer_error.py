"""What is raised where a layer cannot be checked: one line, which ends with the cure."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from gradlab.checks import trial
from gradlab.running.foreign_function import RUNNERS
from gradlab.workers.lost_exceptions import Interrupt
from gradlab.workers.strange_objects import text_of


class LayerError(ValueError):
    """A layer, or the call for it, from which nothing can be checked; the message ends with the cure."""


def error_text(error: BaseException) -> str:
    """Return an exception in one line, a `LayerError` as its message."""
    return text_of(error) if isinstance(error, LayerError) else trial.error_text(error)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@contextlib.contextmanager
def foreign_errors(title: str) -> Iterator[None]:
    """Tell as a LayerError what somebody else's code raises where no verdict could tell it, an exit included.

    What gradlab itself raises is left as it is.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupt):
        raise
    except BaseException as error:
        frames = [
            (_package(frame), frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)
        ]
        if frames[-1][0] == "gradlab" or type(error).__module__.partition(".")[0] in RUNNERS:
            raise
        theirs = [frame for frame in frames if frame[0] not in {"gradlab", "numpy", *sys.stdlib_module_names}]
        _, file, line = (theirs or frames)[-1]
        place = f"{Path(file).name}, line {line}"
        cure = "mend that, or say how it is called, with forward= and backward="
        raise LayerError(f"{title} {error_text(error)}, in {place}: {cure}") from error
