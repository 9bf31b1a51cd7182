"""What the caller of a check may ask for: one list of keywords behind every ``check_*``, documented once."""

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, TypeVar, get_args

from gradlab.checks import Trial
from gradlab.directions import FULL_BELOW
from gradlab.node import Node, Sample
from gradlab.numerical.estimate import Method, check_method
from gradlab.workers.worker_map import Workers

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class CheckOptions:
    """What every check may be asked for.

    Parameters
    ----------
    rtol, atol : float, optional
        Tolerances; by default they follow from the dtype and the size of the gradient.
    seed : int
        Seed of what is drawn, cotangents and directions among it; not negative.
    checks : sequence of str, optional
        The checks to run; by default all that apply.
    explore : bool
        Whether to look beyond the given primals as well: at some that are derived from them (another sign, size,
        order or batch, ties, exact zeros), wherever forward accepts them and stays finite. A fault there is
        reported with the smallest primals that show it.
    strict : bool
        Whether a breach of the contract that leaves the numbers right (memory that is shared or written into,
        another dtype) is an error; otherwise it is a warning.
    method : {"auto", "central", "forward", "backward", "complex-step"}
        The numerical side: see `gradlab.estimate_gradient`.
    workers : int or map-like callable, optional
        Who shares the work: that many processes (-1: as many as there are processors), or what
        ``workers(function, iterable)`` makes of it, as in SciPy. The rows do not depend on it, but for their times.
    full_below : int, optional
        With more elements than this, 10,000, in all primals together, the gradient of ``sum(g * forward(*primals))``
        is compared along random directions, in under 100 evaluations of forward, and what is wrong in it is found by
        halving; the row's note says which error in one element would have been caught. None: every element, always.
    name : str, optional
        The name in the report; by default that of the function.
    """

    rtol: float | None = None
    atol: float | None = None
    seed: int = 0
    checks: Sequence[str] | None = None
    explore: bool = True
    strict: bool = False
    method: Method = "auto"
    workers: Workers = None
    full_below: int | None = FULL_BELOW
    name: str | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_method(self.method)
        check_full_below(self.full_below)

    def keywords(self, **others: Any) -> dict[str, Any]:
        """Return the options as keywords, `others` in place of those of the same names."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | others

    def trial(self, node: Node, sample: Sample, kind: Callable[..., Any] = Trial, **more: Any) -> Any:
        """Return the trial, of class `kind`, of somebody else's node at a sample, under these options."""
        return kind(
            node,
            sample,
            self.seed,
            self.rtol,
            self.atol,
            self.method,
            registered=False,
            strict=self.strict,
            full_below=self.full_below,
            **more,
        )


class NumericalKeywords(TypedDict, total=False):
    """The keywords of every check, for type checkers and editors: see `CheckOptions`."""

    rtol: float | None
    atol: float | None
    seed: int
    method: Method
    full_below: int | None
    name: str | None


class CheckKeywords(NumericalKeywords, total=False):
    """The keywords of a check that runs one after the other: see `CheckOptions`."""

    checks: Sequence[str] | None
    explore: bool
    strict: bool


class SharedCheckKeywords(CheckKeywords, total=False):
    """The keywords of a check that workers can share: see `CheckOptions`."""

    workers: Workers


def takes_options(strict: bool = False) -> Callable[[Function], Function]:
    """Show the keywords of `CheckOptions` in a function's signature and documentation.

    The function ends in ``**keywords: Unpack[...]`` of a TypedDict, which names the keywords that it takes, and makes
    options of them by `options_of`. `help` and `inspect.signature` then show each with its default.

    Parameters
    ----------
    strict : bool
        The default of the keyword `strict`.
    """

    def shown(function: Function) -> Function:
        own = inspect.signature(function)
        *explicit, keywords = own.parameters.values()
        (accepted,) = get_args(keywords.annotation)
        options = [field for field in fields(CheckOptions) if field.name in accepted.__annotations__]
        defaults = {field.name: field.default for field in options} | {"strict": strict}
        more = [
            keywords.replace(
                name=field.name,
                kind=keywords.KEYWORD_ONLY,
                default=defaults[field.name],
                annotation=field.type,
            )
            for field in options
        ]
        function.__signature__ = own.replace(parameters=[*explicit, *more])  # type: ignore[attr-defined]
        function.__doc__ = _documented(function.__doc__, [field.name for field in options])
        return function

    return shown


def _documented(doc: str | None, names: Collection[str]) -> str | None:
    """Return a docstring with what `CheckOptions` says of some keywords at the end of its parameters."""
    if doc is None or CheckOptions.__doc__ is None:  # python -OO
        return doc
    parts = re.findall(r"^\w[\w, ]* : .*\n(?: .*\n?)+", inspect.cleandoc(CheckOptions.__doc__), re.MULTILINE)
    wanted = [part.strip() for part in parts if part.partition(" : ")[0].split(", ")[0] in names]
    before, heading, after = inspect.cleandoc(doc).partition("\n\nReturns\n-------\n")
    return "\n".join([before, *wanted]) + heading + after


def options_of(function: Callable[..., Any], keywords: Mapping[str, Any]) -> CheckOptions:
    """Return what the keywords of a function that `takes_options` ask for.

    Raises
    ------
    TypeError
        If the function takes no keyword of such a name.
    ValueError
        If the seed, the method or `full_below` cannot be used.
    """
    parameters = inspect.signature(function).parameters
    known = {
        field.name: parameters[field.name].default
        for field in fields(CheckOptions)
        if field.name in parameters
    }
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, parameters, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise TypeError(f"{function.__name__} takes no {name!r}: {cure}")
    return CheckOptions(**known | dict(keywords))


def check_seed(seed: int) -> None:
    """Raise ValueError unless `seed` can be one."""
    if seed < 0:
        raise ValueError(f"the seed is {seed}: give a whole number from 0 up")


def check_full_below(full_below: int | None) -> None:
    """Raise ValueError unless `full_below` is a number of elements, or None."""
    if full_below is not None and full_below < 0:
        raise ValueError(
            f"full_below is {full_below}: give a number of elements from 0 up, or None for no limit"
        )
