"""What stands behind a layer."""
