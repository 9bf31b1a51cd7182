"""What the gradients need an expression to give, beside what it gives: the mistake that this tells."""

import ast
from collections.abc import Collection

import numpy as np

from gradlab.faults.syntax_places import SyntaxPlace
from gradlab.node import Array
from gradlab.repair._difference import are_cotangents
from gradlab.repair._forms import atoms
from gradlab.repair._responses import Response

# Two numbers are one to within this, relative to the largest; smaller ones are zero.
SAME = 1e-4
# Of fewer elements a pattern may be chance.
ENOUGH = 6
# What is nearly right has the sign of what is needed, and mostly between 1 / NEARLY and NEARLY of its size.
NEARLY, MOSTLY = 2.0, 0.8
# The ends of an axis are no more than this share of it each; that both are wrong is a chance where there are few.
END, LONG = 0.25, 8


def mistake_at(told: Response, function: ast.FunctionDef) -> str:
    """Return the mistake of an expression whose value would have to be another; empty where that is not told.

    Parameters
    ----------
    told : Response
    function : FunctionDef
        In which the expression stands.
    """
    stored = {x.id for x in ast.walk(function) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
    # what has another value later is not what came in
    arguments = {argument.arg for argument in function.args.args} - stored
    if _is_the_cotangent(told, arguments):
        return "" if _is_written_to(told.place, function) else "straight-through"
    given = np.concatenate([value.ravel() for value in told.values])
    if given.size < ENOUGH or told.rank < given.size:
        # several values would do
        return ""
    needed = given + told.change
    size = float(max(np.abs(given).max(), np.abs(needed).max()))
    off = np.abs(needed - given) > SAME * size
    absent = [np.abs(values) <= SAME * size for values in (given, needed)]
    cuts = np.cumsum([value.size for value in told.values])[:-1]
    whole = [
        part.reshape(value.shape) for part, value in zip(np.split(needed, cuts), told.values, strict=True)
    ]
    if _are_moved(told.values, whole, SAME * size):
        return "shifted"
    wrong = [np.abs(a - b) > SAME * size for a, b in zip(told.values, whole, strict=True)]
    if off.sum() == 1:
        return "single-element"
    if all(_are_at_the_ends(part, both=True) for part in wrong if part.any()):
        return "border"
    if (~off & ~absent[0]).sum() >= ENOUGH / 2 and any(gone[off].all() for gone in absent):
        return "masked-region"
    if all(_are_at_the_ends(part) for part in wrong if part.any()):
        return "border"
    seen = ~absent[0] | ~absent[1]
    with np.errstate(all="ignore"):
        ratio = needed[seen] / given[seen]
    if any(_is_a_factor(factor, ratio, told.values[0].shape) for factor in _factors(told) if seen.all()):
        return "missing-factor"
    near = (ratio >= 1 / NEARLY) & (ratio <= NEARLY)
    if ratio.size >= ENOUGH and (ratio > 0).all() and near.mean() >= MOSTLY:
        return "other-approximation" if np.ptp(ratio) > SAME else "constant-factor"
    return ""


def _factors(told: Response) -> list[Array]:
    """Return the arrays in scope, where the expression ran once."""
    forms = atoms(told.scopes) if len(told.values) == 1 else []
    return [form.values[0] for form in forms if form.values[0].size > 1]


def _is_a_factor(factor: Array, ratio: Array, shape: tuple[int, ...]) -> bool:
    """Return whether the ratio is a factor, or one over it, whose axes are the first or the last of a shape."""
    rows = factor.reshape(*factor.shape, *(1,) * max(0, len(shape) - factor.ndim))
    for spread in (factor, rows):
        if not _fit(spread.shape, shape):
            continue
        whole = np.broadcast_to(spread, shape).ravel()
        if any(np.allclose(ratio * part, other, SAME, 0) for part, other in ((1.0, whole), (whole, 1.0))):
            return True
    return False


def _fit(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    ends = zip(shape[::-1], whole[::-1], strict=False)
    return len(shape) <= len(whole) and all(a in (1, b) for a, b in ends)


def _is_the_cotangent(told: Response, arguments: Collection[str]) -> bool:
    """Return whether what came in as a cotangent goes on as it is, without the slope of what forward does there."""
    for value, scope in zip(told.values, told.scopes, strict=True):
        incoming = (
            x for name, x in scope.items() if name in arguments and (name == "g" or are_cotangents([name]))
        )
        if not any(isinstance(x, np.ndarray) and np.array_equal(x, value) and x.any() for x in incoming):
            return False
    return True


def _is_written_to(place: SyntaxPlace, function: ast.FunctionDef) -> bool:
    """Return whether more is put to what a statement assigns, which is the first share of a sum then."""
    statement = place.statement
    names = {x.id for x in ast.walk(statement) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign | ast.Assign) and node is not statement:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            whole = [t.value if isinstance(t, ast.Subscript) else t for t in targets]
            if any(isinstance(t, ast.Name) and t.id in names for t in whole):
                return True
    return False


def _are_moved(given: list[Array], needed: list[Array], tolerance: float) -> bool:
    """Return whether what is needed is what is given, so many places further along an axis."""
    axes = range(max((a.ndim for a in given), default=0))
    return any(
        all(
            a.ndim > axis and _is_moved(a, b, axis, step, tolerance)
            for a, b in zip(given, needed, strict=True)
        )
        for axis in axes
        for step in (1, -1, 2, -2)
    )


def _is_moved(given: Array, needed: Array, axis: int, step: int, tolerance: float) -> bool:
    a, b = (np.moveaxis(x, axis, 0) for x in (given, needed))
    if len(a) < 1 / END:
        return False
    kept, moved = (a[:-step], b[step:]) if step > 0 else (a[-step:], b[:step])
    alike = np.ptp(kept) <= tolerance or not np.abs(kept[1:] - kept[:-1]).max(initial=0.0) > tolerance
    return not alike and bool((np.abs(kept - moved) <= tolerance).all())


def _are_at_the_ends(off: Array, both: bool = False) -> bool:
    """Return whether all that is wrong is at the ends of one axis, and nothing inside; if `both`, at each end."""
    return any(_is_at_the_ends(np.moveaxis(off, axis, 0), both) for axis in range(off.ndim))


def _is_at_the_ends(off: Array, both: bool) -> bool:
    end = int(END * len(off))
    if not end or off[end:-end].any():
        return False
    return not both or (len(off) >= LONG and bool(off[:end].any() and off[-end:].any()))
