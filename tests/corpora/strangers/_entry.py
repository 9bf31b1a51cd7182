"""What an entry of the corpus of strangers is: an object, the one call that its owner would make, and the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stranger:
    """An object with a hand-written gradient.

    Attributes
    ----------
    name : str
        Unique, in plain words: what the object is, and, after a colon, its mistake if it has one.
    form : str
        The form in a few words ("layer with dict gradients", "loss and grads", "pair with cache", "f and grad").
    call : callable
        ``call(gradlab)`` makes everything afresh and returns the report of the one call that its owner would make, for
        example ``lambda gradlab: gradlab.check_layer(Affine(4, 3), x)``. `gradlab` is the package.
    prove : callable
        ``prove()`` makes everything afresh and returns a list of pairs (claimed, true) of arrays: the gradients as the
        object gives them when it is used as it is meant, and the true ones (an independent derivation, or central
        differences of its own forward). For a habit (see `truth`) an empty list.
    truth : str
        "right", "wrong", or "habit": every number is right and the fault is one of behaviour.
    mistake : str
        In plain words; empty where it is right.
    names : tuple of str
        Which of the tool's names for mistakes fit, the best first; empty where it is right, or none fits.
    of : tuple of str
        What the wrong gradient is called in the object (parameter or argument).
    line : str
        The wrong line or lines of the source, as they stand in the file; empty where it is right.
    mended : str
        What stands in the place of `line` in the right version.
    """

    name: str
    form: str
    call: Callable[[Any], Any]
    prove: Callable[[], list[tuple[Any, Any]]]
    truth: str = "right"
    mistake: str = ""
    names: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    line: str = ""
    mended: str = ""

    def __str__(self) -> str:
        return self.name
