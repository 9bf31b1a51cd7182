"""Repairs: a wrong backward in a file, the change that mends it, and that nothing is left of the search."""

import importlib.util
import itertools
import json
import os
import signal
import threading

import numpy as np
import pytest

from gradlab import check_gradient, check_layer, check_vjp, numerical_gradient
from gradlab.repair import search
from gradlab.running import mending
from gradlab.workers.child_process import can_fork

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 5)), RNG.standard_normal(5)
NUMBERS = itertools.count()


@pytest.fixture
def written(tmp_path):
    """Return a function that makes a module of a source and returns it."""

    def write(source):
        name = f"somebodys_{next(NUMBERS)}"
        path = tmp_path / f"{name}.py"
        path.write_text("import numpy as np\n\n\n" + source)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return write


AFFINE = """
def forward(x, W, b):
    return x @ W + b, (x, W)


def backward(residuals, g):
    x, W = residuals  # as they came
    dW = {dW}
    return {dx}, dW, {db}
"""
RIGHT = {"dx": "g @ W.T", "dW": "x.T @ g", "db": "g.sum(axis=0)"}


def affine_report(module, **more):
    return check_vjp(module.forward, module.backward, (X, W, B), **more)


@pytest.mark.parametrize(
    ("part", "wrong", "mended"),
    [
        ("dx", "-g @ W.T", "g @ W.T"),
        ("dx", "2 * g @ W.T", "g @ W.T"),
        ("dx", "g @ W.T / len(x)", "g @ W.T"),
        ("dW", "x.T @ g / 3", "x.T @ g"),
        ("dW", "(g.T @ x)", "(g.T @ x).T"),
        ("dW", "x.T @ (g * g)", "x.T @ g"),
        ("db", "g", "g.sum(axis=0)"),
        ("db", "g.mean(axis=0)", "g.sum(axis=0)"),
        ("db", "np.sum(g, axis=1)", "np.sum(g, axis=0)"),
    ],
)
def test_one_mistake_in_one_line(written, part, wrong, mended):
    module = written(AFFINE.format(**RIGHT | {part: wrong}))
    report = affine_report(module)
    assert not report.ok
    (repair,) = report.repairs
    assert repair.after in (
        f"return {mended}, dW, {RIGHT['db']}",
        f"dW = {mended}",
        f"return g @ W.T, dW, {mended}",
    )
    assert "x, W = residuals  # as they came" in repair.mended
    assert [line[0] for line in repair.diff.splitlines()[3:] if line[0] != " "] == ["-", "+"]
    assert affine_report(written(repair.mended.partition("\n\n\n")[2])).ok


def test_a_mistake_in_two_gradients_at_once(written):
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g", "db": "g"}))
    (repair,) = affine_report(module).repairs
    assert "dW = x.T @ g" in repair.mended
    assert "g.sum(axis=0)" in repair.mended
    assert affine_report(written(repair.mended.partition("\n\n\n")[2])).ok


def test_what_was_tried_leaves_nothing_behind(written):
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"}))
    before = module.backward.__code__, dict(vars(module))
    assert affine_report(module).repairs
    assert (module.backward.__code__, dict(vars(module))) == before


def test_nothing_is_looked_for_where_nothing_is_wrong_or_nobody_asks(written):
    assert affine_report(written(AFFINE.format(**RIGHT))).repairs == ()
    assert (
        affine_report(written(AFFINE.format(**RIGHT | {"db": "-g.sum(axis=0)"})), repair=False).repairs == ()
    )


LAYER = """
class Norm:
    def __init__(self, gain):
        self.gain = gain

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.gain * self.xhat

    def backward(self, dout):
        self.dgain = (dout * self.xhat).sum(axis=0)
        d = dout * self.gain
        return {line}
"""


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        (
            "(d - d.mean(axis=1, keepdims=True) - self.xhat * (d * self.xhat).mean(axis=1, keepdims=True)) * self.std",
            "(d - d.mean(axis=1, keepdims=True) - self.xhat * (d * self.xhat).mean(axis=1, keepdims=True)) / self.std",
        ),
        (
            "(d - d.mean(axis=0, keepdims=True) - self.xhat * (d * self.xhat).mean(axis=1, keepdims=True)) / self.std",
            "(d - d.mean(axis=1, keepdims=True) - self.xhat * (d * self.xhat).mean(axis=1, keepdims=True)) / self.std",
        ),
    ],
)
def test_a_method_of_a_layer(written, line, mended):
    layer = written(LAYER.format(line=line)).Norm(RNG.standard_normal(5))
    (repair,) = check_layer(layer, RNG.standard_normal((4, 5))).repairs
    assert repair.after == f"return {mended}"


def test_a_missing_factor_is_made_of_what_is_in_scope(written):
    module = written(
        "def forward(x):\n    y = np.tanh(x)\n    return y, y\n\n\ndef backward(y, g):\n    return (g,)\n"
    )
    (repair,) = check_vjp(module.forward, module.backward, (X,)).repairs
    assert repair.after == "return (g * (1 - y**2),)"


