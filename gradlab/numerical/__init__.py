"""Numerical derivatives: the textbook's differences, and estimates that know their own error."""
