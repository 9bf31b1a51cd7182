"""minops: small differentiable NumPy ops with hand-derived gradients."""

from . import elementwise, linear, losses, reductions
from .registry import OPS, Op

__all__ = ["OPS", "Op", "elementwise", "linear", "losses", "reductions"]