def test_a_lambda_in_a_line_of_others(written):
    module = written("pair = (lambda x: np.sum(x**3), lambda x: 2 * x**2)\n")
    (repair,) = check_gradient(*module.pair, np.array([1.0, -2.0, 0.5])).repairs
    assert repair.after == "pair = (lambda x: np.sum(x**3), lambda x: 3 * x**2)"


def test_repeated_indices_are_added_up_in_every_statement(written):
    module = written(
        "def forward(x, w):\n    return x[[0, 0, 1]] + w[[2, 2, 0]], (x, w)\n\n\n"
        "def backward(r, g):\n    dx, dw = np.zeros_like(r[0]), np.zeros_like(r[1])\n"
        "    dx[[0, 0, 1]] += g\n    dw[[2, 2, 0]] += g\n    return dx, dw\n"
    )
    (repair,) = check_vjp(module.forward, module.backward, (X, X[:, :3])).repairs
    assert repair.mended.count("np.add.at(") == 2


def test_a_fault_beyond_the_given_primals_is_mended_there(written):
    module = written(
        "def forward(x):\n    return np.maximum(x, 0) + x, x\n\n\n"
        "def backward(x, g):\n    return (g * (1 + (x > -9)),)\n"
    )
    x = np.array([[0.5, 1.5, 0.7]])
    assert check_vjp(module.forward, module.backward, (x,)).repairs == ()  # a warning
    (repair,) = check_vjp(module.forward, module.backward, (x,), explore="all").repairs
    assert repair.after in ("return (g * (1 + (x > 0)),)", "return (g * (1 + (x >= 0)),)")


def test_where_no_change_is_found_lines_are_named(written):
    module = written(
        "def forward(x, w):\n    return np.tanh(x) @ w, (x, w)\n\n\n"
        "def backward(r, g):\n    x, w = r\n    inner = np.cosh(g[:, :2]).sum(axis=1)\n"
        "    dx = np.outer(inner, w[:, 0])\n    return dx, np.tanh(x).T @ g\n"
    )
    report = check_vjp(module.forward, module.backward, (X, W))
    assert {repair.line for repair in report.repairs} <= {10, 11, 12, 13}
    assert report.repairs
    assert all(not repair.diff and "would explain everything" in repair.sentence for repair in report.repairs)
    assert f"line {report.repairs[0].line}: {report.repairs[0].before.strip()}\n" in str(report)


def test_lines_are_named_where_the_time_for_changes_is_over(written, monkeypatch):
    """What could be mended has its line named by what was left for that."""
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"}))
    monkeypatch.setattr(search, "FOR_CHANGES", 0.0)
    report = affine_report(module)
    assert report.repairs
    assert not any(repair.mended for repair in report.repairs)
    assert any(repair.before.strip() == "dW = x.T @ -g" for repair in report.repairs)


