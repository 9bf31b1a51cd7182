"""Compiled code keeps the shapes that it was given, and no framework's code is called with an empty batch by itself."""

import pytest

from gradlab import check_torch

from ._written import Square, save_square, slope, tensor, torch, written


def shapes_seen(**more):
    seen = set()

    def noting(x):
        seen.add(tuple(x.shape))
        return x**2

    assert check_torch(noting, tensor(3, 4), **more).ok
    return seen


def derived(function, **more):
    (places,) = check_torch(function, tensor(3, 4), checks=["matches_numerical"], **more).explored
    return places.derived


def of_other_shapes(hows):
    return [how for how in hows if "batch" in how or "axes" in how or "oblong" in how]


@pytest.mark.parametrize(
    "builtin",
    [torch.exp, torch.Tensor.exp, torch.nn.functional.gelu, torch.nn.functional.softplus],
    ids=["torch.exp", "Tensor.exp", "gelu", "softplus"],
)
def test_what_is_not_written_in_python_gets_no_other_shapes(builtin):
    hows = derived(builtin)
    # other numbers it gets all the same
    assert {"redrawn", "sign turned", "times 10"} <= set(hows)
    assert of_other_shapes(hows) == []


def test_all_of_it_is_there_for_those_who_ask():
    assert {"batch doubled", "axes of 4 made 5"} <= set(derived(torch.exp, explore="all"))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.exp(x),
        torch.nn.functional.relu,
        torch.nn.Tanh(),
        Square,
        Square.apply,
    ],
    ids=["lambda", "function in Python", "module", "Function", "apply"],
)
def test_what_is_written_in_python_gets_other_shapes(function):
    assert {"batch cut to 1", "batch doubled", "axes of 4 made 5"} <= set(of_other_shapes(derived(function)))


def test_a_batch_is_never_empty_unless_all_is_asked_for(monkeypatch):
    seen = shapes_seen()
    assert {(1, 4), (6, 4)} <= seen
    assert not [shape for shape in seen if 0 in shape]
    # in a process of its own, were it not to be seen here
    monkeypatch.setattr("gradlab.running.shelter.in_child", lambda task, timeout: task())
    assert (0, 4) in shapes_seen(explore="all")


def test_the_layouts_are_looked_at_without_an_empty_batch():
    # a kernel that divides by the length of a batch ends the process, in which nothing would be told
    def backward(ctx, g):
        assert len(g), "divided by zero"
        return slope(ctx, g)

    counted = written(save_square, backward)
    report = check_torch(counted, tensor(2, 3), checks=["any_layout"])
    assert [row.verdict for row in report.rows] == ["pass"]
    assert "divided by zero" in str(check_torch(counted, tensor(2, 3), checks=["any_layout"], explore="all"))
