"""How the gradients respond to what one expression gives: which expressions can be at fault, and what they lack."""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import numpy as np

from gradlab.faults.syntax_nodes import number_in
from gradlab.faults.syntax_places import SyntaxPlace, temporarily_replaced
from gradlab.node import Array
from gradlab.repair._forms import as_array
from gradlab.repair._judge import Judge
from gradlab.repair._source_function import SourceFunction, placed

PROBE = "_gradlab_probe"
# Each element of what an expression gives is moved once: more than so many are not.
MOST_ELEMENTS = 256
# How much of the mismatch what an expression gives must be able to explain, and how linear the response must be.
EXPLAINED, LINEAR = 1e-5, 1e-5

Asked = TypeVar("Asked", bound=Callable[[Any], Any])


@dataclass(frozen=True, eq=False)
class Response:
    """How gradients move with what one expression gives.

    Attributes
    ----------
    place : SyntaxPlace
    values : list of ndarray
        What it gave, one an execution.
    scopes : list of mapping
        The variables at each execution.
    matrix : ndarray
        The derivative of all gradients with respect to all that it gave.
    missing : ndarray
        What the gradients lack.
    change : ndarray
        The least that it would have to give besides, to make up for that.
    """

    place: SyntaxPlace
    values: list[Array]
    scopes: list[Mapping[str, Any]]
    matrix: Array
    missing: Array
    change: Array

    @property
    def rank(self) -> int:
        """How much the expression could explain: the dimension of what it can change."""
        return int(np.linalg.matrix_rank(self.matrix))

    def fits(self, changes: Array, tolerance: float) -> Array:
        """Return which changes, columns of what the expression would give besides, make up for what is missing."""
        off = self.matrix @ changes - self.missing[:, None]
        return np.asarray(np.abs(off).max(axis=0, initial=0.0) <= tolerance)


class Probe:
    """Called with what an expression gives; keeps it, or gives something else instead."""

    def __init__(self) -> None:
        self.kept: list[tuple[Any, dict[str, Any]]] = []
        self.given: list[Array] | None = None
        self.calls = 0

    def __call__(self, value: Any) -> Any:
        """Return what is to stand there."""
        if self.given is None:
            scope = {name: _kept(x) for name, x in _in_scope(sys._getframe(1)).items()}
            self.kept.append((_kept(value), scope))
            return value
        other = self.given[self.calls]
        self.calls += 1
        return like(other, value)

    def giving(self, values: list[Array] | None) -> "Probe":
        """Begin anew, giving other values."""
        self.given, self.calls = values, 0
        if values is None:
            self.kept = []
        return self


def _in_scope(frame: FrameType) -> dict[str, Any]:
    """Return the variables of a call, and the arrays and numbers of its module that it names."""
    module = frame.f_globals
    named = {name: module[name] for name in frame.f_code.co_names if name in module}
    return {k: v for k, v in named.items() if isinstance(v, np.ndarray | float | int)} | frame.f_locals


