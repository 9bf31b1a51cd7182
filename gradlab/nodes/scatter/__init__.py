"""Adding up what belongs to the same id."""
