"""Fake quantisers with straight-through gradients.

The references detach what the gradient is not to see. All inputs lie well away from where rounding or clamping changes
its mind, so that every precision takes the same branch.
"""

import math

import torch

from .._entry import Call, Entry

ROW = "quantiser"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def enter(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def safe(steps, scale, low, high, gen, dtype, zero=0.0):
    """scale * (steps + a fraction) in the dtype, nowhere near a half or the ends of the range."""
    fraction = 0.08 + 0.3 * torch.rand(steps.shape, generator=gen)
    fraction = torch.where(torch.rand(steps.shape, generator=gen) < 0.5, fraction, -fraction)
    scale = scale.to(dtype)
    x = (scale.double() * (steps + fraction - zero)).to(dtype)
    u = x.double() / scale.double() + zero
    assert (
        ((u - u.floor() - 0.5).abs() > 0.05).all()
        and ((u - low).abs() > 0.02).all()
        and ((u - high).abs() > 0.02).all()
    )
    return x.requires_grad_(), scale.requires_grad_()


def lsq(x, scale):
    u = torch.clamp(x / scale, -8, 7)
    return (u + (torch.round(u) - u).detach()) * scale


class Lsq(torch.autograd.Function):
    """The scale's gradient from partial sums of 512 elements each, in float64 as it is a single number."""

    @staticmethod
    def forward(ctx, x, scale):
        q = torch.clamp(torch.round(x.float() / scale.float()), -8, 7)
        ctx.save_for_backward(x, scale)
        return (q * scale.float()).to(x.dtype)

    @staticmethod
    def terms(x, scale, dy):
        u = x.double() / scale.double()
        inside = (u > -8) & (u < 7)
        per = torch.where(inside, torch.round(u) - u, torch.clamp(u, -8, 7))
        return inside, per * dy.double()

    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        inside, terms = Lsq.terms(x, scale, dy)
        dscale = torch.stack([t.sum() for t in terms.flatten().split(512)]).sum()
        return torch.where(inside, dy, 0), dscale.to(scale.dtype)


def one_scale(dtype, seed=1, lowest=-12, highest=12, size=(64, 64), scale=0.07):
    gen = torch.Generator().manual_seed(seed)
    steps = torch.randint(lowest, highest, size, generator=gen)
    return safe(steps, torch.tensor(scale), -8, 7, gen, dtype)


enter(
    "quant_learned_step",
    False,
    "Straight-through gradient, not zero although the function is a staircase; better than eager for the scale, whose two sums cancel there.",
    Lsq.apply,
    lsq,
    one_scale,
)


class LsqInsideAlone(Lsq):
    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        inside, terms = Lsq.terms(x, scale, dy)
        return torch.where(inside, dy, 0), (terms * inside).sum().to(scale.dtype)


enter(
    "quant_clamped_elements_left_out_of_the_scale",
    True,
    "mathematically: scale: elements beyond the range do not contribute -8 or 7 times their cotangent.",
    LsqInsideAlone.apply,
    lsq,
    lambda dtype: one_scale(dtype, seed=2, lowest=-4),
)


class LsqNoMask(Lsq):
    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        _, terms = Lsq.terms(x, scale, dy)
        return dy.clone(), terms.sum(1).sum().to(scale.dtype)


enter(
    "quant_straight_through_beyond_the_range",
    True,
    "mathematically: x: the straight-through gradient passes where the quantiser clamps, too.",
    LsqNoMask.apply,
    lsq,
    one_scale,
)


class LsqNoMinusU(Lsq):
    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        u = x.float() / scale.float()
        q = torch.clamp(torch.round(u), -8, 7)
        return torch.where((u > -8) & (u < 7), dy, 0), (q * dy.float()).sum().to(scale.dtype)


enter(
    "quant_scale_gradient_without_minus_u",
    True,
    "mathematically: scale: the gradient is the sum of q, without the - x / scale of elements inside the range.",
    LsqNoMinusU.apply,
    lsq,
    lambda dtype: one_scale(dtype, seed=3, lowest=-2, highest=11),
)


class LsqLowSum(Lsq):
    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        inside, terms = Lsq.terms(x, scale, dy)
        dscale = torch.zeros_like(scale)
        for t in terms.flatten():
            dscale += t.to(scale.dtype)
        return torch.where(inside, dy, 0), dscale


enter(
    "quant_scale_gradient_in_low_precision",
    True,
    "precision: bfloat16, float16: scale: 4,096 terms are added one by one in its dtype; clear with a cotangent of one sign (most elements clamp at 7).",
    LsqLowSum.apply,
    lsq,
    lambda dtype: one_scale(dtype, seed=4, lowest=6, highest=12),
    LOW,
)


class LsqSquaredScale(Lsq):
    """Derivative of x / scale as -x / scale^2, in the inputs' dtype."""

    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        inside, _ = Lsq.terms(x, scale, dy)
        q = torch.clamp(torch.round(x.float() / scale.float()), -8, 7)
        through = torch.where(inside, x / (scale * scale), torch.zeros_like(x)).float() * scale.float()
        return torch.where(inside, dy, 0), ((q - through) * dy.float()).sum().to(scale.dtype)


enter(
    "quant_squared_scale_underflows",
    True,
    "precision: float16: scale: scale^2 underflows to 0 in float16 at a scale of 1.6e-4, and x / scale^2 overflows.",
    LsqSquaredScale.apply,
    lsq,
    lambda dtype: one_scale(dtype, seed=5, lowest=-9, highest=9, scale=1.6e-4),
    ("float16",),
)


def per_row(x, scale, zero):
    s = scale[:, None]
    u = torch.clamp(x / s + zero[:, None], 0, 15)
    q = u + (u.round() - u).detach()
    return (q - zero[:, None]) * s


class PerRow(torch.autograd.Function):
    width = None

    @classmethod
    def forward(cls, ctx, x, scale, zero):
        s, z = scale.float()[:, None], zero[:, None]
        q = torch.clamp(torch.round(x.float() / s) + z, 0, 15)
        ctx.save_for_backward(x, scale, zero)
        return ((q - z) * s).to(x.dtype)

    @classmethod
    def backward(cls, ctx, dy):
        x, scale, zero = ctx.saved_tensors
        s, z = scale.float()[:, None], zero[:, None]
        ds = torch.zeros(len(x))
        dx = torch.empty_like(x)
        for a in range(0, x.shape[1], 256):
            xs, g = x[:, a : a + 256].float(), dy[:, a : a + 256]
            u = xs / s
            q = torch.clamp(torch.round(u) + z, 0, 15) - z
            inside = (u + z > 0) & (u + z < 15)
            dx[:, a : a + 256] = g * inside
            if cls.width is None or a + 256 <= cls.width:
                ds += (g.float() * (q - u * inside)).sum(1)
        return dx, ds.to(scale.dtype), None


class PerRowNoTail(PerRow):
    width = 1000


class PerRowZeroForgotten(PerRow):
    @staticmethod
    def backward(ctx, dy):
        x, scale, zero = ctx.saved_tensors
        s, z = scale.float()[:, None], zero[:, None]
        u = x.float() / s + z
        inside = (u > 0) & (u < 15)
        q = torch.clamp(torch.round(u), 0, 15)
        ds = (dy.float() * (torch.where(inside, q - u, q))).sum(1)  # clamped: q - z
        return torch.where(inside, dy, 0), ds.to(scale.dtype), None


def rows_and_scales(dtype):
    gen = torch.Generator().manual_seed(6)
    zero = torch.randint(4, 12, (8,), generator=gen)
    scale = 0.02 + 0.1 * torch.rand(8, generator=gen)
    steps = torch.randint(-2, 18, (8, 1000), generator=gen)
    x, scale = safe(steps, scale[:, None], 0, 15, gen, dtype, zero=zero[:, None])
    return x, scale.detach()[:, 0].clone().requires_grad_(), zero


enter(
    "quant_rows_with_zero_points",
    False,
    "A scale and an integer zero point for each of 8 rows of 1,000; blocks of 256 columns with a tail.",
    PerRow.apply,
    per_row,
    rows_and_scales,
)
enter(
    "quant_rows_tail_columns_lost",
    True,
    "mathematically: scale: the last 232 of 1,000 columns, no whole block of 256, are not in the scales' gradients.",
    PerRowNoTail.apply,
    per_row,
    rows_and_scales,
)
enter(
    "quant_zero_point_forgotten_where_clamped",
    True,
    "mathematically: scale: clamped elements contribute q where it should be q - zero.",
    PerRowZeroForgotten.apply,
    per_row,
    rows_and_scales,
)


def power_of_two(x, log_scale):
    s = torch.exp2(log_scale)
    u = (x / s).clamp(-128, 127)
    return (u + (u.round() - u).detach()) * s


class PowerOfTwo(torch.autograd.Function):
    factor = math.log(2)

    @classmethod
    def forward(cls, ctx, x, log_scale):
        s = torch.exp2(log_scale.float())
        ctx.save_for_backward(x, s)
        return ((x.float() / s).round().clamp(-128, 127) * s).to(x.dtype)

    @classmethod
    def backward(cls, ctx, dy):
        x, s = ctx.saved_tensors
        u = x.float() / s
        q = u.round().clamp(-128, 127)
        inside = (u > -128) & (u < 127)
        ds = (dy.double() * torch.where(inside, q - u, q)).sum()
        return dy * inside, (ds * s.double() * cls.factor).to(dy.dtype)


class PowerOfTwoNatural(PowerOfTwo):
    factor = 1.0


def logs(dtype):
    gen = torch.Generator().manual_seed(12)
    steps = torch.randint(-30, 31, (50, 50), generator=gen)
    steps[:3] = 140
    steps[3] = -150
    fraction = (torch.rand(50, 50, generator=gen) < 0.5) * 0.5 - 0.25  # exact in bfloat16 up to 31.75
    x = (steps + torch.where(steps.abs() < 31, fraction, 0.0)) * 2.0**-5
    return x.to(dtype).requires_grad_(), torch.tensor(-5.0, dtype=dtype).requires_grad_()


enter(
    "quant_power_of_two_scale",
    False,
    "8 bits with a scale 2^t, trained in t; the eager version's sums for t cancel, the kernel's are fused.",
    PowerOfTwo.apply,
    power_of_two,
    logs,
)
enter(
    "quant_log2_factor_forgotten",
    True,
    "mathematically: log_scale: a missing factor, log 2, the derivative of 2^t.",
    PowerOfTwoNatural.apply,
    power_of_two,
    logs,
)


def block_max(x):
    blocks = x.reshape(-1, 32)
    s = (blocks.abs().amax(-1, keepdim=True) / 7).detach()
    u = blocks / s
    return ((u + (u.round() - u).detach()) * s).reshape(x.shape)


class BlockMax(torch.autograd.Function):
    """Scale of each block of 32 from its largest entry, nothing passes to it: the gradient is the cotangent."""

    @staticmethod
    def forward(ctx, x):
        b = x.float().view(-1, 32)
        s = b.abs().amax(-1, keepdim=True) * (1 / 7)
        return (torch.round(b / s) * s).to(x.dtype).view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return dy.clone()


def blocks(dtype):
    gen = torch.Generator().manual_seed(13)
    s = 2.0 ** torch.randint(-4, 4, (60, 1), generator=gen)
    steps = torch.randint(-6, 7, (60, 32), generator=gen) + 0.3 * (2 * torch.rand(60, 32, generator=gen) - 1)
    steps[torch.arange(60), torch.randint(0, 32, (60,), generator=gen)] = 7.0
    return ((s * steps).reshape(12, 160).to(dtype).requires_grad_(),)


enter(
    "quant_scale_from_block_maximum",
    False,
    "The scale depends on x, but the gradient is meant to pass it by: straight through, exactly the cotangent.",
    BlockMax.apply,
    block_max,
    blocks,
)
