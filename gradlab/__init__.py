"""gradlab: a gradient verification lab.

Is this hand-derived backward pass right, how sure are we, and if it is wrong, what exactly is the mistake?
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.adapters.cached_pair import check_cached_pair
    from gradlab.adapters.jax_style import check_jax
    from gradlab.adapters.layer import check_layer
    from gradlab.adapters.scipy_style import check_gradient, check_hessian, check_jacobian
    from gradlab.adapters.torch_style import check_torch
    from gradlab.compare import Verdict
    from gradlab.estimate import Estimate, estimate_gradient, estimate_jacobian, estimate_jvp, estimate_vjp
    from gradlab.finite_difference import (
        numerical_gradient,
        numerical_jacobian,
        numerical_jvp,
        numerical_vjp,
    )
    from gradlab.harness import check_vjp, verify
    from gradlab.node import Node, Sample
    from gradlab.report import Fault, GradientError, Report, Row

__all__ = [
    "Estimate",
    "Fault",
    "GradientError",
    "Node",
    "Report",
    "Row",
    "Sample",
    "Verdict",
    "check_cached_pair",
    "check_gradient",
    "check_hessian",
    "check_jacobian",
    "check_jax",
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
    "adapters.jax_style": ("check_jax",),
    "adapters.layer": ("check_layer",),
    "adapters.scipy_style": ("check_gradient", "check_hessian", "check_jacobian"),
    "adapters.torch_style": ("check_torch",),
    "compare": ("Verdict",),
    "estimate": ("Estimate", "estimate_gradient", "estimate_jacobian", "estimate_jvp", "estimate_vjp"),
    "finite_difference": ("numerical_gradient", "numerical_jacobian", "numerical_jvp", "numerical_vjp"),
    "harness": ("check_vjp", "verify"),
    "node": ("Node", "Sample"),
    "report": ("Fault", "GradientError", "Report", "Row"),
}


def __getattr__(name: str) -> Any:
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
