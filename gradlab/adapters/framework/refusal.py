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
        own, without = _packages(error), isinstance(error, NotImplementedError)
        alone = all(name == package for name in own)
        if (alone and without) if by_hand else (without or alone or own[-1] == package):
            cure = "give it one by hand, or pass in settings what it is not differentiated by"
            said = first_line(error).rstrip(".")
            raise TypeError(f"{package} has no derivative of {pair.name}, {said}: {cure}") from error


def raised_by(package: str, error: BaseException) -> bool:
    """Return whether a package itself says by an exception that it cannot do something."""
    names = _packages(error)
    says = any(word in str(error) for word in ("not support", "not implement"))
    refuses = says or isinstance(error, NotImplementedError | AssertionError)
    return bool(names) and (all(name == package for name in names) or (refuses and names[-1] == package))


def _packages(error: BaseException) -> list[str]:
    """Return the packages of the frames that an exception came through, after the last of gradlab's."""
    names = [
        frame.f_globals.get("__name__", "").partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = [i for i, name in enumerate(names) if name == __name__.partition(".")[0]]
    return names[ours[-1] + 1 :]
