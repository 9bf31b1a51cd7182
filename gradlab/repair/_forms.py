"""Forms: expressions of what is in scope, with the numbers that they give, as what may be missing in a line."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array

# More than so many things in scope, or forms of one of them, are not tried.
MOST_ATOMS, MOST_UNARY = 24, 400
# So many arrays are divided by so many numbers in scope.
MOST_SCALED, MOST_SCALES = 8, 3
LARGEST = 4096
ATOM, POWER, PRODUCT, SUM = 4, 3, 2, 1
# What normalises, and what turns degrees into radians and bits into nats: people round these, or leave them out.
CONSTANTS = (
    "np.pi", "2 / np.pi", "2 * np.pi", "180 / np.pi", "np.sqrt(np.pi)", "np.sqrt(2 * np.pi)", "np.sqrt(2 / np.pi)",
    "np.sqrt(2)", "np.log(2)", "np.e", "np.log(10)", "10 / np.log(10)", "20 / np.log(10)",
)  # fmt: skip
NUMBERS = ("2", "0.5", "3", "4")
UNARY_CALLS = ("exp", "log", "sqrt", "sin", "cos", "tanh", "sign", "abs", "square")


class Form(NamedTuple):
    """An expression: its text, how tightly its operator binds, how large it is, and its values, one an execution."""

    text: str
    binds: int
    size: int
    values: tuple[Array, ...]

    def within(self, binds: int) -> str:
        """Return the text as an operand of an operator that binds so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"

    def parsed(self) -> ast.expr:
        """Return the syntax of the expression."""
        return ast.parse(self.text, mode="eval").body


def as_array(value: Any) -> Array | None:
    """Return what is a number or an array of real numbers as an array of NumPy's; None for anything else."""
    if isinstance(value, bool | str | bytes | type | type(None)):
        return None
    try:
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except Exception:
        return None
    if array.dtype.kind not in "fiub" or array.size > LARGEST or isinstance(value, list | tuple | dict):
        return None
    return np.array(array)


