"""What mistake an edit takes back: the name that the diagnosis would give it."""

import ast
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

from gradlab.faults.syntax_nodes import number_in
from gradlab.repair._insertions import REDUCTIONS
from gradlab.repair._tiers import Candidate

TRANSPOSES = ("T", "mT", "transpose", "swapaxes")
COTANGENTS = ("d", "g")
STRICT = {ast.Gt: ast.GtE, ast.Lt: ast.LtE}
# Two numbers that differ by less are one number, rounded.
NEARLY = 0.1
# A number no larger keeps a denominator from being zero.
SMALL = 1e-3


class Difference(NamedTuple):
    """Two pieces of syntax of which one stands where the other stood, and what they stand in, the innermost first."""

    old: ast.AST
    new: ast.AST
    around: tuple[ast.AST, ...]


def mistake_of(edit: Candidate, wrong: Collection[str] = ()) -> str:
    """Return the name of the mistake that an edit takes back, as the diagnosis has it; empty if it has none.

    `wrong` are the primals whose gradients are wrong.
    """
    outer = Difference(edit.place.node, edit.new, tuple(_around(edit)))
    for difference in _narrowed(outer):
        for name, is_it in MISTAKES:
            if is_it(difference):
                return name
    return _of_factor(outer, [a.arg for a in edit.function.body.args.args], wrong)


def _of_factor(outer: Difference, arguments: Collection[str], wrong: Collection[str]) -> str:
    """Return what it is to leave a factor out: the cotangent, the primal itself, or the slope of a function.

    `arguments` are those of the function that the edit changes.
    """
    for difference in _narrowed(outer):
        factor = _factor(difference)
        if factor is None or not isinstance(difference.new, ast.BinOp):
            continue
        name = getattr(factor, "id", getattr(factor, "attr", ""))
        if name == "grad" or (name in arguments and are_cotangents([name])):
            return "ignores-cotangent"
        if name and any(_last_name(primal) == name for primal in wrong):
            return "log-parameter"
        return "straight-through" if difference.old is not factor else ""
    return ""


def _last_name(primal: str) -> str:
    """Return what a primal is called where it is used: sigma, of params['sigma'] and of self.sigma."""
    return re.split(r"[^0-9A-Za-z_]+", primal.rstrip("]'\""))[-1]


def are_cotangents(names: Sequence[str]) -> bool:
    """Return whether names are such as cotangents have: dy, gout, grad_h."""
    return all(len(name) > 1 and name.lower().startswith(COTANGENTS) for name in names)


def _around(edit: Candidate) -> Iterator[ast.AST]:
    """Yield the nodes that an edit's place stands in, from the innermost out."""
    parents = {
        id(child): node for node in ast.walk(edit.function.body) for child in ast.iter_child_nodes(node)
    }
    node: ast.AST | None = edit.place.parent
    while node is not None:
        yield node
        node = parents.get(id(node))


def _narrowed(outer: Difference) -> Iterator[Difference]:
    """Yield a difference, then what differs inside it as long as that is one piece."""
    yield outer
    old, new, around = outer
    if type(old) is not type(new):
        return
    pairs = []
    for field in old._fields:
        a, b = getattr(old, field, None), getattr(new, field, None)
        several = isinstance(a, list) and isinstance(b, list)
        if several and len(a) != len(b):  # type: ignore[arg-type]
            return
        for one, other in zip(a, b, strict=True) if several else [(a, b)]:  # type: ignore[arg-type]
            if _text(one) != _text(other):
                pairs.append((one, other))
    if len(pairs) == 1:
        ((one, other),) = pairs
        if isinstance(one, ast.AST) and isinstance(other, ast.AST):
            yield from _narrowed(Difference(one, other, (old, *around)))


def _text(node: object) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)


def _same(a: object, b: object) -> bool:
    return _text(a) == _text(b)


