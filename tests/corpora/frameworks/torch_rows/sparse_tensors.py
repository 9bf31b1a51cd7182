"""Row "sparse": sparse inputs, and sparse gradients of dense inputs."""

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._entry import Call, Entry

ROW = "sparse"
D = torch.float64


def dense(seed, *shape):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


def coo(rows, cols, values, shape):
    return torch.sparse_coo_tensor(
        torch.tensor([rows, cols]), torch.tensor(values, dtype=D), shape, check_invariants=True
    )


def embed(tokens, table):
    return F.embedding(tokens, table, sparse=True)


def make_embedding():
    return Call(embed, (torch.tensor([[2, 0, 2], [5, 2, 7]]), dense(1, 9, 3)))


class GatherRows(Function):
    """table[idx], whose gradient is a COO tensor with one entry a use: duplicates are not summed."""

    @staticmethod
    def forward(ctx, table, idx):
        ctx.shape = table.shape
        ctx.save_for_backward(idx)
        return table[idx]

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        return torch.sparse_coo_tensor(idx.reshape(1, -1), g.reshape(-1, *ctx.shape[1:]), ctx.shape), None


def make_gather():
    return Call(GatherRows.apply, (dense(2, 6, 4), torch.tensor([3, 3, 0, 5, 3])))


def make_coo_mm():
    A = coo([0, 0, 1, 3], [1, 4, 2, 0], [1.5, -0.3, 2.0, 0.7], (4, 5)).coalesce().requires_grad_()
    return Call(torch.sparse.mm, (A, dense(3, 5, 2)))


def make_csr_mm():
    A = torch.sparse_csr_tensor(
        torch.tensor([0, 2, 2, 5]),
        torch.tensor([0, 3, 0, 1, 2]),
        torch.tensor([0.4, -1.1, 2.2, 0.3, -0.8], dtype=D),
        (3, 4),
    ).requires_grad_()
    return Call(torch.sparse.mm, (A, dense(4, 4, 3)))


class SpmmValues(Function):
    """A @ X with A given as (rows, cols, values); a place may be given twice, the values add up."""

    @staticmethod
    def forward(ctx, rows, cols, values, X, n_rows):
        ctx.save_for_backward(rows, cols, values, X)
        out = X.new_zeros(n_rows, X.shape[1])
        return out.index_add(0, rows, values[:, None] * X[cols])

    @staticmethod
    def backward(ctx, g):
        rows, cols, values, X = ctx.saved_tensors
        gX = torch.zeros_like(X).index_add(0, cols, values[:, None] * g[rows])
        return None, None, (g[rows] * X[cols]).sum(1), gX, None


def make_spmm():
    return Call(
        SpmmValues.apply,
        (torch.tensor([0, 2, 2, 1, 0, 0]), torch.tensor([1, 0, 3, 3, 1, 2]), dense(5, 6), dense(6, 4, 3), 3),
    )


class SquaredNorm(Function):
    """sum of a_ij^2 over a sparse COO matrix: the gradient is sparse with the same places"""

    @staticmethod
    def forward(ctx, A):
        ctx.save_for_backward(A)
        return (A.coalesce().values() ** 2).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (A,) = ctx.saved_tensors
        A = A.coalesce()
        return torch.sparse_coo_tensor(A.indices(), 2 * g * A.values(), A.shape, is_coalesced=True)


def make_norm():
    # (1, 2) is given twice: 0.5 + 1.5
    return Call(
        SquaredNorm.apply, (coo([0, 1, 1, 2], [0, 2, 2, 1], [1.0, 0.5, 1.5, -2.0], (3, 3)).requires_grad_(),)
    )


class Lookup(Function):
    @staticmethod
    def forward(ctx, table, tokens):
        ctx.shape = table.shape
        ctx.save_for_backward(tokens)
        return table[tokens]

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (tokens,) = ctx.saved_tensors
        full = g.new_zeros(ctx.shape)
        full[tokens.flatten()] = g.reshape(-1, ctx.shape[1])  # a token used twice keeps its last gradient
        used = tokens.unique()
        return torch.sparse_coo_tensor(used[None], full[used], ctx.shape), None


def make_lookup():
    return Call(Lookup.apply, (dense(11, 7, 2), torch.tensor([[4, 1, 4], [0, 1, 6]])))


class EdgeConv(Function):
    """out[dst] += w * h[src]"""

    @staticmethod
    def forward(ctx, weight, h, src, dst):
        ctx.save_for_backward(weight, h, src, dst)
        return torch.zeros_like(h).index_add(0, dst, weight[:, None] * h[src])

    @staticmethod
    def backward(ctx, g):
        weight, h, src, dst = ctx.saved_tensors
        to_h = torch.zeros_like(h).index_add(0, src, weight[:, None] * g[dst])
        to_weight = (g[src] * h[dst]).sum(-1)  # the values of the transposed matrix
        return to_weight, to_h, None, None


def make_edges():
    return Call(
        EdgeConv.apply,
        (
            dense(12, 7),
            dense(13, 4, 3),
            torch.tensor([0, 1, 2, 3, 3, 1, 0]),
            torch.tensor([1, 2, 0, 0, 2, 1, 3]),
        ),
    )


class PrunedLinear(Function):
    """x @ (W where the mask is set)^T, by a sparse product"""

    @staticmethod
    def forward(ctx, x, W, mask):
        ctx.save_for_backward(x, W, mask)
        return torch.sparse.mm((W * mask).to_sparse(), x.mT).mT

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        x, W, mask = ctx.saved_tensors
        return g @ (W * mask), g.mT @ x, None  # pruned weights get a gradient too


