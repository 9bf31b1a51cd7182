"""What the caller of a check may ask for: one list of keywords behind every ``check_*``, documented once."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, TypedDict, TypeVar, get_args

import numpy as np

from gradlab.checks import Trial
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.domain import check_domain_names, domains_of
from gradlab.directions import FULL_BELOW
from gradlab.node import Node, Sample
from gradlab.numerical.estimate import Method, check_method
from gradlab.workers.lock_free import cached_property
from gradlab.workers.strange_objects import shown
from gradlab.workers.worker_map import Workers

Function = TypeVar("Function", bound=Callable[..., Any])
# What other checkers call their options, torch's, JAX's and SciPy's, and what stands for them here.
HABITS = {
    "eps": "the steps are chosen by themselves, leave it out",
    "epsilon": "the steps are chosen by themselves, leave it out",
    "tol": "give rtol= and atol=, or neither, as they follow from the dtype",
    "raise_exception": "call raise_if_failed() of the report that is returned",
    "nondet_tol": "what differs from call to call in its last bits is a warning, leave it out",
    "fast_mode": "directions come first by themselves, leave it out",
    "check_forward_ad": 'give checks=["forward_mode"]',
    "check_batched_grad": 'give checks=["batched"]',
    "check_batched_forward_grad": 'give checks=["batched"]',
    "check_undefined_grad": 'give checks=["unused_outputs"]',
    "check_grad_dtypes": 'give checks=["shapes_and_dtypes"]',
    "check_backward_ad": "reverse mode is what is checked, leave it out",
    "modes": 'give checks=["forward_mode"] for "fwd"; "rev" is what is checked',
    "err_msg": "give name=",
    "direction": "random directions come first by themselves, leave it out",
}
# Nobody waits longer for one check among many in a test suite, and most take a tenth of a second.
MAX_SECONDS = 10.0


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
    explore : bool or "all"
        Whether to look beyond the given primals as well: at some that are derived from them, wherever forward accepts
        them and stays finite. A fault at other numbers of the same signs and range, or in another batch, is an error;
        one elsewhere (another sign, size or order, ties, exact zeros) is a warning, "beyond the given point", unless
        "all" says that all of it counts. A fault is reported with the smallest primals that show it.
    domain : {"positive", "unit", "simplex"}, pair, callable or dict, optional
        The numbers that the function is meant for: "unit" lie between 0 and 1, rows of a "simplex" add up to 1 and are
        not negative, a pair is an interval whose ends may be None, a callable brings any array among them, and a dict
        has one of these for each primal that it names. What is derived from the given primals is brought there, and a
        fault at such numbers is an error.
    strict : bool
        Whether a breach of the contract that leaves the numbers right (memory that is shared or written into,
        another dtype) is an error; otherwise it is a warning.
    method : {"auto", "central", "forward", "backward", "complex-step"}
        The numerical side: see `gradlab.estimate_gradient`.
    workers : int or map-like callable, optional
        Who shares the work: that many processes (-1: as many as there are processors), or what
        ``workers(function, iterable)`` makes of it, as in SciPy. The rows do not depend on it, but for their times.
    full_below : int, optional
        Random directions confirm a gradient where they can, and the row's note says which error in one element would
        have been caught; where they do not, every element is looked at, or, of hundreds of elements with a few that
        are wrong, these. With more elements than this, 10,000, in all primals together, the gradient of
        ``sum(g * forward(*primals))`` is compared along directions alone, in under 100 evaluations of forward, and
        what is wrong in it is found by halving. None: every element, always.
    max_seconds : float, optional
        What the check may take, once its arguments are read. The verdict at the given primals comes first, however
        long that takes; the search at other primals, for smaller ones and in other modes, and the diagnosis share
        what is left, and the report says what they did not get to. A call of forward or backward that does not end
        there is interrupted. None: no limit. `verify` counts for each node.
    max_evaluations : int, optional
        The same limit in evaluations of forward for the numerical side; by default none.
    repair : bool
        Whether to look for a change of the source that mends what is wrong, for `Report.repairs`; nothing is written.
    name : str, optional
        The name in the report; by default that of the function.
    """

    rtol: float | None = None
    atol: float | None = None
    seed: int = 0
    checks: Sequence[str] | None = None
    explore: bool | Literal["all"] = True
    domain: Any = None
    strict: bool = False
    method: Method = "auto"
    workers: Workers = None
    full_below: int | None = FULL_BELOW
    max_seconds: float | None = MAX_SECONDS
    max_evaluations: int | None = None
    repair: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.explore, bool) and not (
            isinstance(self.explore, str) and self.explore == "all"
        ):
            raise ValueError(f"explore is {shown(self.explore)}: give True, False or 'all'")
        for name in ("strict", "repair"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} is {shown(getattr(self, name))}: give True or False")
        if self.name is not None and not isinstance(self.name, str):
            raise ValueError(f"name is {shown(self.name)}: give a string")
        check_tolerance("rtol", self.rtol)
        check_tolerance("atol", self.atol)
        domains_of(self.domain)
        check_seed(self.seed)
        check_names(self.checks)
        check_method(self.method)
        check_full_below(self.full_below)
        check_max_seconds(self.max_seconds)
        check_max_evaluations(self.max_evaluations)
        # NumPy's integers are integers, and no JSON
        for name in ("seed", "full_below", "max_evaluations"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else int(value))

    @cached_property
    def budget(self) -> Budget:
        """What all trials under these options share; its time begins with the first, when all arguments are read."""
        return Budget(self.max_seconds, self.max_evaluations)

    def keywords(self, **others: Any) -> dict[str, Any]:
        """Return the options as keywords, `others` in place of those of the same names."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | others

    def trial(self, node: Node, sample: Sample, kind: Callable[..., Any] = Trial, **more: Any) -> Any:
        """Return the trial, of class `kind`, of somebody else's node at a sample, under these options."""
        trial = kind(
            node,
            sample,
            self.seed,
            self.rtol,
            self.atol,
            self.method,
            registered=False,
            strict=self.strict,
            full_below=self.full_below,
            budget=self.budget,
            domain=domains_of(self.domain),
            explores_all=self.explore == "all",
            **more,
        )
        check_domain_names(trial.domain, trial.names)
        return trial


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
    explore: bool | Literal["all"]
    domain: Any
    strict: bool
    max_seconds: float | None
    max_evaluations: int | None
    repair: bool


