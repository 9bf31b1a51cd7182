"""Hypothesis strategies of gradients: pairs that are right, the same with a mistake put in, and arguments that are odd.

For tests of whatever looks at gradients, gradlab itself among it. It needs hypothesis, which nothing else loads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gradlab.node import Array

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ImportError("gradlab.testing.strategies needs hypothesis: pip install hypothesis") from error

__all__ = ["Layer", "Pair", "layer_of", "odd_values", "pairs", "points", "wrong_pairs"]

# A mistake counts as one from this share of the gradient's largest entry on.
VISIBLE = 0.05


@dataclass(frozen=True)
class Pair:
    """A function, its gradient, and where: what the checks are given.

    Attributes
    ----------
    forward : callable
        ``forward(*primals, **settings) -> (output, residuals)``.
    backward : callable
        ``backward(residuals, g) -> tuple``.
    primals : tuple of ndarray
    settings : dict
    mistake : str
        What is wrong with `backward`; empty where it is right.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], tuple[Array, ...]]
    primals: tuple[Array, ...]
    settings: dict[str, Any]
    mistake: str = ""

    def __repr__(self) -> str:
        shapes = ", ".join(f"{x.dtype}{x.shape}" for x in self.primals)
        return f"Pair({self.forward.__name__}, {shapes}, mistake={self.mistake!r})"


class Smooth(NamedTuple):
    """A function of one number, its derivative by argument and value, and whether it wants positive numbers."""

    name: str
    of: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    positive: bool = False


SMOOTH = [
    Smooth("sin", np.sin, lambda x, y: np.cos(x)),
    Smooth("tanh", np.tanh, lambda x, y: 1 - y * y),
    Smooth("exp", np.exp, lambda x, y: y),
    Smooth("square", lambda x: x * x, lambda x, y: 2 * x),
    Smooth("cube", lambda x: x**3, lambda x, y: 3 * x**2),
    Smooth("sigmoid", lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y)),
    Smooth("softplus", lambda x: np.logaddexp(0, x), lambda x, y: 1 / (1 + np.exp(-x))),
    Smooth("relu", lambda x: np.maximum(x, 0), lambda x, y: (x > 0).astype(x.dtype)),
    Smooth("abs", np.abs, lambda x, y: np.sign(x)),
    Smooth("log", np.log, lambda x, y: 1 / x, positive=True),
    Smooth("sqrt", np.sqrt, lambda x, y: 0.5 / y, positive=True),
    Smooth("reciprocal", lambda x: 1 / x, lambda x, y: -y * y, positive=True),
]


