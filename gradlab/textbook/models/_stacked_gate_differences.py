"""The central differences of LogicGate's loss, all at once."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from gradlab.node import Array

HIDDEN = 6
DELTA = 1e-7
STEP = 1e-4  # numerical_gradient's own


def stacked_differences(theta: Array, x: Array, t: Array) -> Callable[[], Array]:
    """Return ``differences()``: the gradient at the values that `theta` has at the call, always in the same array.

    Parameters
    ----------
    theta : ndarray of shape (25,)
        W1 row by row, b1, W2, b2.
    x, t : ndarray of shape (N, 2) and (N,)
        The rows, and their targets, 0 or 1.

    Notes
    -----
    A perturbed W1, b1 or W2 changes what one hidden unit passes to the output; so per row and unit there are
    eight (4 parameters, up and down) such terms to compute, and fifty outputs to add up from them. Every number
    is computed by the operations that `LogicGate.loss` has, in their order, and has the same bits.
    All arrays are allocated once: with 25 parameters the time goes into calls, not into arithmetic.
    """
    n = len(x)
    unit, b2 = theta[:-1].reshape(4, HIDDEN), theta[-1:]  # each unit's two weights, bias, and weight out
    # axes: which of the four, row, up or down, which of the four is perturbed, unit
    shifts = np.einsum("s,pv->psv", [STEP, -STEP], np.eye(4))[:, np.newaxis, :, :, np.newaxis]
    start = unit[:, np.newaxis, np.newaxis, np.newaxis, :]
    perturbed = np.empty((4, 1, 2, 4, HIDDEN))
    weights, bias, weight_out = perturbed[:2], perturbed[2], perturbed[3]
    inputs = x.T[:, :, np.newaxis, np.newaxis, np.newaxis]
    products = np.empty((2, n, 2, 4, HIDDEN))
    first, second = products
    hidden = np.empty((n, 2, 4, HIDDEN))

    # the terms of an output, first those of the unperturbed network, then the one that differs written over them
    terms = np.empty((HIDDEN, n, 50))
    unperturbed, unperturbed_out = hidden[:, 0, 3].T[:, :, np.newaxis], unit[3][:, np.newaxis, np.newaxis]
    nets = terms.reshape(HIDDEN, n, 2, 25)[..., :-1].reshape(HIDDEN, n, 2, 4, HIDDEN)
    differing = np.einsum("unsvu->nsvu", nets)

    outputs = np.empty((n, 50))
    b2_shifts, b2_perturbed = np.zeros(50), np.empty(50)
    b2_shifts[[24, 49]] = STEP, -STEP
    wrong = np.repeat(1 - t[:, np.newaxis], 50, axis=1)
    delta, losses = np.array(DELTA), np.empty(50)  # a Python number would be made an array at each call
    ends, steps, gradient = np.empty((2, 25)), np.empty(25), np.empty(25)
    both_ways = np.array([[STEP], [-STEP]])

    def differences() -> Array:
        np.add(start, shifts, perturbed)
        np.multiply(weights, inputs, products)
        np.add(first, second, hidden)
        np.add(hidden, bias, hidden)
        expit(hidden, hidden)
        np.multiply(unperturbed, unperturbed_out, terms)
        np.multiply(hidden, weight_out, differing)
        np.add.reduce(terms, axis=0, out=outputs)
        np.add(b2, b2_shifts, b2_perturbed)
        np.add(outputs, b2_perturbed, outputs)
        expit(outputs, outputs)
        # the probability of the target: y where it is 1, 1 - y where it is 0; the loss's other term is 0
        np.subtract(wrong, outputs, outputs)
        np.abs(outputs, outputs)
        np.add(outputs, delta, outputs)
        np.log(outputs, outputs)
        np.add.reduce(outputs, axis=0, out=losses)
        np.subtract(losses[25:], losses[:25], gradient)  # the loss is minus the sum
        np.add(theta, both_ways, ends)
        np.subtract(ends[0], ends[1], steps)
        return np.divide(gradient, steps, gradient)

    return differences
