"""Numerical gradients at scale: central differences that compute anew only what a parameter changes."""

from gradlab.incremental.chain import chain
from gradlab.incremental.gradient import incremental_gradient
from gradlab.incremental.program import Loss, Program, Step

__all__ = ["Loss", "Program", "Step", "chain", "incremental_gradient"]
