"""Outputs that require no gradient are left out, and that is told; a gradient of zeros may be stored nowhere."""

import pytest

from gradlab import check_torch

from ._written import names, tensor, torch, warnings, written, wrong_checks


def with_mean(factor=2.0):
    def forward(ctx, x):
        mean = x.mean()
        ctx.mark_non_differentiable(mean)
        return x * 2, mean

    return written(forward, lambda ctx, g, _: factor * g)


def note_of(report):
    (note,) = {row.note for row in report.rows if row.check == "matches_numerical" and row.sample == "given"}
    return note


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_an_output_that_is_declared_to_have_no_gradient_is_left_out(dtype):
    report = check_torch(with_mean(), tensor(2, 3, dtype=dtype))
    assert report.ok
    assert report.faults == []
    rows = [row for row in report.rows if row.check == "matches_numerical"]
    assert all("output 1 requires no gradient, and is left out" in row.note for row in rows)


def test_what_is_left_is_judged_as_ever():
    report = check_torch(with_mean(3.0), tensor(2, 3))
    assert (report.ok, names(report)[0]) == (False, "constant-factor")
    assert "output 1 requires no gradient, and is left out" in " ".join(str(report).split())


@pytest.mark.parametrize(
    ("function", "note"),
    [
        (lambda x: (x.detach().mean(), x**2), "output 0 requires no gradient, and is left out"),
        (
            lambda x: {"a": x.detach() + 1, "b": [x**2, x.detach() * 3]},
            "outputs 0, 2 require no gradient, and are left out",
        ),
        (lambda x: (x**2, x.argmax()), ""),
        (lambda x: (x**2, x**3), ""),
    ],
    ids=["detached", "two of them", "an integer", "none of them"],
)
def test_which_outputs_are_left_out_is_told(function, note):
    report = check_torch(function, tensor(2, 3))
    assert report.ok
    assert note_of(report) == note


def test_the_statistics_that_a_norm_returns_for_its_backward():
    norm = lambda x: torch.native_layer_norm(x, (3,), None, None, 1e-5)
    report = check_torch(norm, tensor(2, 3))
    assert report.ok
    assert note_of(report) == "outputs 1, 2 require no gradient, and are left out"


def test_where_no_output_requires_one_all_are_held_to_it():
    # a path that is cut by mistake is what there is to find
    report = check_torch(lambda x: (x.detach() ** 2, x.detach() * 2), tensor(2, 3))
    assert wrong_checks(report) == {"matches_numerical"}
    assert names(report)[0] == "zero-gradient"
    assert "left out" not in str(report)


def zeros_of(g):
    return torch._efficientzerotensor(g.shape, dtype=g.dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_gradient_of_torchs_own_zeros_that_lie_nowhere(dtype):
    step = written(lambda ctx, x: (x > 0).to(x.dtype), lambda ctx, g: zeros_of(g))
    report = check_torch(step, tensor(2, 3, dtype=dtype))
    assert report.ok
    # that nothing else was tried is all there is to say
    assert warnings(report) <= {"samples_can_fail"}
    squared = written(lambda ctx, x: x**2, lambda ctx, g: zeros_of(g))
    report = check_torch(squared, tensor(2, 3, dtype=dtype))
    assert (report.ok, names(report)[0]) == (False, "zero-gradient")


@pytest.mark.parametrize("builtin", [torch.sgn, torch.sign, torch.floor], ids=lambda f: f.__name__)
def test_torchs_own_staircases(builtin):
    report = check_torch(builtin, tensor(2, 3))
    assert report.ok
    assert warnings(report) <= {"samples_can_fail"}
