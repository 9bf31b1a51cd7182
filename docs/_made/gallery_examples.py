"""A small wrong layer for each named mistake; what the gallery shows is this source, and what it runs is that."""

import inspect
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

Pair = tuple[Callable[..., tuple[Any, Any]], Callable[[Any, Any], tuple[Any, ...]]]
MARK = re.compile(r"\s+# wrong\b.*")


@dataclass(frozen=True)
class Example:
    """A layer with one mistake, and the line that mends it.

    Attributes
    ----------
    mistake : str
        One of `gradlab.diagnosis.NAMES`.
    layer : str
        What the report calls it.
    means : str
        What the mistake is, and how it comes about.
    make : callable
        Returns a fresh ``(forward, backward)``; its marked lines are wrong.
    right : str
        What stands in the place of the marked lines; empty where they are too much.
    primals, settings : dict
    """

    mistake: str
    layer: str
    means: str
    make: Callable[[], Pair]
    right: str
    primals: dict[str, np.ndarray]
    settings: dict[str, Any]

    @property
    def code(self) -> str:
        """The source of forward and backward, with what they keep."""
        lines = inspect.getsource(self.make).splitlines()
        begin = next(k for k, line in enumerate(lines) if line.startswith("def "))
        body = textwrap.dedent("\n".join(lines[begin + 1 :]))
        return body.rpartition("return forward, backward")[0].strip()

    @property
    def marked(self) -> list[int]:
        """The numbers of the wrong lines, from 1."""
        return [k for k, line in enumerate(self.code.splitlines(), 1) if MARK.search(line)]

    @property
    def mended(self) -> str:
        """The source with the right line."""
        lines, marked = self.code.splitlines(), self.marked
        first, last = marked[0] - 1, marked[-1]
        indent = re.match(r" *", lines[first])[0]
        return "\n".join([*lines[:first], *textwrap.indent(self.right, indent).splitlines(), *lines[last:]])

    def make_right(self) -> Pair:
        """Return a fresh pair with the right line."""
        names = dict(globals())
        exec(compile(self.mended, f"<{self.layer}, mended>", "exec"), names)
        return names["forward"], names["backward"]


EXAMPLES: dict[str, Example] = {}


def example(
    mistake: str, layer: str, means: str, right: str, settings: dict[str, Any] | None = None, **primals: Any
) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
    """Register what makes a wrong layer."""

    def register(make: Callable[[], Pair]) -> Callable[[], Pair]:
        assert mistake not in EXAMPLES, f"{mistake} has two examples"
        arrays = {name: np.array(x, dtype=float) for name, x in primals.items()}
        EXAMPLES[mistake] = Example(mistake, layer, means, make, right, arrays, settings or {})
        return make

    return register


