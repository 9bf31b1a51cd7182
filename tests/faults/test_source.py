"""Each edit of the source makes the mistakes that it is there for, one at a time."""

import ast
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from gradlab.faults import source_mutants
from gradlab.faults.normal_form import normal_form
from gradlab.faults.source_edits import EDITS
from gradlab.faults.source_mutants import syntax_tree
from gradlab.node import Node, Sample
from gradlab.nodes import NODES

# the backward passes below are read by the tests, not run, unless a test says so


def product(residuals, g):
    x, y = residuals
    return g * y, -g * x


def quotient(x, g):
    return (g / x**2,)


def difference(x, g):
    return (2.5 * x - g,)


def matrices(W, g):
    return (g @ W.T,)


def exponential(x, g):
    return (g * np.exp(x),)


def reduced(residuals, g):
    return (g.sum(axis=1),)


def reduced_by_place(residuals, g):
    return (np.sum(g, 0),)


def kept(residuals, g):
    return (g.mean(axis=(0, 2), keepdims=True),)


def permuted(residuals, g):
    return (np.swapaxes(g, 0, -1),)


def indexed(residuals, g):
    return (g[0, ..., residuals],)


def sliced(residuals, g):
    return (g[1:, ::2],)


def compared(x, g):
    return (np.where(x > 0, g, 0.0),)


def gathered(residuals, g):
    dx = np.zeros(residuals)
    np.add.at(dx, [0, 0], g)
    return (dx,)


def added_up(residuals, g):
    total = g[0]
    for i in range(1, 3):
        total += g[i]
    return (total,)


def chosen(x, g):
    if x is None:
        g = g.copy()
    return (g if g.ndim else x,)


def documented(x, g):
    """Return 2 + 2."""
    scale: float = 2
    if len(x) == 0:
        raise ValueError(f"x has {1 + 1} elements: give more than {0}")
    return (scale * g,)


def mutants_of(backward):
    node = Node("made", "test", lambda x: (x, x), backward, lambda rng: [Sample("none", ())])
    return source_mutants(node)


def edits(backward, fault):
    """Return what stands after the arrow in the mutants of one class."""
    return [m.description.partition(" -> ")[2] for m in mutants_of(backward) if m.fault == f"source: {fault}"]


