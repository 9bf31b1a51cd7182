"""Objects of others, asked so that nothing ends by what they raise for an answer: their code may raise anything."""

from collections.abc import Callable
from typing import Any, TypeVar

from gradlab.workers.lost_exceptions import Interrupt

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")


def answer(ask: Callable[[], Answer], otherwise: Otherwise) -> Answer | Otherwise:
    """Return what a question is answered with; something else where that raises, unless Ctrl-C or a timer did."""
    try:
        return ask()
    except (KeyboardInterrupt, Interrupt):
        raise
    except BaseException:
        return otherwise


def attribute_of(value: Any, name: str) -> Any:
    """Return an attribute, None where there is none to be had."""
    return answer(lambda: getattr(value, name), None)


def title_of(function: Any) -> str:
    """Return what a function is called, or else its type."""
    kind = type(function).__name__
    return answer(lambda: str(getattr(function, "__name__", kind)), kind)


def text_of(error: BaseException) -> str:
    """Return what an exception says in one line; nothing where it does not say."""
    return answer(lambda: " ".join(str(error).split()), "")


def shown(value: Any) -> str:
    """Return how an argument shows itself, cut to a line's length; its type where it does not."""
    return answer(lambda: f"{value!r:.80}", f"of type {type(value).__name__}")
