"""What a function of the memory itself, ties and single precision are held to, where nobody asked for them."""

import numpy as np
import pytest

from gradlab import Verdict, check_vjp
from gradlab.checks import any_layout
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample

X = np.random.default_rng(44).standard_normal((3, 4))


def trial_of(forward, backward, *primals, **more):
    sample = Sample("given", primals, {})
    node = Node("node", "own", forward, backward, lambda rng: iter([sample]))
    return Trial(node, sample, **{"registered": False} | more)


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def as_stored(x):
    """Return the numbers in the order in which they lie in memory, as as_strided and storage() give them."""
    return x.ravel(order="K") ** 2, x


def d_as_stored(x, g):
    # right for whatever forward gave
    flat = 2 * x.ravel(order="K") * g
    return (flat.reshape(x.shape, order="F" if is_fortran(x) else "C"),)


def is_fortran(x):
    return x.flags.f_contiguous and not x.flags.c_contiguous


def rows_of(report, check):
    return [row for row in report.rows if row.check == check]


def test_a_forward_that_reads_strides_is_warned_of_and_not_its_gradient():
    report = check_vjp(as_stored, d_as_stored, (X,), checks=["matches_numerical", "any_layout"])
    assert report.ok
    rows = rows_of(report, "any_layout")
    assert rows
    assert {row.verdict for row in rows} == {Verdict.WARNING}
    assert all(
        row.note.startswith(
            "beyond the given point: forward itself gives something else where the primals are"
        )
        for row in rows
    )
    asked = check_vjp(as_stored, d_as_stored, (X,), checks=["any_layout"], explore="all")
    assert not asked.ok
    assert any("forward itself gives something else" in row.note for row in asked.rows)


def test_in_a_registered_node_it_is_an_error():
    found = list(any_layout.check(trial_of(as_stored, d_as_stored, X, registered=True)))
    assert any(
        result.verdict is Verdict.WRONG and result.note.startswith("forward itself") for result in found
    )


def test_a_backward_alone_that_reads_strides_is_an_error_all_the_same():
    in_memory_order = lambda x, g: (2 * x.ravel(order="K").reshape(x.shape) * g,)
    report = check_vjp(square, in_memory_order, (X,), checks=["any_layout"])
    assert not report.ok
    assert all("forward itself" not in row.note for row in report.rows)
    assert check_vjp(square, d_square, (X,), checks=["any_layout"]).ok


def largest(x):
    return x.max(), x


def of_first_in_memory(x, g):
    """Return the gradient of a maximum that the first of several equal elements takes: first in memory."""
    flat = x.ravel(order="K")
    gradient = np.zeros_like(flat)
    # a broadcast array has no second row in memory
    shared = x.ndim > 1 and x.strides[0] == 0
    places = np.flatnonzero(flat == flat.max())
    gradient[places[-1 if shared else 0]] = g
    return (gradient.reshape(x.shape, order="F" if is_fortran(x) else "C"),)


def test_which_of_equal_elements_takes_the_gradient_may_depend_on_the_layout():
    assert np.array_equal(of_first_in_memory(X, 1.0)[0], X.max() == X)
    report = check_vjp(largest, of_first_in_memory, (X,), checks=["any_layout"])
    assert report.ok
    assert {row.verdict for row in report.rows} == {Verdict.PASS}


def test_away_from_ties_it_may_not():
    def of_another_for_broadcast(x, g):
        scale = 3 if x.strides[0] == 0 else 2
        return (scale * x * g,)

    report = check_vjp(square, of_another_for_broadcast, (X,), checks=["any_layout"])
    assert not report.ok
    assert "where the primals are broadcast" in report.rows[0].note


def test_nobody_has_asked_for_equal_rows():
    # the inverse of the distances between rows
    def forward(x):
        return x**2, x

    def backward(x, g):
        if (x[0] == x[1]).all():
            raise ZeroDivisionError("two rows are one")
        return (2 * x * g,)

    report = check_vjp(forward, backward, (X,), checks=["any_layout"])
    assert report.ok, str(report)


def rounds_to_single(x, g):
    return (np.asarray(2 * x * g, np.float64),)


@pytest.mark.parametrize("strict", [False, True])
def test_single_precision_is_for_those_who_ask_for_all_of_the_contract(strict):
    report = check_vjp(square, rounds_to_single, (X,), strict=strict)
    assert report.ok
    rows = rows_of(report, "works_in_float32")
    assert bool(rows) is strict
    assert [row.verdict for row in rows] == [Verdict.WARNING] * len(rows)


def breaks_in_single(x, g):
    return ((2 if x.dtype == np.float64 else 3) * x * g,)


def test_a_gradient_that_is_wrong_in_single_precision_alone():
    assert check_vjp(square, breaks_in_single, (X,), strict=False).ok
    assert not check_vjp(square, breaks_in_single, (X,), strict=True).ok
    # who asks for it by name gets it
    assert not check_vjp(square, breaks_in_single, (X,), strict=False, checks=["works_in_float32"]).ok