CASES = [
    (product, "operator swapped", ["return (g / y, -g * x)", "return (g * y, -g / x)"]),
    (product, "sign changed", ["return (-(g * y), -g * x)", "return (g * y, g * x)"]),
    (
        product,
        "factor dropped",
        ["return (g, -g * x)", "return (y, -g * x)", "return (g * y, -g)", "return (g * y, x)"],
    ),
    (product, "operands swapped", ["y, x = residuals", "return (-g * x, g * y)"]),
    (
        product,
        "name mixed up",
        [
            "x, y = g",
            "return (x * y, -g * x)",
            "return (y * y, -g * x)",
            "return (g * g, -g * x)",
            "return (g * x, -g * x)",
            "return (g * y, -x * x)",
            "return (g * y, -y * x)",
            "return (g * y, -g * g)",
            "return (g * y, -g * y)",
        ],
    ),
    (quotient, "operator swapped", ["return (g * x ** 2,)"]),
    (quotient, "factor dropped", ["return (g,)", "return (1 / x ** 2,)"]),
    (quotient, "exponent changed", ["return (g / x ** 3,)", "return (g / x ** 1,)", "return (g / (x * 2),)"]),
    (quotient, "operands swapped", ["return (x ** 2 / g,)", "return (g / 2 ** x,)"]),
    (difference, "operator swapped", ["return (2.5 * x + g,)", "return (2.5 / x - g,)"]),
    (difference, "sign changed", ["return (-(2.5 * x - g),)", "return (-(2.5 * x) - g,)"]),
    (difference, "term dropped", ["return (2.5 * x,)", "return (-g,)"]),
    (difference, "constant changed", ["return (5.0 * x - g,)", "return (1.25 * x - g,)"]),
    (matrices, "operator swapped", ["return (g * W.T,)"]),
    (matrices, "transpose dropped", ["return (g.T @ W.T,)", "return (g @ W,)"]),
    (matrices, "operands swapped", ["return (W.T @ g,)"]),
    (matrices, "factor dropped", ["return (g,)", "return (W.T,)"]),
    (exponential, "function swapped", ["return (g * np.expm1(x),)"]),
    (exponential, "call dropped", ["return (g * x,)"]),
    (reduced, "axis changed", ["return (g.sum(axis=2),)", "return (g.sum(axis=0),)", "return (g.sum(axis=None),)"]),
    (reduced, "keepdims flipped", ["return (g.sum(axis=1, keepdims=True),)"]),
    (reduced, "reduction changed", ["return (g.mean(axis=1),)", "return (g.max(axis=1),)"]),
    (reduced, "call dropped", ["return (g,)"]),
    (
        reduced_by_place,
        "axis changed",
        ["return (np.sum(g, 1),)", "return (np.sum(g, -1),)", "return (np.sum(g, None),)"],
    ),
    (reduced_by_place, "keepdims flipped", ["return (np.sum(g, 0, keepdims=True),)"]),
    (
        kept,
        "axis changed",
        [
            "return (g.mean(axis=(2,), keepdims=True),)",
            "return (g.mean(axis=(0,), keepdims=True),)",
            "return (g.mean(axis=None, keepdims=True),)",
        ],
    ),
    (kept, "keepdims flipped", ["return (g.mean(axis=(0, 2), keepdims=False),)"]),
    (
        permuted,
        "axis changed",
        [
            "return (np.swapaxes(g, 1, -1),)",
            "return (np.swapaxes(g, -1, -1),)",
            "return (np.swapaxes(g, 0, 0),)",
            "return (np.swapaxes(g, 0, -2),)",
        ],
    ),
    (permuted, "transpose dropped", ["return (g,)"]),
    (
        indexed,
        "index shifted",
        [
            "return (g[1, ..., residuals],)",
            "return (g[-1, ..., residuals],)",
            "return (g[0, ..., residuals + 1],)",
            "return (g[0, ..., residuals - 1],)",
        ],
    ),
    (
        sliced,
        "slice bound shifted",
        [
            "return (g[2:, ::2],)",
            "return (g[0:, ::2],)",
            "return (g[1:-1, ::2],)",
            "return (g[1:, 1::2],)",
            "return (g[1:, :-1:2],)",
            "return (g[1:, :],)",
        ],
    ),
    (compared, "comparison turned", ["return (np.where(x >= 0, g, 0.0),)", "return (np.where(x < 0, g, 0.0),)"]),
    (compared, "call dropped", ["return (g,)", "return (0.0,)"]),
    (gathered, "accumulation overwritten", ["dx[[0, 0]] = g", "dx[[0, 0]] += g"]),
    (gathered, "statement dropped", ["pass"]),
    (gathered, "function swapped", ["dx = np.ones(residuals)"]),
    (added_up, "accumulation overwritten", ["total = g[i]"]),
    (added_up, "statement dropped", ["pass"]),
    (added_up, "operator swapped", ["total -= g[i]"]),
    (
        added_up,
        "loop bound shifted",
        ["for i in range(1, 2):", "for i in range(1, 4):", "for i in range(2, 3):"],
    ),
    (
        chosen,
        "condition changed",
        [
            "if not x is None:",
            "if False:",
            "if True:",
            "return (g if not g.ndim else x,)",
            "return (g if False else x,)",
            "return (g if True else x,)",
        ],
    ),
    (chosen, "comparison turned", ["if x is not None:"]),
    (documented, "constant changed", ["scale: float = 3", "scale: float = 1", "if len(x) == 1:", "if len(x) == -1:"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("backward", "fault", "expected"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_an_edit(backward, fault, expected):
    assert edits(backward, fault) == expected


def test_every_edit_is_tested():
    assert {name for name, _ in EDITS} | {"name mixed up"} == {fault for _, fault, _ in CASES}


def test_a_description_has_the_line_before_and_after():
    texts = [mutant.description for mutant in mutants_of(matrices)]
    assert "line 2 of backward: return (g @ W.T,) -> return (g @ W,)" in texts


def test_a_mutant_computes_what_its_line_says():
    x, y, g = np.array([2.0, 3.0]), np.array([5.0, 7.0]), np.array([1.0, -1.0])
    for mutant in mutants_of(product):
        source = mutant.description.partition(" -> ")[2]
        scope = {"x": x, "y": y, "g": g}
        if source.startswith("return"):
            expected = eval(source.removeprefix("return "), scope)
        elif source == "y, x = residuals":
            expected = g * x, -g * y
        else:
            assert source == "x, y = g"
            expected = -g, -g
        for a, b in zip(mutant.make().backward((x, y), g), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_words_are_no_part_of_the_computation():
    lines = Counter(mutant.description.split(":")[0] for mutant in mutants_of(documented))
    assert set(lines) == {"line 3 of backward", "line 4 of backward", "line 6 of backward"}


def test_the_right_function_stays_as_it_was():
    before = ast.dump(syntax_tree(product))
    for mutant in mutants_of(product):
        mutant.make()
    assert ast.dump(syntax_tree(product)) == before
    assert product((2.0, 3.0), 1.0) == (3.0, -2.0)


@pytest.mark.parametrize("name", NODES)
def test_one_mutation_a_mutant(name):
    """Every mutant of a node differs from it in one statement, and no two are written alike."""
    right = ast.unparse(syntax_tree(NODES[name].backward)).splitlines()
    seen = {normal_form(syntax_tree(NODES[name].backward))}
    for mutant in source_mutants(NODES[name]):
        source = mutant.make.args[1]
        lines = source.splitlines()
        differing = [i for i, (a, b) in enumerate(zip(right, lines, strict=True)) if a != b]
        assert len(differing) == 1, source
        tree = ast.parse(source).body[0]
        assert normal_form(tree) not in seen, source
        seen.add(normal_form(tree))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 * a", "a"),
        ("a * 1.0", "a"),
        ("a / 1", "a"),
        ("a ** 1", "a"),
        ("a + 0", "a"),
        ("0 - a", "-a"),
        ("a + -b", "a - b"),
        ("a - -b", "a + b"),
        ("-(-a)", "a"),
        ("-a * b", "-(a * b)"),
        ("a * -b / c", "-(a * b / c)"),
        ("-a * -b", "a * b"),
        ("-(a - b)", "b - a"),
        ("f(--1)", "f(1)"),
    ],
)
def test_the_same_arithmetic_has_one_normal_form(one, other):
    forms = {normal_form(ast.parse(f"def f():\n    return {source}").body[0]) for source in (one, other)}
    assert len(forms) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("a - b", "b - a"), ("a / b", "b / a"), ("1 / a", "a"), ("a ** -1", "a ** 1"), ("-a + b", "-(a + b)")],
)
def test_other_arithmetic_has_another(one, other):
    forms = {normal_form(ast.parse(f"def f():\n    return {source}").body[0]) for source in (one, other)}
    assert len(forms) == 2


def test_a_closure_is_seen():
    scale = 3.0

    def backward(x, g):
        return (scale * g,)

    (mutant,) = (m for m in mutants_of(backward) if m.description.endswith("return (scale / g,)"))
    assert mutant.make().backward(None, 2.0) == (1.5,)


def test_a_helper_of_the_module_is_seen():
    x, y = NODES["add"].draw_samples(0)[1].primals
    mutant = next(m for m in source_mutants(NODES["add"]) if m.fault == "source: sign changed")
    node = mutant.make()
    output, residuals = node.forward(x, y)
    dx, dy = node.backward(residuals, np.ones_like(output))
    assert (dx == -1).all()
    assert (dy == 4).all()


@pytest.mark.parametrize("backward", [np.negative, len, lambda x, g: (g,)])
def test_no_source_no_mutants(backward):
    assert mutants_of(backward) == []


def test_a_mutant_that_never_ends_is_only_made():
    def backward(x, g):
        while x > 0:
            x -= 1
        return (g,)

    assert "while not x > 0:" in edits(backward, "condition changed")


def test_the_order_does_not_depend_on_hashing():
    code = (
        "from gradlab.faults import source_mutants; from gradlab.nodes import NODES\n"
        "print([(m.fault, m.description) for m in source_mutants(NODES['affine'])])"
    )
    listed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(listed) == 1


def test_a_dropped_transpose_is_found_however_it_is_called():
    transpose_dropped = dict(EDITS)["transpose dropped"]
    for call in ("np.transpose(x)", "transpose(x)", "x.transpose()", "x.T"):
        found = [ast.unparse(node) for node in transpose_dropped(ast.parse(call, mode="eval").body)]
        assert found == ["x"], call
