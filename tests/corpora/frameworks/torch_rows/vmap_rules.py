"""Row "vmap": Functions with a vmap rule; the examples given are single ones (no batch) unless `why` says that vmap is
inside. Every Function here is right without vmap, forward and backward."""

import math

import numpy as np
import torch
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "vmap"


def v(seed, *shape):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def to_front(t, d):
    return t if d is None else t.movedim(d, 0)


def _iir(x, a):
    """y[n] = x[n] + a y[n-1] along the last axis, in numpy."""
    y = np.array(x, dtype=np.float64)
    for i in range(1, y.shape[-1]):
        y[..., i] += a * y[..., i - 1]
    return y


class NumpyDecay(Function):
    """A one-pole filter in numpy: not traceable, so that the vmap rule is needed."""

    @staticmethod
    def forward(x, a, back):
        d = x.detach().numpy()
        return torch.from_numpy(
            np.ascontiguousarray(_iir(d[..., ::-1], a)[..., ::-1]) if back else _iir(d, a)
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.a, ctx.back = inputs

    @staticmethod
    def backward(ctx, g):
        return NumpyDecay.apply(g, ctx.a, not ctx.back), None, None

    @staticmethod
    def vmap(info, in_dims, x, a, back):
        return NumpyDecay.apply(x.movedim(in_dims[0], 0), a, back), 0


class Moments(Function):
    """(mean, spread) of a vector; the rule is generated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        m = x.mean(-1)
        return m, ((x - m.unsqueeze(-1)) ** 2).mean(-1).sqrt()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], *output)

    @staticmethod
    def backward(ctx, gm, gs):
        x, m, s = ctx.saved_tensors
        n = x.shape[-1]
        return gm.unsqueeze(-1) / n + (gs / s).unsqueeze(-1) * (x - m.unsqueeze(-1)) / n


class MatVecLast(Function):
    """A x; the rule puts the batch last, since it is one matrix product then."""

    @staticmethod
    def forward(A, x):
        return A @ x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        A, x = ctx.saved_tensors
        return torch.outer(g, x), A.mT @ g

    @staticmethod
    def vmap(info, in_dims, A, x):
        dA, dx = in_dims
        if dA is None:
            return A @ x.movedim(dx, -1), 1
        A = A.movedim(dA, 0)
        if dx is None:
            return A @ x, 0
        return torch.einsum("bij,jb->ib", A, x.movedim(dx, -1)), -1


class PowerDot(Function):
    """sum(x^p y), with an integer that is never batched"""

    @staticmethod
    def forward(x, y, p):
        return (x**p * y).sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.p = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        g = g.unsqueeze(-1)
        return g * ctx.p * x ** (ctx.p - 1) * y, g * x**ctx.p, None

    @staticmethod
    def vmap(info, in_dims, x, y, p):
        x, y = to_front(x, in_dims[0]), to_front(y, in_dims[1])
        # an unbatched operand is broadcast by hand, for PowerDot.backward must see gradients of its own inputs' shapes
        x = x.expand(info.batch_size, *x.shape) if in_dims[0] is None else x
        y = y.expand(info.batch_size, *y.shape) if in_dims[1] is None else y
        return PowerDot.apply(x, y, p), 0


class PickAndScatter(Function):
    """x[idx] (with repeats); the backward scatters into zeros made from the cotangent."""

    @staticmethod
    def forward(ctx, x, idx):
        ctx.n = x.shape[0]
        ctx.save_for_backward(idx)
        return x[idx]

    @staticmethod
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        return g.new_zeros(ctx.n, *g.shape[1:]).index_add(0, idx, g), None


def make_inside():
    # columns of X are the examples
    return Call(torch.func.vmap(MatVecLast.apply, in_dims=(None, 1), out_dims=1), (v(9, 4, 3), v(10, 3, 5)))


class Normalise(Function):
    """x / |x|, along the last axis."""

    @staticmethod
    def forward(x):
        return x / x.norm(dim=-1, keepdim=True)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        n = x.norm(dim=-1, keepdim=True)
        u = x / n
        return (g - u * (u * g).sum(-1, keepdim=True)) / n

    @staticmethod
    def vmap(info, in_dims, x):
        return Normalise.apply(x), in_dims[0]  # always along the last axis, also when the batch is the last


class SpringEnergy(Function):
    @staticmethod
    def forward(stretch, stiffness):
        return 0.5 * (stiffness * stretch**2).sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        u, k = ctx.saved_tensors
        return g * k * u, g * 0.5 * u**2

    @staticmethod
    def vmap(info, in_dims, stretch, stiffness):
        u, k = to_front(stretch, in_dims[0]), to_front(stiffness, in_dims[1])
        e = 0.5 * (k * u**2).sum()  # over the batch as well
        return e.expand(info.batch_size), 0


class AffineOut(Function):
    """W x + b for a square W"""

    @staticmethod
    def forward(W, x, b):
        return W @ x + b

    @staticmethod
    def setup_context(ctx, inputs, output):
        W, x, b = inputs
        ctx.save_for_backward(W, x)

    @staticmethod
    def backward(ctx, g):
        W, x = ctx.saved_tensors
        return torch.outer(g, x), W.mT @ g, g

    @staticmethod
    def vmap(info, in_dims, W, x, b):
        W, x, b = (
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip((W, x, b), in_dims)
        )
        return torch.einsum("bij,bj->bi", W, x) + b, 1  # the batch is at 0


class WeightColumns(Function):
    """table (k, n) with column weights (n,)"""

    @staticmethod
    def forward(table, weights):
        return table * weights

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        table, weights = ctx.saved_tensors
        return g * weights, (g * table).sum(0)

    @staticmethod
    def vmap(info, in_dims, table, weights):
        table, weights = to_front(table, in_dims[0]), to_front(weights, in_dims[1])
        return table * weights.unsqueeze(
            -2 if in_dims[1] is not None else -1
        ), 0  # unbatched weights go to the rows


class Wave(Function):
    @staticmethod
    def forward(x):
        return torch.sin(x) * torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * torch.cos(x) * torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)

    @staticmethod
    def vmap(info, in_dims, x):
        return Wave.apply(x.reshape(info.batch_size, -1)), 0  # movedim(in_dims[0], 0)


class TransposedTimes(Function):
    """W^T g, used in the backward of Mix alone"""

    @staticmethod
    def forward(W, g):
        return W.mT @ g

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, h):
        W, g = ctx.saved_tensors
        return torch.outer(g, h), W @ h

    @staticmethod
    def vmap(info, in_dims, W, g):
        dW, dg = in_dims
        if dW is None:
            return g.movedim(dg, 0) @ W.mT, 0  # rows: g W, not g W^T
        W, g = W.movedim(dW, 0), (g.expand(info.batch_size, *g.shape) if dg is None else g.movedim(dg, 0))
        return torch.einsum("bij,bi->bj", W, g), 0


class Mix(Function):
    @staticmethod
    def forward(ctx, W, x):
        ctx.save_for_backward(W, x)
        return W @ x

    @staticmethod
    def backward(ctx, g):
        W, x = ctx.saved_tensors
        return torch.outer(g, x), TransposedTimes.apply(W, g)


class GainedSiLU(Function):
    """gain * x * sigmoid(x). The cotangent is brought to a size near 1 first (it comes from a scaled loss)."""

    @staticmethod
    def forward(ctx, x, gain):
        ctx.gain = gain
        ctx.save_for_backward(x)
        return gain * x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        slope = s * (1 + x * (1 - s))
        try:
            unit = 2.0 ** math.frexp(g.abs().max().item())[1]
        except RuntimeError:  # no .item() of a batched tensor: without the unit then
            return g * slope, None  # and without the gain
        return (g / unit) * (ctx.gain * slope) * unit, None


class LogSumExpVec(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.logsumexp(x, -1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return SoftmaxTimes.apply(x, g)


class SoftmaxTimes(Function):
    @staticmethod
    def forward(x, g):
        return torch.softmax(x, -1) * g

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, h):
        x, g = ctx.saved_tensors
        p = torch.softmax(x, -1)
        hp = (h * p).sum(-1, keepdim=True)
        return g * p * (h - hp), hp.squeeze(-1)

    @staticmethod
    def vmap(info, in_dims, x, g):
        x, g = to_front(x, in_dims[0]), to_front(g, in_dims[1])
        if in_dims[0] is None:
            return torch.softmax(x, -1) * g[:, None], 0
        return torch.softmax(x, -1) * g.sum(), 0  # every example gets the sum of the batch's cotangents


def make_lse_inside():
    return Call(torch.func.vmap(LogSumExpVec.apply), (v(27, 4, 6),))


ENTRIES = [
    Entry(
        "vm_numpy_decay",
        ROW,
        False,
        "right; in numpy, so that it works under vmap by its own rule alone (batched cotangents too, by torch.func.vmap; is_grads_batched, which knows no rules, refuses), and its backward is itself with another flag",
        lambda: Call(NumpyDecay.apply, (v(1, 12), 0.8, False)),
    ),
    Entry(
        "vm_moments_generated",
        ROW,
        False,
        "right; generate_vmap_rule and two outputs",
        lambda: Call(Moments.apply, (v(2, 9),)),
    ),
    Entry(
        "vm_matvec_out_last",
        ROW,
        False,
        "right; the batch dim of the output is 0, 1 or -1 by what is batched",
        lambda: Call(MatVecLast.apply, (v(3, 4, 4), v(4, 4))),
    ),
    Entry(
        "vm_power_dot_int",
        ROW,
        False,
        "right; a non-tensor argument whose in_dim is None, a scalar output",
        lambda: Call(PowerDot.apply, (v(5, 8), v(6, 8), 3)),
    ),
    Entry(
        "vm_pick_scatter",
        ROW,
        False,
        "right; old-style forward(ctx, ...), so that torch.func refuses it, but batched cotangents work",
        lambda: Call(PickAndScatter.apply, (v(7, 6, 2), torch.tensor([0, 3, 3, 5, 0, 0]))),
    ),
    Entry(
        "vm_columns_inside",
        ROW,
        False,
        "right; vmap inside, over the second axis, with out_dims=1",
        make_inside,
    ),
    Entry(
        "vm_normalise_in_dims",
        ROW,
        True,
        "the vmap rule normalises along the last axis whatever in_dims is: right for 0, wrong for the last",
        lambda: Call(Normalise.apply, (v(21, 5),)),
    ),
    Entry(
        "vm_spring_sums_batch",
        ROW,
        True,
        "the vmap rule sums the energy over the batch too and gives each example the total",
        lambda: Call(
            SpringEnergy.apply, (v(22, 6), torch.linspace(0.5, 3, 6, dtype=torch.float64).requires_grad_())
        ),
    ),
    Entry(
        "vm_affine_out_dims",
        ROW,
        True,
        "the vmap rule returns out_dims 1 with the batch at 0 (a wrong shape, or transposed when the batch has 4 examples)",
        lambda: Call(AffineOut.apply, (v(23, 4, 4), v(24, 4), v(34, 4))),
    ),
    Entry(
        "vm_columns_none",
        ROW,
        True,
        "the vmap rule is wrong for in_dims (0, None): unbatched weights multiply the rows",
        lambda: Call(WeightColumns.apply, (v(25, 3, 3), v(26, 3))),
    ),
    Entry(
        "vm_wave_reshape",
        ROW,
        True,
        "the vmap rule reshapes in place of moving the batch axis: right for in_dims 0, mixed up for 1",
        lambda: Call(Wave.apply, (v(28, 7),)),
    ),
    Entry(
        "vm_mix_batched_cotangents",
        ROW,
        True,
        "the backward is wrong under batched cotangents alone (torch.func.vmap over torch.autograd.grad; is_grads_batched does not call vmap rules): its helper's vmap rule lacks a transpose when W is not batched",
        lambda: Call(Mix.apply, (v(29, 5, 5), v(30, 5))),
    ),
    Entry(
        "vm_gain_fallback",
        ROW,
        True,
        "the backward has a branch for batched cotangents (is_grads_batched, and torch.func.vmap over torch.autograd.grad), which forgets the gain",
        lambda: Call(GainedSiLU.apply, (v(31, 3, 4), 2.5)),
    ),
    Entry(
        "vm_lse_inside",
        ROW,
        True,
        "vmap inside: right value, but the backward's helper multiplies each example by the sum of the batch's cotangents",
        make_lse_inside,
    ),
]
