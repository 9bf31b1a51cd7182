"""JAX's functions by every question that check_grads has for them: the jobs of ``benchmarks/op_db.py``."""

from functools import cache, partial
from typing import Any

import numpy as np
import trust_jax
from cost_jobs import Ways, evenly_chosen
from trust_pairs import Pair

from gradlab import check_jax

FLOAT, COMPLEX = "float64", "complex128"
QUESTIONS = ("reverse mode", "forward mode", "second order")
FUNCTIONS = ("jax_nn", "jax_special", "jax_linalg", "jax_numpy", "jax_lax", "jax_stats")
# Functions that make a matrix symmetric, which is not Hermitian then, before they read a triangle of it.
OF_REAL = "symmetrised"
# How much of an imaginary part is added to each number.
IMAGINARY = 0.3


def warm_up() -> None:
    """Load what a check loads."""
    trust_jax.jax_start()
    import jax.numpy as jnp

    check_jax(jnp.sin, np.array([0.3, 1.1]))


@cache
def functions() -> dict[str, Pair]:
    """Return JAX's functions by name."""
    return {pair.name: pair for each in FUNCTIONS for pair in getattr(trust_jax, each)()}


def names(limit: int | None) -> list[str]:
    """Return the names of the jobs: a function and a dtype; some functions take no complex numbers."""
    return [
        f"{name}, {dtype} #0"
        for name in evenly_chosen(list(functions()), limit)
        for dtype in (FLOAT, COMPLEX)
    ]


def job(name: str) -> tuple[int, Ways]:
    """Return the elements of the arguments, and who is asked what; nobody is where there is no such function."""
    title, _, called = name.removesuffix(" #0").rpartition(", ")
    pair = functions()[title]
    arrays = [np.array(x) for x in pair.x]
    if called == COMPLEX:
        if OF_REAL in title:
            return 0, {}
        arrays = [x + IMAGINARY * 1j * np.cos(np.arange(x.size)).reshape(x.shape) for x in arrays]
        if not takes(pair.fun, arrays):
            return 0, {}
    return sum(x.size for x in arrays), ways_of(pair.fun, arrays, title)


def takes(fun: Any, arrays: list[Any]) -> bool:
    """Return whether a function has a gradient for these arrays."""
    import jax

    try:
        output, pull = jax.vjp(fun, *arrays)
        pull(jax.tree.map(jax.numpy.ones_like, output))
    except Exception:
        return False
    return True


def ways_of(fun: Any, arrays: list[Any], title: str) -> Ways:
    """Return gradlab and check_grads with each question."""
    from jax.test_util import check_grads

    def theirs(order: int, *modes: str) -> Any:
        def call() -> bool:
            check_grads(fun, tuple(arrays), order, modes)
            return True

        return call

    ours = partial(check_jax, fun, *arrays, name=title)
    return {
        "gradlab, reverse mode": ours,
        "JAX, reverse mode": theirs(1, "rev"),
        "gradlab, forward mode": partial(ours, checks=["forward_mode"]),
        "JAX, forward mode": theirs(1, "fwd"),
        "gradlab, second order": partial(ours, checks=["second_derivative"], order=2),
        "JAX, second order": theirs(2, "rev"),
    }
