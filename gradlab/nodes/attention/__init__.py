"""Sequences: words as rows, their places, and who looks at whom."""
