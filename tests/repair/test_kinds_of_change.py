"""Kinds of changes: a mistake that each of them takes back, in a function of few lines."""

import ast
import importlib.util
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample
from gradlab.repair import find_repairs
from gradlab.repair._executed import Executed
from gradlab.repair._insertions import numbers_put
from gradlab.repair._tiers import calls

X = np.random.default_rng(5).uniform(0.5, 2.0, (4, 4))
NUMBERS = itertools.count()
# forward, a backward that is wrong, and what stands in the place of its last line, or of the one before a return.
KINDS = {
    "both ends of a slice": (
        "return x[1:-1] ** 2, x",
        "d = np.zeros_like(x)\n    d[:-2] = 2 * g * x[1:-1]\n    return (d,)",
        "d[1:-1] = 2 * g * x[1:-1]",
    ),
    "a keyword that another call has": (
        'p = np.pad(x, 1, mode="edge")\n    return p[:-2, 1:-1] + p[2:, 1:-1] - x, x',
        "p = np.pad(g, 1)\n    return (p[:-2, 1:-1] + p[2:, 1:-1] - g,)",
        'p = np.pad(g, 1, mode="edge")',
    ),
    "a term before a root": (
        "return np.sqrt(x**2 + 0.3), x",
        "size = np.sqrt(x**2) + 0.3\n    return (g * x / size,)",
        "size = np.sqrt(x**2 + 0.3)",
    ),
    "a variable transposed wherever it stands": (
        "return np.linalg.inv(x), np.linalg.inv(x)",
        "return (-x @ g @ x,)",
        "return (-x.T @ g @ x.T,)",
    ),
    "one less": (
        "return x.var(axis=0, ddof=1), x",
        "return (2 * (x - x.mean(axis=0)) * g / len(x),)",
        "return (2 * (x - x.mean(axis=0)) * g / (len(x) - 1),)",
    ),
    "a small number under a root": (
        "return x / np.sqrt((x**2).sum(axis=1, keepdims=True) + EPS), x",
        "r = np.sqrt((x**2).sum(axis=1, keepdims=True))\n"
        "    return (g / r - x * (g * x).sum(axis=1, keepdims=True) / r**3,)",
        "r = np.sqrt((x**2).sum(axis=1, keepdims=True) + EPS)",
    ),
    "a list of numbers that another line has": (
        "return x @ np.array([0.299, 0.587, 0.114, 0.2]), x",
        "return (np.outer(g, np.array([0.3, 0.59, 0.11, 0.2])),)",
        "return (np.outer(g, np.array([0.299, 0.587, 0.114, 0.2])),)",
    ),
    "the slope of a function whose range is set": (
        "u = LIMIT * np.tanh(x / LIMIT)\n    return u, u",
        "return (g,)",
        "return (g * (1 - (x / LIMIT)**2),)",
    ),
    "the density of a distribution function": (
        "return ndtr(x), x",
        "return (g,)",
        "return (g * (np.exp(-x**2 / 2) / (2 * np.pi)**0.5),)",
    ),
    "letters of an einsum": (
        'w = np.vander([1.0, 2.0, 3.0, 4.0])\n'
        '    return np.einsum("abc,cd->abd", x.reshape(2, 2, 4), w), w',
        'd = np.einsum("abd,cd->bac", g, x)\n    return (d.reshape(4, 4),)',
        'd = np.einsum("bad,cd->bac", g, x)',
    ),
    "two matrices in the wrong order, in two products": (
        "p = np.vander([1.0, 2.0, 3.0, 4.0])\n    return x @ p @ x.T, (x, p)",
        "f, p = x\n    return (g @ p.T @ f + g.T @ p @ f,)",
        "return (g @ f @ p.T + g.T @ f @ p,)",
    ),
    "two variables exchanged": (
        "s, c = np.arange(4.0) + 0.3, np.arange(4.0)[::-1] - 1.2\n    return np.exp(s * x) - c * x, (x, s, c)",
        "s = x[1]\n    c = x[2]\n    x = x[0]\n    return (g * (c * np.exp(c * x) - s),)",
        "return (g * (s * np.exp(s * x) - c),)",
    ),
    "a number written into items": (
        "return np.where(x > 1, 3 * x, x**2), x",
        "d = 2 * x\n    d[x > 1] = 1\n    return (g * d,)",
        "d[x > 1] = 3",
    ),
}  # fmt: skip


def module_of(tmp_path, forward, backward):
    name = f"kinds_{next(NUMBERS)}"
    path = tmp_path / f"{name}.py"
    functions = f"def forward(x):\n    {forward}\n\n\ndef backward(x, g):\n    {backward}\n"
    path.write_text(
        f"import numpy as np\nfrom scipy.special import ndtr\n\nEPS, LIMIT = 0.05, 1.7\n\n\n{functions}"
    )
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_change(kind, tmp_path):
    forward, backward, mended = KINDS[kind]
    module = module_of(tmp_path, forward, backward)
    (repair,) = check_vjp(module.forward, module.backward, (X,), explore=False).repairs
    assert repair.after == mended


