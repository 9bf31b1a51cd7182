"""Numerical gradients at scale: central differences that compute anew only what a parameter changes."""

from gradlab.textbook.incremental.chain import chain
from gradlab.textbook.incremental.gradient import incremental_gradient
from gradlab.textbook.incremental.program import Program, ProgramLoss, Step

__all__ = ["Program", "ProgramLoss", "Step", "chain", "incremental_gradient"]
