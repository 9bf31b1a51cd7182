"""Row "undefined gradients": several outputs, of which some may be unused."""

import torch
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "undefined gradients"


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def draw(seed, *shape, shift=0.0):
    g = torch.Generator()
    g.manual_seed(seed)
    return (torch.randn(shape, generator=g, dtype=torch.float64) + shift).requires_grad_()


def add(a, b):
    """Sum of two gradients, either of which may be None."""
    return b if a is None else a if b is None else a + b


class CartesianToPolar(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y)
        return torch.hypot(x, y), torch.atan2(y, x)

    @staticmethod
    def backward(ctx, g_r, g_phi):
        x, y = ctx.saved_tensors
        r2 = x * x + y * y
        gx = gy = None
        if g_r is not None:
            gx, gy = g_r * x / r2.sqrt(), g_r * y / r2.sqrt()
        if g_phi is not None:
            gx, gy = add(gx, -g_phi * y / r2), add(gy, g_phi * x / r2)
        return gx, gy


class Descriptors(Function):
    """(mean, variance, third central moment) of a sample"""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        d = x - x.mean()
        return x.mean(), (d**2).mean(), (d**3).mean()

    @staticmethod
    def backward(ctx, g1, g2, g3):
        (x,) = ctx.saved_tensors
        d, n, total = x - x.mean(), x.numel(), None
        if g1 is not None:
            total = add(total, (g1 / n).expand_as(x))
        if g2 is not None:
            total = add(total, g2 * 2 * d / n)
        if g3 is not None:
            total = add(total, g3 * 3 * (d**2 - (d**2).mean()) / n)
        return total


class TwoHeads(Function):
    """Independent outputs of independent inputs: what is unused gets None, which stands for zero."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b)
        return a.sin(), b.exp()

    @staticmethod
    def backward(ctx, ga, gb):
        a, b = ctx.saved_tensors
        return (None if ga is None else ga * a.cos()), (None if gb is None else gb * b.exp())


class LinearWithNorm(Function):
    """y = x W, and the weight's squared norm for a penalty; skips what is not needed."""

    @staticmethod
    def forward(ctx, x, W):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, W)
        return x @ W, (W * W).sum()

    @staticmethod
    def backward(ctx, gy, gp):
        x, W = ctx.saved_tensors
        gx = gW = None
        if ctx.needs_input_grad[0] and gy is not None:
            gx = gy @ W.mT
        if ctx.needs_input_grad[1]:
            gW = None if gy is None else x.mT @ gy
            if gp is not None:
                gW = add(gW, 2 * gp * W)
        return gx, gW


def make_linear_norm():
    return Call(LinearWithNorm.apply, (draw(4, 3, 5).detach(), draw(5, 5, 2)))  # x needs no gradient


class SortWithOrder(Function):
    """(sorted, order, gap between largest and smallest): the order has no gradient."""

    @staticmethod
    def forward(ctx, x):
        s, order = x.sort()
        ctx.save_for_backward(order)
        ctx.mark_non_differentiable(order)
        return s, order, s[-1] - s[0]

    @staticmethod
    def backward(ctx, gs, _, ggap):
        (order,) = ctx.saved_tensors
        g = torch.zeros_like(gs).index_copy(0, order, gs)
        return g.index_add(0, order[[0, -1]], torch.stack([-ggap, ggap]))


class UnitAndLength(Function):
    @staticmethod
    def forward(ctx, x):
        n = x.norm(dim=-1, keepdim=True)
        ctx.save_for_backward(x)
        return x / n, n.squeeze(-1)

    @staticmethod
    def backward(ctx, g_unit, g_length):
        (x,) = ctx.saved_tensors
        n = x.norm(dim=-1, keepdim=True)
        u = x / n
        return (g_unit - u * (u * g_unit).sum(-1, keepdim=True)) / n  # g_length is ignored


class SumAndProduct(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b)
        return a + b, a * b

    @staticmethod
    def backward(ctx, gs, gp):
        a, b = ctx.saved_tensors
        if gs is None:
            return None, None  # what came by the product is lost
        if gp is None:
            return gs, gs
        return gs + gp * b, gs + gp * a


