"""Gradients, Jacobians and Hessians as `scipy.optimize` takes them."""

from gradlab.adapters.scipy.derivative_checks import check_gradient, check_hessian, check_jacobian

__all__ = ["check_gradient", "check_hessian", "check_jacobian"]
