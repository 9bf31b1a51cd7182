"""A trial, one node at one sample, which every check is run on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

import numpy as np

from gradlab.checks.trial._flat_claim import flat_claim, shaped
from gradlab.checks.trial.budget import Budget
from gradlab.checks.trial.domain import brought_inside
from gradlab.directions import FULL_BELOW, Confirmation, confirmed_alone, confirmed_together, is_large
from gradlab.node import Array, Node, Sample, as_tuple, named_rng, primal_names
from gradlab.numerical.estimate import (
    PARTS,
    Estimate,
    Method,
    estimate_vjp_of_primal,
    exact_estimate,
    unknown_estimate,
)
from gradlab.verdict import Verdict
from gradlab.workers.lock_free import cached_property
from gradlab.workers.lost_exceptions import Interrupt
from gradlab.workers.strange_objects import text_of
from gradlab.workers.threads import without_warnings

# So begins the note on a fault that is a warning since nobody has said that the function is meant for such a point.
BEYOND = "beyond the given point: "
# Gradients of fewer elements are looked at element by element, for about as many evaluations.
CONFIRMED_FROM = 8
# An element's ladder takes so many evaluations; of fewer elements than this nobody asks what they take.
EVALUATIONS, DEAR_FROM = 18, 1_000
# What a trial remembers that is taken for large.
LARGE = "taken for large"


def error_text(error: BaseException) -> str:
    """Return what an exception says, in one line: a `ContractError`'s message, and another's with its type."""
    text = text_of(error)
    if issubclass(type(error), ContractError):  # not isinstance, which asks the error what it is
        return text
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"


class ContractError(Exception):
    """A node returned a value that cannot be compared at all; the message says what it should return."""


@dataclass(frozen=True)
class Trial:
    """One node at one sample, with the tolerances and the seed of this run.

    A check passes only fresh copies to the node, so that a node which writes into its arguments spoils neither the
    sample nor another check.

    Attributes
    ----------
    node : Node
    sample : Sample
    seed : int
    rtol, atol : float or None
    method : str
    registered : bool
        Whether the node comes with samples of its own, all of which it must pass.
    strict : bool
        Whether a breach of the contract that leaves the numbers right (shared memory, another dtype) is an error
        and not only a warning.
    witness : Trial or None
        A trial of the same forward at the same sample, from which all that depends on forward alone is taken. So a
        thousand mutants of one backward share one numerical side.
    origin : Trial or None
        The trial that this one's primals were derived from.
    full_below : int or None
        With more elements than this, in all primals together, the gradients are checked along random directions
        alone. None: every element, always.
    budget : Budget or None
        What is left for everything after the verdict at the given primals; evaluations are counted in it.
    domain : callable, mapping or None
        What brings derived primals to where the node is meant for, as `gradlab.checks.trial.domain` makes it.
    explores_all : bool
        Whether a fault is an error at all primals that are derived from the given ones, as it is in a registered node.
    fixed_shapes : bool
        Whether the primals' shapes have a meaning, or the node is compiled code, of which nobody knows whether it looks
        at them: other shapes are tried only where `sheltered`.
    sheltered : bool
        Whether this runs where other shapes can do no harm, whatever the node makes of them.
    holds_integers : bool
        Whether it is compiled code with integers among its arguments, which it may take for places in its arrays.
    holds_places : bool
        Whether some of those integers are in an array, as places mostly are, and a length or a number of groups is not.
    slow_shapes : bool
        Whether another shape takes a compiler: what fails at one is not made smaller.
    held_lengths : frozenset of int
        Those of axes of arrays that compiled code holds beside its arguments: an axis of such a length may be one that
        must stay as long as theirs, and code that looks at no lengths would read beyond them.
    may_not_end : bool
        Whether it holds a loop that nobody can interrupt, and that need not end at other primals.
    noise : float
        How far a gradient may be from that of another call beside rounding, as it is not the same in every call.
    unit_cotangent : bool
        Whether the cotangent is 1, so that the numbers shown are those of the gradient itself: for a scalar function
        whose gradient cannot depend on it.
    """

    node: Node
    sample: Sample
    seed: int = 0
    rtol: float | None = None
    atol: float | None = None
    method: Method = "auto"
    registered: bool = True
    strict: bool = True
    witness: "Trial | None" = None
    origin: "Trial | None" = None
    full_below: int | None = FULL_BELOW
    budget: Budget | None = None
    domain: Any = None
    explores_all: bool = False
    fixed_shapes: bool = False
    sheltered: bool = False
    holds_integers: bool = False
    holds_places: bool = False
    slow_shapes: bool = False
    held_lengths: frozenset[int] = frozenset()
    may_not_end: bool = False
    noise: float = 0.0
    unit_cotangent: bool = False

    def of(self, node: Node) -> "Trial":
        """Return this trial for another backward of the same forward, with this one as its witness."""
        return replace(self, node=node, witness=self)

    def at(self, how: str, primals: Sequence[Array], settings: Mapping[str, Any] | None = None) -> "Trial":
        """Return the trial at primals derived from this one's; `how` says how, and becomes part of the trial's name."""
        if how not in self._elsewhere:
            changed = self.sample.settings if settings is None else settings
            moved = brought_inside(self.domain, self.names, tuple(map(np.asarray, primals)))
            sample = Sample(f"{self.sample.name}, {how}", moved, changed)
            witness = self.witness and self.witness.at(how, primals, settings)
            self._elsewhere[how] = replace(self, sample=sample, witness=witness, origin=self)
        return self._elsewhere[how]

    @cached_property
    def _elsewhere(self) -> "dict[str, Trial]":
        return {}

    def remembered(self, name: str, compute: "Callable[[Trial], Any]") -> Any:
        """Return what `compute` gives for this trial, computed once."""
        if name not in self._memory:
            self._memory[name] = compute(self)
        return self._memory[name]

    @cached_property
    def _memory(self) -> dict[str, Any]:
        return {}

    @cached_property
    def found_elsewhere(self) -> "dict[str, Trial]":
        """The smallest trials beyond this one at which checks found a fault, by the checks' names."""
        return {}

    @property
    def breach(self) -> Verdict:
        """The verdict on a breach of the contract that leaves the numbers right."""
        return Verdict.WRONG if self.strict else Verdict.WARNING

    @property
    def takes_empty_batches(self) -> bool:
        """Whether a batch of 0 can do no harm: Python code raises where it does not allow for one."""
        return True

    @property
    def takes_overlapping_memory(self) -> bool:
        """Whether an array whose rows are one row in memory is an array like any other, with a gradient for each."""
        return True

    @property
    def elsewhere(self) -> Verdict:
        """The verdict on what is wrong only where nobody has said that it should be right."""
        return Verdict.WRONG if self.registered or self.explores_all else Verdict.WARNING

    def told_elsewhere(self, note: str) -> str:
        """Return a note on such a fault, which says where it is."""
        return note if self.elsewhere is Verdict.WRONG else f"{BEYOND}{note}"

    @cached_property
    def names(self) -> list[str]:
        """The primals' names."""
        if self.witness:
            return self.witness.names
        if self.origin:
            return self.origin.names
        # an adapter's forward takes *primals, and knows the names that their owner gives them
        own, count = getattr(self.node.forward, "primal_names", None), len(self.sample.primals)
        if isinstance(own, tuple | list) and len(own) == count:
            return list(own)
        return primal_names(self.node.forward, count)

    def settings(self) -> dict[str, Any]:
        """Return a deep copy of the settings."""
        return {name: copied(value) for name, value in self.sample.settings.items()}

    def primals(self) -> tuple[Array, ...]:
        """Return fresh copies of the primals."""
        return tuple(np.array(x) for x in self.sample.primals)

    @property
    def function(self) -> Callable[..., Any]:
        """Forward without its residuals, as a function of the primals, of which forward is given copies."""
        return self.counted(lambda *xs: self.node.forward(*map(np.array, xs), **self.settings())[0])

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls count in the budget, if there is one."""
        return self.budget.counted(function) if self.budget else function

    def forward(self) -> tuple[Any, Any]:
        """Return output and residuals at fresh copies of the primals.

        Raises
        ------
        ContractError
            If forward returns no pair, or an output that is no array of floats.
        """
        output, residuals = self.run_forward(self.primals(), self.settings())
        # the first is as good as one more
        self.__dict__.setdefault("output", map_arrays(np.array, output))
        return output, residuals

    def run_forward(self, primals: Sequence[Array], settings: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return output and residuals of forward, which is given these arrays themselves; raise as `forward` does."""
        returned: Any = self.node.forward(*primals, **settings)
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise ContractError(
                f"forward returned {_shape_of(returned)}: return the pair (output, residuals)"
            )
        for y in as_tuple(returned[0]):
            if not np.issubdtype(np.asarray(y).dtype, np.floating):
                raise ContractError(f"forward's output is {_shape_of(y)}: return an array of floats")
        output, residuals = returned
        return output, residuals

    @cached_property
    def output(self) -> Any:
        """The output at this sample, of the first forward here."""
        return map_arrays(np.array, self.run_forward(self.primals(), self.settings())[0])

    @cached_property
    def accepted(self) -> bool:
        """Whether forward takes these primals and gives finite numbers: so a domain need not be declared."""
        if self.witness:
            return self.witness.accepted
        if self.may_not_end and self.origin is not None:
            return False
        with quiet():
            try:
                return all(bool(np.isfinite(y).all()) for y in as_tuple(self.output))
            except Exception:
                return False

    def cotangent(self, stream: str = "g") -> Any:
        """Return a random cotangent of the output's shape and dtype, the same for the same `stream`.

        Standard normal, so of both signs and nowhere zero: with a cotangent of ones a softmax would pass whose backward
        is zero, and with a one-hot cotangent any backward that is not linear in it.
        """
        if self.witness:
            return self.witness.cotangent(stream)
        if stream not in self._cotangents:
            rng = named_rng(self.seed, self.node.name, self.sample.name, stream)
            like = map_arrays(np.asarray, self.output)
            draw = np.ones if self.unit_cotangent and stream == "g" else rng.standard_normal
            self._cotangents[stream] = map_arrays(lambda y: np.asarray(draw(y.shape), dtype=y.dtype), like)
        return map_arrays(np.copy, self._cotangents[stream])

    @cached_property
    def _cotangents(self) -> dict[str, Any]:
        return {}

    def gradients(self, g: Any) -> tuple[Array, ...]:
        """Return the gradients that backward gives for `g` after a fresh forward: an array of each primal's shape.

        Raises
        ------
        ContractError
            If backward returns another number of gradients, or one of another shape.
        """
        # copies, in case backward hands out one buffer again and again
        returned = self.node.backward(self.forward()[1], map_arrays(np.array, g))
        return tuple(map(np.array, self.well_formed(returned)))

    @cached_property
    def own_gradients(self) -> tuple[Array, ...]:
        """The gradients for the trial's own cotangent, computed once."""
        return self.gradients(self.cotangent())

    def well_formed(self, returned: Any) -> tuple[Array, ...]:
        """Return backward's gradients as arrays, or raise `ContractError` where they cannot be compared."""
        expected = self.sample.primals
        if not isinstance(returned, tuple) or len(returned) != len(expected):
            raise ContractError(
                f"backward returned {_shape_of(returned)} for {len(expected)} primals: "
                "return a tuple with one gradient per primal"
            )
        for name, x, gradient in zip(self.names, expected, map(_as_array, returned), strict=True):
            if np.shape(gradient) != x.shape:
                raise ContractError(
                    f"the gradient of {name} is {_shape_of(gradient)}, {name} has shape {x.shape}: "
                    "return it in the primal's shape, summed over what was broadcast"
                )
            if np.asarray(gradient).dtype.kind not in "fiub":
                raise ContractError(
                    f"the gradient of {name} is {_shape_of(np.asarray(gradient))}: return an array of floats"
                )
        return tuple(np.asarray(gradient) for gradient in returned)

    @property
    def is_large(self) -> bool:
        """Whether there are too many elements for an estimate of each, or `take_for_large` was called."""
        return is_large(self.sample.primals, self.full_below) or LARGE in self._memory

    def take_for_large(self) -> None:
        """Ask for no estimate of every element from now on: they would take too long, and directions have decided."""
        self._memory[LARGE] = True

    @property
    def is_dear(self) -> bool:
        """Whether directions do not confirm all gradients, and each element's ladder would overdraw the budget."""
        limit = self.budget.max_seconds if self.budget else None
        size = sum(x.size for x in self.sample.primals)
        if self.witness or self.origin or limit is None or size < DEAR_FROM or not self.asks_directions:
            return False
        start = monotonic()
        self.function(*self.sample.primals)
        return EVALUATIONS * size * (monotonic() - start) > limit and not all(self.confirmed)

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """The numerical vjp of this sample's cotangent, one estimate per primal, in float64 at least.

        Backward's own gradients where a few directions confirm them. Those of large primals know nothing but the size
        of the terms.
        """
        if self.witness:
            return self.witness.estimates
        if self.is_large:
            return self._unknown_estimates()
        return tuple(
            self.estimate_of_elements(i) if told is None else told.estimate
            for i, told in enumerate(self.confirmed)
        )

    def estimate_of_elements(self, i: int) -> Estimate:
        """Return the estimate of primal `i`, each element's by a ladder of its own; computed once."""
        if self.witness:
            return self.witness.estimate_of_elements(i)
        if i not in self._estimates_of_elements:
            self._estimates_of_elements[i] = self.estimated(i)
        return self._estimates_of_elements[i]

    @cached_property
    def _estimates_of_elements(self) -> dict[int, Estimate]:
        return {}

    def estimated(self, i: int) -> Estimate:
        """Compute the estimate of primal `i`, which `estimate_of_elements` keeps."""
        if not any(np.size(y) for y in as_tuple(self.output)):
            # an output without elements has no slope
            return exact_estimate(np.zeros_like(self.sample.primals[i], dtype=np.float64))
        estimate = estimate_vjp_of_primal(
            self.function, self.sample.primals, self.cotangent(), i, method=self.method
        )
        # no step moves an infinite number, and so none moves forward
        still = np.isinf(self.sample.primals[i])
        if not still.any():
            return estimate
        zeros: dict[str, Any] = {name: np.where(still, 0.0, getattr(estimate, name)) for name in PARTS}
        return replace(estimate, **zeros)

    @cached_property
    def confirmed(self) -> tuple[Confirmation | None, ...]:
        """What a few directions say of the gradient of each primal, where they confirm it; None where they do not.

        All primals are looked at together, and, where that confirms nothing, one after the other.
        """
        if self.witness:
            return self.witness.confirmed
        primals, whole = self.sample.primals, self._confirmed_together
        if whole:
            spans = flat_claim(self).spans
            return tuple(
                shaped(whole.of_primal(span), x.shape) for span, x in zip(spans, primals, strict=True)
            )
        if not self.asks_directions:
            return (None,) * len(primals)
        alone = (self._confirmation_of(partial(confirmed_alone, i=i)) for i in range(len(primals)))
        return tuple(told and shaped(told, x.shape) for told, x in zip(alone, primals, strict=True))

    @property
    def is_confirmed(self) -> bool:
        """Whether directions confirm all gradients together."""
        return self.witness.is_confirmed if self.witness else self._confirmed_together is not None

    @cached_property
    def _confirmed_together(self) -> Confirmation | None:
        return self._confirmation_of(confirmed_together) if self.asks_directions else None

    @property
    def asks_directions(self) -> bool:
        """Whether directions are asked: not at the samples of a registered node, whose every element is looked at.

        Nor where there are hardly more elements than directions, or every element was asked for.
        """
        shown = self.full_below is None or (self.registered and self.origin is None)
        few = sum(x.size for x in self.sample.primals) < CONFIRMED_FROM
        return not (shown or few or self.method != "auto") and self.accepted

    def _confirmation_of(self, confirm: Callable[..., Confirmation | None]) -> Confirmation | None:
        rng = named_rng(self.seed, self.node.name, self.sample.name, "directions")
        try:
            return confirm(flat_claim(self), rng=rng)
        except Exception:  # backward may refuse double precision, or a part of the cotangent
            return None

    def _unknown_estimates(self) -> tuple[Estimate, ...]:
        pairs = zip(as_tuple(self.cotangent()), as_tuple(self.output), strict=True)
        size = sum(float(np.sum(np.abs(g * y), dtype=np.float64)) for g, y in pairs)
        return tuple(
            unknown_estimate(np.abs(gradient) + size) for gradient in self.gradients(self.cotangent())
        )


