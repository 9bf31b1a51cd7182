"""The search beyond the given primals: primals derived from them, a fault that shows there, its smallest case."""