class GateState(Function):
    """One step of a leaky memory: (new state, what is given out)."""

    @staticmethod
    def forward(ctx, state, drive):
        ctx.set_materialize_grads(False)
        new = 0.9 * state + 0.1 * torch.tanh(drive)
        ctx.save_for_backward(drive, new)
        return new, new * new

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_new, g_out):
        drive, new = ctx.saved_tensors
        g = g_new + 2 * new * g_out  # either may be None
        return 0.9 * g, 0.1 * g * (1 - torch.tanh(drive) ** 2)


class SplitBands(Function):
    """low- and high-pass parts of a signal"""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        low = (x + x.roll(1, -1) + x.roll(-1, -1)) / 3
        return low, x - low

    @staticmethod
    def backward(ctx, g_low, g_high):
        if g_low is None:
            g_low = torch.zeros_like(g_high)
        if g_high is None:
            g_high = g_low  # torch.zeros_like(g_low)
        d = g_low - g_high
        return g_high + (d + d.roll(1, -1) + d.roll(-1, -1)) / 3


class LocationScale(Function):
    """x -> ((x - m)/s, log s), with a shortcut for cotangents of zeros"""

    @staticmethod
    def forward(ctx, x, m, s):
        ctx.save_for_backward(x, m, s)
        return (x - m) / s, s.log()

    @staticmethod
    def backward(ctx, gz, gl):
        x, m, s = ctx.saved_tensors
        if not gl.any():  # "nothing comes back to the scale"
            return gz / s, -(gz / s).sum(), torch.zeros_like(s)
        return gz / s, -(gz / s).sum(), gl / s - (gz * (x - m)).sum() / s**2


ENTRIES = [
    Entry(
        "un_polar",
        ROW,
        False,
        "right; materialising is off and each cotangent may be None",
        lambda: Call(CartesianToPolar.apply, (leaf(1.0, -2.0, 0.5), leaf(0.3, 1.0, -1.5))),
    ),
    Entry(
        "un_descriptors",
        ROW,
        False,
        "right; three scalar outputs, any of them None, one gradient an expanded view",
        lambda: Call(Descriptors.apply, (draw(1, 11),)),
    ),
    Entry(
        "un_two_heads",
        ROW,
        False,
        "right; the gradient of an input whose output is unused is None, which stands for zero",
        lambda: Call(TwoHeads.apply, (draw(2, 4), draw(3, 6))),
    ),
    Entry(
        "un_linear_norm",
        ROW,
        False,
        "right; needs_input_grad is heeded, the first input needs no gradient and gets None",
        make_linear_norm,
    ),
    Entry(
        "un_sort_order",
        ROW,
        False,
        "right; the middle output is of integers and has no gradient",
        lambda: Call(SortWithOrder.apply, (leaf(0.3, -1.2, 2.5, 0.9, -0.4),)),
    ),
    Entry(
        "un_unit_length_ignored",
        ROW,
        True,
        "the cotangent of the second output (the length) is ignored",
        lambda: Call(UnitAndLength.apply, (draw(11, 4, 3, shift=0.5),)),
    ),
    Entry(
        "un_sum_product_early",
        ROW,
        True,
        "when the cotangent of the first output is None, backward returns None and loses the second's",
        lambda: Call(SumAndProduct.apply, (draw(12, 5), draw(13, 5))),
    ),
    Entry(
        "un_gate_state_crash",
        ROW,
        True,
        "backward crashes (TypeError) when either cotangent is None; right when both outputs are used",
        lambda: Call(GateState.apply, (draw(14, 3, 2), draw(15, 3, 2))),
    ),
    Entry(
        "un_bands_copy",
        ROW,
        True,
        "when the second cotangent is None it is replaced with the first, in place of zeros",
        lambda: Call(SplitBands.apply, (draw(16, 2, 8),)),
    ),
    Entry(
        "un_location_scale_zeros",
        ROW,
        True,
        "when the second cotangent is all zeros (its output is unused), backward drops the scale's gradient through the first output too",
        lambda: Call(
            LocationScale.apply,
            (
                draw(17, 9),
                leaf(0.4).squeeze().detach().requires_grad_(),
                leaf(1.7).squeeze().detach().requires_grad_(),
            ),
        ),
    ),
]
