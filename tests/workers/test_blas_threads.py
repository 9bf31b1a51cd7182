"""One BLAS thread for loops over small matrices, and the caller's setting afterwards."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gradlab.workers.blas_threads import one_blas_thread
from gradlab.workers.worker_map import open_worker_map


def threads(_=None):
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_and_then_as_before():
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        with one_blas_thread():
            assert threads() <= {1}
        assert threads() == before
        with pytest.raises(KeyError), one_blas_thread():
            raise KeyError
        assert threads() == before


def test_worker_processes_have_one_thread_each():
    with threadpool_limits(limits=2, user_api="blas"), open_worker_map(2) as over:
        assert all(found <= {1} for found in over(threads, range(4)))
