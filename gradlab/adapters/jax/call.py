"""A JAX function with its arguments taken apart, so that it can be run at other numbers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.adapters.framework.leaves import Leaf, argument_names, carried, distinct_names
from gradlab.node import Array
from gradlab.workers.lock_free import cached_property
from gradlab.workers.strange_objects import title_of

FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class JaxCall:
    """A JAX function with its arguments.

    Attributes
    ----------
    name : str
    function : callable
    parts : tuple
        All leaves of the arguments' tree, as they were given.
    tree : object
        Its structure.
    leaves : tuple of Leaf
        What is differentiated: arrays of floats among the positional arguments.
    places : tuple of int
        Where they stand among the parts.
    held : mapping of int to Leaf
        The other arrays.
    """

    name: str
    function: Callable[..., Any]
    parts: tuple[Any, ...]
    tree: Any
    leaves: tuple[Leaf, ...]
    places: tuple[int, ...]
    held: Mapping[int, Leaf]

    @cached_property
    def in_double(self) -> bool:
        """Whether an array was given in float64."""
        return any(leaf.dtype in ("float64", "complex128") for leaf in (*self.leaves, *self.held.values()))

    @cached_property
    def of_complex(self) -> set[int]:
        """Where complex numbers stand among the parts."""
        leaves = {**dict(zip(self.places, self.leaves, strict=True)), **self.held}
        return {i for i, leaf in leaves.items() if leaf.is_complex}

    def arrays(self, primals: Sequence[Array], common: Any) -> list[Any]:
        """Return the primals in their own dtypes, or in a common one, on their own devices.

        What JAX puts on its default device is left to NumPy until then: compiled code takes it so, ten times as fast.
        """
        return [_placed(leaf, x, common) for leaf, x in zip(self.leaves, primals, strict=True)]

    def settings(self, given: Mapping[str, Any], common: Any) -> dict[int, Any]:
        """Return the arrays that are not differentiated, of the numbers that are given for them."""
        return {i: _placed(leaf, given.get(leaf.name, leaf.value), common) for i, leaf in self.held.items()}

    def run(self, arrays: Sequence[Any], settings: Mapping[int, Any]) -> tuple[Any, ...]:
        """Return the floating outputs.

        Raises
        ------
        TypeError
            If there are none.
        """
        parts = list(self.parts)
        for i, x in [*zip(self.places, arrays, strict=True), *settings.items()]:
            x = jnp.asarray(x) if isinstance(x, np.ndarray) else x
            parts[i] = _joined(x) if i in self.of_complex else x
        args, kwargs = jax.tree_util.tree_unflatten(self.tree, parts)
        returned = self.function(*args, **kwargs)
        outputs = [y for y in jax.tree_util.tree_leaves(returned) if isinstance(y, jax.Array | np.ndarray)]
        # a complex output is two real ones, each with a cotangent of its own
        outputs = [jnp.stack([y.real, y.imag], -1) if jnp.iscomplexobj(y) else y for y in outputs]
        floating = tuple(y for y in outputs if jnp.issubdtype(y.dtype, jnp.floating))
        if not floating:
            what = "None" if returned is None else f"a value of type {type(returned).__name__} without floats"
            cure = "return arrays of floats, alone or in a pytree"
            raise TypeError(f"{self.name} returned {what}, nothing to differentiate: {cure}")
        return floating


def _joined(parts: Any) -> Any:
    """Return the complex numbers whose real and imaginary parts stand in the last axis."""
    if parts.ndim == 0 or parts.shape[-1] != 2:
        raise ValueError(
            f"the parts of complex numbers have shape {parts.shape}: its last axis must be of two"
        )
    return jax.lax.complex(parts[..., 0], parts[..., 1])


def _placed(leaf: Leaf, x: Any, common: Any) -> Any:
    dtype, device = leaf.home
    if leaf.differentiated:
        x = np.asarray(x).astype(dtype if common is None else common)
    return np.asarray(x) if device is None else jax.device_put(x, device)


@contextmanager
def double_precision(wanted: bool) -> Iterator[None]:
    """Let JAX compute in float64, where that is wanted, and put its configuration back."""
    if not wanted:
        yield
        return
    # older releases have it among what is experimental
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with enable(True):
        yield


def numbers(x: Any) -> Array:
    """Return an array's numbers as an array of NumPy's own."""
    held = np.asarray(x)
    known = held.dtype.kind in "iub" or held.dtype in (np.float32, np.float64)
    return np.array(held if known else held.astype(np.float32))


def call_of(fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str | None) -> JaxCall:
    """Take a function and its arguments apart.

    Raises
    ------
    TypeError
        If it cannot be called, or nothing in it can be differentiated.
    """
    if not callable(fn) or isinstance(fn, type):
        raise TypeError(f"fn is {_called(fn)}, which is no function: pass a function of arrays")
    title = str(name or title_of(fn))
    names = argument_names(fn, len(args))
    found, tree = jax.tree_util.tree_flatten_with_path((args, dict(kwargs)))
    whole, _ = jax.tree_util.tree_flatten_with_path((args, dict(kwargs)), is_leaf=_is_sparse)
    sparse = [path for path, x in whole if _is_sparse(x)]
    # the values of a sparse array are differentiated, and where they stand is fixed, as it says of itself
    arrays = {
        i: (path, x)
        for i, (path, x) in enumerate(found)
        if _is_array(x) and not (x.dtype.kind in "iu" and any(path[: len(p)] == p for p in sparse))
    }
    paths = distinct_names([_path_name(path, names, sparse) for path, _ in arrays.values()])
    leaves = {i: _leaf(n, x) for n, (i, (_, x)) in zip(paths, arrays.items(), strict=True)}
    # a keyword argument is a setting, and settings are not differentiated
    primals = {i: leaf for i, leaf in leaves.items() if leaf.differentiated and arrays[i][0][0].idx == 0}
    if not primals:
        cure = f"pass at least one array of {', '.join(FLOATS)}"
        raise TypeError(f"{title} is given no array of floats, so there is nothing to differentiate: {cure}")
    held = {i: leaf for i, leaf in leaves.items() if i not in primals}
    parts = tuple(x for _, x in found)
    return JaxCall(title, fn, parts, tree, tuple(primals.values()), tuple(primals), held)


def _called(fn: Any) -> str:
    return str(fn) if isinstance(fn, type) else type(fn).__name__


def _is_array(x: Any) -> bool:
    # keys for random numbers are arrays without numbers
    return isinstance(x, jax.Array | np.ndarray | np.generic) and not jnp.issubdtype(
        x.dtype, jax.dtypes.extended
    )


def _is_sparse(x: Any) -> bool:
    return type(x).__module__.startswith("jax.experimental.sparse")


def _path_name(path: Sequence[Any], names: Sequence[str], sparse: Sequence[Sequence[Any]]) -> str:
    which, key, *rest = path
    first = names[key.idx] if which.idx == 0 else str(key.key)
    if tuple(path[:-1]) in map(tuple, sparse):
        # JAX knows its parts by their number alone
        return f"{first}{jax.tree_util.keystr(tuple(rest[:-1]))}.data"
    return f"{first}{jax.tree_util.keystr(tuple(rest))}"


def _leaf(name: str, x: Any) -> Leaf:
    dtype = str(x.dtype)
    if jnp.iscomplexobj(x):
        held = np.asarray(x)
        parts = np.stack([held.real, held.imag], -1)
        return Leaf(name, parts, dtype, (parts.dtype, _elsewhere(x)), is_complex=True)
    if x.dtype.kind == "O":
        raise TypeError(f"{name} is an array of objects: pass it as floats")
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    if floating and dtype not in FLOATS:
        cure = f"pass it as one of {', '.join(FLOATS)}"
        raise TypeError(f"{name} is {dtype}, which gradients are not checked in: {cure}")
    held = np.asarray(x)
    value = np.array(held.astype(carried(dtype)) if floating else held)
    return Leaf(name, value, dtype, (held.dtype, _elsewhere(x)))


def _elsewhere(x: Any) -> Any:
    """Return the device that an array is on, None if it is the default one."""
    devices = x.devices() if isinstance(x, jax.Array) else set()
    return next(iter(devices)) if len(devices) == 1 and devices != jnp.zeros(()).devices() else None
