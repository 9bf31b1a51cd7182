"""One BLAS thread for loops over small matrices, where several only wait for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let the matrix products of this context run in one thread; what its caller had set is put back.

    The setting is the process's: of several such contexts in several threads the last one puts it back.
    """
    from threadpoolctl import threadpool_limits

    global _within, _limits
    with _lock:
        _within += 1
        if _within == 1:
            _limits = threadpool_limits(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                _limits.restore_original_limits()


_lock = threading.Lock()
_within = 0
_limits: Any = None