@st.composite
def points(draw: st.DrawFn, shape: Sequence[int] | None = None, *, positive: bool = False) -> Array:
    """Draw an array of floats that lie apart from 0: of any memory layout, most in double precision.

    Parameters
    ----------
    shape : sequence of int, optional
        By default one of up to three axes, and of up to 200 elements.
    positive : bool
        Whether all are above 0.
    """
    if shape is None:
        shape = draw(st.lists(st.integers(1, 6), max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = rng.uniform(0.2, 2.0, shape)
    x = size if positive else size * rng.choice([-1.0, 1.0], shape)
    x = np.asarray(x, draw(st.sampled_from([np.float64] * 6 + [np.float32])))
    layout = draw(st.sampled_from(["C"] * 4 + ["F", "reversed", "read-only"]))
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "reversed":
        return np.ascontiguousarray(x[..., ::-1])[..., ::-1] if x.ndim else x
    if layout == "read-only":
        x.flags.writeable = False
    return x


def pairs() -> st.SearchStrategy[Pair]:
    """Strategy of pairs whose gradient is right, also in a neighbourhood of their primals."""
    return st.one_of(_elementwise(), _matrix(), _broadcast(), _reduced(), _rows(), _gathered(), _several())


@st.composite
def wrong_pairs(draw: st.DrawFn) -> Pair:
    """Draw a pair with a mistake that moves the gradient by a twentieth of its largest entry or more."""
    right = draw(pairs())
    which = draw(st.integers(0, len(right.primals) - 1))
    for name in draw(st.permutations(sorted(MISTAKES))):
        wrong = replace(right, backward=_with_mistake(right.backward, which, MISTAKES[name]), mistake=name)
        if _is_visible(right, wrong):
            return wrong
    # an exact zero has no sign, no factor and no order
    return replace(
        right, backward=_with_mistake(right.backward, which, MISTAKES["constant"]), mistake="constant"
    )


MISTAKES: dict[str, Callable[[Array], Array]] = {
    "factor": lambda d: 1.5 * d,
    "half": lambda d: 0.5 * d,
    "sign": np.negative,
    "zero": np.zeros_like,
    "constant": lambda d: d + (1 + np.abs(d).max(initial=0)),
    "element": lambda d: _with_an_element(d),
    "order": lambda d: np.roll(d.reshape(-1), 1).reshape(d.shape),
    "square": lambda d: d * np.abs(d),
    "mean": lambda d: d / max(d.size, 2),
}


class Layer:
    """A pair as a layer: the first primal is the input, the others are parameters with their gradients beside them."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        names = [f"W{i}" for i in range(1, len(pair.primals))]
        self.params = dict(zip(names, map(np.array, pair.primals[1:]), strict=True))
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the output."""
        output, self.cache = self._pair.forward(x, *self.params.values(), **self._pair.settings)
        return np.asarray(output)

    def backward(self, dout: Array) -> Array:
        """Return the gradient of the input, and put those of the parameters into `grads`."""
        dx, *rest = self._pair.backward(self.cache, dout)
        self.grads = dict(zip(self.params, rest, strict=True))
        return dx


def layer_of(pair: Pair) -> Layer:
    """Return a pair of one output as a layer."""
    return Layer(pair)


def odd_values() -> st.SearchStrategy[Any]:
    """Strategy of values that no argument is meant to have, objects that answer with exceptions among them."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.lists(st.integers(0, 3), max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(0, 3), max_size=2),
        st.sampled_from(ODD),
    )


class _Refuses:
    """Raises for whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment] # what has no equal has no hash


ODD: list[Any] = [
    _Refuses(), object(), Exception, ..., range(3), slice(1), {1}, frozenset(), lambda: None, lambda *_: None,
    lambda x: x, lambda x: None, lambda x: "text", lambda x: (_ for _ in ()), np.sin, np.float32(1), np.int64(2),
    np.array("a"), np.array([None, 1]), np.array([]), np.zeros((0, 3)), np.array([1, 2]), np.array([True, False]),
    np.array([1j, 2]), np.array([np.nan, 1.0]), np.array([np.inf, 1.0]), np.array([1e308, -1e308]), np.array([1e-320]),
    np.ones((2, 3)), np.ones(4), np.array(2.0), np.ma.masked_array([1.0, 2.0], [True, False]), np.ones(3, np.float16),
    np.ones(2, np.longdouble), np.array([(1.0, 2)], [("a", float), ("b", int)]), [[1.0, 2.0], [3.0]],
    (np.ones(2), np.ones(3)), 1 + 2j, float("nan"), 10**30,
]  # fmt: skip


@st.composite
def _elementwise(draw: st.DrawFn) -> Pair:
    first, *more = draw(st.lists(st.sampled_from(SMOOTH), min_size=1, max_size=3))
    # what comes after another function may be given anything
    chain = [first, *(s for s in more if not s.positive and s.name not in ("relu", "abs", "exp", "cube"))]
    x = draw(points(positive=first.positive))

    def forward(x: Array) -> tuple[Array, Any]:
        values = [x]
        for smooth in chain:
            values.append(smooth.of(values[-1]))
        return values[-1], values

    def backward(values: Any, g: Array) -> tuple[Array, ...]:
        for smooth, x, y in reversed(list(zip(chain, values[:-1], values[1:], strict=True))):
            g = g * smooth.slope(x, y)
        return (np.asarray(g),)

    return _named(Pair(forward, backward, (x,), {}), "_of_".join(s.name for s in reversed(chain)))


@st.composite
def _matrix(draw: st.DrawFn) -> Pair:
    n, m, k = (draw(st.integers(1, 7)) for _ in range(3))
    x, w, b = draw(points((n, m))), draw(points((m, k))), draw(points((k,)))

    def forward(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
        y = np.tanh(x @ w + b)
        return y, (x, w, b, y)

    def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
        x, w, b, y = residuals
        g = g * (1 - y * y)
        return _like((g @ w.T, x.T @ g, g.sum(axis=0)), (x, w, b))

    return _named(Pair(forward, backward, (x, w, b), {}), "affine")


@st.composite
def _broadcast(draw: st.DrawFn) -> Pair:
    n, m = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    x, y = draw(points((n, m))), draw(points(draw(st.sampled_from([(m,), (n, 1), (1, m), (1, 1)]))))

    def forward(x: Array, y: Array) -> tuple[Array, Any]:
        return x * np.exp(y), (x, y)

    def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
        x, y = residuals
        dy = (g * x * np.exp(y)).sum(axis=tuple(range(g.ndim - y.ndim)))
        dy = dy.sum(axis=tuple(i for i, length in enumerate(y.shape) if length == 1), keepdims=True)
        return _like((g * np.exp(y), dy), (x, y))

    return _named(Pair(forward, backward, (x, y), {}), "scaled")


@st.composite
def _reduced(draw: st.DrawFn) -> Pair:
    x = draw(points((draw(st.integers(1, 6)), draw(st.integers(1, 6)))))
    settings = {"axis": draw(st.sampled_from([0, 1, -1])), "keepdims": draw(st.booleans())}

    def forward(x: Array, axis: int, keepdims: bool) -> tuple[Array, Any]:
        return np.mean(x**2, axis=axis, keepdims=keepdims), (x, axis, keepdims)

    def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
        x, axis, keepdims = residuals
        g = g if keepdims else np.expand_dims(g, axis)
        return _like((2 * x * g / x.shape[axis],), (x,))

    return _named(Pair(forward, backward, (x,), settings), "mean_of_squares")


@st.composite
def _rows(draw: st.DrawFn) -> Pair:
    x = draw(points((draw(st.integers(1, 6)), draw(st.integers(2, 6)))))

    def forward(x: Array) -> tuple[Array, Any]:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(y: Any, g: Array) -> tuple[Array, ...]:
        return (y * (g - (g * y).sum(axis=1, keepdims=True)),)

    return _named(Pair(forward, backward, (x,), {}), "softmax")


@st.composite
def _gathered(draw: st.DrawFn) -> Pair:
    rows = draw(st.integers(1, 6))
    table = draw(points((rows, draw(st.integers(1, 5)))))
    ids = np.array(draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=8)))

    def forward(table: Array, ids: Array) -> tuple[Array, Any]:
        return np.sin(table[ids]), (table, ids)

    def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
        table, ids = residuals
        d = np.zeros_like(table)
        np.add.at(d, ids, g * np.cos(table[ids]))
        return (d,)

    return _named(Pair(forward, backward, (table,), {"ids": ids}), "rows_by_id")


