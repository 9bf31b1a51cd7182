"""Functions and derivatives as SciPy takes them, brought to the node contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradlab.adapters.scipy.jacobian_matrices import Matrix
from gradlab.checks.trial import same_bits
from gradlab.node import Array
from gradlab.report import Report, Row
from gradlab.running.check_vjp import float_primal
from gradlab.running.foreign_function import ForeignFunction
from gradlab.verdict import Verdict
from gradlab.workers.strange_objects import shown, title_of


def split(f: Callable[..., Any], derivative: Any, what: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a function and its derivative, also where one function returns both."""
    if derivative is True:
        named = getattr(f, "__name__", type(f).__name__)

        def part(which: int) -> Callable[..., Any]:
            def of_both(*args: Any) -> Any:
                return f(*args)[which]

            of_both.__name__ = named
            return of_both

        return part(0), part(1)
    if not callable(derivative):
        cure = f"pass a function, or True if f returns both the value and {what}"
        raise TypeError(f"{what} is {shown(derivative)}, which leaves nothing hand-written to check: {cure}")
    return f, derivative


def point(x: Any) -> Array:
    """Return the point at which a function is checked, whole numbers as floats.

    Raises
    ------
    TypeError
        If it holds no real numbers, or is a tuple of arrays.
    """
    if isinstance(x, tuple | list) and any(isinstance(part, np.ndarray) and part.ndim for part in x):
        raise TypeError(
            f"x is a {type(x).__name__} of arrays: pass one array, and what else f takes as args="
        )
    array = np.asarray(x)
    return array.astype(float) if array.dtype.kind in "iu" else float_primal(array, "x")


def as_arguments(args: Any) -> tuple[Any, ...]:
    """Return further arguments as a tuple: a single one need not be in one, as for `scipy.optimize.minimize`."""
    return tuple(args) if isinstance(args, tuple | list) else (args,)


def plain_array(value: Any) -> Array:
    """Return the numbers of an array or a sparse vector as a plain array."""
    if hasattr(value, "toarray"):
        value = value.toarray().reshape(-1)
    return np.asarray(value)


def name_of(f: Any) -> str:
    """Return a function's name."""
    return title_of(f)


@dataclass
class Breaches:
    """A derivative's breaches of the contract, which its product with g hides: writing into x, returning one buffer."""

    what: str
    found: dict[str, str] = field(default_factory=dict)
    last: Array | None = None

    def given(self, args: Any, *functions: Callable[..., Any]) -> list[Callable[..., Any]]:
        """Return functions of x alone, which are given further arguments, and note what their first calls do to these.

        The arrays among the arguments are copies, so that their owner's stay as they are.
        """
        own = as_arguments(args)
        copies = tuple(np.array(a, subok=True) if isinstance(a, np.ndarray) else a for a in own)

        def of_x(function: Callable[..., Any]) -> Callable[..., Any]:
            called = False

            def of_x_alone(x: Array) -> Any:
                nonlocal called
                returned = function(x, *copies)
                if not called:
                    called = True
                    self._note_written(own, copies)
                return returned

            return of_x_alone

        return [of_x(ForeignFunction(function)) for function in functions]

    def _note_written(self, own: Sequence[Any], copies: Sequence[Any]) -> None:
        pairs = enumerate(zip(own, copies, strict=True))
        written = [i for i, (a, b) in pairs if isinstance(a, np.ndarray) and not same_bits(a, b)]
        if written:
            where = " and ".join(f"args[{i}]" for i in written)
            self.found["leaves_arguments_unchanged"] = f"a call writes into {where}: write into a copy"

    def call(self, derivative: Callable[[Array], Any], x: Array) -> Any:
        """Return the derivative at a copy of x, and note what it did to it."""
        given = x.copy()
        d = derivative(given)
        if not same_bits(given, x):
            self.found["leaves_arguments_unchanged"] = f"{self.what} writes into x: write into a copy"
        held = d.dense if isinstance(d, Matrix) else d
        if isinstance(held, np.ndarray):
            if np.shares_memory(held, given) or (self.last is not None and np.shares_memory(held, self.last)):
                cure = "return a copy"
                self.found["owns_its_memory"] = (
                    f"{self.what} returns x itself, or the same array in every call: {cure}"
                )
            self.last = held
        return d

    def told(self, report: Report, strict: bool) -> Report:
        """Return a report with what was noted in its rows."""
        verdict = Verdict.WRONG if strict else Verdict.WARNING
        notes: Mapping[str, str] = self.found
        rows = [
            replace(row, verdict=verdict, note=notes[row.check]) if row.check in notes else row
            for row in report.rows
        ]
        return replace(report, rows=rows)


def columns_of(hessp: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that gives a Hessian, column by column, from its products with vectors."""

    def hess(x: Array, *args: Any) -> Array:
        return np.stack(
            [plain_array(hessp(x.copy(), p, *args)) for p in np.eye(x.size, dtype=x.dtype)], axis=-1
        )

    return hess


def together(parts: Sequence[Report]) -> Report:
    """Return several reports as one."""
    findings = {node: found for part in parts for node, found in part.findings.items()}
    rows: list[Row] = [row for part in parts for row in part.rows]
    explored = [place for part in parts for place in part.explored]
    repairs = [repair for part in parts for repair in part.repairs]
    return replace(parts[0], rows=rows, explored=explored, findings=findings, repairs=repairs)