def _called(node: ast.AST) -> str:
    """Return what a call calls, without what it is an attribute of; empty if a node is no call."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def _adds_up(it: Difference) -> bool:
    to_add = isinstance(it.new, ast.AugAssign) and isinstance(it.new.op, ast.Add | ast.Sub)
    at_indices = isinstance(it.new, ast.Expr) and _called(it.new.value) == "at"
    return (isinstance(it.old, ast.Assign) and to_add) or at_indices


def _stops_adding_up(it: Difference) -> bool:
    if not isinstance(it.old, ast.AugAssign) or not isinstance(it.new, ast.Assign):
        return False
    # what is assigned may be made of what was there
    target = ast.unparse(it.old.target)
    return all(ast.unparse(x) != target for x in ast.walk(it.new.value) if isinstance(x, ast.expr))


def _other_sign(it: Difference) -> bool:
    operators = (type(it.old), type(it.new))
    negated = any(
        isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.USub) and _same(a.operand, b)
        for a, b in ((it.new, it.old), (it.old, it.new))
    )
    return negated or operators in ((ast.Add, ast.Sub), (ast.Sub, ast.Add))


def _other_axis(it: Difference) -> bool:
    if _called(it.old) != _called(it.new) or _called(it.old) not in REDUCTIONS:
        return False
    assert isinstance(it.old, ast.Call)
    assert isinstance(it.new, ast.Call)
    if not _same(it.old.func, it.new.func):
        return False
    of_numpy = isinstance(it.old.func, ast.Attribute) and isinstance(it.old.func.value, ast.Name)
    # of np.sum(x, 0) the array is an argument, of x.sum(0) none is
    first = it.old.args[:1] if of_numpy and it.old.args else []
    return not first or any(_same(first[0], a) for a in it.new.args[:1]) or not it.new.args


def _sums(it: Difference) -> bool:
    if _called(it.new) != "sum" or not isinstance(it.new, ast.Call):
        return False
    summed = it.new.func.value if isinstance(it.new.func, ast.Attribute) else None
    outer = it.around[0] if it.around else None
    whole = outer is None or isinstance(outer, ast.stmt | ast.Tuple | ast.List | ast.Dict)
    term = isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Add | ast.Sub)
    return (whole or term) and any(_same(it.old, part) for part in (summed, *it.new.args))


def _is_let_through(it: Difference) -> bool:
    """Return whether what was cut to a range is no longer."""
    return (
        isinstance(it.old, ast.Call)
        and _called(it.old) in ("clip", "clamp", "minimum", "maximum")
        and any(_same(part, it.new) for part in it.old.args)
    )


def _has_operands_exchanged(it: Difference) -> bool:
    if not isinstance(it.old, ast.Call) or not isinstance(it.new, ast.Call):
        return False
    both = [[_text(a) for a in call.args] for call in (it.old, it.new)]
    same = _same(it.old.func, it.new.func) and _called(it.old) in ("einsum", "tensordot", "outer")
    return same and both[0] != both[1] and sorted(both[0]) == sorted(both[1])


class _Untransposed(ast.NodeTransformer):
    """Takes the transposes of two axes out of an expression."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return node.value if node.attr in ("T", "mT") else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if _called(node) not in TRANSPOSES or not isinstance(node.func, ast.Attribute):
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


def _is_transposed(it: Difference) -> bool:
    if not isinstance(it.old, ast.expr) or not isinstance(it.new, ast.expr) or _other_order_of_axes(it):
        return False
    return _untransposed(it.old) == _untransposed(it.new)


def _is_turned_as_it_is_reshaped(it: Difference) -> bool:
    """Return whether axes are exchanged before, or after, an array is reshaped."""
    if _called(it.new) != "swapaxes" or not _is_transposed(it):
        return False
    return any(_called(x) == "reshape" for x in (it.old, *it.around))


def _is_turned_round(it: Difference) -> bool:
    """Return whether an array is taken from its end."""
    return any(
        isinstance(a, ast.Subscript) and ast.unparse(a.slice) == "::-1" and _same(a.value, b)
        for a, b in ((it.new, it.old), (it.old, it.new))
    )


def _is_added_up_from_the_end(it: Difference) -> bool:
    """Return whether a running sum begins at the end: the transpose of one that begins at the start."""
    inner = (
        it.new.value if isinstance(it.new, ast.Subscript) and ast.unparse(it.new.slice) == "::-1" else None
    )
    return (
        _called(it.old) in ("cumsum", "cumprod") and inner is not None and _called(inner) == _called(it.old)
    )


def _other_order_of_axes(it: Difference) -> bool:
    both = _called(it.old), _called(it.new)
    return both[0] == both[1] and both[0] in ("transpose", "permute", "moveaxis", "swapaxes")


