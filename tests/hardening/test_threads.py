"""What runs in several threads at once leaves the process as it was, and finds what it finds alone."""

import asyncio
import multiprocessing
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gradlab import check_layer, check_vjp, estimate_gradient, verify
from gradlab.workers.threads import noticing, printing_into, without_warnings


def in_threads(work, count=8):
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


class Square:
    def forward(self, x):
        print("forward")
        warnings.warn("forward", stacklevel=1)
        self.x = x
        return x**2

    def backward(self, d):
        return 2 * self.x * d


class Dropout:
    def forward(self, x):
        self.mask = np.random.rand(*x.shape) > 0.5  # noqa: NPY002
        return x * self.mask

    def backward(self, d):
        return d * self.mask


def test_stdout_and_filters_are_as_before(capsys):
    stdout, filters = sys.stdout, list(warnings.filters)
    in_threads(
        lambda i: check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (np.arange(1.0, 4.0) + i,))
    )
    in_threads(lambda i: check_layer(Square(), np.arange(1.0, 4.0) + i))
    assert sys.stdout is stdout
    assert list(warnings.filters) == filters
    print("this line")
    assert capsys.readouterr().out == "this line\n"


def test_a_layer_that_draws_from_numpys_own_generator_is_right_in_every_thread():
    reports = {}

    def work(i):
        reports[i] = check_layer(Dropout(), np.random.default_rng(i).standard_normal((4, 5)))

    in_threads(work)
    assert all(report.ok for report in reports.values())


def test_a_pool_of_threads_as_workers_keeps_the_filters():
    before = list(warnings.filters)
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            assert verify("add", "relu", "step", "softmax", "tanh", "exp", workers=pool.map).ok
    assert list(warnings.filters) == before


def test_asyncio_to_thread():
    async def both():
        return await asyncio.gather(
            *(asyncio.to_thread(check_layer, Dropout(), np.ones((3, 4))) for _ in range(4))
        )

    assert all(report.ok for report in asyncio.run(both()))


def test_estimates_run_side_by_side():
    inside = threading.Barrier(2, timeout=30)

    def f(x):
        if not inside.broken and inside.n_waiting < 2 and not waited.get(threading.get_ident()):
            waited[threading.get_ident()] = True
            inside.wait()
        return float((x**2).sum())

    waited = {}
    in_threads(lambda i: estimate_gradient(f, np.ones(2)), 2)


def test_what_one_thread_ignores_another_hears():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with without_warnings():
            warnings.warn("ignored", UserWarning, stacklevel=1)
            in_threads(lambda i: warnings.warn("aloud", UserWarning, stacklevel=1), 1)
    assert [str(w.message) for w in caught] == ["aloud"]
    with noticing(RuntimeWarning) as noticed:
        warnings.warn("noticed", RuntimeWarning, stacklevel=1)
    assert noticed == {RuntimeWarning}


def test_what_one_thread_prints_into_a_sink_another_prints_aloud(capsys):
    import io

    sink = io.StringIO()
    with printing_into(sink):
        print("into the sink")
        in_threads(lambda i: print("aloud"), 1)
    print("after")
    assert sink.getvalue() == "into the sink\n"
    assert capsys.readouterr().out == "aloud\nafter\n"


def _checks(connection):
    connection.send(check_vjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (np.ones(2),)).ok)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
def test_a_process_that_is_forked_while_another_thread_checks_can_check():
    inside, over = threading.Event(), threading.Event()

    def forward(x):
        inside.set()
        over.wait(30)
        return x**2, x

    thread = threading.Thread(target=check_vjp, args=(forward, lambda x, g: (2 * x * g,), (np.ones(2),)))
    thread.start()
    try:
        assert inside.wait(30)
        receiver, sender = multiprocessing.Pipe(duplex=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python from 3.12 warns of forks beside threads
            child = multiprocessing.get_context("fork").Process(target=_checks, args=(sender,))
            child.start()
        assert receiver.poll(30)
        assert receiver.recv()
        child.join()
    finally:
        over.set()
        thread.join()


def test_pytest_in_threads(project):
    pytest.importorskip("pytest_run_parallel", reason="pytest-run-parallel is not installed")
    project.makepyfile(
        test_ops="""
        import numpy as np, pytest
        from gradlab import GradientError
        from gradlab.nodes import NODES
        from gradlab.testing import parametrize_nodes

        class Dropout:
            def forward(self, x):
                self.mask = np.random.rand(*x.shape) > 0.5
                return x * self.mask
            def backward(self, d):
                return d * self.mask

        def test_right(gradcheck):
            gradcheck(lambda x: (np.sin(x), x), lambda x, g: (np.cos(x) * g,), (np.ones(3),))

        def test_wrong(gradcheck):
            with pytest.raises(GradientError):
                gradcheck(lambda x: (np.sin(x), x), lambda x, g: (np.sin(x) * g,), (np.ones(3),))

        def test_layer(gradcheck):
            gradcheck.layer(Dropout(), np.ones((3, 4)))

        @parametrize_nodes([NODES["tanh"]])
        def test_node(node_check):
            node_check()
        """
    )
    result = project.runpytest_subprocess("--parallel-threads=4", "-q", "-p", "no:cacheprovider")
    counts = result.parseoutcomes()
    assert counts.get("failed", 0) == counts.get("errors", 0) == 0, result.stdout.str()
    assert counts["passed"] > 4