def make_pruned():
    W = dense(15, 4, 6)
    return Call(
        PrunedLinear.apply, (dense(14, 3, 6), W, torch.tensor(np.random.default_rng(16).random((4, 6)) < 0.4))
    )


class BagMean(Function):
    """Mean over each bag's rows, bags given by offsets; the gradient is sparse"""

    @staticmethod
    def _bag(items, offsets):
        sizes = torch.cat([offsets[1:], offsets.new_tensor([len(items)])]) - offsets
        return torch.repeat_interleave(torch.arange(len(offsets)), sizes), sizes

    @staticmethod
    def forward(ctx, table, items, offsets):
        ctx.shape = table.shape
        ctx.save_for_backward(items, offsets)
        bag, sizes = BagMean._bag(items, offsets)
        return table.new_zeros(len(offsets), table.shape[1]).index_add(0, bag, table[items]) / sizes[:, None]

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        items, offsets = ctx.saved_tensors
        bag, sizes = BagMean._bag(items, offsets)
        return (
            torch.sparse_coo_tensor(items[None], g[bag], ctx.shape),
            None,
            None,
        )  # not divided by the bag's size


def make_bag():
    return Call(BagMean.apply, (dense(17, 8, 3), torch.tensor([1, 5, 5, 0, 7, 2]), torch.tensor([0, 1, 4])))


class CsrMatVec(Function):
    """A v for a CSR matrix A; the gradient of A is CSR with A's own places"""

    @staticmethod
    def forward(ctx, A, v):
        ctx.save_for_backward(A, v)
        return A @ v

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        A, v = ctx.saved_tensors
        crow, col, val = A.crow_indices(), A.col_indices(), A.values()
        row = torch.repeat_interleave(torch.arange(A.shape[0]), crow.diff())
        gA = torch.sparse_csr_tensor(
            crow, col, g[row] * v[col] / val.numel(), A.shape
        )  # scaled by the number of entries
        return gA, torch.zeros_like(v).index_add(0, col, val * g[row])


def make_csr_mv():
    A = torch.sparse_csr_tensor(
        torch.tensor([0, 1, 3, 4]),
        torch.tensor([2, 0, 1, 3]),
        torch.tensor([1.2, 0.4, -0.9, 2.1], dtype=D),
        (3, 4),
    ).requires_grad_()
    return Call(CsrMatVec.apply, (A, dense(18, 4)))


class SymmetricQuadratic(Function):
    """v^T S v, with S symmetric and its upper half given as COO (an off-diagonal entry counts for both places)"""

    @staticmethod
    def forward(ctx, upper, v):
        upper = upper.coalesce()
        ctx.save_for_backward(upper, v)
        (i, j), a = upper.indices(), upper.values()
        return (torch.where(i == j, 1.0, 2.0) * a * v[i] * v[j]).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        upper, v = ctx.saved_tensors
        (i, j), a = upper.indices(), upper.values()
        gv = torch.zeros_like(v).index_add(0, i, 2 * a * v[j])
        gv = gv.index_add(0, j, torch.where(i == j, 0.0, 2.0) * a * v[i])
        gS = torch.sparse_coo_tensor(
            upper.indices(), g * v[i] * v[j], upper.shape
        )  # twice that off the diagonal
        return gS, g * gv


def make_quadratic():
    return Call(
        SymmetricQuadratic.apply,
        (
            coo([0, 0, 1, 2], [0, 3, 2, 2], [1.0, -0.6, 0.8, 2.0], (4, 4)).coalesce().requires_grad_(),
            dense(19, 4),
        ),
    )


ENTRIES = [
    Entry(
        "sp_embedding_repeats",
        ROW,
        False,
        "right; torch's own sparse embedding gradient, token 2 three times",
        make_embedding,
    ),
    Entry(
        "sp_gather_uncoalesced",
        ROW,
        False,
        "right; the gradient of a dense table is an uncoalesced COO tensor with duplicates, which add up",
        make_gather,
    ),
    Entry(
        "sp_coo_mm",
        ROW,
        False,
        "right; a COO input that requires grad, whose gradient is sparse with its own places alone",
        make_coo_mm,
    ),
    Entry(
        "sp_csr_mm_empty_row",
        ROW,
        False,
        "right; a CSR input with an empty row, whose gradient is CSR",
        make_csr_mm,
    ),
    Entry(
        "sp_spmm_duplicates",
        ROW,
        False,
        "right; the place (0, 1) is given twice among the indices",
        make_spmm,
    ),
    Entry(
        "sp_uncoalesced_norm",
        ROW,
        False,
        "right; an uncoalesced COO input, where a place's two values add up before they are squared",
        make_norm,
    ),
    Entry(
        "sp_lookup_overwrites",
        ROW,
        True,
        "a row used twice gets the last use's gradient in place of the sum",
        make_lookup,
    ),
    Entry(
        "sp_edges_transposed",
        ROW,
        True,
        "the gradient of the edge weights is that of the transposed places (src and dst swapped)",
        make_edges,
    ),
    Entry(
        "sp_pruned_unmasked",
        ROW,
        True,
        "pruned weights, which do not count in the forward, get a dense gradient",
        make_pruned,
    ),
    Entry(
        "sp_bag_not_divided",
        ROW,
        True,
        "the sparse gradient of a mean over bags is not divided by the bag's size",
        make_bag,
    ),
    Entry(
        "sp_csr_scaled",
        ROW,
        True,
        "the gradient of the CSR matrix's values is divided by their number",
        make_csr_mv,
    ),
    Entry(
        "sp_symmetric_half",
        ROW,
        True,
        "the gradient of the off-diagonal entries lacks the factor 2 for the mirrored place",
        make_quadratic,
    ),
]
