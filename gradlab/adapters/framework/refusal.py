"""What a framework itself cannot differentiate: nobody's gradient is wrong there, and it is refused."""

import traceback
from typing import Any

import numpy as np

from gradlab.adapters.framework.function_pair import FunctionPair
from gradlab.adapters.framework.leaves import first_line
from gradlab.node import as_tuple


def refuse_without_derivative(pair: FunctionPair[Any], package: str, *, by_hand: bool = True) -> None:
    """Raise if the framework has no derivative for a function at the given primals.

    Where a derivative may be written by hand, only what the framework says of itself counts, and neither what a
    backward raises nor what is said of one.

    Raises
    ------
    TypeError
        In one line that ends with the cure.
    """
    try:
        outputs, residuals = pair.forward(*(leaf.value.copy() for leaf in pair.leaves), **pair.settings)
        ones = tuple(map(np.ones_like, as_tuple(outputs)))
        pair.backward(residuals, ones if isinstance(outputs, tuple) else ones[0])
    except Exception as error:
        # of eigenvectors, whose phase is anybody's choice, torch knows by the cotangent that it has none
        own, without = _packages(error), isinstance(error, NotImplementedError) or "ill-defined" in str(error)
        alone = all(name == package for name in own)
        if (alone and without) if by_hand else (own[-1:] == [package] or says_no(package, error)):
            cure = "give it one by hand, or pass in settings what it is not differentiated by"
            said = first_line(error).rstrip(".")
            raise TypeError(f"{package} has no derivative of {pair.name}, {said}: {cure}") from error


def says_no(package: str, error: BaseException) -> bool:
    """Return whether an exception says that something cannot be done, as a package itself, or its user, has it."""
    names = _packages(error)
    own = bool(names) and all(name == package for name in names)
    # a package may leave its own frames out of what it shows
    return own or isinstance(error, NotImplementedError | AssertionError) or _says_no(error)


def _says_no(error: BaseException) -> bool:
    return any(word in str(error) for word in ("not support", "not implement", "does not work for"))


def _packages(error: BaseException) -> list[str]:
    """Return the packages of the frames that an exception came through, after the last of gradlab's."""
    names = [
        frame.f_globals.get("__name__", "").partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = [i for i, name in enumerate(names) if name == __name__.partition(".")[0]]
    return names[ours[-1] + 1 :]
