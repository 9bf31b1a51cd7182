"""Cells that carry a state from step to step, and sequences through them."""
