"""Rescaling by statistics, and dropping at random."""
