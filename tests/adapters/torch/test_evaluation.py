"""That one evaluation is as another: its memory is its own, its random numbers are the same, and it leaves no trace."""

import warnings

import numpy as np
import pytest

from gradlab import check_torch

from ._written import save_square, slope, tensor, torch, written, wrong_checks

pytest.importorskip("torch", reason="check_torch is for torch: pip install torch")

from gradlab.adapters.torch.call import call_of, held_random_state  # imports torch
from gradlab.adapters.torch.execution_mode import torch_pair
from gradlab.adapters.torch.tensors import tensor_of

CPU = torch.device("cpu")


def drawn_at_some_inputs(x):
    return x * torch.rand_like(x) if x.sum() > 0 else x * 2


def drawn_in_a_fork(x):
    with torch.random.fork_rng(devices=[]):
        return x * torch.rand_like(x)


def drawn_from_a_seed_of_its_own(x):
    torch.manual_seed(5)
    return x * torch.rand_like(x)


@pytest.mark.parametrize(
    "function",
    [drawn_at_some_inputs, drawn_in_a_fork, drawn_from_a_seed_of_its_own],
    ids=lambda f: f.__name__,
)
def test_what_is_drawn_is_the_same_in_every_evaluation(function):
    state = torch.get_rng_state()
    report = check_torch(function, tensor(3, 4))
    assert report.ok
    assert not report.faults
    assert torch.equal(state, torch.get_rng_state())


def test_what_backward_draws_leaves_the_random_state_as_it_was():
    # so little that the second derivative, which draws as well, is looked at
    noisy = written(save_square, lambda ctx, g: slope(ctx, g) * (1 + 1e-14 * torch.rand(())))
    state = torch.get_rng_state()
    rows = check_torch(noisy, tensor(2, 3), explore=False).rows
    assert "second_derivative" in {row.check for row in rows}
    assert torch.equal(state, torch.get_rng_state())


def test_the_random_state_is_as_it_was_where_a_check_is_broken_off():
    def interrupted(x):
        torch.rand(3)
        raise KeyboardInterrupt

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        check_torch(interrupted, tensor(3))
    assert torch.equal(state, torch.get_rng_state())


def pair_of(function, *tensors):
    call = call_of(function, tensors, {}, None, 0)
    with held_random_state(call):
        return torch_pair(call)


def test_what_is_written_into_a_tensor_where_nothing_is_recorded_is_not_in_the_array():
    pair = pair_of(lambda x: x.mul_(2), tensor(3))
    x = np.ones(3)
    for _ in range(2):
        assert np.array_equal(pair.value(x), [2, 2, 2])
    assert np.array_equal(x, [1, 1, 1])


def test_one_array_as_two_primals_is_two_tensors():
    def into_the_first(a, b):
        a.data.mul_(2)
        return a * b

    pair = pair_of(into_the_first, tensor(3), tensor(3))
    x = np.ones(3)
    outputs, residuals = pair.forward(x, x)
    assert np.array_equal(outputs, [2, 2, 2])
    assert torch.equal(residuals.leaves[1].detach(), torch.ones(3, dtype=torch.float64))
    # written back, since it was written into the tensor made of it
    assert np.array_equal(x, [2, 2, 2])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_tensors_are_in_memory_of_torchs_own(dtype):
    # aligned as torch promises it to kernels, which NumPy's arrays are only by chance
    arrays = [np.ones(n) for n in range(1, 20)]
    tensors = [tensor_of(x, dtype, CPU) for x in arrays]
    assert {t.data_ptr() % 64 for t in tensors} == {0}
    assert {t.dtype for t in tensors} == {dtype}
    for t in tensors:
        t.zero_()
    assert all(np.array_equal(x, np.ones(len(x))) for x in arrays)


def reversed_view(x):
    return np.flip(np.flip(x).copy())


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 1), (2, 3), ()], ids=str)
@pytest.mark.parametrize("layout", [reversed_view, read_only, np.asfortranarray], ids=lambda f: f.__name__)
def test_a_tensor_of_an_array_in_any_layout(layout, shape):
    x = layout(np.random.default_rng(0).standard_normal(shape))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = tensor_of(x, torch.float64, CPU)
    assert np.array_equal(t.numpy(), x)
    assert not np.shares_memory(t.numpy(), x)


@pytest.mark.parametrize("shape", [(1,), (1, 1)], ids=str)
def test_a_single_element_can_be_laid_out_in_reverse(shape):
    report = check_torch(lambda x: x**2, tensor(*shape))
    assert not wrong_checks(report)
    assert not report.faults


class Twice(torch.nn.Module):
    """A parameter and a buffer under two names each."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(tensor(3))
        self.again = self.w
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("tally", self.count)

    def forward(self, x):
        self.count.add_(1)
        return x * self.w + x * self.again**2 * self.tally


def test_what_has_two_names_in_a_module_is_one_tensor():
    x, w = np.array([1.0, 2.0, 3.0]), np.array([2.0, -1.0, 0.5])
    pair = pair_of(Twice(), tensor(3))
    for _ in range(2):
        assert np.array_equal(pair.value(x, w), x * w + x * w**2)
