"""Edits that leave the values and put them elsewhere: another axis, order, place or end."""

import ast
from collections.abc import Collection
from copy import deepcopy

from gradlab.faults.syntax_nodes import number_in, operands
from gradlab.repair._difference import Difference, are_cotangents, called, narrowed, same, text
from gradlab.repair._insertions import REDUCTIONS

# From which argument on these functions take places, not values.
PLACES_FROM = {"roll": 1, "take": 1, "take_along_axis": 1, "put_along_axis": 1, "bincount": 0}
TRANSPOSES = ("T", "mT", "transpose", "swapaxes")


def other_axis(it: Difference) -> bool:
    if called(it.old) != called(it.new) or called(it.old) not in REDUCTIONS:
        return False
    assert isinstance(it.old, ast.Call)
    assert isinstance(it.new, ast.Call)
    if not same(it.old.func, it.new.func):
        return False
    of_numpy = isinstance(it.old.func, ast.Attribute) and isinstance(it.old.func.value, ast.Name)
    # of np.sum(x, 0) the array is an argument, of x.sum(0) none is
    first = it.old.args[:1] if of_numpy and it.old.args else []
    return not first or any(same(first[0], a) for a in it.new.args[:1]) or not it.new.args


def keyword_of_another_axis(it: Difference) -> bool:
    """Return whether the axis of a call, by name, is another one."""
    return any(isinstance(outer, ast.keyword) and outer.arg in ("axis", "dim") for outer in it.around[:1])


def sums(it: Difference) -> bool:
    if called(it.new) != "sum" or not isinstance(it.new, ast.Call):
        return False
    summed = it.new.func.value if isinstance(it.new.func, ast.Attribute) else None
    outer = it.around[0] if it.around else None
    whole = outer is None or isinstance(outer, ast.stmt | ast.Tuple | ast.List | ast.Dict | ast.Subscript)
    term = isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Add | ast.Sub)
    return (whole or term) and any(same(it.old, part) for part in (summed, *it.new.args))


def takes_the_mean_of_another_axis(it: Difference) -> bool:
    """Return whether a mean is put in over an axis that was left out of one before."""
    keeps = [k.arg for k in it.new.keywords] if isinstance(it.new, ast.Call) else []
    whole = (
        it.new.func.value if isinstance(it.new, ast.Call) and isinstance(it.new.func, ast.Attribute) else None
    )
    return called(it.new) == "mean" and "keepdims" in keeps and whole is not None and same(whole, it.old)


def has_operands_exchanged(it: Difference) -> bool:
    return called(it.old) in ("einsum", "tensordot", "outer") and _have_other_order(it)


def has_letters_exchanged(it: Difference) -> bool:
    """Return whether two letters of an operand of an einsum are exchanged."""
    texts = [getattr(x, "value", None) for x in (it.old, it.new)]
    inside = any(called(outer) == "einsum" for outer in it.around[:1])
    return (
        inside and all(isinstance(t, str) for t in texts) and sorted(str(texts[0])) == sorted(str(texts[1]))
    )


def is_another_kronecker_product(it: Difference) -> bool:
    """Return whether the operands of a Kronecker product, and with them its rows and columns, are exchanged."""
    return called(it.old) == "kron" and _have_other_order(it)


def _have_other_order(it: Difference) -> bool:
    """Return whether two calls of one function have the same arguments in another order."""
    if not isinstance(it.old, ast.Call) or not isinstance(it.new, ast.Call):
        return False
    both = [[text(a) for a in call.args] for call in (it.old, it.new)]
    return same(it.old.func, it.new.func) and both[0] != both[1] and sorted(both[0]) == sorted(both[1])


