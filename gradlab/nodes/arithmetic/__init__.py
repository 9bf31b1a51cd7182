"""Elementwise arithmetic, with broadcasting."""