def normal(seed: int, *shape: int) -> np.ndarray:
    """Return normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


@example(
    "sign-flipped",
    "cosine",
    "Every element has the right size and the wrong sign. A minus was lost, or stands where none belongs.",
    "return (-np.sin(x) * g,)",
    x=normal(0, 12),
)
def _():
    def forward(x):
        return np.cos(x), x

    def backward(x, g):
        return (np.sin(x) * g,)  # wrong

    return forward, backward


@example(
    "constant-factor",
    "energy",
    "Every element is the right one times the same number. Here forward takes a mean over the batch, and backward "
    "forgets to divide by its length, 3.",
    "return (2 * x * g / len(x),)",
    x=normal(1, 3, 4),
)
def _():
    def forward(x):
        return (x * x).sum(axis=1).mean(), x

    def backward(x, g):
        return (2 * x * g,)  # wrong

    return forward, backward


@example(
    "zero-gradient",
    "embedding",
    "Nothing but zeros comes back. Here `dW[ids]` is a copy, so what is added to it never reaches `dW`.",
    "np.add.at(dW, ids, g)",
    {"ids": np.array([2, 0, 1, 2])},
    W=normal(2, 3, 4),
)
def _():
    def forward(W, ids):
        return W[ids], (W, ids)

    def backward(cache, g):
        W, ids = cache
        dW = np.zeros_like(W)
        rows = dW[ids]  # wrong
        rows += g  # wrong
        return (dW,)

    return forward, backward


@example(
    "additive-bias",
    "embedding",
    "The same number is added to every element, whatever `dout` is. An epsilon that is added, or a buffer that does "
    "not start at zero, does this.",
    "dW = np.zeros_like(W)",
    {"ids": np.array([2, 0, 1, 2])},
    W=normal(3, 3, 4),
)
def _():
    def forward(W, ids):
        return W[ids], (W, ids)

    def backward(cache, g):
        W, ids = cache
        dW = np.ones_like(W)  # wrong
        np.add.at(dW, ids, g)
        return (dW,)

    return forward, backward


@example(
    "log-parameter",
    "power",
    "The gradient is the right one times the input: it is by the logarithm of the input, not by the input. Here the "
    "exponent was not lowered by one.",
    "return (p * x ** (p - 1) * g,)",
    {"p": 3},
    x=np.random.default_rng(4).uniform(0.4, 2.2, 12),
)
def _():
    def forward(x, p):
        return x**p, (x, p)

    def backward(cache, g):
        x, p = cache
        return (p * x**p * g,)  # wrong

    return forward, backward


@example(
    "ignores-cotangent",
    "squared error",
    "The gradient is the same whatever `dout` is: what comes from the layers behind is dropped. As long as the loss "
    "comes last, and `dout` is 1, nobody notices.",
    "return (2 * r / r.size * g,)",
    {"t": normal(6, 2, 3)},
    y=normal(5, 2, 3),
)
def _():
    def forward(y, t):
        r = y - t
        return (r * r).mean(), r

    def backward(r, g):
        return (2 * r / r.size,)  # wrong

    return forward, backward


@example(
    "wrong-cotangent",
    "sine and cosine",
    "Each output has a `dout` of its own, and backward takes one for the other.",
    "g_sin, g_cos = g",
    x=np.linspace(-3, 3, 25),
)
def _():
    def forward(x):
        return (np.sin(x), np.cos(x)), x

    def backward(x, g):
        g_cos, g_sin = g  # wrong
        return (g_sin * np.cos(x) - g_cos * np.sin(x),)

    return forward, backward


@example(
    "nonlinear-in-cotangent",
    "softplus",
    "A vector-Jacobian product is proportional to `dout`: twice the `dout` gives twice the gradient. Here `dout` is "
    "multiplied in twice, and gives four times; clipping or normalising it inside backward breaks the rule as well.",
    "return (g / (1 + np.exp(-x)),)",
    x=normal(7, 6),
)
def _():
    def forward(x):
        return np.logaddexp(0, x), x

    def backward(x, g):
        return (g * g / (1 + np.exp(-x)),)  # wrong

    return forward, backward


@example(
    "straight-through",
    "tanh",
    "`dout` is handed on as it came, as if forward were the identity. Where no straight-through estimator is meant, a "
    "factor was forgotten.",
    "return (g * (1 - y * y),)",
    x=normal(8, 12),
)
def _():
    def forward(x):
        y = np.tanh(x)
        return y, y

    def backward(y, g):
        return (g.copy(),)  # wrong

    return forward, backward


@example(
    "missing-factor",
    "bell curve",
    "By the chain rule the slope of `exp(-x * x)` is `exp(-x * x)` times that of `-x * x`, which is `-2 * x`. Of this "
    "only the number is here. Such a factor is told where the change that puts it in was found and proven.",
    "return (g * -2 * x * np.exp(-x * x),)",
    x=normal(15, 9),
)
def _():
    def forward(x):
        return np.exp(-x * x), x

    def backward(x, g):
        return (g * -2 * np.exp(-x * x),)  # wrong

    return forward, backward


@example(
    "wrong-operand",
    "gated tanh",
    "Several values are kept for backward, and the one is used where the other belongs. All shapes fit, and each of "
    "the values looks as the other does. It is told where the change that exchanges them was found and proven.",
    "return g * s * (1 - t * t), g * t * s * (1 - s)",
    a=normal(16, 3, 4),
    b=normal(17, 3, 4),
)
def _():
    def forward(a, b):
        t, s = np.tanh(a), 1 / (1 + np.exp(-b))
        return t * s, (t, s)

    def backward(saved, g):
        t, s = saved
        return g * s * (1 - t * t), g * t * s * (1 - t)  # wrong

    return forward, backward


@example(
    "transposed",
    "matmul",
    "The factors of a product stand the wrong way round. With a square weight no shape gives it away.",
    "return g @ W.T, x.T @ g",
    x=normal(9, 5, 3),
    W=normal(10, 3, 3),
)
def _():
    def forward(x, W):
        return x @ W, (x, W)

    def backward(cache, g):
        x, W = cache
        return g @ W.T, g.T @ x  # wrong

    return forward, backward


@example(
    "axes-permuted",
    "split into heads",
    "All the right numbers are there, in other places: an exchange of axes was not undone, or undone by the wrong one.",
    "return (g.swapaxes(0, 1).copy().reshape(shape),)",
    {"heads": 2},
    x=normal(11, 3, 4),
)
def _():
    def forward(x, heads):
        n, d = x.shape
        return x.reshape(n, heads, d // heads).swapaxes(0, 1).copy(), x.shape

    def backward(shape, g):
        return (g.copy().reshape(shape),)  # wrong

    return forward, backward


@example(
    "columns-exchanged",
    "gated product",
    "Whole slices along an axis (gates, channels, heads) stand in each other's places.",
    "return (np.concatenate([da, db, dc], axis=1),)",
    x=normal(12, 3, 6),
)
def _():
    def forward(x):
        a, b, c = np.split(x, 3, axis=1)
        return a * b + c, (a, b)

    def backward(cache, g):
        a, b = cache
        da, db, dc = g * b, g * a, g
        return (np.concatenate([db, da, dc], axis=1),)  # wrong

    return forward, backward


@example(
    "swapped-primals",
    "multiply",
    "The gradient of one input is what that of another should be. Where the inputs have one shape, no shape gives it "
    "away.",
    "return g * b, g * a",
    a=normal(13, 6),
    b=normal(14, 6),
)
def _():
    def forward(a, b):
        return a * b, (a, b)

    def backward(cache, g):
        a, b = cache
        return g * a, g * b  # wrong

    return forward, backward


@example(
    "shifted",
    "slice",
    "The right numbers stand some places too far on, or too far back: an index is off by one.",
    "dx[1:7] = g",
    x=normal(15, 10),
)
def _():
    def forward(x):
        return x[1:7].copy(), x

    def backward(x, g):
        dx = np.zeros_like(x)
        dx[:6] = g  # wrong
        return (dx,)

    return forward, backward


@example(
    "border",
    "differences",
    "The gradient is wrong along an edge of the array, and right inside: the edge was forgotten, or is padded "
    "otherwise than in forward.",
    "dx[:, 1:] += g\ndx[:, :-1] -= g",
    x=normal(16, 4, 8),
)
def _():
    def forward(x):
        return x[:, 1:] - x[:, :-1], x

    def backward(x, g):
        dx = np.zeros_like(x)
        dx[:, 1:-1] = g[:, :-1] - g[:, 1:]  # wrong
        return (dx,)

    return forward, backward


@example(
    "single-element",
    "softmax with loss",
    "One element is wrong, and all others are right. Here `=` stands where `-=` should, in one place of the array.",
    "p[label] -= 1",
    {"label": 5},
    x=[0.3, -1.0, 0.8, -0.4, 0.1, 2.4, -0.7, 0.5, -0.2],
)
def _():
    def forward(x, label):
        log_sum = np.logaddexp.reduce(x)
        return log_sum - x[label], (x, log_sum, label)

    def backward(cache, g):
        x, log_sum, label = cache
        p = np.exp(x - log_sum)
        p[label] = -1  # wrong
        return (p * g,)

    return forward, backward


@example(
    "masked-region",
    "leaky ReLU",
    "The gradient is wrong where a condition holds, here `x < 0`, and right everywhere else: look at the branch, or "
    "the mask, that is taken there.",
    "return (np.where(x > 0, g, 0.3 * g),)",
    x=np.linspace(-2.1, 2.1, 24),
)
def _():
    def forward(x):
        return np.where(x > 0, x, 0.3 * x), x

    def backward(x, g):
        return (g * (x > 0),)  # wrong

    return forward, backward


@example(
    "tie-or-kink",
    "leaky ReLU",
    "The gradient is wrong exactly where forward has a corner, or where values are equal. At a corner any slope "
    "between those on its two sides is right; here both masks hold at 0, and the two slopes add up.",
    "return (g * (x >= 0) + g * slope * (x < 0),)",
    {"slope": 0.3},
    x=np.linspace(-2, 2, 9),
)
def _():
    def forward(x, slope):
        return np.where(x > 0, x, slope * x), (x, slope)

    def backward(cache, g):
        x, slope = cache
        return (g * (x >= 0) + g * slope * (x <= 0),)  # wrong

    return forward, backward


@example(
    "not-finite",
    "softplus",
    "The gradient is nan, or infinite, where forward has a slope. Here `e / (1 + e)` is infinity over infinity as "
    "soon as `exp(x)` overflows.",
    "return (g / (1 + np.exp(-x)),)",
    x=[-900, -300, -100, -2.0, 0.5, 3, 100, 400, 800, 900],
)
def _():
    def forward(x):
        return np.logaddexp(0, x), x

    def backward(x, g):
        e = np.exp(x)  # wrong
        return (g * e / (1 + e),)  # wrong

    return forward, backward


@example(
    "missing-broadcast-sum",
    "bias",
    "An input that forward broadcast has a gradient of the output's shape: the sum over the rows that shared it is "
    "missing.",
    "return g.copy(), g.sum(axis=0)",
    x=normal(18, 3, 5),
    b=normal(19, 5),
)
def _():
    def forward(x, b):
        return x + b, None

    def backward(_, g):
        return g.copy(), g.copy()  # wrong

    return forward, backward


@example(
    "wrong-sum-axis",
    "bias",
    "The sum is taken over another axis than the one that was broadcast. With as many rows as columns no shape gives "
    "it away.",
    "return g.copy(), g.sum(axis=0)",
    x=normal(20, 4, 4),
    b=normal(21, 4),
)
def _():
    def forward(x, b):
        return x + b, None

    def backward(_, g):
        return g.copy(), g.sum(axis=1)  # wrong

    return forward, backward


@example(
    "last-write-wins",
    "embedding",
    "What forward reads several times gets only one share of its gradient: the assignment overwrites the others, "
    "where they should add up.",
    "np.add.at(dW, ids, g)",
    {"ids": np.array([2, 0, 2, 3, 0, 2])},
    W=normal(22, 5, 4),
)
def _():
    def forward(W, ids):
        return W[ids], (W, ids)

    def backward(cache, g):
        W, ids = cache
        dW = np.zeros_like(W)
        dW[ids] = g  # wrong
        return (dW,)

    return forward, backward


@example(
    "missing-term",
    "softmax",
    "A path from input to output was forgotten. Here every output depends on all inputs of its row, through the sum "
    "below the fraction, and only the path through its own is there.",
    "return (y * (g - (g * y).sum(axis=1, keepdims=True)),)",
    x=normal(23, 2, 5),
)
def _():
    def forward(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(y, g):
        return (y * g,)  # wrong

    return forward, backward


@example(
    "wrong-order",
    "centred gain",
    "A factor stands on the wrong side of a sum or a mean. Forward multiplies last, so backward must multiply first.",
    "g = gain * g\nreturn (g - g.mean(axis=1, keepdims=True),)",
    {"gain": np.array([0.5, 1.0, 2.0, 4.0])},
    x=normal(24, 2, 4),
)
def _():
    def forward(x, gain):
        return gain * (x - x.mean(axis=1, keepdims=True)), gain

    def backward(gain, g):
        return (gain * (g - g.mean(axis=1, keepdims=True)),)  # wrong

    return forward, backward


@example(
    "float32-round-trip",
    "tanh",
    "The gradient is right to seven digits, or to three: something on the way is kept, or computed, in float32 or "
    "float16, and cast back.",
    "return y, y",
    x=normal(25, 12),
)
def _():
    def forward(x):
        y = np.tanh(x)
        return y, y.astype(np.float32)  # wrong

    def backward(y, g):
        return (g * (1 - y * y),)

    return forward, backward


@example(
    "rounded-constants",
    "scaled tanh",
    "A constant is written with fewer digits in backward than in forward. Here 0.6667 stands for 2 / 3, and the "
    "gradient is right to four digits.",
    "return (g * 1.7159 * (2 / 3) / np.cosh(2 / 3 * x) ** 2,)",
    x=normal(26, 12),
)
def _():
    def forward(x):
        return 1.7159 * np.tanh(2 / 3 * x), x

    def backward(x, g):
        return (g * 1.7159 * 0.6667 / np.cosh(0.6667 * x) ** 2,)  # wrong

    return forward, backward


@example(
    "epsilon-mismatch",
    "safe logarithm",
    "Forward adds an epsilon and backward does not, or another one. It matters where the input is small, and less "
    "and less where it is large.",
    "return (g / (x + 1e-3),)",
    x=np.random.default_rng(27).uniform(0.2, 2.0, 12),
)
def _():
    def forward(x):
        return np.log(x + 1e-3), x

    def backward(x, g):
        return (g / x,)  # wrong

    return forward, backward


@example(
    "other-approximation",
    "quick GELU",
    "The gradient is that of a function which is nearly forward's. Here forward computes an approximation, and "
    "backward differentiates what it approximates (`expit` and `ndtr` are SciPy's).",
    "s = expit(1.702 * x)\nreturn (g * (s + 1.702 * x * s * (1 - s)),)",
    x=normal(28, 12),
)
def _():
    def forward(x):
        return x * expit(1.702 * x), x

    def backward(x, g):
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)  # wrong
        return (g * (ndtr(x) + x * density),)  # wrong

    return forward, backward


@example(
    "stale-residuals",
    "square",
    "The gradient belongs to an earlier call: what backward needs is kept outside the residuals, and not renewed. "
    "Checked once, it looks right.",
    "return x * x, x.copy()",
    x=normal(29, 4),
)
def _():
    known = {}

    def forward(x):
        return x * x, known.setdefault(x.shape, x.copy())  # wrong

    def backward(x, g):
        return (2 * x * g,)

    return forward, backward


@example(
    "accumulates",
    "matmul",
    "Each call adds to the gradient of the call before, because it is kept and never set back to zero.",
    'total["W"] = x.T @ g',
    x=normal(30, 3, 2),
    W=normal(31, 2, 4),
)
def _():
    total = {"W": 0.0}

    def forward(x, W):
        return x @ W, (x, W)

    def backward(cache, g):
        x, W = cache
        total["W"] = total["W"] + x.T @ g  # wrong
        return g @ W.T, total["W"].copy()

    return forward, backward


@example(
    "nondeterministic",
    "dropout",
    "Each call gives another gradient. Here backward draws a mask of its own, where it should use the one that "
    "forward drew.",
    "",
    {"seed": 1},
    x=normal(32, 3, 4),
)
def _():
    rng = np.random.default_rng(0)

    def forward(x, seed):
        mask = np.random.default_rng(seed).random(x.shape) < 0.5
        return x * mask, mask

    def backward(mask, g):
        mask = rng.random(g.shape) < 0.5  # wrong
        return (g * mask,)

    return forward, backward


@example(
    "mutates-argument",
    "ReLU",
    "Backward writes into `dout`, or forward into its input, and whoever holds that array finds other numbers in it. "
    "The gradient itself is right.",
    "g = g * mask",
    x=normal(33, 7),
)
def _():
    def forward(x):
        return np.maximum(x, 0), x > 0

    def backward(mask, g):
        g[~mask] = 0  # wrong
        return (g.copy(),)

    return forward, backward


@example(
    "aliases-memory",
    "add",
    "Two gradients, or a gradient and `dout`, are one array: what is written into the one changes the other.",
    "return g.copy(), g.copy()",
    a=normal(34, 5),
    b=normal(35, 5),
)
def _():
    def forward(a, b):
        return a + b, None

    def backward(_, g):
        return g, g  # wrong

    return forward, backward


@example(
    "assumes-contiguous",
    "exponential",
    "The same numbers in another memory layout (Fortran order, a slice, a transpose) give another gradient.",
    "return ((g.ravel() * y.ravel()).reshape(y.shape),)",
    x=normal(36, 3, 4),
)
def _():
    def forward(x):
        y = np.exp(x)
        return y, y

    def backward(y, g):
        return ((g.ravel(order="K") * y.ravel()).reshape(y.shape),)  # wrong

    return forward, backward


@example(
    "wrong-dtype",
    "embedding",
    "The gradient has another dtype than its input. The optimizer then rounds, or refuses, or makes a copy of the "
    "weights in the other dtype.",
    "dW = np.zeros_like(W)",
    {"ids": np.array([2, 0, 1, 2])},
    W=normal(37, 3, 2),
)
def _():
    def forward(W, ids):
        return W[ids], (W, ids)

    def backward(cache, g):
        W, ids = cache
        dW = np.zeros(W.shape, np.float32)  # wrong
        np.add.at(dW, ids, g)
        return (dW,)

    return forward, backward


@example(
    "wrong-shape",
    "row scale",
    "The numbers are right, and the shape is another than the input's. Broadcasting then makes a matrix of what was "
    "meant as a column.",
    "return g * c, (g * x).sum(axis=1, keepdims=True)",
    x=normal(38, 4, 3),
    c=normal(39, 4, 1),
)
def _():
    def forward(x, c):
        return x * c, (x, c)

    def backward(cache, g):
        x, c = cache
        return g * c, (g * x).sum(axis=1)  # wrong

    return forward, backward
