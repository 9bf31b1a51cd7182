"""RMSNorm as fused kernels: a program for each row forward, partial sums for the weight's gradient backward."""

import torch

from .._entry import Call, Entry

ROW = "rmsnorm"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
EPS = 1e-5
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def _entry(name, why, dtypes, function, reference, inputs, wrong=False):
    default = getattr(torch, dtypes[0])

    def make(dtype=default):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def add_rms_norm(x, residual, weight):
    summed = x + residual
    return summed * torch.rsqrt(summed.square().mean(-1, keepdim=True) + EPS) * weight, summed


def gemma_norm(x, weight):
    return x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + EPS) * (1 + weight)


def _long_rows(dtype):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(13, 1000, generator=g) * torch.logspace(-1, 1, 13)[:, None]
    return x.to(dtype).requires_grad_(), (1 + 0.2 * torch.randn(1000, generator=g)).to(dtype).requires_grad_()


def _very_long_rows(dtype):
    g = torch.Generator().manual_seed(30)
    return (
        torch.randn(6, 4096, generator=g).to(dtype).requires_grad_(),
        (1 + 0.1 * torch.randn(4096, generator=g)).to(dtype).requires_grad_(),
    )


def _many_rows(dtype):
    g = torch.Generator().manual_seed(4)
    x = 1 + 0.4 * torch.randn(1100, 24, generator=g)
    return x.to(dtype).requires_grad_(), (0.5 + torch.rand(24, generator=g)).to(dtype).requires_grad_()


def _very_many_rows(dtype):
    g = torch.Generator().manual_seed(40)
    x = 2 + 0.4 * torch.randn(2600, 12, generator=g)
    return x.to(dtype).requires_grad_(), (0.5 + torch.rand(12, generator=g)).to(dtype).requires_grad_()


def _some_rows(dtype):
    g = torch.Generator().manual_seed(44)
    x = 0.7 + torch.randn(2, 150, 40, generator=g)
    return x.to(dtype).requires_grad_(), (0.5 + torch.rand(40, generator=g)).to(dtype).requires_grad_()


