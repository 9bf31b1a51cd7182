"""Windows that slide over images and signals."""
