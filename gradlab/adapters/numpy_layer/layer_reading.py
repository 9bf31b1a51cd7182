"""A reading of a layer: its calls, its primals and their gradients, as the pair of functions that a check takes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.function_patch import Patch
from gradlab.adapters.numpy_layer.forward_arguments import ArgumentLeaf
from gradlab.adapters.numpy_layer.layer_run import (
    ForwardCall,
    GradientSlot,
    HeldLayer,
    LayerRun,
    passes_cache,
)
from gradlab.adapters.numpy_layer.naming_conventions import BACKWARD, plain
from gradlab.adapters.numpy_layer.number_places import NumberPlace
from gradlab.adapters.numpy_layer.parameter_discovery import Parameter
from gradlab.checks.trial import same_bits
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property


@dataclass(frozen=True)
class BackwardCall:
    """One call that runs a layer backwards.

    Attributes
    ----------
    said : str
    give : callable
        ``give(forward, run, g) -> what backward returned``.
    takes : bool
        Whether the cotangent goes in; otherwise what comes back is multiplied by it.
    optional : bool
        Whether the cotangent has a default, as in ``backward(dout=1)``.
    steps : bool
        Whether a learning rate is passed.
    sure : bool
        Whether the names leave no doubt.
    method : str
        The layer's method that it calls.
    named : bool
        Whether what the cotangent is passed as is called so.
    likeliest : bool
        Whether the names suggest nothing rather.
    several : bool
        Whether it takes a cotangent for each output.
    inverse : bool
        Whether it takes the output back to the input: then it is a gradient only where it is right.
    """

    said: str
    give: Callable[[ForwardCall, LayerRun, Any], Any]
    takes: bool = True
    optional: bool = False
    steps: bool = False
    sure: bool = False
    method: str = ""
    named: bool = False
    likeliest: bool = False
    several: bool = False
    inverse: bool = False


# The learning rate that is passed where one rides along: so large that the parameter's rounding is lost in the step.
RATE = 2.0**40


@dataclass(frozen=True, eq=False)
class Primal:
    """An input or a parameter, and where its gradient is found.

    Attributes
    ----------
    name : str
    value : ndarray
    leaf : ArgumentLeaf or None
        Of an input.
    where : NumberPlace or None
        Of a parameter.
    slots : tuple of GradientSlot
        Of a weight that is used twice, both: its gradient is their sum.
    accumulates : bool
        Whether backward adds to what stands there.
    as_row : bool
        Whether its gradient comes with axes of length 1 before its own.
    """

    name: str
    value: Array
    leaf: ArgumentLeaf | None
    where: NumberPlace | None
    slots: tuple[GradientSlot, ...]
    accumulates: bool = False
    as_row: bool = False

    def gradient(self, run: LayerRun, before: Sequence[Array | None]) -> Any:
        """Return the gradient after a run; None if there is none."""
        parts = []
        for slot, old in zip(self.slots, before, strict=True):
            found = slot.array(run)
            if found is not None:
                parts.append(found if old is None or old.shape != found.shape else found - old)
        if not parts:
            return None
        if self.as_row:
            parts = [part.reshape(part.shape[part.ndim - self.value.ndim :]) for part in parts]
        if self.leaf is not None and len(parts) == 1:
            return parts[0]  # as it is, so that a check sees whose memory it is
        return np.array(sum(parts[1:], parts[0]))

    def before(self, run: LayerRun) -> list[Array | None]:
        """Return copies of what stands in the slots, if backward adds to it."""
        found = [slot.array(run) if self.accumulates else None for slot in self.slots]
        return [None if x is None else x.copy() for x in found]


@dataclass(frozen=True, eq=False)
class BoundLayer:
    """A layer bound to its calls and primals: the pair of functions that every check takes.

    State in, state out: nothing is kept between two calls.

    Attributes
    ----------
    held_layer : HeldLayer
    forward_call : ForwardCall
    backward_call : BackwardCall
    leaves : tuple of ArgumentLeaf
        All floats among forward's arguments.
    primals : tuple of Primal
        What is differentiated: inputs, then parameters.
    summed : bool
        Whether the functional is the sum over the outputs: where the cotangent does not go in and there are several.
    narrow : dtype or None
        The precision that the layer computes in inside, if that is less than double whatever it is given.
    wide : Patch
        Under which it computes in double precision.
    """

    held_layer: HeldLayer
    forward_call: ForwardCall
    backward_call: BackwardCall
    leaves: tuple[ArgumentLeaf, ...]
    primals: tuple[Primal, ...]
    summed: bool = False
    narrow: Any = None
    wide: Patch = field(default_factory=Patch)

    @cached_property
    def values(self) -> tuple[Array, ...]:
        """The primals' values, in the precision in which they count."""
        return tuple(p.value if self.narrow is None else p.value.astype(self.narrow) for p in self.primals)

    def run(self, primals: Sequence[Array], settings: Mapping[str, Any], fresh: bool = True) -> LayerRun:
        """Return a run of forward at these primals, in their precision if that is higher than their own."""
        wide = next(
            (x.dtype for x, v in zip(primals, self.values, strict=True) if x.itemsize > v.itemsize), None
        )
        given: dict[int, Array] = {}
        params: list[tuple[NumberPlace, Array]] = []
        for primal, x in zip(self.primals, primals, strict=True):
            _refuse(primal, x)
            if primal.where is not None:
                params.append((primal.where, x))
            else:
                # one that computes in less inside is still given what it was given
                given[id(primal.leaf)] = x.astype(primal.value.dtype) if self.narrow and wide is None else x
        names = [argument.name for argument in self.forward_call.arguments]
        arrays = [
            given[id(leaf)] if id(leaf) in given else np.array(leaf.value)
            for leaf in self.leaves
            if names[leaf.argument] not in settings
        ]
        with self.wide.applied() if wide is not None else nullcontext():
            return self.forward_call.run(self.held_layer, arrays, params, settings, wide, fresh)

    def forward(self, *primals: Array, **settings: Any) -> tuple[Any, Any]:
        """Return outputs and residuals: what it takes to run forward again before backward."""
        copies = tuple(np.array(x) for x in primals)
        run = self.run(primals, settings)
        return self.shown(run, primals), (primals, copies, settings)

    def shown(self, run: LayerRun, primals: Sequence[Array]) -> Any:
        """Return a run's outputs as a check takes them."""
        as_given = all(x.dtype == v.dtype for x, v in zip(primals, self.values, strict=True))
        outputs = [y.astype(self.narrow) if self.narrow and as_given else y for y in run.outputs]
        if self.summed:
            return np.asarray(np.sum(outputs[0]))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def backward(self, residuals: Any, g: Any) -> tuple[Any, ...]:
        """Return the gradients of all primals, for the cotangent of all outputs."""
        primals, copies, settings = residuals
        primals = [x if same_bits(x, copy) else copy.copy() for x, copy in zip(primals, copies, strict=True)]
        run = self.run(primals, settings)
        found = self.pulled(run, g)
        return tuple(d.astype(self.narrow) if self.narrow and d is not None else d for d in found)

    def pulled(self, run: LayerRun, g: Any) -> list[Any]:
        """Return the gradients after a forward run."""
        before = [primal.before(run) for primal in self.primals]
        run.given_back = self.backward_call.give(self.forward_call, run, g)
        found = [primal.gradient(run, old) for primal, old in zip(self.primals, before, strict=True)]
        return (
            found
            if self.backward_call.takes
            else [d if d is None else times(d, np.asarray(g)) for d in found]
        )


