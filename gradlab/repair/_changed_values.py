"""Edits that change the values: a sign, a factor, a term, a mask, a number."""

import ast

from gradlab.faults.syntax_nodes import number_in
from gradlab.repair._difference import Difference, are_cotangents, called, factor_of, same, text

STRICT = {ast.Gt: ast.GtE, ast.Lt: ast.LtE}
# Two numbers that differ by less are one number, rounded.
NEARLY = 0.1
# A number no larger keeps a denominator from being zero.
SMALL = 1e-3


def adds_up(it: Difference) -> bool:
    to_add = isinstance(it.new, ast.AugAssign) and isinstance(it.new.op, ast.Add | ast.Sub)
    at_indices = isinstance(it.new, ast.Expr) and called(it.new.value) == "at"
    return (isinstance(it.old, ast.Assign) and to_add) or at_indices


def stops_adding_up(it: Difference) -> bool:
    if not isinstance(it.old, ast.AugAssign) or not isinstance(it.new, ast.Assign):
        return False
    # what is assigned may be made of what was there
    target = ast.unparse(it.old.target)
    return all(ast.unparse(x) != target for x in ast.walk(it.new.value) if isinstance(x, ast.expr))


def other_sign(it: Difference) -> bool:
    operators = (type(it.old), type(it.new))
    negated = any(
        isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.USub) and same(a.operand, b)
        for a, b in ((it.new, it.old), (it.old, it.new))
    )
    return negated or operators in ((ast.Add, ast.Sub), (ast.Sub, ast.Add))


def is_let_through(it: Difference) -> bool:
    """Return whether what was cut to a range is no longer."""
    return (
        isinstance(it.old, ast.Call)
        and called(it.old) in ("clip", "clamp", "minimum", "maximum")
        and any(same(part, it.new) for part in it.old.args)
    )


def is_cleared(it: Difference) -> bool:
    return called(it.old) in ("empty", "empty_like") and called(it.new) in ("zeros", "zeros_like")


def is_cast(it: Difference) -> bool:
    old, new = (ast.unparse(n) if isinstance(n, ast.expr) else "" for n in (it.old, it.new))
    return any(name in old and name not in new for name in ("float32", "float16"))


def is_another_cotangent(it: Difference) -> bool:
    names = [getattr(x, "id", getattr(x, "attr", "")) for x in (it.old, it.new)]
    alike = are_cotangents(names)
    held = [getattr(getattr(x, "value", None), "id", "") for x in (it.old, it.new)]
    of_one = held[0] == held[1] != "" and are_cotangents(held)
    return type(it.old) is type(it.new) and (alike or (isinstance(it.old, ast.Attribute) and of_one))


def is_another_returned(it: Difference) -> bool:
    """Return whether another gradient is returned in a primal's place."""
    names = [getattr(x, "id", "") for x in (it.old, it.new)]
    return are_cotangents(names) and [type(x) for x in it.around[:2]] == [ast.Tuple, ast.Return]


def is_a_bound_of_a_mask(it: Difference) -> bool:
    operators = (type(it.old), type(it.new))
    return any(operators in ((a, b), (b, a)) for a, b in STRICT.items())


def is_in_a_mask(it: Difference) -> bool:
    for inner, outer in zip((it.old, *it.around), it.around, strict=False):
        if isinstance(outer, ast.Compare):
            return True
        if called(outer) == "where" and isinstance(outer, ast.Call) and outer.args and inner is outer.args[0]:
            return True
    return False


def is_added_elsewhere(it: Difference) -> bool:
    """Return whether a term is added before a function is taken, where it was added after, or the other way round."""
    for one, other in ((it.old, it.new), (it.new, it.old)):
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Add) and not isinstance(other, ast.BinOp):
            inner = other.args[0] if isinstance(other, ast.Call) and len(other.args) == 1 else None
            terms = {text(part) for part in (one.left, one.right)}
            if isinstance(inner, ast.BinOp) and terms & {text(inner.left), text(inner.right)}:
                return True
    return False