def _is_cleared(it: Difference) -> bool:
    return _called(it.old) in ("empty", "empty_like") and _called(it.new) in ("zeros", "zeros_like")


def _is_cast(it: Difference) -> bool:
    old, new = (ast.unparse(n) if isinstance(n, ast.expr) else "" for n in (it.old, it.new))
    return any(name in old and name not in new for name in ("float32", "float16"))


def _exchanged(it: Difference) -> list[str]:
    """Return the elements that are the same in another order, if those of a list or a tuple are."""
    parts = [getattr(n, "elts", None) or getattr(n, "values", None) for n in (it.old, it.new)]
    if type(it.old) is not type(it.new) or not all(isinstance(part, list) for part in parts):
        return []
    old, new = ([_text(element) for element in part or ()] for part in parts)
    return old if sorted(old) == sorted(new) and old != new else []


def _is_of_joined_parts(it: Difference) -> bool:
    return bool(_exchanged(it)) and bool(it.around) and isinstance(it.around[0], ast.Call)


def _is_of_unpacked_cotangents(it: Difference) -> bool:
    if not _exchanged(it) or not isinstance(getattr(it.old, "ctx", None), ast.Store):
        return False
    return are_cotangents([getattr(x, "id", getattr(x, "attr", "")) for x in getattr(it.old, "elts", ())])


def _is_another_cotangent(it: Difference) -> bool:
    names = [getattr(x, "id", getattr(x, "attr", "")) for x in (it.old, it.new)]
    alike = are_cotangents(names)
    held = [getattr(getattr(x, "value", None), "id", "") for x in (it.old, it.new)]
    of_one = held[0] == held[1] != "" and are_cotangents(held)
    return type(it.old) is type(it.new) and (alike or (isinstance(it.old, ast.Attribute) and of_one))


def _is_of_returned_parts(it: Difference) -> bool:
    # names that are unpacked may be those of anything
    return bool(_exchanged(it)) and not isinstance(getattr(it.old, "ctx", None), ast.Store)


def _is_a_product_in_another_order(it: Difference) -> bool:
    factors = [_matrix_factors(node) for node in (it.old, it.new)]
    return len(factors[0]) > 1 and factors[0] != factors[1] and sorted(factors[0]) == sorted(factors[1])


def _matrix_factors(node: ast.AST) -> list[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return [*_matrix_factors(node.left), *_matrix_factors(node.right)]
    return [ast.dump(node)]


def _is_a_bound_of_a_mask(it: Difference) -> bool:
    operators = (type(it.old), type(it.new))
    return any(operators in ((a, b), (b, a)) for a, b in STRICT.items())


def _is_in_a_mask(it: Difference) -> bool:
    for inner, outer in zip((it.old, *it.around), it.around, strict=False):
        if isinstance(outer, ast.Compare):
            return True
        if (
            _called(outer) == "where"
            and isinstance(outer, ast.Call)
            and outer.args
            and inner is outer.args[0]
        ):
            return True
    return False


def _is_in_an_index(it: Difference) -> bool:
    for inner, outer in zip((it.old, *it.around), it.around, strict=False):
        if isinstance(outer, ast.Subscript) and inner is outer.slice:
            return True
        if _called(outer) == "roll" and isinstance(outer, ast.Call) and inner in outer.args[1:]:
            return True
    return isinstance(it.old, ast.Slice)


def _is_added_elsewhere(it: Difference) -> bool:
    """Return whether a term is added before a function is taken, where it was added after, or the other way round."""
    for one, other in ((it.old, it.new), (it.new, it.old)):
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Add) and not isinstance(other, ast.BinOp):
            inner = other.args[0] if isinstance(other, ast.Call) and len(other.args) == 1 else None
            terms = {_text(part) for part in (one.left, one.right)}
            if isinstance(inner, ast.BinOp) and terms & {_text(inner.left), _text(inner.right)}:
                return True
    return False


def _is_another_small_number(it: Difference) -> bool:
    number = number_in(it.old)
    return number is not None and 0 < abs(number) <= SMALL and isinstance(it.new, ast.expr)


def _is_in_a_range(it: Difference) -> bool:
    return any(_called(outer) == "range" for outer in it.around)


