"""Edits of the source of a function: every change that is one mistake away."""

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gradlab.faults import _arithmetic_edits as arithmetic
from gradlab.faults import _array_edits as arrays
from gradlab.faults import _flow_edits as flow
from gradlab.faults.syntax_places import SyntaxPlace, places

Edit = Callable[[ast.AST], Iterator[ast.AST]]

# the particular before the general: of two edits with the same result the first one names the mutant
EDITS: tuple[tuple[str, Edit], ...] = (
    ("axis changed", arrays.axis_changed),
    ("keepdims flipped", arrays.keepdims_flipped),
    ("transpose dropped", arrays.transpose_dropped),
    ("reduction changed", arrays.reduction_changed),
    ("index shifted", arrays.index_shifted),
    ("slice bound shifted", arrays.slice_bound_shifted),
    ("loop bound shifted", flow.loop_bound_shifted),
    ("comparison turned", flow.comparison_turned),
    ("condition changed", flow.condition_changed),
    ("accumulation overwritten", flow.accumulation_overwritten),
    ("statement dropped", flow.statement_dropped),
    ("exponent changed", arithmetic.exponent_changed),
    ("operator swapped", arithmetic.operator_swapped),
    ("sign changed", arithmetic.sign_changed),
    ("term dropped", arithmetic.term_dropped),
    ("factor dropped", arithmetic.factor_dropped),
    ("operands swapped", arithmetic.operands_swapped),
    ("function swapped", arithmetic.function_swapped),
    ("constant changed", arithmetic.constant_changed),
    ("call dropped", arrays.call_dropped),
)


class SourceEdit(NamedTuple):
    """One change: its kind, where it is made, and what stands there afterwards."""

    kind: str
    place: SyntaxPlace
    new: ast.AST


def source_edits(function: ast.FunctionDef) -> Iterator[SourceEdit]:
    """Yield every edit of a function, from the top of its body down."""
    edits = [*EDITS, ("name mixed up", flow.name_mixed_up(function))]
    for place in places(function):
        for kind, edit in edits:
            for new in edit(place.node):
                yield SourceEdit(kind, place, new)