def _refuse(primal: Primal, x: Array) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{primal.name} is {x.dtype}, and layers are checked in real numbers: pass floats")
    if primal.where is not None and x.shape != primal.value.shape:
        raise ValueError(
            f"the parameter {primal.name} has shape {primal.value.shape}: it cannot take another"
        )


def times(factor: Array, g: Array) -> Array:
    """Return a factor times the cotangent, which has the factor's leading axes.

    Raises
    ------
    ValueError
        If it has others.
    """
    if np.ndim(factor) == 0:
        return np.asarray(factor * g)
    if g.size == 1:
        return np.asarray(factor * g.reshape(()))
    if factor.shape[: g.ndim] != g.shape:
        raise ValueError(
            f"the factor has shape {factor.shape}, the output {g.shape}: return one for each output"
        )
    return np.asarray(factor * g.reshape(*g.shape, *(1,) * (factor.ndim - g.ndim)))


def cotangent(run: LayerRun, rng: np.random.Generator) -> Any:
    """Return a random cotangent for a run's outputs."""
    parts = tuple(np.asarray(rng.standard_normal(y.shape), dtype=y.dtype) for y in run.outputs)
    return parts[0] if len(parts) == 1 else parts


@dataclass(frozen=True, eq=False)
class Reading:
    """One reading of a layer, with how well its gradients fit.

    Attributes
    ----------
    bound : BoundLayer
    fits : tuple of float
        Of each primal, 1 if its gradient is that of forward along a line, less if it is only in proportion to it.
    missing : tuple of Parameter
        Parameters without a gradient, on which the output depends.
    without : tuple of ArgumentLeaf
        Inputs without one.
    raised : str
        What backward raised, where no way leads through it.
    ignores : bool
        Whether it is a loss whose optional cotangent changes nothing.
    constants : tuple of str
        What else the output depends on, and has no gradient.
    moves : bool
        Whether what comes back is another for another cotangent.
    """

    bound: BoundLayer
    fits: tuple[float, ...]
    missing: tuple[Parameter, ...]
    without: tuple[ArgumentLeaf, ...]
    raised: str = ""
    ignores: bool = False
    constants: tuple[str, ...] = ()
    moves: bool = True

    @property
    def understood(self) -> bool:
        """Whether a gradient that fits bears it out, names without a doubt, or a cotangent that is seen to go in."""
        call = self.bound.backward_call
        if passes_cache(self.bound.held_layer.layer):
            # two functions are a pair since their caller says so; not every one of several outputs may have a cotangent
            sure = call.sure or call.named or not self.bound.forward_call.partly
            return sure or any(fit > 0 for fit in self.fits)
        if self.raised:
            return call.sure  # what is given to it may be what it cannot take
        # a derivative that takes no cotangent, and is read as a parameter's by its shape alone, may be of anything
        if not (
            call.takes or self.bound.forward_call.scalar or any(p.where is None for p in self.bound.primals)
        ):
            return any(fit > 0 for fit in self.fits)
        if self.bound.forward_call.unnamed:
            return True  # such a reading is chosen only where it is borne out
        told = call.sure or call.named
        goes_in = self.moves or plain(call.method) in BACKWARD
        return any(fit > 0 for fit in self.fits) or call.likeliest or (told and goes_in)

    @property
    def perfect(self) -> bool:
        """Whether everything that has a gradient has the right one, and nothing lacks one."""
        return all(fit == 1 for fit in self.fits) and not self.missing and not self.without
