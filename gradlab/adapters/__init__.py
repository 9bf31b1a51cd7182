"""Other people's gradients, brought to the node contract."""
