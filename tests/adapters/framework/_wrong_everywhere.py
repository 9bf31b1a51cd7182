"""Wrong functions, each as a pair for NumPy, as a torch.autograd.Function and as a jax.custom_vjp.

Each is written once, for the array functions that the three have in common (`xp`); what keeps something between calls
has its own for each that is made of it.
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Wrong(NamedTuple):
    """A wrong function.

    ``make(xp)`` returns forward and backward of the node contract, for NumPy, torch or jax.numpy.
    """

    make: Callable
    shapes: tuple
    diagnosis: str
    primal: str = "x"
    mutates: bool = False


WRONG: dict[str, Wrong] = {}


def wrong(diagnosis, *shapes, primal="x", mutates=False):
    def put(make):
        WRONG[make.__name__] = Wrong(make, shapes, diagnosis, primal, mutates)
        return make

    return put


def as_torch(torch, make):
    """Return a function of tensors that goes through a torch.autograd.Function."""
    forward, backward = make(torch)

    class Written(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *primals):
            output, residuals = forward(*primals)
            ctx.save_for_backward(*residuals)
            return output

        @staticmethod
        def backward(ctx, *g):
            return backward(ctx.saved_tensors, g if len(g) > 1 else g[0])

    def function(*primals):
        return Written.apply(*primals)

    function.__signature__ = inspect.signature(forward)
    return function


def as_jax(jax, make):
    """Return a jax.custom_vjp."""
    forward, backward = make(jax.numpy)

    def function(*primals):
        return forward(*primals)[0]

    function.__signature__ = inspect.signature(forward)
    function = jax.custom_vjp(function)
    function.defvjp(forward, backward)
    return function


@wrong("sign-flipped", (2, 3))
def turned_sign(xp):
    return lambda x: (xp.sin(x), (x,)), lambda r, g: (-g * xp.cos(r[0]),)


@wrong("constant-factor", (2, 3))
def factor(xp):
    return lambda x: (x**2, (x,)), lambda r, g: (3 * r[0] * g,)


@wrong("transposed", (3, 3), (3, 3), primal="w")
def transposed_weight(xp):
    return lambda x, w: (x @ w, (x, w)), lambda r, g: (g @ r[1].T, g.T @ r[0])


@wrong("missing-broadcast-sum", (2, 3), (3,), primal="b")
def bias_not_summed(xp):
    return lambda x, b: (x + b, (x, b)), lambda r, g: (2 * g / 2, 2 * g / 2)


@wrong("wrong-sum-axis", (3, 3), (3,), primal="b")
def summed_over_columns(xp):
    return lambda x, b: (x + b, (x, b)), lambda r, g: (g * 1, g.sum(1))


@wrong("ignores-cotangent", (2, 3))
def forgotten_cotangent(xp):
    return lambda x: (xp.tanh(x), (x,)), lambda r, g: (1 / xp.cosh(r[0]) ** 2,)


@wrong("zero-gradient", (2, 3), (2, 3), primal="w")
def ignored_input(xp):
    return lambda x, w: (x * w, (x, w)), lambda r, g: (g * r[1], 0 * r[1])


@wrong("missing-term", (2, 4))
def softmax_without_its_sum(xp):
    def softmax(x):
        e = xp.exp(x)
        return e / e.sum(1, keepdims=True)

    return lambda x: (softmax(x), (x,)), lambda r, g: (g * softmax(r[0]),)


@wrong("swapped-primals", (2, 3), (2, 3))
def exchanged(xp):
    return lambda x, w: (x * w, (x, w)), lambda r, g: (g * r[0], g * r[1])


@wrong("shifted", (7,))
def off_by_one(xp):
    return lambda x: (x**2, (x,)), lambda r, g: (xp.roll(2 * r[0] * g, 1),)


@wrong("last-write-wins", (4, 2))
def accumulation_dropped(xp):
    rows = [0, 2, 2, 3, 0]

    def backward(r, g):
        last = [max((i for i, row in enumerate(rows) if row == k), default=None) for k in range(4)]
        return (xp.stack([0 * g[0] if i is None else g[i] for i in last]),)

    return lambda x: (xp.stack([x[k] for k in rows]), (x,)), backward


@wrong("nonlinear-in-cotangent", (2, 3))
def clipped(xp):
    return lambda x: (x**2, (x,)), lambda r, g: (2 * r[0] * xp.clip(g, -0.5, 0.5),)


@wrong("masked-region", (2, 3))
def slope_of_the_negative(xp):
    return lambda x: (xp.abs(x), (x,)), lambda r, g: (g + 0 * r[0],)


@wrong("additive-bias", (2, 3))
def added_decay(xp):
    return lambda x: (xp.sin(x), (x,)), lambda r, g: (g * xp.cos(r[0]) + 0.01,)


@wrong("transposed", (1, 2, 2))
def permuted(xp):
    return lambda x: (x**2, (x,)), lambda r, g: (xp.swapaxes(2 * r[0] * g, 1, 2),)


@wrong("border", (4, 3))
def last_left_out(xp):
    def backward(r, g):
        d = 2 * r[0] * g
        return (xp.concatenate([d[:-1], 0 * d[-1:]]),)

    return lambda x: (x**2, (x,)), backward


@wrong("single-element", (2, 3))
def one_element(xp):
    def backward(r, g):
        d = (2 * r[0] * g).reshape(-1)
        return (xp.concatenate([d[:2], 1.5 * d[2:3], d[3:]]).reshape(r[0].shape),)

    return lambda x: (x**2, (x,)), backward


@wrong("stale-residuals", (2, 3), primal="")
def stale_cache(xp):
    cache = {}

    def forward(x):
        cache["x"] = x
        return x**2, (x,)

    return forward, lambda r, g: (2 * cache["x"] * g,)


@wrong("accumulates", (2, 3))
def never_cleared(xp):
    total = []

    def backward(r, g):
        total.append(2 * r[0] * g)
        return (sum(d for d in total if d.shape == r[0].shape and d.dtype == r[0].dtype),)

    return lambda x: (x**2, (x,)), backward


@wrong("nondeterministic", (2, 3))
def draws_again(xp):
    rng = np.random.default_rng(0)
    return lambda x: (x**2, (x,)), lambda r, g: (2 * r[0] * g * float(rng.uniform(0.5, 1.5)),)


@wrong("mutates-argument", (2, 3), primal="", mutates=True)
def writes_into_the_cotangent(xp):
    def backward(r, g):
        g *= 2
        return (r[0] * g,)

    return lambda x: (x**2, (x,)), backward
