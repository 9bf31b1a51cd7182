"""A system of the textbooks: a network, its data and its training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradlab.textbook.models.graph import History, Model

# A new model, and its data x and t.
Built = tuple[Any, Any, Any]


@dataclass(frozen=True)
class System:
    """A network small enough to have its whole gradient checked, and to be trained, in a moment.

    Attributes
    ----------
    name : str
    network : str
        Its layers or sizes, and what it is to learn.
    learn : callable
        ``learn(model, x, t)`` trains the model on the whole data, and returns in a few words what it learned.
    build : callable, optional
        ``build()`` returns a new model and its data x and t; None where nothing has a gradient.
    batch : int
        The number of rows of the data on which the gradient is checked.
    """

    name: str
    network: str
    learn: Callable[[Any, Any, Any], str]
    build: Callable[[], Built] | None = None
    batch: int = 8


def fit(model: Model, x: Any, t: Any, **settings: Any) -> History:
    """Train as `Model.fit` does, but let Ctrl-C through: the scores of half a training would mislead."""
    history = model.fit(x, t, **settings)
    if history.interrupted:
        raise KeyboardInterrupt
    return history


def first_rows(data: Any, count: int) -> Any:
    """Return the first rows of an array, or of each of several."""
    return [array[:count] for array in data] if isinstance(data, list) else data[:count]
