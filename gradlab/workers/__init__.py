"""Who computes: this process, several, a cluster of Dask, or a main thread of its own."""