class RowwiseRMSNorm(torch.autograd.Function):
    """Saves x and 1/rms (float32). dw: each of 4 programs sums its rows; the partial sums are added at the end."""

    @staticmethod
    def forward(ctx, x, weight):
        rstd = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, rstd)
        return (x.float() * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        flat = x.reshape(-1, x.shape[-1]).float()
        g = dy.reshape(-1, x.shape[-1]).float()
        r = rstd.reshape(-1, 1)
        xhat = flat * r
        partial = torch.zeros(4, x.shape[-1])
        for program, rows in enumerate(torch.arange(len(flat)).tensor_split(4)):
            partial[program] = (g[rows] * xhat[rows]).sum(0)
        gw = g * weight.float()
        dx = r * (gw - xhat * (gw * xhat).mean(-1, keepdim=True))
        return dx.to(x.dtype).view_as(x), partial.sum(0).to(weight.dtype)


_entry(
    "rms_rowwise",
    "Everything in float32, rows whose sizes differ a hundredfold.",
    ALL,
    RowwiseRMSNorm.apply,
    rms_norm,
    _long_rows,
)
_entry(
    "rms_rowwise_three_axes",
    "x has two batch axes, and the gradient of the weight sums over both.",
    ALL,
    RowwiseRMSNorm.apply,
    rms_norm,
    _some_rows,
)


class AddRMSNorm(torch.autograd.Function):
    """y and the new residual stream; both have a gradient. The sum is kept as it is stored, rounded."""

    @staticmethod
    def forward(ctx, x, residual, weight):
        summed = x + residual
        s = summed.float()
        rms = (s.square().sum(-1, keepdim=True) / s.shape[-1] + EPS).sqrt()
        ctx.save_for_backward(summed, weight, rms)
        return (s / rms * weight.float()).to(x.dtype), summed

    @staticmethod
    def backward(ctx, dy, dsummed):
        summed, weight, rms = ctx.saved_tensors
        s = summed.float()
        g = dy.float()
        gw = g * weight.float()
        dot = (gw * s).sum(-1, keepdim=True)
        d = gw / rms - s * (dot / (s.shape[-1] * rms**3)) + dsummed.float()
        d = d.to(summed.dtype)
        return d, d, (g * (s / rms)).sum(0).to(weight.dtype)


def _add_inputs(dtype):
    g = torch.Generator().manual_seed(5)
    return (
        torch.randn(60, 256, generator=g).to(dtype).requires_grad_(),
        (2 * torch.randn(60, 256, generator=g)).to(dtype).requires_grad_(),
        (0.8 + 0.4 * torch.rand(256, generator=g)).to(dtype).requires_grad_(),
    )


_entry(
    "rms_fused_add_two_outputs",
    "Two outputs, and one tensor returned as the gradient of both x and residual.",
    ALL,
    AddRMSNorm.apply,
    add_rms_norm,
    _add_inputs,
)


class ScaledGemma(torch.autograd.Function):
    """Divides a row by its largest entry before it squares."""

    @staticmethod
    def forward(ctx, x, weight):
        x32 = x.float()
        big = x32.abs().amax(-1, keepdim=True)
        rms = big * torch.sqrt((x32 / big).square().mean(-1, keepdim=True) + EPS / big.square())
        ctx.save_for_backward(x, weight, rms)
        return ((x32 / rms) * (1 + weight.float())).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rms = ctx.saved_tensors
        unit = x.float() / rms
        g = dy.float()
        gw = g * (1 + weight.float())
        dx = (gw - unit * (gw * unit).mean(-1, keepdim=True)) / rms
        return dx.to(x.dtype), (g * unit).sum(0).to(weight.dtype)


def _huge(dtype):
    g = torch.Generator().manual_seed(6)
    x = 400 * torch.randn(16, 600, generator=g)
    return x.to(dtype).requires_grad_(), (0.3 * torch.randn(600, generator=g)).to(dtype).requires_grad_()


_entry(
    "rms_large_entries_that_overflow_the_eager_float16",
    "Better than the eager version: x of about 400, whose squares overflow float16 there (its output is 0), and not here.",
    ALL,
    ScaledGemma.apply,
    gemma_norm,
    _huge,
)


class LaneRMSNorm(torch.autograd.Function):
    """32 lanes walk along a row and then add up as a butterfly does: another order of summation than sum()."""

    @staticmethod
    def _reduce(t):
        cols = t.shape[-1]
        t = torch.nn.functional.pad(t, (0, -cols % 32)).reshape(*t.shape[:-1], -1, 32)
        lanes = torch.zeros(*t.shape[:-2], 32)
        for step in range(t.shape[-2]):
            lanes = lanes + t[..., step, :]
        while lanes.shape[-1] > 1:
            half = lanes.shape[-1] // 2
            lanes = lanes[..., :half] + lanes[..., half:]
        return lanes

    @staticmethod
    def forward(ctx, x, weight):
        v = x.float()
        rstd = (LaneRMSNorm._reduce(v * v) / v.shape[-1] + EPS) ** -0.5
        ctx.save_for_backward(x, weight, rstd)
        return (v * (rstd * weight.float())).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        v, g, w = x.float(), dy.float(), weight.float()
        c = LaneRMSNorm._reduce(g * w * v) * rstd**3 / v.shape[-1]
        dx = g * w * rstd - v * c
        return dx.to(x.dtype), LaneRMSNorm._reduce((g * v * rstd).t())[:, 0].to(weight.dtype)


_entry(
    "rms_lanes",
    "Rounds in another order than the eager version, and is as good.",
    ALL,
    LaneRMSNorm.apply,
    rms_norm,
    _very_long_rows,
)


class NoProjection(RowwiseRMSNorm):
    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        g = dy.float()
        dw = (g * x.float() * rstd).flatten(0, -2).sum(0)
        return (g * weight.float() * rstd).to(x.dtype), dw.to(weight.dtype)


def _short_rows(dtype):
    g = torch.Generator().manual_seed(45)
    x = 0.7 + torch.randn(3, 100, 20, generator=g)
    return x.to(dtype).requires_grad_(), (0.5 + torch.rand(20, generator=g)).to(dtype).requires_grad_()


_entry(
    "rms_projection_forgotten",
    "mathematically: x: 1/rms is taken as a constant, the term of its derivative is left out.",
    ALL,
    NoProjection.apply,
    rms_norm,
    _short_rows,
    wrong=True,
)


class LostRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        rstd = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, rstd)
        return (x.float() * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        g, xhat = dy.float(), x.float() * rstd
        gw = g * weight.float()
        dx = rstd * (gw - xhat * (gw * xhat).mean(-1, keepdim=True))
        blocks = x.shape[0] // 128
        dw = sum((g * xhat)[b * 128 : (b + 1) * 128].sum(0) for b in range(blocks))
        return dx.to(x.dtype), dw.to(weight.dtype)


_entry(
    "rms_tail_rows_lost",
    "mathematically: weight: the last 76 of 1,100 rows, no whole block of 128, are not in the sum of the weight's gradient.",
    ALL,
    LostRows.apply,
    rms_norm,
    _many_rows,
    wrong=True,
)


class AddNoResidualPath(AddRMSNorm):
    @staticmethod
    def backward(ctx, dy, dsummed):
        summed, weight, rms = ctx.saved_tensors
        s, g = summed.float(), dy.float()
        gw = g * weight.float()
        norm = gw / rms - s * ((gw * s).mean(-1, keepdim=True) / rms**3)
        dx = (norm + dsummed.float()).to(summed.dtype)
        return dx, norm.to(summed.dtype), (g * s / rms).sum(0).to(weight.dtype)


_entry(
    "rms_fused_add_second_cotangent_dropped",
    "mathematically: residual: the gradient of the second output reaches x but not residual.",
    ALL,
    AddNoResidualPath.apply,
    add_rms_norm,
    _add_inputs,
    wrong=True,
)


class PaddedCount(torch.autograd.Function):
    """Pads rows to a power of two, as a Triton kernel does, and divides by the padded length."""

    @staticmethod
    def forward(ctx, x, weight):
        cols = x.shape[-1]
        padded = 1 << (cols - 1).bit_length()
        buffer = torch.zeros(*x.shape[:-1], padded)
        buffer[..., :cols] = x.float()
        rms = torch.sqrt(buffer.square().mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, rms)
        return (x.float() / rms * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rms = ctx.saved_tensors
        true = torch.sqrt(x.float().square().mean(-1, keepdim=True) + EPS)
        xhat = x.float() / true
        gw = dy.float() * weight.float()
        dx = (gw - xhat * (gw * xhat).mean(-1, keepdim=True)) / true
        return dx.to(x.dtype), (dy.float() * xhat).flatten(0, -2).sum(0).to(weight.dtype)


_entry(
    "rms_mean_over_the_padded_row",
    "mathematically: output: the mean square is divided by the padded length, 64, not by 40; the backward pass makes 1/rms anew and is right.",
    ALL,
    PaddedCount.apply,
    rms_norm,
    _some_rows,
    wrong=True,
)


class LowPrecisionWeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        rstd = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, rstd)
        return (x.float() * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        dweight = torch.zeros_like(weight)
        dx = torch.empty_like(x)
        for row in range(len(x)):
            xhat = x[row].float() * rstd[row]
            g = dy[row].float()
            gw = g * weight.float()
            dx[row] = (rstd[row] * (gw - xhat * (gw * xhat).mean())).to(x.dtype)
            dweight += (g * xhat).to(weight.dtype)  # an atomic add into the gradient's own memory
        return dx, dweight


_entry(
    "rms_weight_gradient_by_low_atomics",
    "precision: bfloat16, float16: weight: 2,600 rows are added one by one into a gradient of the weight's dtype; clear with a cotangent of one sign.",
    LOW,
    LowPrecisionWeightGradient.apply,
    rms_norm,
    _very_many_rows,
    wrong=True,
)


class LowPrecisionMeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        total = torch.zeros_like(x[..., 0])
        for k in range(x.shape[-1]):
            total = total + x[..., k] * x[..., k]
        rstd = torch.rsqrt(total.float()[..., None] / x.shape[-1] + EPS)
        ctx.save_for_backward(x, weight, rstd)
        return (x.float() * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        g, xhat = dy.float(), x.float() * rstd
        gw = g * weight.float()
        dx = rstd * (gw - xhat * (gw * xhat).mean(-1, keepdim=True))
        return dx.to(x.dtype), (g * xhat).sum(0).to(weight.dtype)


_entry(
    "rms_sum_of_squares_in_low_precision",
    "precision: bfloat16, float16: output, x, weight: the sum of 4,096 squares runs in the dtype of x and stops growing.",
    LOW,
    LowPrecisionMeanSquare.apply,
    rms_norm,
    _very_long_rows,
    wrong=True,
)


class HalfRstd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        rstd = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPS)
        ctx.save_for_backward(x, weight, rstd.bfloat16())
        return (x.float() * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        rstd = rstd.float()
        g, xhat = dy.float(), x.float() * rstd
        gw = g * weight.float()
        return (rstd * (gw - xhat * (gw * xhat).mean(-1, keepdim=True))).to(x.dtype), (g * xhat).sum(0).to(
            weight.dtype
        )


_entry(
    "rms_saved_rstd_in_bfloat16",
    "precision: float32: x, weight: 1/rms is saved in bfloat16 for the backward pass, which float32 inputs notice.",
    ("float32",),
    HalfRstd.apply,
    rms_norm,
    _long_rows,
    wrong=True,
)
