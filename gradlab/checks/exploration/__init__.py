"""A look beyond the given primals: what is derived from them, the fault that shows there, the smallest case of it."""