class SharedCheckKeywords(CheckKeywords, total=False):
    """The keywords of a check that workers can share: see `CheckOptions`."""

    workers: Workers


def takes_options(**own_defaults: Any) -> Callable[[Function], Function]:
    """Show the keywords of `CheckOptions` in a function's signature and documentation.

    The function ends in ``**keywords: Unpack[...]`` of a TypedDict, which names the keywords that it takes, and makes
    options of them by `options_of`. `help` and `inspect.signature` then show each with its default.

    Parameters
    ----------
    **own_defaults
        The defaults of keywords that are others than those of `CheckOptions`.
    """

    def shown(function: Function) -> Function:
        own = inspect.signature(function)
        *explicit, keywords = own.parameters.values()
        (accepted,) = get_args(keywords.annotation)
        options = [field for field in fields(CheckOptions) if field.name in accepted.__annotations__]
        defaults = {field.name: field.default for field in options} | own_defaults
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
        If a tolerance, the seed, the checks, the method, `full_below` or a limit cannot be used.
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
            cure = HABITS.get(name, cure)
            raise TypeError(f"{function.__name__} takes no {name!r}: {cure}")
    return CheckOptions(**known | dict(keywords))


def check_tolerance(name: str, value: Any) -> None:
    """Raise ValueError unless a tolerance is a number from 0 up, or None."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value < math.inf):
        raise ValueError(f"{name} is {shown(value)}: give a number from 0 up, or None for the default")


def check_seed(seed: Any) -> None:
    """Raise ValueError unless `seed` can be one."""
    if not _is_whole(seed) or seed < 0:
        raise ValueError(f"the seed is {shown(seed)}: give a whole number from 0 up")


def check_names(checks: Any) -> None:
    """Raise ValueError unless `checks` is a sequence of names, or None."""
    several = isinstance(checks, Collection) and not isinstance(checks, str | np.ndarray)
    if checks is not None and not (several and all(isinstance(name, str) for name in checks)):
        raise ValueError(
            f"checks is {shown(checks)}: give a list of the checks' names, or None for all that apply"
        )


def check_full_below(full_below: Any) -> None:
    """Raise ValueError unless `full_below` is a number of elements, or None."""
    if full_below is not None and not (_is_whole(full_below) and full_below >= 0):
        raise ValueError(
            f"full_below is {shown(full_below)}: give a number of elements from 0 up, or None for no limit"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_max_seconds(max_seconds: Any) -> None:
    """Raise ValueError unless `max_seconds` is a time, or None."""
    number = isinstance(max_seconds, Real) and not isinstance(max_seconds, bool)
    if max_seconds is not None and not (number and max_seconds > 0):
        raise ValueError(
            f"max_seconds is {shown(max_seconds)}: give a number of seconds above 0, or None for no limit"
        )


def check_max_evaluations(max_evaluations: Any) -> None:
    """Raise ValueError unless `max_evaluations` is a number of evaluations, or None."""
    if max_evaluations is not None and not (_is_whole(max_evaluations) and max_evaluations > 0):
        raise ValueError(
            f"max_evaluations is {shown(max_evaluations)}: give a whole number from 1 up, or None for no limit"
        )
