"""Connectionist temporal classification: labels without their places in time, averaged over the batch.

forward:  L = -(1/N) sum over n of log p_n, p_n the sum over all paths that read as labels_n, once repeats are merged
          and blanks are left out, of the product over t < input_lengths_n of softmax(x_tn) at the path's symbol;
          labels that fit into no path of that length cost 0, and have the gradient 0
backward: dx_tnc = g (softmax(x_tn)_c - share of p_n that is at symbol c at time t) / N, and 0 from input_lengths_n on

Source: Graves and others, 2006, ICML, with the path weights in logarithms. A path moves through the states blank,
label, blank, ..., blank, one at a time or past a blank between different labels; a state's share is handed back to
the states before it in proportion to what each brought. x has the shape (T, N, C) and holds logits; logarithms of
probabilities are such, whose softmax is themselves. labels has the shape (N, L), filled up with anything.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradlab.node import Array, Sample
from gradlab.sampling import normal


def forward(
    x: Array, *, labels: Array, label_lengths: Array, input_lengths: Array, blank: int = 0
) -> tuple[Array, Any]:
    _check(x, labels, label_lengths, input_lengths, blank)
    states = _states(labels, label_lengths, blank)
    shifted = x - x.max(axis=2, keepdims=True)
    log_y = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    batch = np.arange(x.shape[1])
    weights, parts = _ways(log_y[:, batch[:, None], states], states, blank)
    behind = np.arange(states.shape[1]) - 2 * label_lengths[:, None]
    final = np.where((behind == 0) | (behind == -1), weights[input_lengths - 1, batch], -np.inf)
    log_p = np.logaddexp.reduce(final, axis=1)
    possible = log_p > -np.inf
    log_p = np.where(possible, log_p, 0)
    ends = np.zeros_like(weights)
    ends[input_lengths - 1, batch] = np.exp(final - log_p[:, None])
    read = np.arange(len(x))[:, None] < input_lengths
    y = np.exp(log_y) * (read & possible)[:, :, None]
    symbols = (states[:, :, None] == np.arange(x.shape[2])).astype(x.dtype)
    return -np.sum(log_p) / x.shape[1], (y, ends, parts, symbols, len(x) - 1)


def _ways(log_y: Array, states: Array, blank: int) -> tuple[Array, Array]:
    """Return the log of the weight of all ways to each state at each time, and which part of it came which way.

    The parts have the shape (T, 3, N, 2 L + 1): from the state itself, the one before it, and the one before that.
    """
    may_jump = (states[:, 2:] != states[:, :-2]) & (states[:, 2:] != blank)
    ways = np.full((3, *states.shape), -np.inf, log_y.dtype)
    ways[0, :, :2] = 0
    weights, parts = np.empty_like(log_y), np.empty((len(log_y), *ways.shape), log_y.dtype)
    info = np.finfo(log_y.dtype)
    for t in range(len(log_y)):
        if t:
            ways[0] = weights[t - 1]
            ways[1, :, 1:] = weights[t - 1, :, :-1]
            np.copyto(ways[2, :, 2:], weights[t - 1, :, :-2], where=may_jump)
        # the lowest number, where no way leads, keeps -inf - (-inf) away
        highest = np.maximum(ways.max(axis=0), info.min)
        np.exp(np.subtract(ways, highest, out=parts[t]), out=parts[t])
        total = parts[t].sum(axis=0)
        parts[t] /= np.maximum(total, info.tiny)
        with np.errstate(divide="ignore"):  # no way at all has the weight log 0
            weights[t] = np.log(total) + highest + log_y[t]
    return weights, parts


def _states(labels: Array, label_lengths: Array, blank: int) -> Array:
    """Return the symbols that a path goes through, a blank before, between and behind, shape (N, 2 L + 1)."""
    states = np.full((len(labels), 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = np.where(np.arange(labels.shape[1]) < label_lengths[:, None], labels, blank)
    return states


def _check(x: Array, labels: Array, label_lengths: Array, input_lengths: Array, blank: int) -> None:
    if x.ndim != 3 or labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"x has shape {x.shape}, labels {labels.shape} and dtype {labels.dtype}: "
            "give (T, N, C), and whole numbers (N, L)"
        )
    steps, count, classes = x.shape
    for name, lengths, least, most in (
        ("label_lengths", label_lengths, 0, labels.shape[1]),
        ("input_lengths", input_lengths, 1, steps),
    ):
        whole = np.issubdtype(lengths.dtype, np.integer) and lengths.shape == (count,) == labels.shape[:1]
        if not whole or ((lengths < least) | (lengths > most)).any():
            raise ValueError(
                f"{name} has shape {lengths.shape} and dtype {lengths.dtype} for {count} sequences, or a number out "
                f"of range: give {count} whole numbers from {least} to {most}"
            )
    if not 0 <= blank < classes:
        raise ValueError(f"blank is {blank}, which is no class: give 0 to {classes - 1}")
    used = labels[np.arange(labels.shape[1]) < label_lengths[:, None]]
    wrong = used[(used < 0) | (used >= classes) | (used == blank)]
    if wrong.size:
        raise ValueError(
            f"labels holds {wrong[0]}: give classes from 0 to {classes - 1} other than the blank"
        )


def backward(residuals: Any, g: Array) -> tuple[Array, ...]:
    y, ends, parts, symbols, last = residuals
    shares = ends.copy()
    for t in range(last, 0, -1):
        brought = shares[t] * parts[t]
        shares[t - 1] += brought[0]
        shares[t - 1, :, :-1] += brought[1, :, 1:]
        shares[t - 1, :, :-2] += brought[2, :, 2:]
    at_symbols = (shares.transpose(1, 0, 2) @ symbols).transpose(1, 0, 2)
    return ((y - at_symbols) * (g / len(symbols)),)


def reference(x: Array, *, labels: Array, label_lengths: Array, input_lengths: Array, blank: int = 0) -> Any:
    from itertools import groupby, product

    from scipy.special import log_softmax, logsumexp

    log_y = log_softmax(x, axis=2)
    losses = []
    for n, (length, frames) in enumerate(zip(label_lengths, input_lengths, strict=True)):
        wanted = [int(label) for label in labels[n, :length]]
        found = [
            sum(log_y[t, n, symbol] for t, symbol in enumerate(path))
            for path in product(range(x.shape[2]), repeat=int(frames))
            if [symbol for symbol, _ in groupby(path) if symbol != blank] == wanted
        ]
        losses.append(-logsumexp(found) if found else 0.0)
    return np.mean(losses)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    def settings(labels: list[list[int]], lengths: list[int], frames: list[int]) -> dict[str, Array]:
        return {
            "labels": np.array(labels, dtype=int),
            "label_lengths": np.array(lengths),
            "input_lengths": np.array(frames),
        }

    yield Sample("two labels, 4 frames", (normal(rng, 4, 1, 3),), settings([[1, 2]], [2], [4]))
    yield Sample("a repeated label", (normal(rng, 5, 1, 2),), settings([[1, 1]], [2], [5]))
    yield Sample(
        "differing lengths",
        (normal(rng, 4, 3, 3),),
        settings([[2, 1], [1, -1], [1, 1]], [2, 1, 2], [4, 2, 3]),
    )
    yield Sample(
        "the blank last, and another label after a repeat",
        (normal(rng, 5, 2, 3),),
        {**settings([[0, 0, 1], [1, 0, 1]], [3, 3], [5, 4]), "blank": 2},
    )
    yield Sample(
        "no room, and nothing to read",
        (normal(rng, 3, 3, 3),),
        settings([[1, 1], [2, 0], [0, 0]], [2, 1, 0], [2, 3, 2]),
    )
    yield Sample("no labels at all", (normal(rng, 2, 2, 2),), settings([[], []], [0, 0], [2, 1]))
    far = np.array([[[400.0, 400.0, -400.0], [0.0, 400.0, 401.0]], [[0.0, 0.0, 0.0], [-400.0, 1.0, 2.0]]])
    yield Sample("logits far from 0 and far apart", (far,), settings([[2, 1], [1, 2]], [1, 2], [2, 2]))
