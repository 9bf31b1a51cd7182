"""Of a module whose gradient is wrong, the part is named that is wrong by itself."""

import pytest

from gradlab import check_torch

torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")


def activation(slope):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return slope * ctx.saved_tensors[0] * g

    class Activation(torch.nn.Module):
        def forward(self, x):
            return Square.apply(x)

    return Activation()


def net(slope):
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Linear(4, 3), activation(slope))
    return torch.nn.Sequential(inner, activation(2), torch.nn.Linear(3, 2)).double()


X = torch.tensor([[0.3, -0.2, 1.1, 0.4], [0.7, 0.4, -0.6, -0.9]], dtype=torch.float64)


def notes(report):
    return [row.note for row in report.rows if row.verdict == "wrong" and row.check == "matches_numerical"]


def test_the_function_and_its_place():
    module = net(3)
    report = check_torch(module, X)
    assert notes(report)
    assert all("by itself wrong: Square in 0.1" in note for note in notes(report))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in module.modules())
    assert check_torch(net(2), X).ok


def test_a_submodule_whose_hook_spoils_the_gradient():
    module = net(2)
    module[2].weight.register_hook(lambda g: 2 * g)
    report = check_torch(lambda x: module(x), X)
    assert report.ok  # the weight is none of its arguments

    class Spoils(torch.nn.Module):
        def forward(self, x):
            return x.sin() + (x - x.detach()) * 0.5

    outer = torch.nn.Sequential(torch.nn.Linear(4, 3), Spoils()).double()
    assert all("by itself wrong: 1" in note for note in notes(check_torch(outer, X)))
    assert notes(check_torch(outer, X))


def test_a_function_of_several():
    wrong = activation(3)
    report = check_torch(lambda x: wrong(x.sin()) * 2, X)
    assert all("by itself wrong: Square" in note for note in notes(report))