def _kept(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def like(new: Array, value: Any) -> Any:
    """Return an array as what stood there was: a number, an array, a tensor."""
    if hasattr(value, "new_tensor"):
        return value.new_tensor(new)
    if isinstance(value, np.ndarray):
        return new.astype(np.result_type(value.dtype, np.float64) if value.dtype.kind != "f" else value.dtype)
    if isinstance(value, int | float | np.generic):
        return new[()] if isinstance(value, np.generic) else float(new)
    return new


@contextmanager
def probing(function: SourceFunction, place: SyntaxPlace, probe: Asked) -> Iterator[Asked]:
    """Have a function run with a probe around the expression at a place.

    Raises
    ------
    SyntaxError, ValueError
        If it cannot be put there.
    """
    assert isinstance(place.node, ast.expr)
    call = ast.Call(ast.Name(PROBE, ast.Load()), [place.node], [])
    placed(call, place.node)
    with temporarily_replaced(place, call):
        code = function.compiled()
    space = function.functions[0].__globals__
    space[PROBE] = probe
    try:
        with function.running(code):
            yield probe
    finally:
        space.pop(PROBE, None)


def can_explain(function: SourceFunction, place: SyntaxPlace, judge: Judge, base: Array) -> bool:
    """Return whether all that the gradients lack moves with what an expression gives; True where it is not known."""
    try:
        with probing(function, place, Probe()) as probe:
            kept = _recorded(judge, probe)
            if kept is None:
                return True
            arrays, _ = kept
            rng = np.random.default_rng(0)
            scale = max(float(np.abs(a).max(initial=0.0)) for a in arrays) or 1.0
            others = (lambda a: a + scale * rng.uniform(0.1, 1, a.shape), np.negative, np.zeros_like)
            moved = np.zeros(base.shape, bool)
            for other in others:  # what is a mask, or a whole number, may not notice a small change
                given = _given(judge, probe, [other(a) for a in arrays])
                if given is None:
                    return True
                moved |= given != base
            missing = np.abs(judge.wanted - base) > judge.allowed
            # where nothing is known nothing is missing
            return bool(moved[missing].all())
    except (SyntaxError, ValueError):
        return True


def response(function: SourceFunction, place: SyntaxPlace, judge: Judge, base: Array) -> Response | None:
    """Return how the gradients respond to an expression, if a change of it can explain what they lack."""
    try:
        with probing(function, place, Probe()) as probe:
            return _measured(place, judge, base, probe)
    except (SyntaxError, ValueError):
        return None


def _recorded(judge: Judge, probe: Probe) -> tuple[list[Array], list[Mapping[str, Any]]] | None:
    """Return what an expression gave, one array an execution, and the variables then; None where it is no number."""
    probe.giving(None)
    if judge.gradients() is None or not probe.kept:
        return None
    values = [as_array(value) for value, _ in probe.kept]
    if any(v is None or v.dtype.kind not in "fiu" for v in values):
        return None
    return [np.asarray(v, dtype=float) for v in values], [scope for _, scope in probe.kept]


def _given(judge: Judge, probe: Probe, values: list[Array]) -> Array | None:
    probe.giving(values)
    gradients = judge.gradients()
    return gradients if gradients is not None and probe.calls == len(values) else None


def _measured(place: SyntaxPlace, judge: Judge, base: Array, probe: Probe) -> Response | None:
    kept = _recorded(judge, probe)
    if kept is None:
        return None
    arrays, scopes = kept
    size = sum(a.size for a in arrays)
    if not 0 < size <= MOST_ELEMENTS:
        return None
    flat = np.concatenate([a.ravel() for a in arrays])
    cuts = np.cumsum([a.size for a in arrays])[:-1]

    def moved(step: Array) -> Array | None:
        parts = np.split(flat + step, cuts)
        return _given(judge, probe, [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)])

    known = np.isfinite(judge.allowed)
    missing = np.where(known, judge.wanted - base, 0.0)
    direction = np.random.default_rng(0).standard_normal(size)
    one, two = moved(direction), moved(2 * direction)
    if one is None or two is None:
        return None
    scale = float(np.abs(two - base).max(initial=0.0))
    if not np.isfinite(scale) or scale == 0 or np.abs(two - base - 2 * (one - base)).max() > LINEAR * scale:
        return None
    columns = [moved(np.eye(1, size, j)[0]) for j in range(size)]
    if any(column is None for column in columns):
        return None
    matrix = np.where(
        known[:, None], np.stack([c for c in columns if c is not None], axis=1) - base[:, None], 0.0
    )
    # what is known to fewer digits counts for less
    near = np.where(known, judge.allowed, 0.0) + EXPLAINED * np.abs(missing).max(initial=0.0)
    change = np.linalg.lstsq(matrix / near[:, None], missing / near, rcond=None)[0]
    if not (np.abs(matrix @ change - missing) <= near).all():
        return None
    return Response(place, arrays, scopes, matrix, missing, change)


def value_places(places: Iterator[SyntaxPlace], lines: set[int]) -> Iterator[SyntaxPlace]:
    """Yield the places of expressions that ran and that may give arrays, outermost first."""
    for place in places:
        node = place.node
        loads = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if not isinstance(
            node, ast.BinOp | ast.Call | ast.Name | ast.Attribute | ast.Subscript | ast.UnaryOp
        ):
            continue
        called = isinstance(place.parent, ast.Call) and place.field == "func"
        if loads and not called and getattr(place.statement, "lineno", 0) in lines:
            yield place


def as_assigned(place: SyntaxPlace) -> SyntaxPlace | None:
    """Return the place of what a statement writes into items, as an array of their shape.

    None for a statement that writes into none, or where what it writes stands there as such an array already.
    """
    node = place.node
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if not isinstance(node, ast.AugAssign | ast.Assign) or not isinstance(target, ast.Subscript):
        return None
    there = ast.Subscript(target.value, target.slice, ast.Load())
    if isinstance(node, ast.AugAssign):
        value = ast.BinOp(there, node.op, node.value)
    elif number_in(node.value) is not None:
        value = ast.BinOp(ast.BinOp(there, ast.Mult(), ast.Constant(0.0)), ast.Add(), node.value)
    else:
        return None
    assigned = ast.Assign([target], value)
    placed(assigned, node)
    return SyntaxPlace(value, assigned, "value", None, assigned, place.statement_number)