def _as_array(value: Any) -> Any:
    """Return an array as it is, and what is none as one, unless its own code refuses."""
    if value is None or type(value) is np.ndarray:
        return value
    try:
        return np.asarray(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, Interrupt):
            raise
        raise ContractError(
            f"a gradient is {_shape_of(value)}, and no array: return arrays of floats"
        ) from error


def copied(value: Any) -> Any:
    """Return a deep copy of a setting; what cannot be copied is shared."""
    # most settings are numbers and names, which need no copy, and deepcopy is slow to find that out
    if _is_plain(value) or (type(value) is tuple and all(map(_is_plain, value))):
        return value
    if type(value) is np.ndarray:
        return value.copy()
    try:
        return deepcopy(value)
    except Exception:  # a lock, an open file: what cannot be copied is shared
        return value


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of a computation with derived primals, which may overflow."""
    with without_warnings(), np.errstate(all="ignore"):
        yield


def same_bits(a: Array, b: Array) -> bool:
    """Return whether two arrays hold the same numbers (any NaN is as good as another) in the same dtype."""
    # not their bytes: a longdouble has some that mean nothing
    floats = np.issubdtype(a.dtype, np.inexact)
    # most have no NaN, and looking for one takes ten times as long
    return a.dtype == b.dtype and (
        np.array_equal(a, b) or (bool(floats) and np.array_equal(a, b, equal_nan=True))
    )


def map_arrays(function: Callable[[Array], Array], values: Any) -> Any:
    """Return `function` of an array, or the tuple of `function` of each array of a tuple."""
    return tuple(map(function, values)) if isinstance(values, tuple) else function(values)


def _shape_of(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} of shape {value.shape}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
