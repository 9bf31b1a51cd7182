"""Sparse tensors are checked by their values, and views with what lies around them."""

import pytest

torch = pytest.importorskip("torch")

from gradlab import check_torch  # noqa: E402 # behind the question whether torch is there

DENSE = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -0.5]], dtype=torch.float64)
BESIDE = torch.tensor([[0.3, -1.2], [0.8, 0.4], [1.5, 0.9]], dtype=torch.float64)
# made within a test: torch warns that some layouts are in beta
LAYOUTS = {
    "coo": torch.Tensor.to_sparse_coo,
    "csr": torch.Tensor.to_sparse_csr,
    "csc": torch.Tensor.to_sparse_csc,
}


class Product(torch.autograd.Function):
    factor = 1.0

    @staticmethod
    def forward(ctx, s, m):
        ctx.save_for_backward(s, m)
        return torch.sparse.mm(s, m)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        s, m = ctx.saved_tensors
        return Product.factor * (g @ m.T).sparse_mask(s), s.t() @ g


def times_two(s, m):
    return (s * 2).to_dense() @ m


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sparse_tensors_are_checked_by_their_values(layout):
    report = check_torch(times_two, LAYOUTS[layout](DENSE), BESIDE)
    assert report.ok
    assert {row.primal for row in report.rows if row.check == "matches_numerical"} >= {"s", "m"}


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_gradient_of_a_sparse_tensor_is_wrong(monkeypatch):
    assert check_torch(Product.apply, LAYOUTS["coo"](DENSE), BESIDE).ok
    monkeypatch.setattr(Product, "factor", 2.0)
    report = check_torch(Product.apply, LAYOUTS["coo"](DENSE), BESIDE)
    assert not report.ok
    assert report.faults[0].name == "constant-factor"


@pytest.mark.filterwarnings("ignore")
def test_what_comes_back_sparse_is_its_values():
    report = check_torch(
        torch.sparse.sampled_addmm, LAYOUTS["csr"](DENSE), BESIDE[:2], BESIDE.T, settings={"beta": 0.7}
    )
    assert report.ok


def test_a_view_is_given_with_the_memory_around_it():
    around = torch.arange(1.0, 13.0, dtype=torch.float64)
    part = around[4:8].reshape(2, 2)

    def reads_beyond(x):
        return torch.as_strided(x, (3,), (2,), 5) ** 2

    assert check_torch(reads_beyond, part).ok
    with pytest.raises(ValueError, match="out of bounds"):
        check_torch(reads_beyond, part.clone())
