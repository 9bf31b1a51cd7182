"""Torch's own gradients: no false alarm."""

import pytest

from gradlab import check_torch

from ._torch_ops import FUNCTIONS, HALF, MODULES, case, torch

# the checks that could raise an alarm
CHECKS = ("matches_numerical", "any_layout", "linear_in_cotangent", "repeatable", "shapes_and_dtypes")
CHECKS += ("saves_for_backward", "unused_outputs", "second_derivative")


@pytest.mark.parametrize("dtype, seed", [(torch.float64, 0), (torch.float32, 1)], ids=str)
@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_no_false_alarm(name, dtype, seed):
    function, tensors = case(name, seed, dtype)
    report = check_torch(function, *tensors, seed=seed, name=name, explore=False, checks=CHECKS)
    report.raise_if_failed()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", HALF)
def test_no_false_alarm_in_half_precision(name, dtype):
    function, tensors = case(name, 2, dtype)
    report = check_torch(function, *tensors, name=name, explore=False, checks=["matches_numerical"])
    report.raise_if_failed()
    assert {row.dtype for row in report.rows if row.sample != "given"} == {str(dtype).removeprefix("torch.")}


@pytest.mark.parametrize("name", ["softmax", "cross_entropy", "BatchNorm1d"])
def test_no_false_alarm_beyond_the_given_tensors(name):
    function, tensors = case(name, 3, torch.float32)
    report = check_torch(function, *tensors, name=name)
    report.raise_if_failed()
    assert report.explored[0].derived


def test_a_determinant_is_found_to_have_no_gradient_where_it_is_singular():
    # torch gives zeros for a matrix of rank n - 1, whose adjugate is the gradient
    x = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    report = check_torch(torch.linalg.det, x, explore=False)
    wrong = next(row for row in report.rows if row.check == "matches_numerical")
    assert (wrong.verdict, wrong.worst_index, wrong.analytic) == ("wrong", (2, 2), 0.0)
