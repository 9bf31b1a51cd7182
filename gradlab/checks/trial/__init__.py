"""One node at one sample, and the values that are computed there once for all checks."""

from gradlab.checks.trial._trial import ContractError, Trial, error_text, map_arrays, quiet, same_bits

__all__ = ["ContractError", "Trial", "error_text", "map_arrays", "quiet", "same_bits"]
