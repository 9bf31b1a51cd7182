"""What every recurrent node needs: its shapes, its steps in order of time, and the blocks of a truncated sequence."""

from collections.abc import Mapping

import numpy as np

from gradlab.node import Array


def check_shapes(
    x: Array, Wx: Array, Wh: Array, b: Array, axes: str, gates: int = 1, **states: Array
) -> None:
    """Raise a `ValueError` unless the arrays fit each other.

    `axes` says what `x` is to have, "batch, features" or "batch, time, features"; `gates` is how many blocks of
    columns the weights hold, and `states` are the arrays of shape (batch, units) by their names.
    """
    if x.ndim != len(axes.split(",")):
        raise ValueError(f"x has shape {x.shape}: give ({axes})")
    if Wh.ndim != 2 or Wh.shape[1] != gates * Wh.shape[0]:
        raise ValueError(f"Wh has shape {Wh.shape}: give (units, {f'{gates} * ' if gates > 1 else ''}units)")
    units, columns = Wh.shape
    found = {"Wx": Wx, "b": b, **states}
    expected = {"Wx": (x.shape[-1], columns), "b": (columns,)}
    for name, array in found.items():
        shape = expected.get(name, (len(x), units))
        if array.shape != shape:
            raise ValueError(
                f"{name} has shape {array.shape}, x {x.shape} and Wh {Wh.shape}: give {name} of shape {shape}"
            )


def steps_first(x: Array) -> Array:
    """Return (batch, time, features) as (time, batch, features), so that a step is one piece of memory."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def put_inputs(out: Array, x: Array, Wx: Array, b: Array) -> None:
    """Put x_t Wx + b of all steps into `out`, which is one piece of memory, (time, batch, columns), by one product."""
    count = x.shape[0] * x.shape[1]
    flat = out.reshape(count, len(b))
    np.matmul(x.reshape(count, len(Wx)), Wx, out=flat)
    flat += b


def block_borders(truncation: int | None, steps: int) -> range:
    """Return the first step of every block but the first, where blocks have `truncation` steps.

    Raises
    ------
    ValueError
        If `truncation` is neither None, which is one block, nor a whole number above 0.
    """
    if truncation is None:
        return range(0)
    if not isinstance(truncation, int | np.integer) or truncation < 1:
        raise ValueError(f"truncation is {truncation}: give a whole number of steps, at least 1, or None")
    return range(int(truncation), steps, int(truncation))


def given_starts(name: str, starts: Array | None, borders: range, state: Array) -> dict[int, Array]:
    """Return the given state before each block but the first, by the block's first step; none if `starts` is None.

    Raises
    ------
    ValueError
        If `starts` has not the shape (batch, number of blocks - 1, units), as `state` is (batch, units).
    """
    if starts is None:
        return {}
    shape = (state.shape[0], len(borders), state.shape[1])
    if starts.shape != shape:
        raise ValueError(
            f"{name} has shape {starts.shape} for {len(borders)} blocks of truncation steps after the first: "
            f"give {shape}, a state before each of these, or None"
        )
    return {t: starts[:, i].astype(state.dtype) for i, t in enumerate(borders)}


def states_before(states: Array, starts: Mapping[int, Array]) -> Array:
    """Return the state that each step begins with, of `states` that begin with the first step's."""
    before = states[:-1]
    if starts:
        before = before.copy()
        for t, start in starts.items():
            before[t] = start
    return before


def sigmoid_in_place(x: Array) -> None:
    """Replace `x` by 1 / (1 + exp(-x)).

    The exponential may overflow, and that is right, since 1 / inf is the sigmoid's limit: silence it outside, once
    for many steps.
    """
    # not np.negative(x, out=x): on views of some strides NumPy 2.4 leaves all but the first number wrong
    x *= -1
    np.exp(x, out=x)
    x += 1
    np.divide(1, x, out=x)


def side_by_side(gates: Array) -> Array:
    """Return (time, batch, gates, units) as a view of shape (time, batch, gates * units)."""
    steps, count, number, units = gates.shape
    return gates.reshape(steps, count, number * units)


def summed_products(left: Array, d: Array) -> Array:
    """Return the sum over all steps t of left_t^T d_t, as one product."""
    count = d.shape[0] * d.shape[1]
    return left.reshape(count, left.shape[2]).T @ d.reshape(count, d.shape[2])


def input_gradients(d: Array, x: Array, Wx: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of x (batch first), of Wx and of b from `d`, those of x_t Wx + b (time first)."""
    flat = d.reshape(d.shape[0] * d.shape[1], d.shape[2])
    dx = (flat @ Wx.T).reshape(x.shape).swapaxes(0, 1)
    return dx, summed_products(x, d), flat.sum(axis=0)
