"""An edit as text: what it does not change stays as it stands in the file."""

import ast

import pytest

from gradlab.faults.syntax_places import places, temporarily_replaced
from gradlab.repair._rendering import Change, edited_text

SOURCE = """def backward(r, g):
    x, y = r  # größer
    d = (g
         * (x + y)  # both
         - x[1:, ::-1])
    return (d * {part}), -d
"""


def rendered(part, wanted):
    text = SOURCE.format(part=part)
    (function,) = ast.parse(text).body
    for node in ast.walk(function):
        node._is_of_file = True
    *_, place = (p for p in places(function) if isinstance(p.node, ast.expr) and ast.unparse(p.node) == part)
    new = eval(wanted, {"ast": ast, "old": place.node, "name": lambda n: ast.Name(n, ast.Load())})
    with temporarily_replaced(place, new):
        return edited_text(text, [Change(place.node, new)], [function])


@pytest.mark.parametrize(
    ("part", "wanted", "written"),
    [
        ("x", "name('y')", "(d * y), -d"),
        ("x", "ast.BinOp(old, ast.Add(), name('y'))", "(d * (x + y)), -d"),
        ("x", "ast.BinOp(old, ast.Mult(), name('y'))", "(d * (x * y)), -d"),
        ("x", "ast.Attribute(old, 'T', ast.Load())", "(d * x.T), -d"),
        (
            "x",
            "ast.BinOp(ast.Constant(1), ast.Sub(), ast.BinOp(old, ast.Pow(), ast.Constant(2)))",
            "(d * (1 - x**2)), -d",
        ),
        ("x.sum()", "ast.UnaryOp(ast.USub(), old)", "(d * -x.sum()), -d"),
    ],
)
def test_a_changed_part(part, wanted, written):
    text = rendered(part, wanted)
    assert text == SOURCE.format(part=part).replace(f"(d * {part}), -d", written)


def test_brackets_that_are_not_needed_any_more_go():
    text = "def f(x, y):\n    return x @ (y * y)\n"
    (function,) = ast.parse(text).body
    for node in ast.walk(function):
        node._is_of_file = True
    place = next(
        p for p in places(function) if isinstance(p.node, ast.BinOp) and isinstance(p.node.op, ast.Mult)
    )
    with temporarily_replaced(place, place.node.left):
        assert (
            edited_text(text, [Change(place.node, place.node.left)], [function])
            == "def f(x, y):\n    return x @ y\n"
        )


def test_a_text_that_does_not_give_the_tree_is_none():
    (function,) = ast.parse("def f(x):\n    return x\n").body
    (other,) = ast.parse("def f(x):\n    return -x\n").body
    node = function.body[0].value
    assert (
        edited_text("def f(x):\n    return x\n", [Change(node, ast.Name("y", ast.Load()))], [other]) is None
    )


def test_the_intended_definition_elsewhere_in_the_file_proves_nothing():
    right = "class Right:\n    def f(x, y):\n        return x * (y + x)\n\n\n"
    wrong = "class Wrong:\n    def f(x, y):\n        return x * (y)\n"
    tree = ast.parse(right + wrong)
    (function,) = tree.body[1].body
    for node in ast.walk(function):
        node._is_of_file = True
    place = next(p for p in places(function) if getattr(p.node, "id", "") == "y")
    new = ast.BinOp(place.node, ast.Add(), ast.Name("x", ast.Load()))
    with temporarily_replaced(place, new):
        text = edited_text(right + wrong, [Change(place.node, new)], [function])
    assert text == right + wrong.replace("(y)", "(y + x)")