def _gets_a_term(it: Difference) -> bool:
    sums = it.new if isinstance(it.new, ast.BinOp) and isinstance(it.new.op, ast.Add | ast.Sub) else None
    if sums is None or number_in(sums.right) is not None or number_in(sums.left) is not None:
        return False
    return _same(sums.left, it.old) or _same(sums.right, it.old)


def _factor(it: Difference) -> ast.expr | None:
    """Return the factor that is put to what stood there, or that is taken from it."""
    for whole, part in ((it.new, it.old), (it.old, it.new)):
        if isinstance(whole, ast.BinOp) and isinstance(whole.op, ast.Mult | ast.Div):
            if _same(whole.left, part):
                return whole.right
            if _same(whole.right, part) and isinstance(whole.op, ast.Mult):
                return whole.left
    return None


def _gets_a_mask(it: Difference) -> bool:
    factor = _factor(it)
    if factor is None:
        return False
    named = getattr(factor, "id", getattr(factor, "attr", "")).lower()
    return isinstance(factor, ast.Compare) or _called(factor) == "sign" or "mask" in named


def _is_plain_number(node: ast.AST) -> bool:
    """Return whether an expression is a number: of literals, lengths and constants of a module."""
    if number_in(node) is not None:
        return True
    if isinstance(node, ast.BinOp):
        return _is_plain_number(node.left) and _is_plain_number(node.right)
    if isinstance(node, ast.UnaryOp):
        return _is_plain_number(node.operand)
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    if isinstance(node, ast.Attribute):
        return node.attr in ("size", "pi", "e", "ndim")
    return _called(node) in ("len", "numel") or (
        _called(node) == "sqrt" and isinstance(node, ast.Call) and all(map(_is_plain_number, node.args))
    )


def _is_scaled(it: Difference) -> bool:
    factor = _factor(it)
    if factor is not None:
        return _is_plain_number(factor)
    return _is_plain_number(it.old) and _is_plain_number(it.new) and _is_a_factor(it)


def _is_a_factor(it: Difference) -> bool:
    outer = it.around[0] if it.around else None
    return isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Mult | ast.Div)


def _is_rounded(it: Difference) -> bool:
    a, b = number_in(it.old), number_in(it.new)
    return a is not None and b is not None and a != b and abs(a - b) < NEARLY * abs(b) and abs(b) > NEARLY**2


def _takes_the_mean(it: Difference) -> bool:
    names = {getattr(n, "attr", "") for n in (it.old, it.new)} | {_called(it.old), _called(it.new)}
    return {"sum", "mean"} <= names and type(it.old) is type(it.new)


# From what is plain to see to what may be part of something else.
MISTAKES: tuple[tuple[str, Callable[[Difference], bool]], ...] = (
    ("last-write-wins", _adds_up),
    ("accumulates", _stops_adding_up),
    ("axes-permuted", _other_order_of_axes),
    ("axes-permuted", _is_turned_as_it_is_reshaped),
    ("wrong-sum-axis", _other_axis),
    ("missing-broadcast-sum", _sums),
    ("transposed", _is_transposed),
    ("transposed", _has_operands_exchanged),
    ("transposed", _is_added_up_from_the_end),
    ("columns-exchanged", _is_turned_round),
    ("nondeterministic", _is_cleared),
    ("nonlinear-in-cotangent", _is_let_through),
    ("float32-round-trip", _is_cast),
    ("columns-exchanged", _is_of_joined_parts),
    ("wrong-cotangent", _is_of_unpacked_cotangents),
    ("swapped-primals", _is_of_returned_parts),
    ("wrong-cotangent", _is_another_cotangent),
    ("wrong-order", _is_a_product_in_another_order),
    ("tie-or-kink", _is_a_bound_of_a_mask),
    ("masked-region", _is_in_a_mask),
    ("shifted", _is_in_an_index),
    ("epsilon-mismatch", _is_added_elsewhere),
    ("epsilon-mismatch", _is_another_small_number),
    ("border", _is_in_a_range),
    ("sign-flipped", _other_sign),
    ("masked-region", _gets_a_mask),
    ("missing-term", _gets_a_term),
    ("rounded-constants", _is_rounded),
    ("constant-factor", _is_scaled),
    ("constant-factor", _takes_the_mean),
)
