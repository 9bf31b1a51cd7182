"""A mended line tells what the mistake was."""

import ast
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.diagnosis import NAMES
from gradlab.faults.syntax_places import places
from gradlab.repair._mistake_names import MISTAKES, mistake_of
from gradlab.repair._tiers import Candidate

NAMED = [
    ("dx[i] = dy", "dx[i] = dy", "dx[i] += dy", "last-write-wins"),
    ("dx[i] += dy", "dx[i] += dy", "np.add.at(dx, i, dy)", "last-write-wins"),
    ("self.dW += dW", "self.dW += dW", "self.dW = dW", "accumulates"),
    ("return -dy", "-dy", "dy", "sign-flipped"),
    ("return a - b", "a - b", "a + b", "sign-flipped"),
    ("dx -= dy", "dx -= dy", "dx += dy", "sign-flipped"),
    ("return x.T @ dy", "x.T", "x", "transposed"),
    ("return np.dot(dy, w)", "w", "np.transpose(w)", "transposed"),
    ("return dy.transpose(0, 2, 1)", "dy.transpose(0, 2, 1)", "dy.transpose(2, 0, 1)", "axes-permuted"),
    ("return dy", "dy", "dy.sum(axis=0)", "missing-broadcast-sum"),
    ("return (dy, dy)", "dy", "np.sum(dy, axis=0)", "missing-broadcast-sum"),
    ("return dy - dy.sum(axis=0)", "dy.sum(axis=0)", "dy.sum(axis=1)", "wrong-sum-axis"),
    ("return np.mean(dy, 0)", "np.mean(dy, 0)", "np.mean(dy, axis=1)", "wrong-sum-axis"),
    ("dx = np.empty_like(x)", "np.empty_like(x)", "np.zeros_like(x)", "nondeterministic"),
    ("x = x.astype(np.float32)", "x.astype(np.float32)", "x", "float32-round-trip"),
    ("return np.hstack([a, b])", "[a, b]", "[b, a]", "columns-exchanged"),
    ("return (a, b)", "(a, b)", "(b, a)", "swapped-primals"),
    ("return (da, dm, ds)", "dm", "ds", "swapped-primals"),
    ("return np.einsum('ij,jk->ik', dy, w)", "'ij,jk->ik'", "'ij,kj->ik'", "transposed"),
    ("dx[1:] += dy[:-1]", "dx[1:] += dy[:-1]", "dx[:-1] += dy[1:]", "shifted"),
    ("return r * dy * s", "r * dy * s", "s * t * dy", "wrong-operand"),
    ("return a * dy + b", "a * dy + b", "-a * dy - b", "sign-flipped"),
    ("return a * dy + b", "a * dy + b", "a * dy[1:] - b", ""),
    ("return dy * (x > 0)", "x > 0", "x >= 0", "tie-or-kink"),
    ("return dy * (x > 0)", "x", "y", "masked-region"),
    ("return np.where(m, dy, 0)", "m", "~m", "masked-region"),
    ("return dy * h[t + 1]", "t + 1", "t", "shifted"),
    ("for t in range(T - 1):\n    dx[t] = 1", "T - 1", "T", "border"),
    ("return p * dy", "dy", "dy - (p * dy).sum()", "missing-term"),
    ("return dy / 2", "dy / 2", "dy", "constant-factor"),
    ("return dy", "dy", "dy / len(x)", "constant-factor"),
    ("return dy", "dy", "dy / x.shape[0]", "constant-factor"),
    ("return 3 * dy", "3", "2", "constant-factor"),
    ("return dy.sum(0)", "dy.sum(0)", "dy.mean(0)", "constant-factor"),
    ("return 0.8 * dy", "0.8", "0.7978845608", "rounded-constants"),
    ("return dy[1:]", "1:", ":-1", "shifted"),
    ("return dy", "dy", "dy * x", "straight-through"),
    ("return x", "x", "x * dy", "ignores-cotangent"),
    ("return x", "x", "x * dr", "missing-factor"),
    ("return dy @ w", "dy", "dy * x", "missing-factor"),
    ("return dy * y", "y", "y * (1 - y)", "missing-factor"),
    ("return dy / r", "r", "r ** 2", "missing-factor"),
    ("return dy * r ** 2", "2", "3", "missing-factor"),
    ("s = r + e", "e", "e ** 2", "epsilon-mismatch"),
    ("s = logsumexp(x, axis=0)", "0", "1", "wrong-sum-axis"),
    ("return dy * x / k", "dy * x / k", "dy * x", ""),
    ("return dy * x", "x", "y", "wrong-operand"),
    ("(p, q) = saved", "(p, q)", "(q, p)", "wrong-operand"),
    ("(p, q) = np.hsplit(dy, 2)", "(p, q)", "(q, p)", "columns-exchanged"),
    ("return np.bincount(i, dy)", "i", "i + 1", "shifted"),
    ("return dy[src]", "src", "dst", "wrong-operand"),
    ("dv[i] = y[i, f[i]]", "f[i]", "f[j]", "wrong-operand"),
    (
        "return np.bincount(s.a, y)[s.a]",
        "np.bincount(s.a, y)[s.a]",
        "np.bincount(s.b, y)[s.b]",
        "wrong-operand",
    ),
    ("dv[i] = dy[i + 1]", "dy[i + 1]", "dy[i]", "shifted"),
    ("dv[:, 1] = dy[:, 0]", "dy[:, 0]", "dy[:, -1]", "wrong-cotangent"),
    ("dv[:, 1] = p[0] * dy", "p[0]", "p[1]", "wrong-operand"),
    ("dv[0] = dy", "0", "1", "shifted"),
    ("return y[:-1]", "-1", "-2", "shifted"),
    ("return dy[order]", "order", "np.argsort(order)", "columns-exchanged"),
    ("np.put_along_axis(dx, i, dy, 1)", "i", "np.sort(i, axis=1)", "columns-exchanged"),
    ("return f(dy)[::-1]", "f(dy)[::-1]", "f(dy)[:]", "columns-exchanged"),
    ("return x * m", "m", "m.mean(axis=4, keepdims=True)", "wrong-sum-axis"),
    ("return -y * np.kron(a, z)", "np.kron(a, z)", "np.kron(z, a)", "axes-permuted"),
    ("return r * dy + r ** 2", "r * dy + r ** 2", "s * dy + s ** 2", "wrong-operand"),
    ("return r * dy + r ** 2", "r * dy + r ** 2", "s * dy + t ** 2", ""),
    ("return dy / sigma", "dy / sigma", "dy / sigma / sigma", "missing-factor"),
    ("return dy + k * x", "dy + k * x", "dy", "additive-bias"),
    ("p = np.pad(x, 1)", "np.pad(x, 1)", "np.pad(x, 1, mode='edge')", "border"),
    ("return dh[0]", "dh", "dh.sum(axis=0, keepdims=True)", "missing-broadcast-sum"),
    ("return dy * sigma", "dy * sigma", "dy", "log-parameter"),
    ("return dy / sigma", "dy / sigma", "dy", ""),
    ("return dy * y", "y", "y * sigma", "missing-factor"),
    ("return dy * dy", "dy * dy", "dy", "nonlinear-in-cotangent"),
    ("return np.cumsum(dy)", "np.cumsum(dy)", "np.cumsum(dy[::-1])[::-1]", "transposed"),
    ("return dy @ w", "dy", "dy[::-1]", "columns-exchanged"),
    ("return dy", "dy", "dy / sigma", "log-parameter"),
    ("return dy", "dy", "dy * mask", "masked-region"),
    ("return np.clip(dy, -1, 1)", "np.clip(dy, -1, 1)", "dy", "nonlinear-in-cotangent"),
    ("return dmu * x", "dmu", "dvar", "wrong-cotangent"),
    ("return dy @ a @ b", "dy @ a @ b", "dy @ b @ a", "wrong-order"),
    ("return np.einsum(s, dy, x)", "np.einsum(s, dy, x)", "np.einsum(s, x, dy)", "transposed"),
    ("s = np.sqrt(v) + e", "np.sqrt(v) + e", "np.sqrt(v + e)", "epsilon-mismatch"),
    ("s = v + 1e-08", "1e-08", "floor", "epsilon-mismatch"),
    (
        "return dy.reshape(n, h, t)",
        "dy.reshape(n, h, t)",
        "dy.reshape(n, h, t).swapaxes(1, 2)",
        "axes-permuted",
    ),
    ("d[m] -= 1", "d[m] -= 1", "d[m] = (d[m] - 1) * w", ""),
    ("return f(dy)", "f(dy)", "g(dy)", ""),
]


