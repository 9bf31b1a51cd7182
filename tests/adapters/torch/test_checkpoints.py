"""A module whose parts are checkpointed runs again in backward, from the parameters that are checked then."""

import pytest

torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

from gradlab import check_torch  # noqa: E402

X = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Checkpointed(torch.nn.Module):
    def __init__(self, reentrant, activation=torch.tanh):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = torch.nn.Linear(4, 4).double(), torch.nn.Linear(4, 3).double()
        self.reentrant, self.activation = reentrant, activation

    def forward(self, x):
        y = checkpoint(lambda t: self.activation(self.a(t)), x, use_reentrant=self.reentrant)
        return self.b(y).square()


class WrongTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_right_one_passes_at_every_point(reentrant):
    report = check_torch(Checkpointed(reentrant), X, order=None if reentrant else 2)
    report.raise_if_failed()
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} == {
        "x", "a.weight", "a.bias", "b.weight", "b.bias",
    }  # fmt: skip
    warned = {row.check for row in report.rows if row.verdict == "warning"}
    # what is written into a weight in between is seen by the second run, as torch itself says
    assert warned <= {"saves_for_backward"}


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_wrong_one_is_found(reentrant):
    report = check_torch(Checkpointed(reentrant, WrongTanh.apply), X, repair=False)
    wrong = {row.primal for row in report.rows if row.check == "matches_numerical" and row.verdict == "wrong"}
    assert wrong == {"x", "a.weight", "a.bias"}
