"""Row "in place on purpose": Functions which overwrite an input. A leaf must not be overwritten, so that each function
makes a copy first, as a layer above would."""

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._entry import Call, Entry

ROW = "in place on purpose"


def w(seed, *shape, positive=False):
    t = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return ((t.abs() + 0.2) if positive else t).requires_grad_()


class Exp_(Function):
    @staticmethod
    def forward(ctx, x):
        x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)  # the output
        return x

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Elu_(Function):
    """In place; the slope can be told from the output alone."""

    @staticmethod
    def forward(ctx, x, alpha):
        torch.nn.functional.elu_(x, alpha)
        ctx.mark_dirty(x)
        ctx.alpha = alpha
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return torch.where(y > 0, g, g * (y + ctx.alpha)), None


class Axpy_(Function):
    """y += a x, with y overwritten and x, a left alone"""

    @staticmethod
    def forward(ctx, y, a, x):
        ctx.save_for_backward(a, x)
        y.add_(a * x)
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx, g):
        a, x = ctx.saved_tensors
        return g, (g * x).sum(), g * a


def residual(x, a):
    h = torch.sin(x)
    Axpy_.apply(h, a, x)  # the returned tensor is thrown away: h itself has the new value and history
    return h * h


class ScaleRows_(Function):
    """Rows to unit length, in place; what is needed of the old values is copied before."""

    @staticmethod
    def forward(ctx, x):
        n = x.norm(dim=1, keepdim=True)
        ctx.save_for_backward(n, x.div_(n))
        ctx.mark_dirty(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        n, u = ctx.saved_tensors
        return (g - u * (g * u).sum(1, keepdim=True)) / n


class Momentum_(Function):
    """velocity (a buffer that needs no gradient on the way in) is overwritten with 0.9 velocity + force"""

    @staticmethod
    def forward(ctx, velocity, force):
        velocity.mul_(0.9).add_(force)
        ctx.mark_dirty(velocity)
        return velocity

    @staticmethod
    def backward(ctx, g):
        return (0.9 * g if ctx.needs_input_grad[0] else None), g


def three_steps(start, forces):
    v = start.clone()
    for f in forces.unbind(0):
        v = Momentum_.apply(v, f)
    return v


class Square_(Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(x)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)  # the square by now
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


class Shrink_(Function):
    """soft threshold"""

    @staticmethod
    def forward(ctx, x, lam):
        ctx.keep = x  # a reference, not a copy
        ctx.lam = lam
        x.copy_(torch.sign(x) * (x.abs() - lam).clamp_min(0))
        ctx.mark_dirty(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return g * (ctx.keep.abs() > ctx.lam), None  # of what has been shrunk already


class Gate_(Function):
    """y *= s, with y overwritten"""

    @staticmethod
    def forward(ctx, y, s):
        y.mul_(s)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y, s)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        y, s = ctx.saved_tensors
        return g * s, (g * y).sum(0)  # needs y as it was before


class Reflect_(Function):
    """x -> 2 c - x, in place, without mark_dirty"""

    @staticmethod
    def forward(ctx, x, c):
        x.neg_().add_(2 * c)
        return x

    @staticmethod
    def backward(ctx, g):
        return -g, (2 * g).sum(0)


def reflect_and_reuse(x, c):
    h = x * 1.5
    r = Reflect_.apply(h, c)
    return r * 0.5 + h**2  # h is reflected in memory; autograd does not know


class Accumulate_(Function):
    """total += part^2; total is not declared dirty, but part is all that gets a gradient"""

    @staticmethod
    def forward(ctx, total, part):
        ctx.save_for_backward(part)
        total.add_(part * part)
        return total.sum()

    @staticmethod
    def backward(ctx, g):
        (part,) = ctx.saved_tensors
        return g.expand_as(part), 2 * g * part


def accumulate(parts):
    total = torch.zeros_like(parts[0])
    for part in parts:
        Accumulate_.apply(total, part)
    return total + parts[0]


def make_accumulate():
    return Call(lambda a, b: accumulate([a, b]), (w(16, 4), w(17, 4)))


ENTRIES = [
    Entry(
        "ip_exp",
        ROW,
        False,
        "right; the input is overwritten and the output is what is saved",
        lambda: Call(lambda x: Exp_.apply(x.clone()), (w(1, 3, 4),)),
    ),
    Entry(
        "ip_elu",
        ROW,
        False,
        "right; the slope is computed from the overwritten value, as it may be here",
        lambda: Call(lambda x: Elu_.apply(x * 1.0, 0.8), (w(2, 15),)),
    ),
    Entry(
        "ip_axpy_reused",
        ROW,
        False,
        "right; the overwritten tensor is used on under its old name",
        lambda: Call(residual, (w(3, 6), torch.tensor(-0.7, dtype=torch.float64, requires_grad=True))),
    ),
    Entry(
        "ip_scale_rows",
        ROW,
        False,
        "right; the old norms are saved beside the overwritten rows",
        lambda: Call(lambda x: ScaleRows_.apply(x.clone()), (w(5, 4, 3),)),
    ),
    Entry(
        "ip_momentum_steps",
        ROW,
        False,
        "right; one buffer is overwritten three times in a row",
        lambda: Call(three_steps, (w(6, 5), w(7, 3, 5))),
    ),
    Entry(
        "ip_square_overwritten",
        ROW,
        True,
        "backward uses the overwritten value (the square) in place of the input",
        lambda: Call(lambda x: Square_.apply(x.clone()), (w(11, 8),)),
    ),
    Entry(
        "ip_shrink_overwritten",
        ROW,
        True,
        "backward compares the shrunk value with the threshold, in place of the original one",
        lambda: Call(
            lambda x: Shrink_.apply(x + 0.0, 0.4),
            (torch.tensor([-2.0, -0.9, -0.6, 0.1, 0.5, 0.7, 1.5], dtype=torch.float64, requires_grad=True),),
        ),
    ),
    Entry(
        "ip_gate_second",
        ROW,
        True,
        "the gradient of the gate uses the overwritten y; that of y is right",
        lambda: Call(lambda x, s: Gate_.apply(x.clone(), s), (w(12, 5, 3), w(13, 3))),
    ),
    Entry(
        "ip_reflect_no_dirty",
        ROW,
        True,
        "mark_dirty is missing: the overwritten tensor is used on under its old name, with the old history",
        lambda: Call(reflect_and_reuse, (w(14, 4, 2), w(15, 2))),
    ),
    Entry(
        "ip_accumulate_no_dirty",
        ROW,
        True,
        "the overwritten total is neither declared dirty nor returned: what is added to it has no gradient",
        make_accumulate,
    ),
]
