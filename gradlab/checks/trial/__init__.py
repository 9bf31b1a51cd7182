"""One node at one sample, and the values that are computed there once for all checks."""

from gradlab.checks.trial._trial import (
    BEYOND,
    ContractError,
    Trial,
    copied,
    error_text,
    map_arrays,
    quiet,
    same_bits,
)

__all__ = ["BEYOND", "ContractError", "Trial", "copied", "error_text", "map_arrays", "quiet", "same_bits"]
