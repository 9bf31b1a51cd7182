"""Row "shapes": Functions for any rank or size. The wrong ones are right at the inputs given; `why` says where not."""

import numpy as np
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._entry import Call, Entry

ROW = "shapes"


def arr(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).requires_grad_()


class Embed(Function):
    @staticmethod
    def forward(ctx, idx, table):
        ctx.save_for_backward(idx)
        ctx.n = table.shape[0]
        return table[idx]

    @staticmethod
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        return None, g.new_zeros(ctx.n, g.shape[-1]).index_add(0, idx.reshape(-1), g.reshape(-1, g.shape[-1]))


class TakeAlong(Function):
    @staticmethod
    def forward(ctx, x, index, axis):
        ctx.axis, ctx.size = axis, x.shape
        ctx.save_for_backward(index)
        return torch.take_along_dim(x, index, axis)

    @staticmethod
    def backward(ctx, g):
        (index,) = ctx.saved_tensors
        return g.new_zeros(ctx.size).scatter_add(ctx.axis, index, g), None, None


class SegmentMean(Function):
    """Mean of the rows of each segment; `segments` ascend and each has a row"""

    @staticmethod
    def forward(ctx, x, segments, count):
        size = torch.bincount(segments, minlength=count).to(x.dtype)
        shape = (-1,) + (1,) * (x.dim() - 1)
        ctx.save_for_backward(segments, size)
        return x.new_zeros(count, *x.shape[1:]).index_add(0, segments, x) / size.view(shape)

    @staticmethod
    def backward(ctx, g):
        segments, size = ctx.saved_tensors
        return (g / size.view((-1,) + (1,) * (g.dim() - 1)))[segments], None, None


class TableLookup(Function):
    """Piecewise linear interpolation in a table at bins given as integers, with fractions"""

    @staticmethod
    def forward(ctx, table, left, frac):
        ctx.save_for_backward(table, left, frac)
        return table[left] * (1 - frac) + table[left + 1] * frac

    @staticmethod
    def backward(ctx, g):
        table, left, frac = ctx.saved_tensors
        gt = torch.zeros_like(table).index_add(0, left, g * (1 - frac)).index_add(0, left + 1, g * frac)
        return gt, None, g * (table[left + 1] - table[left])


class RMSNormAny(Function):
    """Root-mean-square norm over the last axis, any rank"""

    @staticmethod
    def forward(ctx, x, gain):
        ctx.save_for_backward(x, gain)
        return x * (x * x).mean(-1, keepdim=True).rsqrt() * gain

    @staticmethod
    def backward(ctx, g):
        x, gain = ctx.saved_tensors
        r = (x * x).mean(-1, keepdim=True).rsqrt()
        h = g * gain
        gx = r * h - x * r**3 * (x * h).mean(-1, keepdim=True)
        return gx, (g * x * r).reshape(-1, x.shape[-1]).sum(0)


class PathScore(Function):
    """Score of one path of labels: emissions and transitions (as in a linear chain field)"""

    @staticmethod
    def forward(ctx, emissions, transitions, labels):
        ctx.save_for_backward(labels)
        ctx.shapes = emissions.shape, transitions.shape
        t = torch.arange(len(labels))
        return emissions[t, labels].sum() + transitions[labels[:-1], labels[1:]].sum()

    @staticmethod
    def backward(ctx, g):
        (labels,) = ctx.saved_tensors
        e, tr = ctx.shapes
        t = torch.arange(len(labels))
        ge = torch.zeros(e, dtype=g.dtype).index_put((t, labels), g.expand(len(t)), accumulate=True)
        gt = torch.zeros(tr, dtype=g.dtype).index_put(
            (labels[:-1], labels[1:]), g.expand(len(t) - 1), accumulate=True
        )
        return ge, gt, None


