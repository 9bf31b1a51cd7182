"""Copying and rearranging."""
