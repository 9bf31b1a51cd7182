"""Edits of conditions, loops, assignments and names."""

import ast
from collections.abc import Callable, Iterator
from typing import TypeVar

from gradlab.faults._arithmetic_edits import called
from gradlab.faults.syntax_nodes import changed, shifted

Kind = TypeVar("Kind", bound=ast.AST)

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


def comparison_turned(node: ast.AST) -> Iterator[ast.AST]:
    """Put >= or < for >, and the like."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                yield changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def condition_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Negate a condition, or take always the same side of it."""
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
        yield changed(node, test=ast.Constant(False))
        if not isinstance(node, ast.While):
            yield changed(node, test=ast.Constant(True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield node.operand


def loop_bound_shifted(node: ast.AST) -> Iterator[ast.AST]:
    """Go through a loop once less, at either end, or once more."""
    if isinstance(node, ast.Call) and called(node) == "range" and node.args:
        *lower, upper = node.args[:2]
        step = node.args[2:]
        yield changed(node, args=[*lower, shifted(upper, -1), *step])
        yield changed(node, args=[*lower, shifted(upper, 1), *step])
        first = shifted(lower[0], 1) if lower else ast.Constant(1)
        yield changed(node, args=[first, upper, *step])


def accumulation_overwritten(node: ast.AST) -> Iterator[ast.AST]:
    """Put = for +=, fancy assignment for np.add.at: the last write wins."""
    if isinstance(node, ast.AugAssign):
        yield ast.Assign(targets=[node.target], value=node.value, lineno=0)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and called(node.value) == "at":
        call = node.value
        if len(call.args) == 3:
            target = ast.Subscript(call.args[0], call.args[1], ast.Store())
            yield ast.Assign(targets=[target], value=call.args[2], lineno=0)
            yield ast.AugAssign(target=target, op=ast.Add(), value=call.args[2])


def statement_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Leave out a statement that works in place: an augmented assignment, or a call whose result is not used."""
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()


def name_mixed_up(function: ast.FunctionDef) -> Callable[[ast.AST], Iterator[ast.AST]]:
    """Return the edit that puts another variable of `function` for a variable, if the other has a value by then."""
    bound = {argument.arg: 0 for argument in (*function.args.args, *function.args.kwonlyargs)}
    inner = {
        id(name)
        for comprehension in _nodes_of(function, ast.comprehension)
        for name in ast.walk(comprehension.target)
    }
    for name in _nodes_of(function, ast.Name):
        if isinstance(name.ctx, ast.Store) and id(name) not in inner:
            bound[name.id] = min(name.lineno, bound.get(name.id, name.lineno))
    # after x, y = residuals the name residuals is only another word for x and y
    unpacked = {
        a.value.id
        for a in _nodes_of(function, ast.Assign)
        if isinstance(a.value, ast.Name)
        and any(isinstance(t, ast.Name | ast.Tuple | ast.List) for t in a.targets)
    }

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in bound:
            for other, since in bound.items():
                if other != node.id and other not in unpacked and since < node.lineno:
                    yield changed(node, id=other)

    return edit


def _nodes_of(function: ast.FunctionDef, kind: type[Kind]) -> Iterator[Kind]:
    return (node for node in ast.walk(function) if isinstance(node, kind))
