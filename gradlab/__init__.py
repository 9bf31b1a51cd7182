"""gradlab: a gradient verification lab.

Is this hand-derived backward pass right, how sure are we, and if it is wrong, what exactly is the mistake?
"""

from typing import TYPE_CHECKING, Any

from gradlab.adapters.scipy_style import check_gradient, check_hessian, check_jacobian
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

if TYPE_CHECKING:
    from gradlab.adapters.cached_pair import check_cached_pair
    from gradlab.adapters.layer import check_layer

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
    "check_layer",
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


def __getattr__(name: str) -> Any:
    # what finds out how a layer works is loaded by whoever has one
    if name == "check_layer":
        from gradlab.adapters.layer import check_layer

        return check_layer
    if name == "check_cached_pair":
        from gradlab.adapters.cached_pair import check_cached_pair

        return check_cached_pair
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
