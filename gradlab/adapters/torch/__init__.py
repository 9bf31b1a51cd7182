"""Gradients that torch computes; importing this loads no torch."""

from gradlab.adapters.torch.check import check_torch

__all__ = ["check_torch"]
