"""Group normalisation kernels."""

import torch
import torch.nn.functional as F

from .._entry import Call, Entry

ROW = "group norm"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}
EPS = 1e-5


def group_entry(name, why, function, inputs, reference=None, wrong=False, dtypes=ALL):
    reference = reference or eager

    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    ENTRIES.append(Entry(name, ROW, wrong, why, make))
    DTYPES[name] = dtypes


GROUPS = 4


def eager(x, weight, bias):
    """x (batch, channels, length)"""
    n, c, length = x.shape
    grouped = x.reshape(n, GROUPS, -1)
    mean = grouped.mean(-1, keepdim=True)
    centred = grouped - mean
    var = centred.square().mean(-1, keepdim=True)
    return (centred / torch.sqrt(var + EPS)).reshape(n, c, length) * weight[:, None] + bias[:, None]


def builtin(x, weight, bias):
    return F.group_norm(x, GROUPS, weight, bias, EPS)


def images(dtype, mean=0.3, spread=1.0, shape=(3, 16, 150), seed=5):
    gen = torch.Generator().manual_seed(seed)
    c = shape[1]
    x = mean + spread * torch.randn(shape, generator=gen) * (0.5 + torch.arange(c) % 3)[:, None] / 1.5
    weight = 0.5 + torch.rand(c, generator=gen)
    bias = torch.randn(c, generator=gen)
    return tuple(t.to(dtype).requires_grad_() for t in (x, weight, bias))


def _stats(x):
    g = x.float().reshape(x.shape[0], GROUPS, -1)
    mean = g.mean(-1)
    return mean, torch.rsqrt((g - mean[..., None]).square().mean(-1) + EPS)


def _normal(x, mean, rstd):
    g = x.float().reshape(x.shape[0], GROUPS, -1)
    return ((g - mean[..., None]) * rstd[..., None]).view(x.shape)


def _affine(xhat, weight, bias, dtype):
    return (xhat * weight.float()[:, None] + bias.float()[:, None]).to(dtype)


def _input_gradient(gw, xhat, rstd, *, with_mean=True, count=None):
    n = len(gw)
    a, b = gw.reshape(n, GROUPS, -1), xhat.reshape(n, GROUPS, -1)
    count = count or a.shape[-1]
    c1 = a.sum(-1, keepdim=True) / count if with_mean else 0.0
    c2 = (a * b).sum(-1, keepdim=True) / count
    return ((a - c1 - b * c2) * rstd[..., None]).view(gw.shape)


class TwoPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        mean, rstd = _stats(x)
        ctx.save_for_backward(x, weight, mean, rstd)
        return _affine(_normal(x, mean, rstd), weight, bias, x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        xhat, g = _normal(x, mean, rstd), dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd)
        return dx.to(x.dtype), (g * xhat).sum(-1).sum(0).to(weight.dtype), g.sum(-1).sum(0).to(weight.dtype)


group_entry(
    "gn_two_pass",
    "Mean and 1/std kept in float32; sums over the batch and the length for the parameters.",
    TwoPass.apply,
    images,
)


class NoMeanTerm(TwoPass):
    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        xhat, g = _normal(x, mean, rstd), dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd, with_mean=False)
        return dx.to(x.dtype), (g * xhat).sum(-1).sum(0).to(weight.dtype), g.sum(-1).sum(0).to(weight.dtype)


group_entry(
    "gn_derivative_of_the_mean_forgotten",
    "mathematically: x: the mean is taken as a constant; clear with a cotangent of one sign, small groups show it with any.",
    NoMeanTerm.apply,
    lambda dtype: images(dtype, shape=(40, 12, 4)),
    wrong=True,
)


class OtherGroups(TwoPass):
    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        n, c, _ = x.shape
        group = torch.arange(c) % GROUPS  # should be // (c / GROUPS)
        xhat = _normal(x, mean, rstd)
        wrong = (x.float() - mean[:, group, None]) * rstd[:, group, None]
        g = dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd)
        return dx.to(x.dtype), (g * wrong).sum((0, 2)).to(weight.dtype), g.sum(-1).sum(0).to(weight.dtype)


def uneven(dtype):
    x, weight, bias = (t.detach() for t in images(torch.float32, shape=(3, 16, 60), seed=6))
    x = x + torch.arange(16)[:, None] // 4 * 1.5
    return tuple(t.to(dtype).requires_grad_() for t in (x, weight, bias))


group_entry(
    "gn_weight_gradient_with_another_groups_statistics",
    "mathematically: weight: channel c takes the statistics of group c mod 4 where it should be c // 4.",
    OtherGroups.apply,
    uneven,
    wrong=True,
)


class ChannelCount(TwoPass):
    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        xhat, g = _normal(x, mean, rstd), dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd, count=x.shape[-1])
        return dx.to(x.dtype), (g * xhat).sum(-1).sum(0).to(weight.dtype), g.sum(-1).sum(0).to(weight.dtype)


