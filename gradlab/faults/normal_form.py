"""One way to write arithmetic: statements that compute the same in two ways of writing get the same source."""

import ast
from copy import deepcopy

from gradlab.faults.syntax_nodes import changed, has_minus, negative, number_in


def normal_form(statement: ast.stmt) -> str:
    """Return a source that is the same for statements that write the same arithmetic in different ways.

    The rules keep every bit of the result, but for the sign of a zero: 1 * a is a, a + -b is a - b, and a minus
    sign can stand before any factor.
    """
    return ast.unparse(_NormalForm().visit(deepcopy(statement)))


class _NormalForm(ast.NodeTransformer):
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, ast.USub):
            return node
        operand = node.operand
        if isinstance(operand, ast.BinOp) and isinstance(operand.op, ast.Sub):
            return changed(operand, left=operand.right, right=operand.left)
        return negative(operand)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Mult | ast.Div):
            return _product(node)
        if isinstance(node.op, ast.Pow) and number_in(right) == 1:
            return left
        if not isinstance(node.op, ast.Add | ast.Sub):
            return node
        if number_in(right) == 0:
            return left
        if number_in(left) == 0:
            return right if isinstance(node.op, ast.Add) else negative(right)
        if has_minus(right):
            return changed(node, op=_other_sign(node.op), right=negative(right))
        return node


def _product(node: ast.BinOp) -> ast.expr:
    left, right = node.left, node.right
    if has_minus(left):
        return negative(_product(changed(node, left=negative(left))))
    if has_minus(right):
        return negative(_product(changed(node, right=negative(right))))
    if number_in(right) == 1:
        return left
    return right if number_in(left) == 1 and isinstance(node.op, ast.Mult) else node


def _other_sign(op: ast.operator) -> ast.operator:
    return ast.Sub() if isinstance(op, ast.Add) else ast.Add()