def parsed(text):
    if ":" in text and "=" not in text:
        return ast.parse(f"x[{text}]", mode="eval").body.slice
    (statement,) = ast.parse(text).body
    return statement.value if isinstance(statement, ast.Expr) and "add.at" not in text else statement


@pytest.mark.parametrize(("statement", "old", "new", "name"), NAMED)
def test_the_name_of_an_edit(statement, old, new, name):
    lines = statement.replace("\n", "\n    ")
    (body,) = ast.parse(f"def backward(dy):\n    {lines}").body
    place = next(p for p in places(body) if not isinstance(p.node, ast.Return) and ast.unparse(p.node) == old)
    assert mistake_of(Candidate(SimpleNamespace(body=body), place, parsed(new)), ["self.sigma"]) == name


@pytest.mark.parametrize(
    ("new", "values", "name"),
    [
        ("dy * k", [0.5, 0.5], "constant-factor"),
        ("dy * k", [0.5, 0.6], "missing-factor"),
        ("dy * k", [[0.5, 0.6], [0.5, 0.6]], "missing-factor"),
        ("dy * k", [[0.0, 1.0], [1.0, 1.0]], "masked-region"),
        ("dy * k", [], "missing-factor"),
        ("dy + k", [1e-3, 1e-3], "epsilon-mismatch"),
        ("dy + k", [2.0, 2.0], "missing-term"),
        ("dy + k", [], "missing-term"),
        ("k", [[0.0, 1.0], [1.0, 1.0]], "masked-region"),
    ],
)
def test_what_is_put_in_is_named_by_what_it_gives(new, values, name):
    (body,) = ast.parse("def backward(dy):\n    return 1 / dy").body
    place = next(p for p in places(body) if ast.unparse(p.node) == "dy")
    edit = Candidate(SimpleNamespace(body=body), place, parsed(new))
    assert mistake_of(edit, values=lambda expression: [np.array(v) for v in values]) == name


def test_the_names_are_those_of_the_diagnosis():
    assert {name for name, _ in MISTAKES} <= set(NAMES)


def softmax(x):
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return p, p


def softmax_backward(p, g):
    return (p * (g - (p * g).sum(axis=0, keepdims=True)),)


def relu_like(x):
    return np.where(x > 0, x, 0), x


def relu_like_backward(x, g):
    return (np.zeros_like(g) * x,)


X = np.array([[0.3, -0.2, 1.1], [0.7, 0.4, -0.6]])


def sine(x):
    return x * np.sin(x), x


def sine_backward(x, g):
    return (g * (np.sin(x) - x * np.cos(x)),)


def test_a_proven_edit_names_the_mistake():
    assert check_vjp(sine, sine_backward, (X,), repair=False).faults[0].name != "sign-flipped"
    fault = check_vjp(sine, sine_backward, (X,)).faults[0]
    assert (fault.name, fault.confidence) == ("sign-flipped", 1)
    assert "all checks pass: see the repair" in fault.sentence


def test_what_the_diagnosis_is_sure_of_stays_first():
    assert check_vjp(relu_like, relu_like_backward, (X,)).faults[0].name == "zero-gradient"
