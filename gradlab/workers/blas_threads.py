"""One BLAS thread for loops over small matrices, where several only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let the matrix products of this context run in one thread; what its caller had set is put back."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
