"""What gradlab and others say of gradients that libraries derived by hand: the jobs of ``benchmarks/trust.py``.

SciPy's functions and derivatives, statsmodels' scores and Hessians, scikit-learn's losses, JAX's rules: all are called
in the libraries themselves. One that is not installed is left out.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
from cost_jobs import GRADLAB, Ways, evenly_chosen
from trust_pairs import Function, Pair

from gradlab import check_gradient, check_jacobian, check_jax

LIBRARIES = ("scipy", "statsmodels", "sklearn", "jax")
SCIPYS, JAXS = "scipy.optimize.check_grad", "jax.test_util.check_grads"
# check_grad returns an error and leaves it to its caller what is too much: more than this, relative to the gradient's
# norm, or to 1 if that is larger.
TOO_MUCH = 1e-4


def installed() -> list[str]:
    """Return the names of the libraries that are there."""
    return [library for library in LIBRARIES if importlib.util.find_spec(library)]


@cache
def built() -> tuple[dict[str, Pair], list[str]]:
    """Return the pairs of every installed library, by name, and what another version of one does not give."""
    found: dict[str, Pair] = {}
    stopped = []
    for library in installed():
        for builder in importlib.import_module(f"trust_{library}").BUILDERS:
            try:
                # of what the libraries will do in later versions
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found |= {pair.name: pair for pair in builder()}
            except Exception as error:
                stopped.append(f"{builder.__name__} ({type(error).__name__}: {error})")
    return found, stopped


def catalogue() -> dict[str, Pair]:
    """Return the pairs of every installed library, by name."""
    return built()[0]


def names(limit: int | None) -> list[str]:
    """Return the names of the jobs."""
    return list(evenly_chosen(list(catalogue()), limit))


def warm_up() -> None:
    """Load what a check loads, and the catalogue."""
    catalogue()
    x = np.array([0.3, 0.7])
    check_gradient(lambda p: float(np.sum(np.sin(p))), np.cos, x)
    check_jacobian(np.sin, lambda p: np.diag(np.cos(p)), x)
    if "jax" in installed():
        import jax

        jax.config.update("jax_enable_x64", True)
        check_jax(jax.numpy.sin, x)
        ways_of_jax("warm up", jax.numpy.sin, (x,))[JAXS]()


def job(name: str) -> tuple[int, Ways]:
    """Return the elements of a pair's point, and who checks the pair."""
    pair = catalogue()[name]
    if pair.jac is None:
        return sum(x.size for x in pair.x), ways_of_jax(name, pair.fun, pair.x)
    fun, jac, x = pair.fun, pair.jac, pair.x
    check = check_gradient if pair.kind == "gradient" else check_jacobian
    ways: Ways = {
        SCIPYS: lambda: agrees(fun, jac, x),
        GRADLAB: lambda: check(fun, jac, x.copy(), name=name),
    }
    return x.size, ways


def agrees(fun: Function, jac: Function, x: np.ndarray) -> bool:
    """Return whether SciPy's check finds no more error than `TOO_MUCH`."""
    from scipy.optimize import check_grad

    error = check_grad(fun, jac, x.copy())
    return bool(error <= TOO_MUCH * max(1.0, float(np.linalg.norm(jac(x.copy())))))


def ways_of_jax(name: str, fun: Function, arrays: Sequence[np.ndarray]) -> Ways:
    """Return JAX's check of what it makes of a function, in reverse mode, and gradlab's."""
    from jax import numpy as jnp
    from jax.test_util import check_grads

    given = [jnp.asarray(x) for x in arrays]

    def theirs() -> bool:
        try:
            check_grads(fun, given, order=1, modes=["rev"])
        except AssertionError:
            return False
        return True

    return {JAXS: theirs, GRADLAB: lambda: check_jax(fun, *given, name=name)}