def is_another_small_number(it: Difference) -> bool:
    number = number_in(it.old)
    return number is not None and 0 < abs(number) <= SMALL and isinstance(it.new, ast.expr)


def gets_a_term(it: Difference) -> bool:
    return term_of(it) is not None


def term_of(it: Difference) -> ast.expr | None:
    """Return the term that is put to what stood there, unless it is a number."""
    sums = it.new if isinstance(it.new, ast.BinOp) and isinstance(it.new.op, ast.Add | ast.Sub) else None
    if sums is None or number_in(sums.right) is not None or number_in(sums.left) is not None:
        return None
    return sums.right if same(sums.left, it.old) else sums.left if same(sums.right, it.old) else None


def loses_a_term(it: Difference) -> bool:
    return gets_a_term(Difference(it.new, it.old, it.around))


def gets_a_mask(it: Difference) -> bool:
    factor = factor_of(it)
    if factor is None:
        return False
    named = getattr(factor, "id", getattr(factor, "attr", "")).lower()
    return isinstance(factor, ast.Compare) or called(factor) == "sign" or "mask" in named


def is_plain_number(node: ast.AST) -> bool:
    """Return whether an expression is a number: of literals, lengths and constants of a module."""
    if number_in(node) is not None:
        return True
    if isinstance(node, ast.BinOp):
        return is_plain_number(node.left) and is_plain_number(node.right)
    if isinstance(node, ast.UnaryOp):
        return is_plain_number(node.operand)
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    if isinstance(node, ast.Attribute):
        return node.attr in ("size", "pi", "e", "ndim")
    return called(node) in ("len", "numel") or (
        called(node) == "sqrt" and isinstance(node, ast.Call) and all(map(is_plain_number, node.args))
    )


def is_scaled(it: Difference) -> bool:
    factor = factor_of(it)
    if factor is not None:
        return is_plain_number(factor)
    return is_plain_number(it.old) and is_plain_number(it.new) and _is_a_factor(it)


def _is_a_factor(it: Difference) -> bool:
    outer = it.around[0] if it.around else None
    return isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Mult | ast.Div)


def is_rounded(it: Difference) -> bool:
    a, b = number_in(it.old), number_in(it.new)
    return a is not None and b is not None and a != b and abs(a - b) < NEARLY * abs(b) and abs(b) > NEARLY**2


def takes_the_mean(it: Difference) -> bool:
    names = {getattr(n, "attr", "") for n in (it.old, it.new)} | {called(it.old), called(it.new)}
    return {"sum", "mean"} <= names and type(it.old) is type(it.new)


def is_another_power(it: Difference) -> bool:
    """Return whether a factor is taken to another power."""
    outer = _around_power(it)
    return outer is not None and not (
        isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Add | ast.Sub)
    )


def is_another_power_of_a_term(it: Difference) -> bool:
    """Return whether what is added is taken to another power, as the length that softens a distance is."""
    outer = _around_power(it)
    return isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Add)


def _around_power(it: Difference) -> ast.AST | None:
    """Return what a power stands in whose exponent is changed; None if none is."""
    outer = it.around[0] if it.around else None
    exponents = isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Pow) and it.old is outer.right
    powers = any(
        isinstance(a, ast.BinOp) and isinstance(a.op, ast.Pow) and same(a.left, b)
        for a, b in ((it.new, it.old), (it.old, it.new))
    )
    if not exponents and not powers:
        return None
    around = it.around[1:] if exponents else it.around
    return next((a for a in around if not isinstance(a, ast.UnaryOp)), None)


def is_another_operand(it: Difference) -> bool:
    """Return whether another variable, attribute or item stands there; not whether another function is called."""
    kinds = ast.Name | ast.Attribute | ast.Subscript
    if not isinstance(it.old, kinds) or not isinstance(it.new, kinds):
        return False
    outer = it.around[0] if it.around else None
    return isinstance(it.old.ctx, ast.Load) and not (isinstance(outer, ast.Call) and outer.func is it.old)