group_entry(
    "gn_sums_divided_by_the_length_alone",
    "mathematically: x: the backward pass divides its two sums by the length, not by length times channels of a group.",
    ChannelCount.apply,
    lambda dtype: images(dtype, shape=(40, 12, 4), seed=16),
    wrong=True,
)


def eager_last(x, weight, bias):
    """x (batch, length, channels)"""
    n, length, c = x.shape
    g = x.reshape(n, length, GROUPS, c // GROUPS)
    d = g - g.mean((1, 3), keepdim=True)
    y = d * torch.rsqrt((d * d).mean((1, 3), keepdim=True) + EPS)
    return y.reshape(x.shape) * weight + bias


class ShiftedOnePass(torch.autograd.Function):
    """E[(x-s)^2] - E[x-s]^2 with s an entry of the group, by blocks of 64 positions."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        n, length, c = x.shape
        shift = x[:, 0, :: c // GROUPS].float()
        first, second = torch.zeros(n, GROUPS), torch.zeros(n, GROUPS)
        for piece in x.split(64, 1):
            d = piece.float().reshape(n, -1, GROUPS, c // GROUPS) - shift[:, None, :, None]
            first += d.sum((1, 3))
            second += (d * d).sum((1, 3))
        m = length * c // GROUPS
        offset = first / m
        rstd = torch.rsqrt(second / m - offset * offset + EPS)
        ctx.save_for_backward(x, weight, shift, offset, rstd)
        return (ShiftedOnePass.normal(x, shift, offset, rstd) * weight.float() + bias.float()).to(x.dtype)

    @staticmethod
    def normal(x, shift, offset, rstd):
        n, length, c = x.shape
        d = x.float().reshape(n, length, GROUPS, -1) - shift[:, None, :, None] - offset[:, None, :, None]
        return (d * rstd[:, None, :, None]).reshape(x.shape)

    @staticmethod
    def backward(ctx, dy):
        x, weight, *stats = ctx.saved_tensors
        n, length, c = x.shape
        xhat, g = ShiftedOnePass.normal(x, *stats), dy.float()
        gw, xg = (g * weight.float()).reshape(n, length, GROUPS, -1), xhat.reshape(n, length, GROUPS, -1)
        dx = gw - gw.mean((1, 3), keepdim=True) - xg * (gw * xg).mean((1, 3), keepdim=True)
        dx = dx * stats[-1][:, None, :, None]
        return (
            dx.reshape(x.shape).to(x.dtype),
            (g * xhat).sum(1).sum(0).to(weight.dtype),
            g.sum(1).sum(0).to(weight.dtype),
        )


def far_images(dtype):
    x, weight, bias = (t.detach() for t in images(torch.float32, mean=30.0, shape=(2, 16, 200), seed=8))
    return tuple(t.to(dtype).requires_grad_() for t in (x.transpose(1, 2), weight, bias))


group_entry(
    "gn_shifted_one_pass_channels_last",
    "One-pass variance, but shifted, at a mean of 30; x isn't contiguous. Better than the eager version, which rounds the mean to the low dtype.",
    ShiftedOnePass.apply,
    far_images,
    eager_last,
)


def eager_silu(x, weight, bias):
    return F.silu(F.group_norm(x, GROUPS, weight, bias, EPS))


class NormSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        mean, rstd = _stats(x)
        z = _normal(x, mean, rstd) * weight.float()[:, None] + bias.float()[:, None]
        ctx.save_for_backward(x, weight, bias)
        return (z * torch.sigmoid(z)).to(x.dtype)

    @staticmethod
    def slope(z):
        s = torch.sigmoid(z)
        return s * (1 + z * (1 - s))

    @classmethod
    def backward(cls, ctx, dy):
        x, weight, bias = ctx.saved_tensors  # everything is made anew
        mean, rstd = _stats(x)
        xhat = _normal(x, mean, rstd)
        w = weight.float()[:, None]
        dz = dy.float() * cls.slope(xhat * w + bias.float()[:, None])
        dx = _input_gradient(dz * w, xhat, rstd)
        return dx.to(x.dtype), (dz * xhat).sum(-1).sum(0).to(weight.dtype), dz.sum(-1).sum(0).to(bias.dtype)


class NormSiluSlope(NormSilu):
    @staticmethod
    def slope(z):
        s = torch.sigmoid(z)
        return s + z * (1 - s)  # a missing factor s in the second term


group_entry(
    "gn_silu_made_anew",
    "Norm and SiLU in one kernel that keeps only its inputs.",
    NormSilu.apply,
    images,
    eager_silu,
)
group_entry(
    "gn_silu_slope",
    "mathematically: x, weight, bias: SiLU's derivative lacks a factor, sigmoid(z) in its second term.",
    NormSiluSlope.apply,
    images,
    eager_silu,
    wrong=True,
)


class SquareMinusSquare(torch.autograd.Function):
    """var = E[x^2] - E[x]^2, from sums of the given dtype."""

    working = None

    @classmethod
    def forward(cls, ctx, x, weight, bias):
        g = x.reshape(x.shape[0], GROUPS, -1).to(cls.working or x.dtype)
        mean = g.mean(-1)
        var = (g * g).mean(-1) - mean * mean
        rstd = torch.rsqrt(var.float().clamp_min(0) + EPS)
        ctx.save_for_backward(x, weight)
        return _affine(_normal(x, mean.float(), rstd), weight, bias, x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        mean, rstd = _stats(x)
        xhat, g = _normal(x, mean, rstd), dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd)
        return dx.to(x.dtype), (g * xhat).sum(-1).sum(0).to(weight.dtype), g.sum(-1).sum(0).to(weight.dtype)


class SquareMinusSquare32(SquareMinusSquare):
    working = torch.float32


group_entry(
    "gn_one_pass_variance_in_low_precision",
    "precision: bfloat16, float16: output: E[x^2] - E[x]^2 from low-precision moments, at a mean of 12.",
    SquareMinusSquare.apply,
    lambda dtype: images(dtype, mean=12.0, seed=9),
    builtin,
    wrong=True,
    dtypes=LOW,
)
group_entry(
    "gn_one_pass_variance_at_a_large_mean",
    "precision: float32: output: E[x^2] - E[x]^2 in float32 at a mean of 300 and a spread of 0.3; at small means it is as good.",
    SquareMinusSquare32.apply,
    lambda dtype: images(dtype, mean=300.0, spread=0.3, seed=10),
    eager,
    wrong=True,
    dtypes=("float32",),
)


class SumOverflows(torch.autograd.Function):
    """The mean as sum / count, the sum in float16."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        g = x.reshape(x.shape[0], GROUPS, -1)
        mean = g.sum(-1) / g.shape[-1]
        centred = g.float() - mean.float()[..., None]
        rstd = torch.rsqrt(centred.square().mean(-1) + EPS)
        ctx.save_for_backward(x, weight)
        return _affine((centred * rstd[..., None]).view(x.shape), weight, bias, x.dtype)

    backward = SquareMinusSquare.backward


group_entry(
    "gn_mean_whose_sum_overflows",
    "precision: float16: output: the sum of 1,024 entries of about 150 is more than float16 holds; the eager mean doesn't overflow.",
    SumOverflows.apply,
    lambda dtype: images(dtype, mean=150.0, spread=20.0, shape=(2, 16, 256), seed=11),
    builtin,
    wrong=True,
    dtypes=("float16",),
)


class LowParameterSums(TwoPass):
    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        xhat, g = _normal(x, mean, rstd), dy.float()
        dx = _input_gradient(g * weight.float()[:, None], xhat, rstd)
        db = torch.zeros_like(weight)
        for n in range(len(x)):
            for position in range(x.shape[-1]):
                db += dy[n, :, position]
        return dx.to(x.dtype), (g * xhat).sum(-1).sum(0).to(weight.dtype), db


group_entry(
    "gn_bias_gradient_in_low_precision",
    "precision: bfloat16, float16: bias: its gradient adds up 1,600 terms in its own dtype; clear with a cotangent of one sign.",
    LowParameterSums.apply,
    lambda dtype: images(dtype, shape=(4, 8, 400), seed=13),
    builtin,
    wrong=True,
    dtypes=LOW,
)


class MergedBlocks(torch.autograd.Function):
    @staticmethod
    def stats(x):
        g = x.float().reshape(x.shape[0], GROUPS, -1)
        count, mean, spread = 0, torch.zeros(g.shape[:2]), torch.zeros(g.shape[:2])
        for piece in g.split(150, -1):
            m = piece.shape[-1]
            here = piece.mean(-1)
            away = here - mean
            spread = (
                spread
                + (piece - here[..., None]).square().sum(-1)
                + away.square() * (count * m / (count + m))
            )
            mean = mean + away * (m / (count + m))
            count += m
        return mean, torch.rsqrt(spread / count + EPS)

    @staticmethod
    def forward(ctx, x, weight, bias):
        mean, rstd = MergedBlocks.stats(x)
        ctx.save_for_backward(x, weight, mean, rstd)
        return _affine(_normal(x, mean, rstd), weight, bias, x.dtype)

    backward = TwoPass.backward


group_entry(
    "gn_merged_blocks",
    "Statistics of blocks of 150 merged one after the other, at a mean of 100 whose plain sum in float16 would overflow.",
    MergedBlocks.apply,
    lambda dtype: images(dtype, mean=100.0, spread=15.0, shape=(2, 16, 256), seed=14),
    builtin,
)