class _Untransposed(ast.NodeTransformer):
    """Takes the transposes of two axes out of an expression."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return node.value if node.attr in ("T", "mT") else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if called(node) not in TRANSPOSES or not isinstance(node.func, ast.Attribute):
            return node
        of_numpy = isinstance(node.func.value, ast.Name) and node.func.value.id in (
            "np",
            "numpy",
            "jnp",
            "torch",
        )
        return node.args[0] if of_numpy and node.args else node.func.value


def _untransposed(node: ast.AST) -> str:
    return ast.dump(_Untransposed().visit(deepcopy(node)))


def is_transposed(it: Difference) -> bool:
    if not isinstance(it.old, ast.expr) or not isinstance(it.new, ast.expr) or other_order_of_axes(it):
        return False
    return _untransposed(it.old) == _untransposed(it.new)


def is_turned_as_it_is_reshaped(it: Difference) -> bool:
    """Return whether axes are exchanged before, or after, an array is reshaped."""
    if called(it.new) != "swapaxes" or not is_transposed(it):
        return False
    return any(called(x) == "reshape" for x in (it.old, *it.around))


def is_turned_round(it: Difference) -> bool:
    """Return whether an array is taken from its end, or in the order in which another one is sorted."""
    for a, b in ((it.new, it.old), (it.old, it.new)):
        if isinstance(a, ast.Subscript) and ast.unparse(a.slice) == "::-1":
            again = isinstance(b, ast.Subscript) and ast.unparse(b.slice) in (":", "::1")
            if same(a.value, b.value if again and isinstance(b, ast.Subscript) else b):
                return True
        sorts = _is_index(it) and called(a) in ("sort", "argsort")
        if sorts and isinstance(a, ast.Call) and any(same(b, argument) for argument in a.args):
            return True
    return False


def is_added_up_from_the_end(it: Difference) -> bool:
    """Return whether a running sum begins at the end: the transpose of one that begins at the start."""
    inner = (
        it.new.value if isinstance(it.new, ast.Subscript) and ast.unparse(it.new.slice) == "::-1" else None
    )
    return called(it.old) in ("cumsum", "cumprod") and inner is not None and called(inner) == called(it.old)


def other_order_of_axes(it: Difference) -> bool:
    both = called(it.old), called(it.new)
    return both[0] == both[1] and both[0] in ("transpose", "permute", "moveaxis", "swapaxes")


def _exchanged(it: Difference) -> list[str]:
    """Return the elements that are the same in another order, if those of a list or a tuple are."""
    parts = [getattr(n, "elts", None) or getattr(n, "values", None) for n in (it.old, it.new)]
    if type(it.old) is not type(it.new) or not all(isinstance(part, list) for part in parts):
        return []
    old, new = ([ast.unparse(element) for element in part or ()] for part in parts)
    return old if sorted(old) == sorted(new) and old != new else []


def is_of_joined_parts(it: Difference) -> bool:
    return bool(_exchanged(it)) and bool(it.around) and isinstance(it.around[0], ast.Call)


def is_of_unpacked_cotangents(it: Difference) -> bool:
    if not _exchanged(it) or not isinstance(getattr(it.old, "ctx", None), ast.Store):
        return False
    return are_cotangents([getattr(x, "id", getattr(x, "attr", "")) for x in getattr(it.old, "elts", ())])


def is_of_returned_parts(it: Difference) -> bool:
    # names that are unpacked may be those of anything
    return bool(_exchanged(it)) and not isinstance(getattr(it.old, "ctx", None), ast.Store)


def is_of_unpacked_parts(it: Difference) -> bool:
    return bool(_exchanged(it)) and isinstance(getattr(it.old, "ctx", None), ast.Store)


def is_of_a_split(it: Difference, arguments: Collection[str]) -> bool:
    """Return whether parts are exchanged into which an argument is split, as a cotangent is."""
    whole = it.around[0] if it.around else None
    value = whole.value if isinstance(whole, ast.Assign) else None
    first = value.args[:1] if is_of_unpacked_parts(it) and isinstance(value, ast.Call) else []
    return any(isinstance(x, ast.Name) and x.id in arguments for x in first)


def is_a_product_in_another_order(it: Difference) -> bool:
    factors = [list(map(text, operands(node, ast.MatMult))) for node in (it.old, it.new)]
    return len(factors[0]) > 1 and factors[0] != factors[1] and sorted(factors[0]) == sorted(factors[1])


def is_in_an_index(it: Difference) -> bool:
    """Return whether it is so many places further, and not at other places altogether."""
    *_, least = narrowed(it)
    another = ast.Name | ast.Attribute
    if isinstance(least.old, another) and isinstance(least.new, another):
        return False
    return _is_index(it) or isinstance(it.old, ast.Slice)


def _is_index(it: Difference) -> bool:
    for inner, outer in zip((it.old, *it.around), it.around, strict=False):
        if isinstance(outer, ast.Subscript) and inner is outer.slice:
            return True
        first = PLACES_FROM.get(called(outer))
        if first is not None and isinstance(outer, ast.Call) and inner in outer.args[first:]:
            return True
    return False


def is_another_item(it: Difference) -> bool:
    """Return whether another item of an array is taken, both by a number that is written out."""
    return _array_of_another_item(it) is not None


def is_another_item_of_a_cotangent(it: Difference) -> bool:
    array = _array_of_another_item(it)
    return array is not None and are_cotangents([getattr(array, "id", getattr(array, "attr", ""))])


def _array_of_another_item(it: Difference) -> ast.expr | None:
    *_, least = narrowed(it)
    if number_in(least.old) is None or number_in(least.new) is None:
        return None
    # in a slice, or in a sum, a number says how far, and not which
    outer = next((o for o in least.around if not isinstance(o, ast.Tuple | ast.UnaryOp)), None)
    inside = isinstance(outer, ast.Subscript) and isinstance(outer.ctx, ast.Load)
    return outer.value if inside and isinstance(outer, ast.Subscript) else None


def is_in_a_range(it: Difference) -> bool:
    return any(called(outer) == "range" for outer in it.around)


def is_padded(it: Difference) -> bool:
    return any(called(node) == "pad" for node in (it.old, it.new, *it.around))