def atoms(scopes: Sequence[Mapping[str, Any]]) -> list[Form]:
    """Return the arrays and numbers in scope: variables, attributes and items of these, lengths of axes."""
    found: list[Form] = []
    seen: set[Any] = set()

    def add(text: str, values: list[Any], size: int = 1) -> None:
        arrays = [as_array(value) for value in values]
        if any(a is None for a in arrays) or len(found) >= MOST_ATOMS:
            return
        key = tuple((a.shape, a.tobytes()) for a in arrays if a is not None)
        if key not in seen:
            seen.add(key)
            found.append(Form(text, ATOM, size, tuple(a for a in arrays if a is not None)))

    names = [n for n in scopes[0] if all(n in scope for scope in scopes) and n.isidentifier()]
    for name in names:
        add(name, [scope[name] for scope in scopes])
    for name in names:
        for inner, access in _parts(scopes[0][name]):
            add(f"{name}{inner}", [_taken(access, scope[name]) for scope in scopes], 2)
    for form in list(found):
        for axis, length in enumerate(form.values[0].shape):
            add(f"{form.text}.shape[{axis}]", [length] * len(scopes), 3)
        if form.values[0].ndim > 1:
            add(f"{form.text}.size", [value.size for value in form.values], 2)
    return found


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the text and the access of what an object, a dict, a list or a tuple holds."""
    if isinstance(value, Mapping):
        for key in list(value)[:MOST_ATOMS]:
            if isinstance(key, str | int):
                yield f"[{key!r}]", ("item", key)
    elif isinstance(value, list | tuple):
        for i in range(min(len(value), MOST_ATOMS)):
            yield f"[{i}]", ("item", i)
        for name in getattr(value, "_fields", ()):
            yield f".{name}", ("attr", name)
    elif not isinstance(value, np.ndarray | np.generic | int | float | str | ModuleType) and hasattr(
        value, "__dict__"
    ):
        for name, inner in list(vars(value).items())[: 2 * MOST_ATOMS]:
            if isinstance(inner, Mapping):
                yield from (
                    (f".{name}[{key!r}]", ("attr item", (name, key)))
                    for key in list(inner)[:MOST_ATOMS]
                    if isinstance(key, str)
                )
            else:
                yield f".{name}", ("attr", name)


def _taken(access: tuple[str, Any], value: Any) -> Any:
    try:
        if access[0] == "item":
            return value[access[1]]
        if access[0] == "attr":
            return getattr(value, access[1])
        return getattr(value, access[1][0])[access[1][1]]
    except Exception:
        return None


def unary_forms(some: Sequence[Form], numpy: str) -> list[Form]:
    """Return forms of one thing each, themselves first; `numpy` is what the module is called, empty if it is not."""
    numbers = [Form(text, ATOM, 1, _numbers(some, float(text))) for text in NUMBERS]
    if numpy:
        numbers += [_constant(some, text, numpy) for text in CONSTANTS]
    found = [*some]
    with np.errstate(all="ignore"):
        for form in some:
            found += _simple(form)
        for form in some:
            if form.values[0].ndim and form.values[0].dtype.kind == "f":
                found += _called(form, numpy)
        for form in _scaled(some):
            found += [form, *_simple(form)]
    # a length may be equal to one of the numbers, and at other lengths it is not
    return [*numbers, *_unlike(found)[:MOST_UNARY]]


def _constant(some: Sequence[Form], text: str, numpy: str) -> Form:
    value = float(eval(text, {"np": np}))
    size = text.count(" ") + text.count("sqrt") + 1
    return Form(
        text.replace("np.", f"{numpy}."), PRODUCT if " " in text else ATOM, size, _numbers(some, value)
    )


def _numbers(some: Sequence[Form], value: float) -> tuple[Array, ...]:
    return tuple(np.asarray(value) for _ in (some[0].values if some else (0,)))


def _scaled(some: Sequence[Form]) -> Iterator[Form]:
    """Yield arrays divided by a number in scope, as a function of limited range takes them."""
    arrays = [f for f in some if f.values[0].ndim and f.values[0].dtype.kind == "f" and f.size <= 2]
    numbers = [f for f in some if not f.values[0].ndim and f.values[0].dtype.kind == "f" and f.size <= 2]
    for number in numbers[:MOST_SCALES]:
        if all(v not in (0, 1) for v in number.values):
            for f in arrays[:MOST_SCALED]:
                pairs = zip(f.values, number.values, strict=True)
                text = f"{f.within(PRODUCT)} / {number.within(ATOM)}"
                yield Form(text, PRODUCT, f.size + number.size + 1, tuple(v / n for v, n in pairs))


def _simple(f: Form) -> Iterator[Form]:
    real = [np.asarray(v, dtype=float) for v in f.values]
    yield Form(f"1 - {f.within(PRODUCT)}", SUM, f.size + 2, tuple(1 - v for v in real))
    yield Form(f"{f.within(ATOM)}**2", POWER, f.size + 2, tuple(v**2 for v in real))
    yield Form(f"1 - {f.within(ATOM)}**2", SUM, f.size + 4, tuple(1 - v**2 for v in real))
    yield Form(f"1 + {f.within(ATOM)}**2", SUM, f.size + 4, tuple(1 + v**2 for v in real))
    yield Form(
        f"{f.within(PRODUCT)} * (1 - {f.within(PRODUCT)})",
        PRODUCT,
        2 * f.size + 4,
        tuple(v * (1 - v) for v in real),
    )
    yield Form(f"1 + {f.within(PRODUCT)}", SUM, f.size + 2, tuple(1 + v for v in real))
    yield Form(f"1 - 2 * {f.within(ATOM)}", SUM, f.size + 4, tuple(1 - 2 * v for v in real))
    if f.values[0].ndim:
        yield Form(f"({f.text} > 0)", ATOM, f.size + 2, tuple((v > 0).astype(float) for v in real))
    if f.values[0].ndim == 2:
        yield Form(f"{f.within(ATOM)}.T", ATOM, f.size + 1, tuple(v.T for v in real))
    if f.values[0].ndim > 2:
        yield Form(f"{f.within(ATOM)}.mT", ATOM, f.size + 1, tuple(v.swapaxes(-1, -2) for v in real))


def _called(f: Form, numpy: str) -> Iterator[Form]:
    real = [np.asarray(v, dtype=float) for v in f.values]
    if numpy:
        for name in UNARY_CALLS:
            function = getattr(np, name)
            yield Form(f"{numpy}.{name}({f.text})", ATOM, f.size + 2, tuple(map(function, real)))
        yield Form(f"{numpy}.exp(-{f.within(PRODUCT)})", ATOM, f.size + 3, tuple(np.exp(-v) for v in real))
        bell = f"{numpy}.exp(-{f.within(ATOM)}**2 / 2)"
        yield Form(bell, ATOM, f.size + 6, tuple(np.exp(-(v**2) / 2) for v in real))
        yield Form(
            f"{bell} / (2 * {numpy}.pi)**0.5", PRODUCT, f.size + 12,
            tuple(np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi) for v in real),
        )  # fmt: skip
        yield Form(
            f"1 / (1 + {numpy}.exp(-{f.within(PRODUCT)}))", PRODUCT, f.size + 6,
            tuple(1 / (1 + np.exp(-v)) for v in real),
        )  # fmt: skip
    for name in ("sum", "mean"):
        for axis in range(f.values[0].ndim):
            if all(axis < v.ndim for v in real):
                text = f"{f.within(ATOM)}.{name}(axis={axis}, keepdims=True)"
                yield Form(
                    text,
                    ATOM,
                    f.size + 5,
                    tuple(getattr(np, name)(v, axis=axis, keepdims=True) for v in real),
                )
        yield Form(f"{f.within(ATOM)}.{name}()", ATOM, f.size + 2, tuple(getattr(np, name)(v) for v in real))


def joined(some: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> tuple[list[Form], Array]:
    """Return the forms that can stand beside arrays of some shapes, and the numbers of each in a row."""
    forms, rows = [], []
    for form in some:
        try:
            parts = [np.broadcast_to(v, shape).ravel() for v, shape in zip(form.values, shapes, strict=True)]
        except ValueError:
            continue
        forms.append(form)
        rows.append(np.concatenate(parts).astype(float))
    return forms, np.stack(rows) if rows else np.empty((0, 0))


def _unlike(some: Sequence[Form]) -> list[Form]:
    """Return the forms without those that give the same numbers as an earlier one."""
    seen: set[Any] = set()
    kept = []
    for form in some:
        key = tuple((np.shape(v), np.asarray(v, dtype=float).round(12).tobytes()) for v in form.values)
        if key not in seen and all(np.isfinite(v).all() for v in form.values):
            seen.add(key)
            kept.append(form)
    return kept
