"""The numerical gradient of a program by every parameter, each time computing only what has changed."""

from collections.abc import Mapping

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import float_array
from gradlab.textbook.incremental.affine import affine_gradients
from gradlab.textbook.incremental.elements import by_changed_rows, by_whole_batches
from gradlab.textbook.incremental.program import Program, Unperturbed

# numerical_gradient's own
STEP = 1e-4


def incremental_gradient(program: Program, params: Mapping[str, Array]) -> dict[str, Array]:
    """Return the gradient of a program's loss by central differences, with the step of `numerical_gradient`.

    Parameters
    ----------
    program : Program
    params : mapping of str to ndarray
        The arrays that the program computes with, by name. They are restored afterwards, whatever happens.

    Returns
    -------
    dict
        The gradients by name, each of its parameter's shape and dtype; they differ from those of the plain loop by
        rounding alone.

    Raises
    ------
    TypeError
        If a parameter does not hold real floats.
    ValueError
        If the loss, or a difference, is not finite, the step vanishes against a parameter, or a parameter that has to
        be moved in place is read-only.

    Notes
    -----
    No derivative is used anywhere, only forward passes of the steps. One weight of an affine step moves one column of
    its output, and only in those rows where the weight's input is not 0; any other step is computed anew. The values
    behind the step are computed for the rows that have moved, many perturbations side by side, as long as no row
    depends on another; otherwise for the whole batch.
    """
    unperturbed = Unperturbed(program)
    of_affine: dict[int, tuple[Array, Array]] = {}
    found = {}
    for name, param in params.items():
        _check_step(name, float_array(param))
        gradient = _gradient(unperturbed, param, of_affine)
        if not np.isfinite(gradient).all():
            raise ValueError(
                f"the loss has no finite difference by {name}: give other data, or smaller parameters"
            )
        found[name] = gradient
    return found


def _gradient(unperturbed: Unperturbed, param: Array, of_affine: dict[int, tuple[Array, Array]]) -> Array:
    """Return the gradient by one parameter; `of_affine` keeps both of an affine step, which come together."""
    users = unperturbed.users(param)
    if not users or not unperturbed.tail(*users).losses:
        return np.zeros_like(param)
    number, params = users[0], unperturbed.step(users[0]).params
    if len(users) > 1 or all(array is not param for array in params):
        return by_whole_batches(unperturbed, users, param, STEP)
    if unperturbed.kind(number) == "affine":
        if number not in of_affine:
            of_affine[number] = affine_gradients(unperturbed, number, STEP)
        place = 0 if params[0] is param else 1
        return of_affine[number][place].astype(param.dtype)
    if unperturbed.tail(number).by_row:
        return by_changed_rows(unperturbed, number, param, STEP)
    return by_whole_batches(unperturbed, users, param, STEP)


def _check_step(name: str, param: Array) -> None:
    step = param.dtype.type(STEP)
    lost = np.argwhere(param + step == param - step)
    if len(lost):
        index = ", ".join(map(str, lost[0]))
        raise ValueError(
            f"the step {STEP:g} vanishes against {name}[{index}] = {param[tuple(lost[0])]:g}: scale it down"
        )