def test_it_is_told_in_text_and_in_json(written):
    report = affine_report(written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"})))
    (repair,) = report.repairs
    assert "Change this (proven with all checks" in str(report)
    assert "\n+    dW = x.T @ g" in str(report)
    assert "```diff\n" in report.to_markdown()
    (told,) = json.loads(report.to_json())["environment"]["repairs"]
    assert (told["line"], told["after"]) == (repair.line, "dW = x.T @ g")
    with pytest.raises(AssertionError, match="Change this \\(proven with"):
        report.raise_if_failed()


def test_an_array_that_the_functions_hold_is_as_before(written):
    module = written(
        "TABLE = np.array([1.0, 2.0, 3.0])\n\n\ndef forward(x):\n    return x * TABLE, x\n\n\n"
        "def backward(x, g):\n    d = TABLE * 1.0\n    d *= -1.5\n    return (g * d,)\n"
    )
    assert check_vjp(module.forward, module.backward, (X,)).repairs
    assert (module.TABLE == [1, 2, 3]).all()


TAPE = """
class Node:
    def __init__(self, value, back=None):
        self.value, self.back, self.grad = value, back, None

    def backward(self, g):
        self.grad = g
        if self.back:
            self.back(g)


def cube(a):
    def back(g):
        a.backward(2 * a.value**2 * g)

    return Node(a.value**3, back)


def forward(x):
    node = Node(x)
    y = cube(node)
    return y.value, (node, y)


def backward(nodes, g):
    node, y = nodes
    y.backward(g)
    return (node.grad,)
"""


def test_a_way_back_that_forward_makes_anew_in_each_call(written):
    module = written(TAPE)
    (repair,) = check_vjp(module.forward, module.backward, (X,)).repairs
    assert repair.after == "a.backward(3 * a.value**2 * g)"


def test_they_are_found_in_threads_as_they_are_alone(written):
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"}))
    found = []
    threads = [threading.Thread(target=lambda: found.append(affine_report(module))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(report.repairs for report in found)


def test_where_no_child_can_be_made_none_is_looked_for_while_another_thread_is_in_gradlab(
    written, monkeypatch
):
    monkeypatch.setattr(mending, "can_fork", lambda: False)
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"}))
    inside, over = threading.Event(), threading.Event()

    def waiting(x):
        inside.set()
        over.wait(60)
        return 0.0

    thread = threading.Thread(target=numerical_gradient, args=(waiting, np.zeros(1)))
    thread.start()
    try:
        assert inside.wait(60)
        assert affine_report(module).repairs == ()
    finally:
        over.set()
        thread.join()
    assert affine_report(module).repairs


def test_what_was_not_looked_at_to_the_end_is_not_proven(written, monkeypatch):
    module = written(AFFINE.format(**RIGHT | {"dW": "x.T @ -g"}))
    cuts = iter([False])
    monkeypatch.setattr(mending, "_cuts", lambda report: next(cuts, True))
    assert not [repair for repair in affine_report(module).repairs if repair.diff]


SIDE_EFFECTS = """
CALLED = []


def train(g):
    CALLED.append(g)
    return 2 * g


def report(x, g):
    return train(g) * x


def forward(x, verbose=False):
    if verbose:
        train(x)
    return x**2, x


def backward(x, g):
    return (x * g,)
"""


def test_nothing_is_called_that_forward_and_backward_did_not_call(written):
    module = written(SIDE_EFFECTS)
    (repair,) = check_vjp(module.forward, module.backward, (X,)).repairs
    assert "train" not in repair.after
    assert module.CALLED == []


HOLDS_A_CLASS = """
class Held:
    def detach(self):
        return 1.0


def forward(x):
    kind = Held
    return x**3, (x, kind)


def backward(residuals, g):
    x, kind = residuals
    return (x**2 * g,)
"""


def test_a_class_in_scope_is_no_array(written):
    module = written(HOLDS_A_CLASS)
    (repair,) = check_vjp(module.forward, module.backward, (X,)).repairs
    assert "3" in repair.after


COUNTED = """
import numpy as np


def cube(x):
    return x**3, x


def cube_backward(x, g):
    return (x**2 * g,)


def mean(x):
    return x.mean(axis=1), x


def mean_backward(x, g):
    return (np.ones_like(x) * g[:, None],)
"""


@pytest.mark.parametrize("shape", [(4, 3), (3, 2), (2, 3)])
def test_a_number_and_a_length_that_are_equal(written, shape):
    module, x = written(COUNTED), RNG.standard_normal(shape)
    (of_cube,) = check_vjp(module.cube, module.cube_backward, (x,)).repairs
    assert of_cube.after == "return (x**2 * g * 3,)"
    (of_mean,) = check_vjp(module.mean, module.mean_backward, (x,)).repairs
    assert of_mean.after == "return (np.ones_like(x) * g[:, None] / x.shape[1],)"


def _one(n):
    """Return 1 as compiled code does that looks at nothing: another number ends the process."""
    if n != 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return 1.0


def _tripled(x, g):
    return (3 * x * g / _one(1),)


@pytest.mark.skipif(not can_fork(), reason="needs a child process that shares this one's objects")
def test_a_search_that_dies_takes_nothing_along():
    report = check_vjp(lambda x: (x * x, x), _tripled, (np.array([0.3, -1.2, 0.7]),))
    assert not report.ok
    assert report.rows[0].verdict == "wrong"


def test_what_is_wrong_beyond_is_not_proven(written):
    """Twice as much is right for positive numbers, and wrong for the others, as what was there before was."""
    module = written("def cost(x):\n    return np.sum(np.abs(x) * x)\n\n\ndef slope(x):\n    return x\n")
    report = check_gradient(module.cost, module.slope, np.array([1.0, 0.5, 2.0]))
    assert not report.ok
    assert not any("* 2" in repair.diff or "2 *" in repair.diff for repair in report.repairs)


def test_what_is_missing_may_be_an_array_of_the_module(written):
    module = written(
        "TIMES = np.linspace(0, 1, 20)\n\n\n"
        "def cost(x):\n    return np.sum((x[0] * np.exp(-x[1] * TIMES) - np.cos(TIMES)) ** 2)\n\n\n"
        "def slope(x):\n    decay = np.exp(-x[1] * TIMES)\n    residual = x[0] * decay - np.cos(TIMES)\n"
        "    return np.array([2 * np.sum(residual * decay), 2 * np.sum(residual * x[0] * decay)])\n"
    )
    (repair,) = check_gradient(module.cost, module.slope, np.array([1.5, 0.7])).repairs
    assert "TIMES" in repair.diff.partition("\n+    ")[2]


def test_a_sum_over_the_wrong_axes_is_mended_where_it_stands(written):
    module = written(
        "def forward(x):\n    e = np.exp(x - x.max(axis=1, keepdims=True))\n"
        "    y = e / e.sum(axis=1, keepdims=True)\n    return y, y\n\n\n"
        "def backward(y, g):\n    dx = y * g\n    return (dx - y * dx.sum(),)\n"
    )
    (repair,) = check_vjp(module.forward, module.backward, (X,)).repairs
    assert "+    return (dx - y * dx.sum(axis=1, keepdims=True),)" in repair.diff
