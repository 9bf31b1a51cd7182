"""gradlab: a gradient verification lab.

Is this hand-derived backward pass right, how sure are we, and if it is wrong, what exactly is the mistake?
"""

from gradlab.adapters.scipy_style import check_gradient
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
    "check_gradient",
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
