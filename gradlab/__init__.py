"""gradlab: a gradient verification lab.

Is this hand-derived backward pass right, how sure are we, and if it is wrong, what exactly is the mistake?
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.adapters.cached_pair import check_cached_pair
    from gradlab.adapters.jax import check_jax
    from gradlab.adapters.numpy_layer import LayerError, check_layer
    from gradlab.adapters.scipy import check_gradient, check_hessian, check_jacobian
    from gradlab.adapters.torch import check_torch
    from gradlab.node import Node, Sample
    from gradlab.numerical.estimate import (
        Estimate,
        estimate_gradient,
        estimate_jacobian,
        estimate_jvp,
        estimate_vjp,
    )
    from gradlab.numerical.finite_difference import (
        numerical_gradient,
        numerical_jacobian,
        numerical_jvp,
        numerical_vjp,
    )
    from gradlab.report import Fault, GradientError, Report, Row
    from gradlab.running.check_jvp import check_jvp
    from gradlab.running.check_vjp import check_vjp
    from gradlab.running.selection import UnknownNameError
    from gradlab.running.verify import verify
    from gradlab.verdict import Verdict
    from gradlab.workers.worker_map import WorkersError

    __version__: str

__all__ = [
    "Estimate",
    "Fault",
    "GradientError",
    "LayerError",
    "Node",
    "Report",
    "Row",
    "Sample",
    "UnknownNameError",
    "Verdict",
    "WorkersError",
    "check_cached_pair",
    "check_gradient",
    "check_hessian",
    "check_jacobian",
    "check_jax",
    "check_jvp",
    "check_layer",
    "check_torch",
    "check_vjp",
    "estimate_gradient",
    "estimate_jacobian",
    "estimate_jvp",
    "estimate_vjp",
    "numerical_gradient",
    "numerical_jacobian",
    "numerical_jvp",
    "numerical_vjp",
    "verify",
]

# Where the public names live. Each is loaded when it is first asked for: pytest imports this package at every start,
# for `gradlab.pytest_plugin`, and a test run that checks no gradient should not pay for NumPy.
_HOMES = {
    "adapters.cached_pair": ("check_cached_pair",),
    "adapters.jax": ("check_jax",),
    "adapters.numpy_layer": ("LayerError", "check_layer"),
    "adapters.scipy": ("check_gradient", "check_hessian", "check_jacobian"),
    "adapters.torch": ("check_torch",),
    "node": ("Node", "Sample"),
    "numerical.estimate": (
        "Estimate",
        "estimate_gradient",
        "estimate_jacobian",
        "estimate_jvp",
        "estimate_vjp",
    ),
    "numerical.finite_difference": (
        "numerical_gradient",
        "numerical_jacobian",
        "numerical_jvp",
        "numerical_vjp",
    ),
    "report": ("Fault", "GradientError", "Report", "Row"),
    "running.check_jvp": ("check_jvp",),
    "running.check_vjp": ("check_vjp",),
    "running.selection": ("UnknownNameError",),
    "running.verify": ("verify",),
    "verdict": ("Verdict",),
    "workers.worker_map": ("WorkersError",),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
