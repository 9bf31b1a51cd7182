"""A JAX function as the pair of functions of NumPy arrays that every check takes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from gradlab.adapters.framework.function_pair import FunctionPair, single_or_tuple
from gradlab.adapters.framework.leaves import common_dtype, cure_of_refused, first_line, roughly_equal
from gradlab.adapters.jax.call import JaxCall, double_precision, numbers
from gradlab.node import Array, as_tuple
from gradlab.workers.lock_free import cached_property

# What a derivative written by hand is called in a jaxpr, a loop that ends when it ends, and what takes a place in an
# array.
HAND_WRITTEN, OWN_JVP, OWN_VMAP = "custom_vjp_call", "custom_jvp_call", "custom_vmap_call"
LOOP = "while["
LOOPS = (LOOP, "scan[")
# The rounding of half precision, by what a jaxpr calls it.
HALF = {r"\bbf16\[": 2.0**-7, r"\bf16\[": 2.0**-10}
INDEXES = ("gather", "scatter", "dynamic_slice", "dynamic_update_slice")
# The compiler takes as long as some hundred evaluations, which a right gradient does not need at the given shapes.
COMPILED_FROM = 60


class JaxResiduals(NamedTuple):
    """The residuals of a JAX forward: its pullback, outputs and arrays, and whether they are in 64 bits."""

    pull: Callable[..., Any]
    outputs: tuple[Any, ...]
    arrays: list[Any]
    double: bool


@dataclass(eq=False)
class JaxPair(FunctionPair[JaxCall]):
    """A JAX function and its gradient, as functions of NumPy arrays.

    Attributes
    ----------
    by_hand : bool
        Whether some derivative in it was written by hand, so that it may keep things between calls. What is JAX's
        own keeps nothing and is compiled, which takes less time than to run it once.
    own_jvp, own_vmap : bool
        Whether some tangent in it, or some batching rule, was written by hand.
    output_eps : float
        The rounding of half precision, where something is computed in it; else 0.
    reverse : bool
        Whether JAX has a reverse mode of it.
    steady : bool or None
        Whether its value depends on nothing but its arrays, so that it may be compiled although a derivative in it was
        written by hand; None as long as that is not tried.
    evaluations : int
        How often its value was computed at the given shapes, in double precision.
    indexes : bool
        Whether it takes places in its arrays. Those that an array is too short for are moved, or left out, in silence
        and not in the same way in forward and backward; so the arrays are never made shorter.
    may_not_end : bool
        Whether there is a loop in it that ends on a condition, at other numbers perhaps never: it is compiled, and
        nothing can interrupt it.
    """

    by_hand: bool = True
    own_jvp: bool = False
    own_vmap: bool = False
    reverse: bool = True
    output_eps: float = 0.0
    steady: bool | None = False
    evaluations: int = 0
    indexes: bool = True
    may_not_end: bool = False

    @property
    def may_die(self) -> bool:
        """Never by other shapes: what JAX compiles reads nothing beyond its arrays."""
        return False

    @property
    def compiles(self) -> bool:
        """Always, be it one operator after the other."""
        return True

    @property
    def is_written(self) -> bool:
        """Whether a derivative in it was written by hand: JAX's own take any shape."""
        return self.by_hand or self.own_jvp or self.own_vmap

    def precision(self, primals: Sequence[Array]) -> tuple[Any, bool]:
        """Return the dtype that all floats get, None if each its own, and whether that takes JAX's 64 bits."""
        shapes = [(x.shape, leaf.value.shape) for x, leaf in zip(primals, self.leaves, strict=True)]
        if self.indexes and any(n < m for new, old in shapes for n, m in zip(new, old, strict=True)):
            raise ValueError(f"{self.name} takes places in its arrays: they may not become shorter")
        common = common_dtype(self.leaves, primals, self.narrow)
        return common, self.call.in_double if common is None else common == np.float64

    def forward(self, *primals: Array, **settings: Any) -> tuple[Any, JaxResiduals | None]:
        """Return the floating outputs, and the pullback, if JAX has one."""
        common, double = self.precision(primals)
        with double_precision(double):
            arrays, held = self.call.arrays(primals, common), self.call.settings(settings, common)
            if not self.reverse:
                return single_or_tuple(map(numbers, self.call.run(arrays, held))), None
            if self.by_hand:
                arrays = list(map(jax.numpy.asarray, arrays))
                outputs, pull = jax.vjp(lambda *xs: self.call.run(xs, held), *arrays)
            else:
                outputs, pull = self._compiled(arrays, held), partial(self._pull, arrays, held)
        return single_or_tuple(map(numbers, outputs)), JaxResiduals(pull, outputs, arrays, double)

    def backward(self, residuals: JaxResiduals, g: Any) -> tuple[Any, ...]:
        """Return the gradients; those of a custom_vjp that JAX refuses for their shape, as they came."""
        with double_precision(residuals.double):
            pairs = zip(as_tuple(g), residuals.outputs, strict=True)
            given = tuple(np.asarray(part).astype(y.dtype) for part, y in pairs)
            if self.by_hand:
                given = tuple(map(jax.numpy.asarray, given))
            try:
                return tuple(map(numbers, residuals.pull(given)))
            except (TypeError, ValueError):
                found = self._as_it_came(residuals, given)
                if found is None:
                    raise
                return found

    def iterates(self) -> bool:
        """Return whether there is a loop in the backward of a custom_vjp."""
        return self.by_hand and any(name in (self._program_of_gradient() or "") for name in LOOPS)

    def _program_of_gradient(self) -> str | None:
        """Return the jaxpr of the function and its gradient, None if it cannot be traced."""
        given = [leaf.value for leaf in self.leaves]
        common, double = self.precision(given)
        try:
            with double_precision(double):
                held = self.call.settings(self.settings, common)

                def gradients(*xs: Any) -> Any:
                    outputs, pull = jax.vjp(lambda *ys: self.call.run(ys, held), *xs)
                    return pull(jax.tree_util.tree_map(jax.numpy.ones_like, outputs))

                return str(jax.make_jaxpr(gradients)(*self.call.arrays(given, common)))
        except Exception:
            return None

    def _as_it_came(self, residuals: JaxResiduals, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return what the backward of a custom_vjp returned, if it has another shape than it should have."""
        function = hand_written(self.call.function)
        plain = self.call.places == tuple(range(len(self.call.parts)))
        if function is None or not plain or function.nondiff_argnums or self.call.of_complex:
            return None
        _, saved = function.fwd(*residuals.arrays)
        found = function.bwd(saved, given if len(given) > 1 else given[0])
        if not isinstance(found, tuple) or len(found) != len(residuals.arrays):
            return None
        arrays = tuple(
            np.zeros(x.shape) if d is None else numbers(d)
            for d, x in zip(found, residuals.arrays, strict=True)
        )
        return (
            None if all(d.shape == x.shape for d, x in zip(arrays, residuals.arrays, strict=True)) else arrays
        )

    def output_dtypes(self, residuals: JaxResiduals) -> list[str]:
        """Return what JAX calls the dtypes of the outputs."""
        return [str(y.dtype) for y in residuals.outputs]

    def value(self, *primals: Array, **settings: Any) -> Any:
        """Return the floating outputs, where nothing is differentiated."""
        common, double = self.precision(primals)
        with double_precision(double):
            arrays, held = self.call.arrays(primals, common), self.call.settings(settings, common)
            run = self._compiled if self._is_compiled(primals) else self.call.run
            return single_or_tuple(map(numbers, run(arrays, held)))

    def _is_compiled(self, primals: Sequence[Array]) -> bool:
        """Return whether the value is computed by compiled code at these primals.

        What was written by hand is compiled at the given shapes, once it has been evaluated there often. Compiled code
        rounds otherwise; so that no difference is taken between the one and the other, it takes over at the given
        primals, where an estimate begins.
        """
        if not self.by_hand:
            return True
        pairs = [(x, leaf.value) for x, leaf in zip(primals, self.leaves, strict=True)]
        if any(x.dtype != np.float64 or x.shape != given.shape for x, given in pairs):
            return False
        self.evaluations += 1
        due = self.steady is None and self.evaluations > COMPILED_FROM
        if due and all(np.array_equal(x, given, equal_nan=True) for x, given in pairs):
            self.steady = _is_steady(self)
        return bool(self.steady)

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        compiled: Callable[..., Any] = jax.jit(self.call.run)
        return compiled

    @cached_property
    def _pull(self) -> Callable[..., Any]:
        def pulled(arrays: Sequence[Any], held: Mapping[int, Any], g: Any) -> Any:
            return jax.vjp(lambda *xs: self.call.run(xs, held), *arrays)[1](g)

        compiled: Callable[..., Any] = jax.jit(pulled)
        return compiled


def hand_written(function: Any) -> Any:
    """Return the custom_vjp that a function is, or wraps; None if there is none."""
    while function is not None and not isinstance(function, jax.custom_vjp):
        function = getattr(function, "__wrapped__", None)
    return function


def jax_pair(call: JaxCall) -> JaxPair:
    """Return the pair of a call, after trying in which precision the function runs.

    Raises
    ------
    TypeError, ValueError
        If it raises, or returns nothing to differentiate; in one line that ends with the cure.
    """
    pair = JaxPair(call)
    given = [leaf.value for leaf in call.leaves]
    program = _program(pair, given)
    # what cannot be traced cannot be compiled either
    pair.by_hand = program is None or HAND_WRITTEN in program
    pair.own_jvp = program is not None and OWN_JVP in program
    pair.own_vmap = program is not None and OWN_VMAP in program
    pair.indexes = program is None or any(name in program for name in INDEXES)
    pair.output_eps = max((eps for name, eps in HALF.items() if re.search(name, program or "")), default=0.0)
    pair.may_not_end = program is not None and LOOP in program
    try:
        pair.value(*given, **pair.settings)
        pair.forward(*given, **pair.settings)
    except Exception as error:
        if isinstance(error, TypeError) and str(error).startswith(f"{call.name} returned"):
            raise
        cure = cure_of_refused(jax.tree_util.tree_unflatten(call.tree, call.parts)[0])
        raise ValueError(f"{call.name} raised {first_line(error)}: {cure}") from error
    pair.narrow = not same_in(pair, np.float64)
    # what its author has compiled is so already
    compiles = program is not None and not isinstance(call.function, jax.stages.Wrapped)
    pair.steady = None if compiles and not pair.may_not_end else False
    return pair


def _is_steady(pair: JaxPair) -> bool:
    """Return whether a value is the same, up to rounding, where it is compiled as where Python computes it, twice."""
    here = [leaf.value.astype(np.float64) for leaf in pair.leaves]
    points = (here, [1.25 * x for x in here], here)
    values = []
    try:
        # Python last: the function may keep its arrays, and of compiled code it has kept none
        for pair.steady in (True, False):
            values.append([as_tuple(pair.value(*xs, **pair.settings)) for xs in points])
    except Exception:
        return False
    compiled, run = values
    again = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(run[0], run[2], strict=True))
    pairs = [(a, b) for at in zip(compiled, run, strict=True) for a, b in zip(*at, strict=True)]
    return again and all(_equal_but_for_rounding(a, b) for a, b in pairs)


def _equal_but_for_rounding(a: Array, b: Array) -> bool:
    atol = float(np.sqrt(np.finfo(a.dtype).eps) * np.nan_to_num(np.abs(a)).max(initial=0.0))
    return a.shape == b.shape and np.allclose(a, b, 0, atol, equal_nan=True)


def same_in(pair: JaxPair, dtype: Any) -> bool:
    """Return whether a function is the same in this precision: it takes it, and draws the same random numbers."""
    given = [leaf.value for leaf in pair.leaves]
    other = [x.astype(dtype) for x in given]
    try:
        pair.forward(*other, **pair.settings)
        return roughly_equal(pair.value(*given, **pair.settings), pair.value(*other, **pair.settings))
    except Exception:
        return False


def _program(pair: JaxPair, primals: Sequence[Array]) -> str | None:
    """Return the jaxpr of a function, None if it cannot be traced."""
    common, double = pair.precision(primals)
    try:
        with double_precision(double):
            held = pair.call.settings(pair.settings, common)
            return str(
                jax.make_jaxpr(lambda *xs: pair.call.run(xs, held))(*pair.call.arrays(primals, common))
            )
    except Exception:
        return None
