"""What torch's operators are seen to take: integers, arrays that a function holds, complex outputs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradlab import check_torch  # noqa: E402
from gradlab.adapters.torch.call import call_of  # noqa: E402
from gradlab.adapters.torch.execution_mode import torch_pair  # noqa: E402

functional = torch.nn.functional


def tensor(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


X, W, LABELS = tensor(3, 4), tensor(4, 5), torch.tensor([0, 1, 2])


def seen(function, *tensors):
    pair = torch_pair(call_of(function, tensors, {}, None, 0))
    return pair.takes_integers, set(pair.held_lengths)


def test_what_is_passed_is_not_held_and_what_is_not_passed_is():
    assert seen(lambda x, w: x @ w, X, W) == (False, set())
    assert seen(lambda x: x @ W, X) == (False, {4, 5})
    assert seen(torch.nn.Linear(4, 2).double(), X) == (False, set())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.cross_entropy(x, LABELS),
        lambda x: functional.cross_entropy(x, torch.arange(3)),
        lambda x: x[LABELS],
    ],
)
def test_integers_are_seen_wherever_they_come_from(function):
    assert seen(function, X)[0]


def test_integers_that_meet_no_float_are_none():
    assert seen(torch.nn.BatchNorm1d(4).double(), X)[0] is False


def shapes_given(function, x, **options):
    shapes = set()

    def noting(x):
        shapes.add(tuple(x.shape))
        return function(x)

    assert check_torch(noting, x, **options).ok
    return shapes


def test_an_axis_as_long_as_what_is_held_keeps_its_length():
    held = tensor(4)
    assert {shape[-1] for shape in shapes_given(lambda x: x * held, X)} == {4}
    # the batch is another length, and grows
    assert {1, 6} <= {shape[0] for shape in shapes_given(lambda x: x * held, X)}
    assert {shape[1] for shape in shapes_given(lambda x: x * x, X)} > {4, 5}


def test_a_batch_as_long_as_labels_in_a_closure_keeps_its_length():
    shapes = shapes_given(lambda x: functional.cross_entropy(x, LABELS), X)
    assert shapes == {(3, 4)}


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.complex(x, x * x), lambda x: torch.fft.rfft(x), lambda x: torch.polar(x.exp(), x)],
)
def test_a_complex_output_is_checked_as_its_two_parts(function):
    report = check_torch(function, X)
    assert report.ok, str(report)
    assert any(row.check == "matches_numerical" and row.verdict == "pass" for row in report.rows)


def test_a_wrong_gradient_of_a_complex_output_is_found():
    class Turned(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.complex(x.cos(), x.sin())

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return -g.real * x.sin() - g.imag * x.cos()

    assert not check_torch(Turned, X).ok


def test_half_the_digits_of_an_argument_are_all_that_its_neighbour_may_have():
    x, weights = tensor(4, 5), torch.rand(5, generator=torch.Generator().manual_seed(1))
    mean = lambda x, w: (x * w).sum(1) / w.sum()
    assert check_torch(mean, x, weights).ok

    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return mean(x, w)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            y = mean(x, w)
            slope = 1.01 * g[:, None] * w / w.sum()
            return slope, (g[:, None] * (x - y[:, None]) / w.sum()).sum(0).to(w.dtype)

    report = check_torch(Off, x, weights)
    assert {row.primal for row in report.rows if row.verdict == "wrong" and row.primal} == {"x"}


def test_zeros_of_two_numbers_whose_sign_one_gives_are_no_tie():
    assert check_torch(torch.copysign, tensor(()).abs() + 1, -tensor(()).abs() - 1).ok
    at = torch.zeros((), dtype=torch.float64)
    assert check_torch(
        lambda x, y: torch.copysign(x, y), at, at, explore=False, checks=["matches_numerical"]
    ).ok


def test_a_maximum_that_gives_both_ties_all_is_still_wrong():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return torch.maximum(x, y)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * (x >= y), g * (y >= x)

    ties = np.array([1.0, -2.0, 0.5])
    report = check_torch(Both, torch.tensor(ties), torch.tensor(ties))
    assert not report.ok
    assert any("moved together" in row.note for row in report.rows)
