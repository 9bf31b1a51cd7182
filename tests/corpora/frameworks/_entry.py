"""What an entry of the corpora of torch and JAX functions is."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Call(NamedTuple):
    """What is checked: ``function(*inputs, **settings)``.

    Attributes
    ----------
    function : callable
    inputs : tuple
        Tensors or arrays, or nestings of them (tuples, lists, dicts, dataclasses, pytrees, None), as the function takes
        them. What is a leaf that requires grad (torch), or a floating array (JAX), is differentiated.
    settings : dict
    reference : callable or None
        Of a kernel: an eager function of the same arguments.
    intended : callable or None
        The function whose gradient the gradient is meant to be, where that is another one.
    """

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    settings: dict[str, Any] = {}
    reference: Callable[..., Any] | None = None
    intended: Callable[..., Any] | None = None


class Entry(NamedTuple):
    """One function, right or wrong, and what is wrong with it.

    Attributes
    ----------
    name : str
    row : str
        What it is about; of a kernel, its kind.
    wrong : bool
    why : str
        What is wrong, in one sentence; of a right one, what a careless checker might hold against it.
    make : callable
        Returns the call, made anew: nothing is shared between two calls.
    """

    name: str
    row: str
    wrong: bool
    why: str
    make: Callable[..., Call]