class GroupNorm(Function):
    """(batch, channels, ...) in groups"""

    @staticmethod
    def forward(ctx, x, groups, eps):
        ctx.groups = groups
        h = x.reshape(x.shape[0], groups, -1)
        mu = h.mean(-1, keepdim=True)
        istd = (h.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward((h - mu) * istd, istd)
        return ((h - mu) * istd).reshape(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        xhat, istd = ctx.saved_tensors
        h = g.reshape(xhat.shape)
        m = g.shape[1] // ctx.groups * g.shape[2]  # entries of a group, if there are three axes
        mean = h.sum(-1, keepdim=True) / m
        dot = (h * xhat).sum(-1, keepdim=True) / m
        return ((h - mean - xhat * dot) * istd).reshape(g.shape), None, None


class SoftmaxLast(Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.softmax(x, -1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return y * (g - (g * y).sum(1, keepdim=True))


class ReverseCumsum(Function):
    """cumsum over the last axis"""

    @staticmethod
    def forward(ctx, x):
        return x.cumsum(-1)

    @staticmethod
    def backward(ctx, g):
        return g.flip(0).cumsum(-1).flip(0)


class ChunkedDot(Function):
    """a . b in chunks of 8, as a kernel would"""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return (a * b).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        ga, gb = torch.zeros_like(a), torch.zeros_like(b)
        for k in range(len(a) // 8):
            s = slice(8 * k, 8 * k + 8)
            ga[s], gb[s] = g * b[s], g * a[s]
        return ga, gb


class BiasedLinear(Function):
    """x W^T + b over the last axis, for any number of leading axes"""

    @staticmethod
    def forward(ctx, x, W, b):
        ctx.save_for_backward(x, W)
        return x @ W.mT + b

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        x, W = ctx.saved_tensors
        flat = g.reshape(-1, g.shape[-1])
        return (
            g @ W,
            flat.mT @ x.reshape(-1, x.shape[-1]),
            flat[0],
        )  # the batch's first row; right while it is the only one


class GramSum(Function):
    """sum over k of A_k^T B_k"""

    @staticmethod
    def forward(ctx, A, B):
        ctx.save_for_backward(A, B)
        return torch.einsum("kij,kil->jl", A, B)

    @staticmethod
    def backward(ctx, g):
        A, B = ctx.saved_tensors
        gB = torch.einsum("kij,jl->kil", A, g)
        gA = torch.einsum("kil,jl->kij", B, g) / A.shape[0]  # A.shape[0] is 1 here
        return gA, gB


class PoolPairs(Function):
    """Mean of neighbours in pairs; of an odd length the last one stands alone"""

    @staticmethod
    def forward(ctx, x):
        ctx.n = x.shape[-1]
        pairs = x[..., : ctx.n // 2 * 2].reshape(*x.shape[:-1], -1, 2).mean(-1)
        return torch.cat([pairs, x[..., ctx.n // 2 * 2 :]], -1)

    @staticmethod
    def backward(ctx, g):
        return g.repeat_interleave(2, -1)[..., : ctx.n] / 2


class CodeLookup(Function):
    """rows of a codebook"""

    @staticmethod
    def forward(ctx, book, idx):
        ctx.save_for_backward(idx)
        ctx.size = book.shape
        return book[idx]

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        out = g.new_zeros(ctx.size)
        out[idx] += g  # adds once for an index that comes twice
        return out, None


ENTRIES = [
    Entry(
        "sh_embedding",
        ROW,
        False,
        "right; integer inputs index the table: other indices than these may be out of bounds",
        lambda: Call(Embed.apply, (torch.tensor([[0, 4, 4], [2, 1, 0]]), arr(1, 5, 3))),
    ),
    Entry(
        "sh_take_along",
        ROW,
        False,
        "right; integer inputs up to 6 index an axis of 7, duplicates add up",
        lambda: Call(TakeAlong.apply, (arr(2, 3, 7), torch.tensor([[6, 0, 6], [1, 1, 1], [3, 2, 5]]), 1)),
    ),
    Entry(
        "sh_segment_mean",
        ROW,
        False,
        "right; integer segment ids that ascend, each with a row: other ids divide by zero or are out of bounds",
        lambda: Call(SegmentMean.apply, (arr(3, 7, 2), torch.tensor([0, 0, 1, 2, 2, 2, 3]), 4)),
    ),
    Entry(
        "sh_table_lookup",
        ROW,
        False,
        "right; integer bins index the table and the place after it: the last index is out of bounds",
        lambda: Call(
            TableLookup.apply,
            (
                arr(4, 9),
                torch.tensor([0, 3, 7, 3, 5]),
                torch.tensor([0.1, 0.9, 0.5, 0.25, 0.75], dtype=torch.float64, requires_grad=True),
            ),
        ),
    ),
    Entry(
        "sh_rms_any_rank",
        ROW,
        False,
        "right; any rank and size",
        lambda: Call(RMSNormAny.apply, (arr(5, 2, 3, 4), arr(6, 4))),
    ),
    Entry(
        "sh_path_score",
        ROW,
        False,
        "right; labels index two tables at once, and their length is that of the emissions",
        lambda: Call(PathScore.apply, (arr(7, 6, 4), arr(8, 4, 4), torch.tensor([0, 3, 3, 1, 3, 3]))),
    ),
    Entry(
        "sh_group_norm_4d",
        ROW,
        True,
        "the size of a group is channels/groups * shape[2]: right for 3-D (and 4-D with a last axis of 1), wrong for 4-D",
        lambda: Call(GroupNorm.apply, (arr(11, 2, 4, 6), 2, 1e-5)),
    ),
    Entry(
        "sh_softmax_axis_1",
        ROW,
        True,
        "the backward of the softmax over the last axis sums over axis 1: right for 2-D, wrong for 3-D and more, fails for 1-D",
        lambda: Call(SoftmaxLast.apply, (arr(12, 4, 5),)),
    ),
    Entry(
        "sh_cumsum_flip_0",
        ROW,
        True,
        "the backward of cumsum flips axis 0 in place of the last one: right for 1-D, wrong for 2-D and more",
        lambda: Call(ReverseCumsum.apply, (arr(13, 9),)),
    ),
    Entry(
        "sh_chunk_tail",
        ROW,
        True,
        "the backward leaves out the tail after the last whole chunk of 8: right for sizes that 8 divides, wrong for others",
        lambda: Call(ChunkedDot.apply, (arr(14, 24), arr(15, 24))),
    ),
    Entry(
        "sh_bias_batch_one",
        ROW,
        True,
        "the bias's gradient is that of the first row: right for a batch of 1, wrong for more",
        lambda: Call(BiasedLinear.apply, (arr(16, 1, 6), arr(17, 3, 6), arr(18, 3))),
    ),
    Entry(
        "sh_gram_batch_one",
        ROW,
        True,
        "the gradient of A is divided by the length of the summed axis: right for a length of 1, wrong for more",
        lambda: Call(GramSum.apply, (arr(19, 1, 3, 4), arr(20, 1, 3, 2))),
    ),
    Entry(
        "sh_pool_odd",
        ROW,
        True,
        "the last one of an odd length gets half its gradient: right for even lengths, wrong for odd ones",
        lambda: Call(PoolPairs.apply, (arr(21, 3, 8),)),
    ),
    Entry(
        "sh_code_repeats",
        ROW,
        True,
        "an index that comes twice gets one of its gradients: right while the indices differ, as those given do; wrong with repeats",
        lambda: Call(CodeLookup.apply, (arr(22, 6, 3), torch.tensor([4, 0, 5, 2]))),
    ),
]
