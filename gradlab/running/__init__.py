"""Runs: checks on samples, timed and explained, make a report."""
