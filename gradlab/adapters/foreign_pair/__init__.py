"""A pair of functions that somebody else wrote: which function its gradient belongs to, and the report on it."""
