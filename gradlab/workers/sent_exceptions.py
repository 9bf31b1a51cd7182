"""Exceptions on their way between processes: what cannot be pickled arrives under its own name, with what it says."""

import pickle
from dataclasses import dataclass

from gradlab.workers.strange_objects import text_of


class RaisedElsewhereError(RuntimeError):
    """The base of exceptions that were raised in another process and could not come from there as they were."""


@dataclass(frozen=True)
class ToldException:
    """What is sent of an exception that cannot be: its type's name, and its text."""

    kind: str
    text: str


def as_sent(error: BaseException) -> BaseException | ToldException:
    """Return an exception if it arrives as what it is where it is sent to, and else what there is to tell of it."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # whatever its own code does
        pass
    return ToldException(type(error).__name__, text_of(error))


def as_received(sent: BaseException | ToldException) -> BaseException:
    """Return the exception to raise for what `as_sent` made of one."""
    if isinstance(sent, BaseException):
        return sent
    error: BaseException = type(sent.kind, (RaisedElsewhereError,), {})(sent.text)
    return error
