"""The workers of a run: this process, several processes, a Dask cluster, or a main thread."""