@st.composite
def _several(draw: st.DrawFn) -> Pair:
    x = draw(points((draw(st.integers(1, 6)), draw(st.integers(1, 6)))))

    def forward(x: Array) -> tuple[Any, Any]:
        return (np.sin(x), (x * x).sum(axis=0)), x

    def backward(x: Any, g: Any) -> tuple[Array, ...]:
        return _like((g[0] * np.cos(x) + 2 * x * g[1],), (x,))

    return _named(Pair(forward, backward, (x,), {}), "two_outputs")


def _named(pair: Pair, name: str) -> Pair:
    pair.forward.__name__ = name
    return pair


def _like(gradients: Sequence[Array], primals: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(np.asarray(d, x.dtype) for d, x in zip(gradients, primals, strict=True))


def _with_mistake(
    backward: Callable[..., tuple[Array, ...]], which: int, mistake: Callable[[Array], Array]
) -> Callable[..., tuple[Array, ...]]:
    def wrong(residuals: Any, g: Any) -> tuple[Array, ...]:
        gradients = list(backward(residuals, g))
        gradients[which] = np.asarray(mistake(gradients[which]), gradients[which].dtype)
        return tuple(gradients)

    return wrong


def _with_an_element(d: Array) -> Array:
    changed = d.copy()
    if changed.size:
        changed.flat[np.argmax(np.abs(d))] += 0.5 * np.abs(d).max()
    return changed


def _is_visible(right: Pair, wrong: Pair) -> bool:
    """Return whether a mistake shows at the given primals, for cotangents of both signs."""
    output, residuals = right.forward(*map(np.array, right.primals), **right.settings)
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        parts = output if isinstance(output, tuple) else (output,)
        drawn = tuple(np.asarray(rng.standard_normal(y.shape), y.dtype) for y in parts)
        g = drawn if isinstance(output, tuple) else drawn[0]
        both = zip(right.backward(residuals, g), wrong.backward(residuals, g), strict=True)
        if not any(np.abs(a - b).max() > VISIBLE * max(np.abs(a).max(), 1e-12) for a, b in both if a.size):
            return False
    return True
