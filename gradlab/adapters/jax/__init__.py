"""Gradients that JAX computes; importing this loads no JAX."""

from gradlab.adapters.jax.check import check_jax

__all__ = ["check_jax"]
