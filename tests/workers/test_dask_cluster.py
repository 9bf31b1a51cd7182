"""A Dask cluster as the workers: the same rows, also where a worker is killed, and one line where it fails."""

import os
import signal
import socket
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab import check_vjp, cli, verify
from gradlab.running.mutation import mutate
from gradlab.textbook.models import TwoLayerNet
from gradlab.workers import dask_cluster as cluster
from gradlab.workers.dask_cluster import on_cluster
from gradlab.workers.worker_map import (
    WorkersError,
    WorkersLost,
    numbered_results,
    open_worker_map,
    results_in_order,
)

pytest.importorskip("distributed", reason="needs Dask: pip install 'gradlab[distributed]'")

NAMES = ("step", "exp", "dot", "absolute", "square", "flip", "reshape", "transpose")
RNG = np.random.default_rng(0)


def cluster_of(workers):
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50)


@pytest.fixture(scope="module")
def local():
    """A cluster of two processes that lets a task's worker die once, and no more."""
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), cluster_of(2) as made:
        yield made


@pytest.fixture
def cluster_map(local):
    with on_cluster(local.scheduler_address) as workers:
        yield workers


def without_times(report):
    times = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    return [{key: value for key, value in asdict(row).items() if key not in times} for row in report.rows]


def killing(cluster_map, local, killed):
    """A map that kills one of the cluster's workers as soon as it has the first result."""

    def kill_after_first_result(function, items):
        for result in cluster_map(function, items):
            if not killed:
                killed.append(next(iter(local.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            yield result

    return kill_after_first_result


def test_a_killed_worker_loses_nothing(cluster_map, local):
    killed = []
    alone, found = verify(*NAMES), verify(*NAMES, workers=killing(cluster_map, local, killed))
    assert killed
    assert without_times(found) == without_times(alone)
    assert found.explored == alone.explored
    assert not found.interrupted


def test_the_command_line_says_the_same_of_a_cluster(local, capsys):
    alone = verify("exp", "dot", explore=False)
    command = ["verify", "exp", "dot", "--no-explore", "--scheduler", local.scheduler_address]
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    assert f"{len(alone.rows)} comparisons: {len(alone.rows)} pass" in out
    assert err == ""


def test_mutants_are_judged_in_main_threads(cluster_map):
    assert mutate("step", workers=cluster_map).rows == mutate("step").rows


def test_a_models_numerical_gradient(cluster_map, monkeypatch):
    monkeypatch.setattr("gradlab.textbook.models.parameter_blocks.ELEMENTS", 20)
    net, x, t = TwoLayerNet(6, 9, 3, rng=1), RNG.standard_normal((4, 6)), np.array([0, 1, 2, 0])
    alone, found = net.numerical_gradient(x, t), net.numerical_gradient(x, t, workers=cluster_map)
    assert all(np.array_equal(alone[name], found[name]) for name in alone)


def test_a_forward_that_pickle_cannot_send(cluster_map):
    primals = (RNG.standard_normal(70),)
    given = {"method": "central", "explore": False}
    alone, found = (
        check_vjp(lambda x: (x * x * x, x), lambda x, g: (3 * x**2 * g,), primals, **given, workers=workers)
        for workers in (None, cluster_map)
    )
    assert alone.ok
    # a bound is learned from the elements that one process sees, and differs a little with how these are shared out
    bounds = ("reference_error", "relative_bound", "sensitivity", "element_sensitivity")
    for one, other in zip(without_times(alone), without_times(found), strict=True):
        for name in bounds:
            mine, theirs = one.pop(name), other.pop(name)
            assert mine == theirs or mine == pytest.approx(theirs, rel=0.05)
        assert one == other


def test_what_a_task_raises_is_raised(cluster_map):
    with pytest.raises(ZeroDivisionError), open_worker_map(cluster_map) as worker_map:
        results_in_order(worker_map, lambda x: 1 / x, [0.0])
    assert results_in_order(cluster_map, lambda x: 1 / x, [2.0]) == [0.5]


def test_a_run_that_is_given_up_leaves_nothing_behind(cluster_map):
    results = numbered_results(cluster_map, lambda x: x, range(50))
    next(results)
    results.close()
    assert results_in_order(cluster_map, lambda x: x, [1]) == [1]
    assert results_in_order(cluster_map, lambda x: x, []) == []


def test_a_task_that_kills_every_worker_is_told(cluster_map):
    with (
        pytest.raises(WorkersError, match=r"^2 workers died of one task: give"),
        open_worker_map(cluster_map) as worker_map,
    ):
        results_in_order(worker_map, os._exit, [1])


@pytest.mark.parametrize(
    "of", ["tcp://127.0.0.1:{free}", "tcp://127.0.0.1:{silent}", "nonsense", "foo://bar:1"]
)
def test_an_address_where_no_scheduler_is(of, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as free:
        address = of.format(silent=silent.getsockname()[1], free=free.getsockname()[1])
        free.close()
        assert cli.main(["verify", "exp", "--scheduler", address]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"gradlab: no Dask scheduler answers at {address} (")
    assert err.endswith("): start one with `dask scheduler`, or correct the address\n")


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    wanted = "has no workers: start some with `dask worker tcp://"
    with (
        cluster_of(0) as empty,
        pytest.raises(WorkersError, match=wanted),
        on_cluster(empty.scheduler_address),
    ):
        pass


def test_a_scheduler_that_goes_away():
    def and_then_none(function, items):
        results = cluster_map(function, items)
        yield next(results)
        alone.close()
        yield from results

    wanted = "the Dask scheduler has gone: start it again"
    with (
        cluster_of(1) as alone,
        on_cluster(alone.scheduler_address) as cluster_map,
        pytest.raises(WorkersError, match=wanted),
    ):
        verify(*NAMES, workers=and_then_none)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [("0.0.1", "the worker at tcp://there has gradlab 0.0.1: install gradlab"),
     (PackageNotFoundError("gradlab"), "the worker at tcp://there has no gradlab: install gradlab")],
)  # fmt: skip
def test_a_worker_with_another_gradlab(theirs, message):
    client = SimpleNamespace(
        wait_for_workers=lambda count, timeout: None,
        run=lambda function, name, on_error: {"tcp://here": function(name), "tcp://there": theirs},
    )
    with pytest.raises(WorkersError, match=message):
        cluster._check_workers(client, "tcp://somewhere")


def test_workers_lost_is_what_no_guard_takes_for_a_nodes_mistake():
    assert not issubclass(WorkersLost, Exception)
