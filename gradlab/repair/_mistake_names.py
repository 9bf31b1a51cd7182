"""What mistake an edit takes back: the name that the diagnosis would give it."""

import ast
import re
from collections.abc import Callable, Collection, Sequence

import numpy as np

from gradlab.node import Array
from gradlab.repair import _changed_values, _moved_values
from gradlab.repair._difference import (
    Difference,
    are_cotangents,
    enclosing,
    factor_of,
    narrowed,
    pieces,
    same,
)
from gradlab.repair._tiers import Candidate

# No larger term keeps a root or a denominator from being zero.
LARGEST_EPSILON = 0.1
# From what is plain to see to what may be part of something else.
MISTAKES: tuple[tuple[str, Callable[[Difference], bool]], ...] = (
    ("last-write-wins", _changed_values.adds_up),
    ("accumulates", _changed_values.stops_adding_up),
    ("axes-permuted", _moved_values.other_order_of_axes),
    ("axes-permuted", _moved_values.is_turned_as_it_is_reshaped),
    ("wrong-sum-axis", _moved_values.other_axis),
    ("wrong-sum-axis", _moved_values.keyword_of_another_axis),
    ("wrong-sum-axis", _moved_values.takes_the_mean_of_another_axis),
    ("missing-broadcast-sum", _moved_values.sums),
    ("axes-permuted", _moved_values.is_another_kronecker_product),
    ("transposed", _moved_values.has_letters_exchanged),
    ("transposed", _moved_values.is_transposed),
    ("transposed", _moved_values.has_operands_exchanged),
    ("transposed", _moved_values.is_added_up_from_the_end),
    ("columns-exchanged", _moved_values.is_turned_round),
    ("nondeterministic", _changed_values.is_cleared),
    ("nonlinear-in-cotangent", _changed_values.is_let_through),
    ("float32-round-trip", _changed_values.is_cast),
    ("columns-exchanged", _moved_values.is_of_joined_parts),
    ("wrong-cotangent", _moved_values.is_of_unpacked_cotangents),
    ("swapped-primals", _moved_values.is_of_returned_parts),
    ("swapped-primals", _changed_values.is_another_returned),
    ("wrong-cotangent", _changed_values.is_another_cotangent),
    ("wrong-order", _moved_values.is_a_product_in_another_order),
    ("tie-or-kink", _changed_values.is_a_bound_of_a_mask),
    ("masked-region", _changed_values.is_in_a_mask),
    ("wrong-cotangent", _moved_values.is_another_item_of_a_cotangent),
    ("wrong-operand", _moved_values.is_another_item),
    ("shifted", _moved_values.is_in_an_index),
    ("epsilon-mismatch", _changed_values.is_added_elsewhere),
    ("epsilon-mismatch", _changed_values.is_another_small_number),
    ("epsilon-mismatch", _changed_values.is_another_power_of_a_term),
    ("border", _moved_values.is_in_a_range),
    ("border", _moved_values.is_padded),
    ("sign-flipped", _changed_values.other_sign),
    ("masked-region", _changed_values.gets_a_mask),
    ("missing-term", _changed_values.gets_a_term),
    ("additive-bias", _changed_values.loses_a_term),
    ("rounded-constants", _changed_values.is_rounded),
    ("constant-factor", _changed_values.is_scaled),
    ("constant-factor", _changed_values.takes_the_mean),
)


# Returns what an expression gives at several points; empty if that is not known.
Values = Callable[[ast.expr], Sequence[Array]]


def mistake_of(edit: Candidate, wrong: Collection[str] = (), values: Values = lambda expression: ()) -> str:
    """Return the name of the mistake that an edit takes back, as the diagnosis has it; empty if it has none.

    `wrong` are the primals whose gradients are wrong, and `values` says what an expression of the function gives.
    """
    outer = Difference(edit.place.node, edit.new, tuple(enclosing(edit)))
    differences = list(narrowed(outer))
    for difference in differences:
        if name := _told_by_syntax(difference):
            return _of_small_term(name, difference, values) or name
    of_each = {_told_by_syntax(piece) for piece in pieces(outer)}
    if len(of_each) == 1 and of_each != {""}:
        return of_each.pop()
    arguments = [a.arg for a in edit.function.body.args.args]
    of_factor = (_of_factor(difference, arguments, wrong, values) for difference in differences)
    return next(filter(None, of_factor), _of_operand(differences[-1], arguments, values))


def _told_by_syntax(it: Difference) -> str:
    return next((name for name, is_it in MISTAKES if is_it(it)), "")


def _number(values: Sequence[Array]) -> float | None:
    """Return the one number that all values are; None if they are others, or no numbers."""
    numbers = {float(v.item()) if v.size == 1 else np.nan for v in values}
    return numbers.pop() if len(numbers) == 1 and not np.isnan(list(numbers)).any() else None


def _of_small_term(name: str, it: Difference, values: Values) -> str:
    """Return what it is to leave out a term that keeps a root or a denominator from being zero; else nothing."""
    term = _changed_values.term_of(it) if name == "missing-term" else None
    number = None if term is None else _number(values(term))
    return "epsilon-mismatch" if number is not None and abs(number) <= LARGEST_EPSILON else ""


def _of_factor(it: Difference, arguments: Collection[str], wrong: Collection[str], values: Values) -> str:
    """Return what it is to leave a factor out, or to have one too many: the cotangent, the primal itself, or another.

    `arguments` are those of the function that the edit changes.
    """
    factor = factor_of(it)
    if factor is None:
        return "missing-factor" if _changed_values.is_another_power(it) else ""
    left_out = isinstance(it.new, ast.BinOp) and any(
        same(part, it.old) for part in (it.new.left, it.new.right)
    )
    name = getattr(factor, "id", getattr(factor, "attr", ""))
    if name == "grad" or (name in arguments and are_cotangents([name])):
        return "ignores-cotangent" if left_out else "nonlinear-in-cotangent"
    whole = it.new if left_out else it.old
    divides = isinstance(whole, ast.BinOp) and isinstance(whole.op, ast.Div) == left_out
    if name and divides and any(_last_name(primal) == name for primal in wrong):
        # what is divided by it already lacks a power of it
        again = left_out and name in re.findall(r"\w+", ast.unparse(it.old))
        return "missing-factor" if again else "log-parameter"
    if not left_out:
        return ""
    handed_on = isinstance(it.old, ast.Name) and it.old.id in arguments and are_cotangents([it.old.id])
    known = values(factor)
    if _number(known) is not None:
        return "constant-factor"
    if _are_masks(known):
        return "masked-region"
    at_once = all(isinstance(outer, ast.Return | ast.Tuple | ast.FunctionDef) for outer in it.around)
    return "straight-through" if handed_on and at_once else "missing-factor"


def _are_masks(known: Sequence[Array]) -> bool:
    return bool(known) and all(v.size > 1 and np.isin(v, (0, 1)).all() for v in known)


def _of_operand(it: Difference, arguments: Collection[str], values: Values) -> str:
    if all(isinstance(x, ast.expr) and _are_masks(values(x)) for x in (it.old, it.new)):
        return "masked-region"
    if _moved_values.is_of_a_split(it, arguments):
        return "columns-exchanged"
    other = _changed_values.is_another_operand(it) or _moved_values.is_of_unpacked_parts(it)
    return "wrong-operand" if other else ""


def _last_name(primal: str) -> str:
    """Return what a primal is called where it is used: sigma, of params['sigma'] and of self.sigma."""
    return re.split(r"[^0-9A-Za-z_]+", primal.rstrip("]'\""))[-1]
