"""Many workers give the same rows and numbers as one, whatever kind they are, and an error where they fail."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest

from gradlab import check_vjp, cli, verify
from gradlab.running.mutation import mutate
from gradlab.workers.worker_map import WorkersError, numbered_results, open_worker_map, results_in_order

RNG = np.random.default_rng(0)
NAMES = ("step", "exp", "dot")
HERE = os.getpid()


def backwards(function, items):
    """A map whose results come in another order."""
    return reversed(list(map(function, items)))


def threads(function, items):
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(function, items)


WORKERS = pytest.mark.parametrize("workers", [2, backwards, threads])


def without_times(rows):
    times = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    return [{key: value for key, value in asdict(row).items() if key not in times} for row in rows]


def same_reports(one, other):
    return (
        without_times(one.rows) == without_times(other.rows)
        and one.explored == other.explored
        and one.findings == other.findings
    )


def square(x):
    return x * x


@pytest.mark.parametrize("workers", [None, 1, 2, np.int64(2), -1, map, backwards, threads])
def test_results_in_the_order_of_the_items(workers):
    with open_worker_map(workers) as worker_map:
        assert results_in_order(worker_map, square, range(20)) == [x * x for x in range(20)]
        assert results_in_order(worker_map, square, [3.0]) == [9.0]
        assert results_in_order(worker_map, square, []) == []
        assert sorted(numbered_results(worker_map, square, [2, 3])) == [(0, 4), (1, 9)]


@pytest.mark.parametrize("workers", [0, -2, 1.5, "2"])
def test_what_are_no_workers(workers):
    wanted = r"workers is .*: give a whole number from 1 up, or a callable"
    with pytest.raises(ValueError, match=wanted), open_worker_map(workers):
        pass


def test_a_map_that_loses_results_is_refused():
    with pytest.raises(
        ValueError, match=r"gave 1 results for 3 items, and none of item 2: give a callable that maps"
    ):
        results_in_order(lambda function, items: [function(items[0])], square, [1, 2, 3])


def test_a_map_that_repeats_one_result_in_the_place_of_another_is_refused():
    with pytest.raises(
        ValueError, match=r"gave 3 results for 3 items, and none of item 3: give a callable that maps"
    ):
        results_in_order(lambda f, items: [f(items[0]), f(items[1]), f(items[0])], square, [1, 2, 3])


def die(x):
    os._exit(x)


def test_a_process_that_dies_is_told_in_one_line_with_the_cure():
    wanted = r"^a worker process died .*: give it more memory, or take fewer workers$"
    with pytest.raises(WorkersError, match=wanted), open_worker_map(2) as worker_map:
        results_in_order(worker_map, die, [3, 3])


@WORKERS
def test_what_the_function_raises_is_raised(workers):
    with pytest.raises(TypeError, match="can't multiply"), open_worker_map(workers) as worker_map:
        results_in_order(worker_map, square, ["a", "b"])


@WORKERS
def test_verify_gives_the_same_rows(workers):
    assert same_reports(verify(*NAMES), verify(*NAMES, workers=workers))


def test_verify_keeps_what_was_reached(monkeypatch):
    def interrupted(function, items):
        done = map(function, backwards(lambda item: item, items))
        yield next(done)
        yield next(done)
        raise KeyboardInterrupt

    shown = []
    monkeypatch.setattr(
        "gradlab.running.verify.with_progress",
        lambda items, progress, unit, total: shown.append((progress, unit, total)) or items,
    )
    report = verify(*NAMES, workers=interrupted, progress=True)
    assert report.interrupted
    assert list(dict.fromkeys(row.node for row in report.rows)) == ["exp", "dot"]
    assert shown == [(True, "node", 3)]


def forward(x, w, scale=1.0, chosen=(0, 1)):
    y = np.tanh(x @ w)
    return scale * y, (x, w, y, scale)


def backward(residuals, g):
    x, w, y, scale = residuals
    d = scale * g * (1 - y * y)
    return d @ w.T, x.T @ d


def halved(residuals, g):
    dx, dw = backward(residuals, g)
    return dx, dw / 2


PRIMALS = RNG.standard_normal((3, 30)), RNG.standard_normal((30, 4))


@pytest.mark.parametrize(("of", "workers"), [(backward, 2), (halved, 2), (halved, backwards)])
def test_check_vjp_gives_the_same_rows(of, workers):
    given = {"settings": {"scale": 2.0, "chosen": [0, 1]}, "method": "central", "explore": False}
    alone = check_vjp(forward, of, PRIMALS, **given)
    assert alone.ok == (of is backward)
    assert same_reports(alone, check_vjp(forward, of, PRIMALS, **given, workers=workers))


def test_check_vjp_gives_the_same_rows_of_what_it_explores():
    given = {"checks": ["matches_numerical"], "method": "central"}
    alone, found = (check_vjp(forward, backward, PRIMALS, **given, workers=w) for w in (None, threads))
    assert alone.ok
    assert same_reports(alone, found)


def test_check_vjp_sends_large_primals_and_keeps_small_ones():
    sent = []

    def counting(function, items):
        sent.append(len(items))
        return map(function, items)

    check_vjp(forward, backward, PRIMALS, workers=counting, explore=False, method="central")
    assert sent == [2, 2]  # 64 and the rest, of 90 and of 120
    small = RNG.standard_normal((2, 3)), RNG.standard_normal((3, 2))
    check_vjp(forward, backward, small, workers=counting, explore=False)
    # primals that count as large are checked along a few directions, and no element alone
    check_vjp(forward, backward, PRIMALS, workers=counting, explore=False, full_below=200)
    assert sent == [2, 2]


def test_check_vjp_names_the_forward_that_cannot_be_sent():
    with pytest.raises(
        TypeError, match=r"^forward cannot be sent .*: define it at the top level of a module"
    ):
        check_vjp(lambda x: (x, None), lambda _, g: (g,), (np.ones(70),), workers=2)
    assert check_vjp(lambda x: (x + 0, None), lambda _, g: (g + 0,), (np.ones(70),), workers=1).ok


def forward_dying_elsewhere(x):
    if os.getpid() != HERE:
        os._exit(1)
    return np.exp(x), x


def test_a_worker_that_dies_is_no_verdict():
    with pytest.raises(WorkersError, match="a worker process died"):
        # by a method that looks at every element: directions confirm this gradient without any worker
        check_vjp(
            forward_dying_elsewhere,
            lambda x, g: (g * np.exp(x),),
            (RNG.standard_normal(70),),
            method="central",
            workers=2,
        )


@pytest.mark.parametrize("workers", [2, backwards, threads])
def test_mutate_gives_the_same_rows(workers, monkeypatch):
    at_once = mutate("step").rows
    monkeypatch.setattr("gradlab.running.mutation.MUTANTS_A_TASK", 11)
    assert mutate("step", workers=workers).rows == at_once


def test_mutate_wants_a_main_thread(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gradlab.running.mutation.in_main_thread", lambda function, task: asked.append(task) or function(task)
    )
    mutate("step")
    assert asked == [("step", 0)]


def rows_of(arguments, capsys):
    assert cli.main([*arguments, "--format", "json"]) == 0
    times = ("forward_s", "backward_s", "numerical_s", "forward_spread", "backward_spread", "speedup")
    rows = json.loads(capsys.readouterr().out)["rows"]
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


def test_the_command_line_takes_workers(capsys):
    command = ["verify", "add", "exp", "--no-explore"]
    assert rows_of(command, capsys) == rows_of([*command, "--workers", "2"], capsys)


@pytest.mark.parametrize(
    ("command", "function"),
    [(["verify", "add"], "gradlab.commands.verify.verify"), (["mutate", "step"], "gradlab.running.mutation.mutate"),
     (["mnist", "--data", "digits"], "gradlab.textbook.mnist_benchmark.run")],
)  # fmt: skip
def test_every_command_passes_its_workers_on(command, function, capsys, monkeypatch):
    given = []

    def recorded(*arguments, workers, **more):
        given.append(workers)
        raise WorkersError("enough is seen")

    monkeypatch.setattr(function, recorded)
    assert cli.main([*command, "--workers", "3"]) == cli.main(command) == 2
    # verify of few nodes starts no processes
    assert given == [3, 1 if command[0] == "verify" else None]
    assert capsys.readouterr().err == 2 * "gradlab: enough is seen\n"


@pytest.mark.parametrize(("more", "expected"), [([], 5), (["--workers", "3"], 3), (["--family", "loss"], 1)])
def test_verify_takes_a_process_for_each_processor_where_there_are_many_nodes(more, expected, monkeypatch):
    given = []

    def recorded(*arguments, workers, **more):
        given.append(workers)
        raise WorkersError("enough is seen")

    monkeypatch.setattr("gradlab.commands.verify.verify", recorded)
    monkeypatch.setattr("gradlab.commands.verify.processors", lambda: 5)
    assert cli.main(["verify", *more]) == 2
    assert given == [expected]


@pytest.mark.parametrize("command", [["verify", "add"], ["mutate", "step"]])
def test_without_dask_one_line_says_how_to_install_it(command, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main([*command, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err == "gradlab: a scheduler wants Dask, which is not installed: pip install 'gradlab[distributed]'\n"
    )


def test_either_processes_or_a_cluster(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert caught.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