def test_what_the_round_before_left(tmp_path):
    module = module_of(
        tmp_path,
        "h, kept = 0.0, []\n    for _ in range(5):\n        kept.append(h)\n        h = x[0] + x[1] * h\n"
        "    return np.array(h), (x[1], kept)",
        "rate, kept = x\n    dh = 0.0\n    for h in kept:\n        dh = np.array([1.0, h])\n    return (g * dh,)",
    )
    (repair,) = check_vjp(module.forward, module.backward, (X[0, :2],), explore=False).repairs
    assert repair.after == "dh = np.array([1.0, h]) + rate * dh"


def test_a_factor_of_one_term_in_a_loop(tmp_path):
    module = module_of(
        tmp_path,
        "h, kept = x, []\n    for _ in range(3):\n        f = 1 / (1 + np.exp(-h))\n        kept.append((h, f))\n"
        "        h = 0.5 * h + np.tanh(f * x) + f\n    return h, (x, kept)",
        "x, kept = x\n    dx, dh = 0, g\n    for h, f in kept[::-1]:\n        dt = dh * (1 - np.tanh(f * x) ** 2)\n"
        "        slope = f * (1 - f)\n        dx = dx + dt\n        dh = 0.5 * dh + (dt * x + dh) * slope\n"
        "    return (dx + dh,)",
    )
    (repair,) = check_vjp(module.forward, module.backward, (X,), explore=False).repairs
    assert repair.after == "dx = dx + dt * f"


def test_a_change_that_writes_into_a_list_spoils_none_after_it(tmp_path):
    module = module_of(
        tmp_path,
        "return sum(x[a] - x[b] for a, b in PAIRS), x",
        "d = np.zeros_like(x)\n    for a, b in PAIRS:\n        d[a] += g\n        d[b] += g\n    return (d,)",
    )
    module.PAIRS = [(0, 1), (1, 2), (0, 3)]
    (repair,) = check_vjp(module.forward, module.backward, (X[:, 0],), explore=False).repairs
    assert repair.after == "d[b] -= g"
    assert module.PAIRS == [(0, 1), (1, 2), (0, 3)]


def test_a_function_is_not_made_to_call_itself():
    """Nor would it end: what is put in are the calls of other functions."""
    body = ast.parse("def backward(x, g):\n    return twice(g)").body[0]
    near = [node for text in ("twice(x)", "backward(x, g)") for node in ast.walk(ast.parse(text))]
    suspect = SimpleNamespace(
        function=SimpleNamespace(body=body),
        near=near,
        is_suspicious=lambda place: True,
        seen=Executed(scope={"x": X, "g": X}),
    )
    edits = list(calls(None, [suspect], None, lambda: True))
    assert edits
    assert not any("backward(" in ast.unparse(edit.new) for edit in edits)


def test_a_line_that_hands_the_cotangent_on_lacks_a_slope(tmp_path):
    """Where no change is found that puts it there, the line and the name are told."""
    module = module_of(
        tmp_path,
        "return np.cbrt(1 + np.arctan(x**2)) @ x, x",
        "d = g\n    h = 0 * x + d @ x.T\n    return (np.cbrt(1 + np.arctan(x**2)).T @ d + h,)",
    )
    lines = found_in(module, proven=True)
    assert not any(repair.diff for repair in lines)
    assert [repair.mistake for repair in lines if repair.before == "d = g"] == ["straight-through"]
    assert all(repair.mistake == "" for repair in lines if repair.before != "d = g")


def found_in(module, *, proven):
    """Return what is found for functions of a module, where every change is proven, or none is."""
    sample = Sample("given", (X,))
    node = Node("f", "own", module.forward, module.backward, lambda rng: iter([sample]))
    trial = Trial(node, sample, registered=False)
    return find_repairs(trial, lambda: not proven, "all checks", lambda: 0.0)


def test_where_a_change_is_not_proven_its_line_is_named(tmp_path):
    """What gives the right gradients here says where to look, though a check may have something against it."""
    module = module_of(tmp_path, "return np.exp(x), np.exp(x)", "d = -x\n    e = g * d\n    return (e,)")
    (proven,) = found_in(module, proven=True)
    assert proven.mistake == "sign-flipped"
    first, *_ = found_in(module, proven=False)
    assert (first.line, first.mistake, first.diff) == (proven.line, proven.mistake, "")


@pytest.mark.parametrize("text", ["1e999", "-1e999"])
def test_a_literal_that_is_infinite_is_no_whole_number(text):
    node = ast.parse(text, mode="eval").body
    assert list(numbers_put([node, ast.Constant(3)], [])(ast.Constant(2)))


def test_what_a_memo_asks_is_no_condition_to_change(tmp_path):
    """A memo that is never filled again is wrong beyond its first point, and no other condition mends that."""
    body = "if len(MEMO) and MEMO[0] is not None:\n        return (g * 3 * MEMO[0] ** 2 * (x > 0),)\n    return (g,)"
    module = module_of(tmp_path, "return x**3, x", body)
    module.MEMO = [X + 0.3]
    report = check_vjp(module.forward, module.backward, (X,), explore=False)
    assert not report.ok
    assert not [repair for repair in report.repairs if repair.diff and "is not None" not in repair.mended]
